package testenv

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// benignPackings are the ways in which people's texts reach an application.
var benignPackings = []string{"query", "form", "json", "multipart"}

// TestBenign sends what people write (attack/benign) in every way in which it is sent. None of our own rules may match,
// at paranoia 1. What CRS refuses is counted and told.
func TestBenign(t *testing.T) {
	t.Parallel()
	var stages []stage
	files, err := filepath.Glob(filepath.Join("attack", "benign", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for n, text := range strings.Split(strings.TrimSuffix(string(content), "\n"), "\n%%\n") {
			for _, packing := range benignPackings {
				stages = append(stages, stage{ID: fmt.Sprintf("%s %d %s", filepath.Base(name), n+1, packing), Desc: text,
					Input: stageInput{EncodedRequest: base64.StdEncoding.EncodeToString(packBenign(t, packing, text))}})
			}
		}
	}
	if len(stages) < 500 {
		t.Fatalf("only %d requests", len(stages))
	}
	g := startGateway(t, attackGateway(startReflector(t)))
	results := crsRun(t, g, stages)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	crsLogs(t, g, results)

	refused, blame := 0, map[int]int{}
	for i, r := range results {
		if r.answer == nil {
			t.Fatalf("%s: %v", stages[i].ID, r.err)
		}
		for _, rule := range r.rules {
			if rule < 100_000 {
				t.Errorf("our rule %d matches %s: %s", rule, stages[i].ID, stages[i].Desc)
			}
			if r.answer.Status != http.StatusOK && rule/1000 != 949 {
				blame[rule]++
			}
		}
		if r.answer.Status != http.StatusOK {
			refused++
			t.Logf("refused: %s, %d, rules %v", stages[i].ID, r.answer.Status, r.rules)
		}
	}
	t.Logf("of %d benign requests, %d are refused (%.1f %%), by rules %v", len(stages), refused, 100*float64(refused)/float64(len(stages)), blame)
}

// packBenign is a text as a browser or a program sends it.
func packBenign(t *testing.T, packing, text string) []byte {
	t.Helper()
	switch packing {
	case "query":
		return rawRequest("GET", "/search?page=2&q="+url.QueryEscape(text), "")
	case "form":
		return rawRequest("POST", "/save", "id=17&text="+url.QueryEscape(strings.ReplaceAll(text, "\n", "\r\n")), "Content-Type: application/x-www-form-urlencoded")
	case "json":
		body, err := json.Marshal(map[string]any{"id": 17, "draft": false, "text": text})
		if err != nil {
			t.Fatal(err)
		}
		return rawRequest("POST", "/api/save", string(body), "Content-Type: application/json")
	case "multipart":
		return rawRequest("POST", "/save", "--xYzZY\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n"+
			strings.ReplaceAll(text, "\n", "\r\n")+"\r\n--xYzZY--\r\n", "Content-Type: multipart/form-data; boundary=xYzZY")
	}
	t.Fatalf("packing %q", packing)
	return nil
}

// rawRequest is a browser's request, as bytes. Lines given take the place of the browser's of the same name.
func rawRequest(method, target, body string, lines ...string) []byte {
	head := []string{"Host: localhost", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language: en-GB,en;q=0.7"}
	if body != "" {
		head = append(head, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		head = slices.DeleteFunc(head, func(h string) bool { return strings.HasPrefix(h, name+":") })
	}
	head = append(append(head, lines...), "Connection: close", "", "")
	return []byte(method + " " + target + " HTTP/1.1\r\n" + strings.Join(head, "\r\n") + body)
}
