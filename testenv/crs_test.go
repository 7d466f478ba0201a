package testenv

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	crsAtOnce   = 4
	crsAtMost   = 16              // failures: 4,695 of go-ftw's 4,711
	crsPatience = 2 * time.Minute // 64 KB at paranoia 4, by a gateway with the race detector, beside three others
)

// TestCRS sends CRS's own regression corpus through the gateway, byte for byte but for TLS around it, and asks the WAF's
// debug log which rules matched: at paranoia 4, in detect mode, at the settings that the corpus presupposes (crs/).
//
// A stage passes when all that CRS's authors expect of it holds. Every other stage must be explained in rules/README.md
// by the kind that is seen here; an explained stage that passes is a mistake there. The last line counts a stage as
// failed when its request reached the application although CRS's authors expect otherwise; those that the gateway
// refused before the WAF saw them are counted on the line before.
func TestCRS(t *testing.T) {
	stages := corpus(t)
	g := startGateway(t, crsGateway(t))
	began := time.Now()
	results := crsRun(t, g, stages)
	took := time.Since(began)
	if err := g.stop(); err != nil { // after which every line is in the logs
		t.Fatal(err)
	}
	crsLogs(t, g, results)

	explained := crsExplanations(t)
	passed, refused, failed, kinds := 0, 0, 0, map[string]int{}
	for i, r := range results {
		s := stages[i]
		kind, detail := r.judge(s)
		why, known := explained[s.ID]
		switch {
		case kind == "":
			passed++
			if known {
				t.Errorf("%s passes, and rules/README.md explains why it fails", s.ID)
			}
			delete(explained, s.ID)
			continue
		case !known:
			t.Errorf("%s fails, unexplained: %s: %s\n\t%s", s.ID, kind, detail, s.Desc)
		case why != kind:
			t.Errorf("%s fails by %q, and rules/README.md says by %q: %s", s.ID, kind, why, detail)
		default:
			t.Logf("%s fails as explained: %s: %s", s.ID, kind, detail)
		}
		delete(explained, s.ID)
		kinds[kind]++
		if r.answer != nil && !r.seen && r.answer.Status >= http.StatusBadRequest {
			refused++
		} else {
			failed++
		}
	}
	for id := range explained {
		t.Errorf("rules/README.md explains %s, which is no stage of the corpus", id)
	}
	t.Logf("%d stages in %v; those that do not pass, by kind: %v", len(stages), took.Round(time.Second), kinds)
	if failed > crsAtMost {
		t.Errorf("%d stages fail, want %d at most", failed, crsAtMost)
	}
	t.Logf("%d refused before the WAF, explained", refused)
	t.Logf("%d passed, %d failed", passed, failed)
}

// crsResult is what became of a stage.
type crsResult struct {
	answer *answer // nil: none came
	err    error
	line   map[string]any // of the access log; nil: no room has seen the request
	rules  []int          // that matched, from the WAF's debug log
	seen   bool           // by the WAF
}

// crsRun sends the stages, each on a connection of its own, as the reference runner does.
func crsRun(t *testing.T, g *gateway, stages []stage) []crsResult {
	results := make([]crsResult, len(stages))
	sessions := tls.NewLRUClientSessionCache(64)
	next := make(chan int)
	var all sync.WaitGroup
	for range crsAtOnce {
		all.Go(func() {
			for i := range next {
				results[i] = crsSend(g, sessions, &stages[i].Input)
			}
		})
	}
	for i := range stages {
		next <- i
	}
	close(next)
	all.Wait()
	return results
}

// crsSend sends a stage's bytes. The TLS server name is the Host that they name, because the gateway wants the two to
// agree; a Host that cannot be one leaves "localhost".
func crsSend(g *gateway, sessions tls.ClientSessionCache, in *stageInput) (r crsResult) {
	payload, err := in.bytes()
	if err != nil {
		return crsResult{err: err}
	}
	conf := &tls.Config{ServerName: crsServerName(payload), NextProtos: []string{"http/1.1"}, ClientSessionCache: sessions,
		InsecureSkipVerify: true} // no certificate has all of the corpus's names
	port := strconv.Itoa(g.port)
	if bytes.Contains(payload, []byte("\r\nX_Filename:")) {
		port = g.env["UNDERSCORE"]
	} else if bytes.Contains(payload, []byte("\r\nX.Filename:")) {
		port = g.env["DOT"]
	}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: crsPatience}, "tcp", "127.0.0.1:"+port, conf)
	if err != nil {
		return crsResult{err: err}
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(crsPatience)); err != nil {
		return crsResult{err: err}
	}
	r.answer, r.err = exchange(c, string(payload))
	return r
}

func crsServerName(payload []byte) string {
	head, _, _ := bytes.Cut(payload, []byte("\r\n\r\n"))
	for line := range strings.Lines(string(head)) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !strings.EqualFold(name, "Host") {
			continue
		}
		host := strings.TrimSpace(value)
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if host != "" && net.ParseIP(host) == nil && strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == "" {
			return host
		}
	}
	return "localhost"
}

// crsLogs finds the log lines of each answer.
func crsLogs(t *testing.T, g *gateway, results []crsResult) {
	t.Helper()
	byID := map[string]*crsResult{}
	for i := range results {
		if a := results[i].answer; a != nil && a.Header.Get("X-Request-Id") != "" {
			byID[a.Header.Get("X-Request-Id")] = &results[i]
		}
	}
	for _, name := range []string{g.env["LOG"], g.env["STATE"] + ".waf.log"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(content))
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) != nil {
				continue
			}
			r := byID[fmt.Sprint(line["request_id"])]
			switch {
			case r == nil:
			case line["msg"] == "rules matched":
				r.seen = true
				rules, _ := line["rules"].([]any)
				for _, id := range rules {
					n, _ := id.(float64)
					r.rules = append(r.rules, int(n))
				}
			case line["status"] != nil:
				r.line = line
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
}
