package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Attack tools that others wrote, against an application that has the holes (attack/vulnerable.py): first directly,
// which must succeed, then through the gateway at paranoia 1. `make attack` runs them; they take minutes.

// toolPatience is how long one run of a tool may take.
const toolPatience = 5 * time.Minute

func onlyForAttack(t testing.TB) {
	t.Helper()
	if os.Getenv("GATEHOUSE_ATTACK") == "" {
		t.Skip("only in `make attack`: it takes minutes, and tools that `make test` does not need")
	}
}

// vulnerable is the application with holes.
type vulnerable struct {
	Listen string `json:"listen"`
}

func startVulnerable(t testing.TB) *vulnerable {
	t.Helper()
	python := needProgram(t, "python3", "python3")
	dir := t.TempDir()
	out, errs := filepath.Join(dir, "out"), filepath.Join(dir, "err")
	p, err := startProcess(python, []string{filepath.Join("attack", "vulnerable.py")}, os.Environ(), "", out, errs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.stop(syscall.SIGTERM, 5*time.Second) })
	v := &vulnerable{}
	err = until(readyIn, "the vulnerable application prints its address", func() bool {
		line, err := os.ReadFile(out)
		return p.ended() || err == nil && bytes.HasSuffix(line, []byte("\n")) && json.Unmarshal(line, v) == nil
	})
	if err != nil || p.ended() {
		t.Fatalf("%v: %s", err, tail(errs, 10))
	}
	return v
}

// got is what attackers got out of it so far.
func (v *vulnerable) got(t testing.TB) map[string]int {
	t.Helper()
	resp, err := http.Get("http://" + v.Listen + "/__got")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got map[string]int
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

// tool runs a program and returns what it printed; its exit code means something else with every tool.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), toolPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil || len(out) == 0 {
		t.Fatalf("%s did not end in time or said nothing: %v\n%s", name, err, out[max(0, len(out)-2000):])
	}
	return string(out)
}

// TestSQLMap runs sqlmap with each of its tamper scripts against a number in the query string.
func TestSQLMap(t *testing.T) {
	onlyForAttack(t)
	sqlmap := needProgram(t, "sqlmap", "sqlmap")
	scripts, err := filepath.Glob("/usr/share/sqlmap/tamper/*.py")
	if err != nil || len(scripts) < 50 {
		t.Fatalf("where are sqlmap's tamper scripts? %v, %v", scripts, err)
	}
	v := startVulnerable(t)
	g := startGateway(t, attackGateway(v.Listen))
	injected := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	places := make(chan struct{}, 2)
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".py")
		if name == "__init__" {
			continue
		}
		for kind, site := range map[string]string{"direct": "http://" + v.Listen, "gateway": fmt.Sprintf("https://localhost:%d", g.port)} {
			all.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				out := tool(t, sqlmap, "-u", site+"/item?id=1", "-p", "id", "--batch", "--flush-session", "--disable-coloring",
					"--dbms", "sqlite", "--technique", "BEU", "--retries", "0", "--timeout", "10", "--random-agent",
					"--output-dir", t.TempDir(), "--tamper", name)
				if strings.Contains(out, "identified the following injection point") {
					mu.Lock()
					injected[kind]++
					mu.Unlock()
					if kind == "gateway" {
						t.Errorf("sqlmap injects through the gateway with %s", name)
					}
				}
			})
		}
	}
	all.Wait()
	t.Logf("sqlmap injects directly with %d of %d tamper scripts, through the gateway with %d", injected["direct"], len(scripts)-1, injected["gateway"])
	if injected["direct"] == 0 {
		t.Error("sqlmap does not even inject directly: the test proves nothing")
	}
}

// wapitiModules are run one by one: together, some find less.
var wapitiModules = []string{"sql", "xss", "file", "exec", "redirect", "crlf", "xxe"}

// TestWapiti runs wapiti's modules for injections. Open redirects are the application's to mend and only told.
func TestWapiti(t *testing.T) {
	onlyForAttack(t)
	wapiti := needProgram(t, "wapiti", "wapiti")
	found := map[string]map[string]int{}
	for _, kind := range []string{"direct", "gateway"} {
		v := startVulnerable(t)
		site := "http://" + v.Listen + "/"
		if kind == "gateway" {
			g := startGateway(t, attackGateway(v.Listen))
			site = fmt.Sprintf("https://localhost:%d/", g.port)
		}
		found[kind] = map[string]int{}
		for _, module := range wapitiModules {
			for class, n := range runWapiti(t, wapiti, site, module) {
				found[kind][class] += n
			}
		}
		got := v.got(t)
		t.Logf("%s: wapiti reports %v, the application counted %v", kind, found[kind], got)
		for _, hole := range []string{"exec", "lfi", "sql", "xss", "xxe"} {
			if kind == "gateway" && got[hole] > 0 {
				t.Errorf("wapiti got %s out of the application through the gateway, %d times", hole, got[hole])
			}
		}
	}
	if len(found["direct"]) < 3 {
		t.Errorf("wapiti does not even find three classes directly: %v", found["direct"])
	}
	for class := range found["gateway"] {
		if class != "Open Redirect" {
			t.Errorf("wapiti finds %s through the gateway", class)
		}
	}
}

// runWapiti runs one module and counts what it found, by class.
func runWapiti(t *testing.T, wapiti, site, module string) map[string]int {
	t.Helper()
	dir := t.TempDir()
	report := filepath.Join(dir, "report.json")
	out := tool(t, wapiti, "-u", site, "--flush-session", "--store-session", dir, "-m", module,
		"-f", "json", "-o", report, "--max-scan-time", "120", "--verify-ssl", "0", "--scope", "domain", "-v", "1")
	pages := 0
	_, crawl, _ := strings.Cut(out, "Wapiti found ")
	if _, err := fmt.Sscanf(crawl, "%d URLs", &pages); err != nil || pages < 10 {
		t.Fatalf("wapiti found %d pages to attack: %v\n%s", pages, err, out)
	}
	content, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var result struct {
		Vulnerabilities map[string][]struct {
			Request string `json:"http_request"`
		}
	}
	if err := json.Unmarshal(content, &result); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for class, all := range result.Vulnerabilities {
		for _, one := range all {
			counts[class]++
			line, _, _ := strings.Cut(one.Request, "\n")
			t.Logf("%s, module %s: %s: %s", site, module, class, line)
		}
	}
	return counts
}

// TestHydra tries 200 passwords, of which the last is right, on the application's own form, and on the gateway's. Of
// the application's passwords the gateway has no opinion: that it is found there is told, not judged. hydra cannot fill
// in the gateway's form, which carries a token; so that somebody is tried who can.
func TestHydra(t *testing.T) {
	onlyForAttack(t)
	hydra := needProgram(t, "hydra", "hydra")
	v := startVulnerable(t)
	c := attackGateway(v.Listen)
	c.Caddyfile = strings.Replace(c.Caddyfile, "https://:{$PORT}, ", "https://app.test:{$PORT}, ", 1) // a name to log in at
	g := startGateway(t, c)
	const password = "wachtmeister7" // of both
	g.newUser(t, "admin", password)
	list := make([]string, 0, 200)
	for i := range 199 {
		list = append(list, fmt.Sprintf("password%d", i))
	}
	list = append(list, password)
	words := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(words, []byte(strings.Join(list, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	try := func(service, form, port string) bool {
		out := tool(t, hydra, "-I", "-l", "admin", "-P", words, "-t", "4", "-w", "5", "-s", port, "localhost", service, form)
		return strings.Contains(out, "password: "+password)
	}
	_, direct, _ := strings.Cut(v.Listen, ":")
	if !try("http-post-form", "/login:username=^USER^&password=^PASS^:F=failed", direct) {
		t.Error("hydra does not even find the password directly")
	}
	gatewayPort := fmt.Sprint(g.port)
	t.Logf("hydra finds the application's password through the gateway: %v", try("https-post-form", "/login:username=^USER^&password=^PASS^:F=failed", gatewayPort))
	if try("https-post-form", "/.gatehouse/login:username=^USER^&password=^PASS^:S=302", gatewayPort) {
		t.Error("hydra finds the gateway's password")
	}

	visitor := g.stranger(t)
	answers := map[int]int{}
	for _, word := range list {
		a, err := visitor.loginOnce("admin", word, "/")
		if a == nil {
			t.Fatal(err)
		}
		answers[a.Status]++
		if visitor.cookie(sessionCookie) != "" {
			t.Errorf("the right password is accepted as the last of %d tries", len(list))
		}
	}
	t.Logf("the gateway's form answered %d tries with %v", len(list), answers)
}
