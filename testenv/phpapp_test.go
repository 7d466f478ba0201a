package testenv

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// phpApp is a real application in PHP: Debian's package, unmodified, in a directory of its own. The gateway reaches it
// through a door that keeps what passes, so that the same can be sent to a gateway without the exclusions.
type phpApp struct {
	dir  string
	addr string // the door's: what the gateway is told

	mu   sync.Mutex
	seen []passed // guarded by mu
}

// passed is a request that the gateway let pass.
type passed struct {
	Method, URI string
	Header      http.Header
	Body        []byte
}

// startPHP prepares an application with apps/<name>.sh and starts it. mark is a file of the Debian package. Each of its
// workers, PHP's own server, answers one request at a time. beside, if any, starts what the application needs besides
// PHP. The test ends all of it.
func startPHP(t testing.TB, name, mark string, workers int, beside func(dir string)) *phpApp {
	t.Helper()
	php := needProgram(t, "php-cli", "php")
	if !fileExists(mark) {
		cannot(t, "%s is not installed (no %s): run `sh testenv/install.sh`", name, mark)
	}
	dir, err := os.MkdirTemp("", "ghapp") // short: a database's socket lives in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if out, err := exec.Command("sh", filepath.Join("apps", name+".sh"), dir).CombinedOutput(); err != nil {
		cannot(t, "preparing %s: %v\n%s", name, err, out)
	}
	if beside != nil {
		beside(dir)
	}
	app := &phpApp{dir: dir}
	www := filepath.Join(dir, "www")
	var addrs []string
	for i := range workers {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		out := filepath.Join(dir, fmt.Sprintf("php%d.txt", i))
		proc, err := startProcess(php, []string{"-d", "sendmail_path=/bin/true", "-d", "upload_max_filesize=20M", "-d", "post_max_size=20M", "-S", addr, "-t", www},
			[]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, www, out, out)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = proc.stop(syscall.SIGTERM, 10*time.Second) })
		eventually(t, readyIn, "PHP answers", func() bool { return proc.ended() || listens("tcp", addr) })
		if proc.ended() {
			t.Fatalf("PHP ended:\n%s", tail(out, 20))
		}
		addrs = append(addrs, addr)
	}
	app.door(t, addrs)
	return app
}

// listens reports whether somebody listens there.
func listens(network, addr string) bool {
	c, err := net.DialTimeout(network, addr, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// door hands requests to the workers in turn and keeps them, but for those that say what the answer is to be.
func (app *phpApp) door(t testing.TB, workers []string) {
	t.Helper()
	var turn atomic.Uint32
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", workers[int(turn.Add(1))%len(workers)]
			for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				r.Out.Header[name] = r.In.Header[name] // what the gateway says of the client
			}
		},
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		ErrorLog:  quiet,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if say(w, r) {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		app.mu.Lock()
		app.seen = append(app.seen, passed{r.Method, r.RequestURI, r.Header.Clone(), body})
		app.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	app.addr = server.Listener.Addr().String()
}

// passed are the requests that reached the application so far.
func (app *phpApp) passed() []passed {
	app.mu.Lock()
	defer app.mu.Unlock()
	return slices.Clone(app.seen)
}

// say answers a request with what its header X-Say holds, as a page: what an application might let slip.
func say(w http.ResponseWriter, r *http.Request) bool {
	words, ok := r.Header["X-Say"]
	if ok {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>x</title><p>"+words[0])
	}
	return ok
}

// voidBackend answers everything and does nothing.
func voidBackend(t testing.TB) string {
	t.Helper()
	void := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !say(w, r) {
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(void.Close)
	return strings.TrimPrefix(void.URL, "http://")
}

// refusal is a request that a gateway refused, and why.
type refusal struct {
	what    string // method, path and query
	rules   string
	matched string // rule and variable, comma-separated
}

// again sends what has reached the application once more through a gateway of another configuration, in front of
// nothing, and returns what it refuses, and the visitor there. Requests that say nothing but their path are left out, and equal ones.
func (app *phpApp) again(t testing.TB, site string) (refused []refusal, user *client) {
	t.Helper()
	g := startGateway(t, config{Backend: voidBackend(t), Site: site})
	user = g.newUser(t, "alice", alicesPassword)
	const override = "X-Http-Method-Override"
	done := map[string]bool{}
	for _, p := range app.passed() {
		key := p.Method + " " + p.URI + "\n" + string(p.Body)
		if done[key] || len(p.Body) == 0 && !strings.Contains(p.URI, "?") {
			continue
		}
		done[key] = true
		h := http.Header{}
		for _, name := range []string{"Content-Type", "Cookie", "Referer", "Sec-Fetch-Site", "X-Requested-With"} {
			if v := p.Header.Values(name); len(v) > 0 {
				h[name] = v
			}
		}
		r := request{Method: p.Method, Path: p.URI, Header: h, Body: p.Body}
		refused = append(refused, g.refuses(t, user, r)...)
		if v := p.Header.Values(override); len(v) > 0 { // refused for its head already, which says nothing of the body
			r.Header = h.Clone()
			r.Header[override] = v
			refused = append(refused, g.refuses(t, user, r)...)
		}
	}
	t.Logf("%d of %d requests are sent again, %d are refused", len(done), len(app.passed()), len(refused))
	return refused, user
}

// refuses sends a request, and says whether and why the WAF refuses it.
func (g *gateway) refuses(t testing.TB, user *client, r request) []refusal {
	t.Helper()
	a := user.must(t, r)
	if a.Status == http.StatusNoContent {
		return nil
	}
	if err := a.refusedAs("waf_blocked", http.StatusForbidden); err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.Path, err)
	}
	line, err := g.accessLine(a.id())
	if err != nil {
		t.Fatal(err)
	}
	return []refusal{{r.Method + " " + r.Path, text(line["waf_rules"]), text(line["waf_matched"])}}
}

// falseAlarm is one that a package of exclusions is there for.
type falseAlarm struct {
	name    string
	what    string // a regular expression over method, path and query
	matched string // a regular expression over what waf_matched says
}

// mustExplain checks that each false alarm has been seen, and that nothing was refused that is none of them: so a
// package has no exclusion without a reason, and a story that no longer provokes anything fails.
func mustExplain(t testing.TB, refused []refusal, alarms []falseAlarm) {
	t.Helper()
	seen := map[string]int{}
	for _, r := range refused {
		known := false
		for _, a := range alarms {
			if regexp.MustCompile(a.what).MatchString(r.what) && regexp.MustCompile(a.matched).MatchString(r.matched) {
				seen[a.name]++
				known = true
			}
		}
		if !known {
			t.Errorf("without the package this is refused as well: %s: rules %s: %s", r.what, r.rules, r.matched)
		}
	}
	for _, a := range alarms {
		if seen[a.name] == 0 {
			t.Errorf("%s: nothing like it is refused without the package: what is the exclusion for?", a.name)
		}
	}
	t.Logf("refused without the package: %v", seen)
}

// unrefused checks that the gateway has refused nothing since somebody has logged in: neither request nor answer.
func (g *gateway) unrefused(t testing.TB) {
	t.Helper()
	lines, err := g.lines(`"request_id"`)
	if err != nil {
		t.Fatal(err)
	}
	inspected := 0
	for _, line := range lines {
		if text(line["logger"]) != accessLogger {
			continue
		}
		if line["waf_response"] == nil {
			inspected++
		}
		switch reason, detail := text(line["reason"]), text(line["detail"]); {
		case line["reason"] == nil || reason == "":
		case reason == "login_required" && text(line["path"]) == "/": // the first visit
		case reason == "client_closed": // a browser wants no more of an answer that leads elsewhere
		default:
			t.Errorf("%s: %v %v: %s: rules %v in %v; of the answer %v, %v", reason, line["method"], line["path"], detail,
				line["waf_rules"], line["waf_matched"], line["waf_response_rules"], line["waf_response_message"])
		}
	}
	if inspected < len(lines)/10 {
		t.Errorf("of %d answers only %d were inspected", len(lines), inspected)
	}
}
