package testenv

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// contain runs `gatehouse contain …`, which must succeed, and returns what it says.
func (g *gateway) contain(t testing.TB, args ...string) string {
	t.Helper()
	out, stderr, code, err := g.command(append([]string{"contain"}, append(args, "--address", "unix/"+g.env["ADMIN"], "--operator", "olga")...)...)
	if err != nil || code != 0 {
		t.Fatalf("contain %v: %v, exit code %d\n%s", args, err, code, stderr)
	}
	return strings.TrimSpace(out)
}

// steady asks without a pause, over two connections that are kept: one of HTTP/2 and one of HTTP/1.1.
type steady struct {
	stop           chan struct{}
	wg             sync.WaitGroup
	asked, refused atomic.Int64 // all, and those that a switch refused
	dialled        atomic.Int64
	mu             sync.Mutex
	broken         []string // guarded by mu; what was neither an answer of the application nor a refusal of a switch
}

func steadyLoad(c *client) *steady {
	l := &steady{stop: make(chan struct{})}
	for _, version := range []string{"2", "1.1"} {
		mine := c.at(c.gw)
		tr := mine.http[version].Transport.(*http.Transport)
		tr.MaxConnsPerHost = 1 // or the next request may open one while the answer before is not put away yet
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			l.dialled.Add(1)
			return dial(ctx, network, addr)
		}
		l.wg.Go(func() {
			defer mine.close()
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
				}
				r := request{Path: "/whoami", HTTP: version}
				if i%4 == 3 && version == "2" { // over HTTP/1.1 every refusal of a request with a body ends its connection
					r = request{Method: "POST", Path: "/api/notes", HTTP: version, Body: []byte(`{"text":"still here"}`), Header: http.Header{"Content-Type": {"application/json"}, "Origin": {c.gw.origin()}}}
				}
				a, err := mine.do(r)
				l.asked.Add(1)
				switch {
				case err != nil:
					l.fault(fmt.Sprint(r.Method, r.Path, " over ", version, ": ", err))
				case a.Status < 300:
				case a.Status == http.StatusServiceUnavailable && (a.refusedAs("locked", 503) == nil || a.refusedAs("read_only", 503) == nil),
					a.Status == http.StatusUnauthorized && a.refusedAs("mfa_required", 401) == nil:
					l.refused.Add(1)
				default:
					l.fault(fmt.Sprintf("%s%s over %s: %d %s", r.Method, r.Path, version, a.Status, excerpt(a.Body, 300)))
				}
			}
		})
	}
	return l
}

func (l *steady) fault(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = append(l.broken, what)
}

func (l *steady) end(t testing.TB) {
	t.Helper()
	close(l.stop)
	l.wg.Wait()
	t.Logf("%d requests over %d connections, of which switches refused %d", l.asked.Load(), l.dialled.Load(), l.refused.Load())
	if n := l.dialled.Load(); n != 2 {
		t.Errorf("%d connections were opened, not 2: some were dropped", n)
	}
	if l.refused.Load() == 0 || l.asked.Load() == l.refused.Load() {
		t.Error("the load has seen no switch, or nothing else")
	}
	if len(l.broken) > 0 {
		t.Errorf("%d requests were lost, such as %s", len(l.broken), l.broken[0])
	}
}

// TestContainment (CTB-08): each switch of `gatehouse contain` is thrown and lifted under load. Its effect is there when the command
// returns, and gone when it has been lifted; no connection is dropped but websockets that it closes; it survives kill -9, ends
// by itself, and is in the audit log with who threw it and why.
func TestContainment(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen, Site: "allow role staff\npublic /healthz"})
	alice := g.newUser(t, "alice", alicesPassword)
	_, spare := alice.enrol(t)
	for _, code := range spare {
		g.secret(code)
	}
	note := request{Method: "POST", Path: "/api/notes", Body: []byte(`{"text":"a note"}`), Header: http.Header{"Content-Type": {"application/json"}, "Origin": {g.origin()}}}
	want := func(what string, r request, reason string, status int) {
		t.Helper()
		a := alice.must(t, r)
		if reason == "" && a.Status != status {
			t.Errorf("%s: %s answered %d\n%s", what, r.Path, a.Status, excerpt(a.Body, 500))
		} else if reason != "" {
			if err := a.refusedAs(reason, status); err != nil {
				t.Errorf("%s: %s: %v", what, r.Path, err)
			}
		}
	}
	get := func(path string) request { return request{Path: path} }
	during := steadyLoad(alice)
	conn := alice.mustOpen(t)
	want("before", get("/whoami"), "", 200)

	// A part is closed. The rest goes on, a websocket too.
	id := g.contain(t, "lock", "--route", "/api/*", "--for", "1h", "--reason", "ticket 7")
	want("a locked route", get("/api/notes"), "locked", 503)
	want("beside a locked route", get("/whoami"), "", 200)
	if a := alice.visit(t, "/api/notes"); a.Status != 503 || a.Header.Get("Retry-After") != "900" || !strings.Contains(string(a.Body), a.id()) {
		t.Errorf("what a person sees: %d %v\n%s", a.Status, a.Header, a.Body)
	}
	g.contain(t, "lift", id)
	want("lifted", get("/api/notes"), "", 200)

	// Nothing may be changed, and a websocket that is open is closed.
	began := time.Now()
	id = g.contain(t, "read-only", "--site", "app.test", "--for", "1h", "--reason", "ticket 7")
	want("reading", get("/api/notes"), "", 200)
	unwritten := note
	unwritten.Body = []byte(`{"text":"a note that is never written"}`)
	want("writing", unwritten, "read_only", 503)
	if _, res, err := alice.openWebsocket("/ws", g.origin()); err == nil || res == nil || res.StatusCode != 503 {
		t.Errorf("a websocket is opened while nothing may be changed: %v", err)
	}
	cutIn(t, conn)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the websocket was cut %v after read-only", took)
	}
	g.contain(t, "lift", id)
	want("lifted", note, "", 201)
	if notes := string(alice.get(t, "/api/notes").Body); strings.Contains(notes, "never written") || !strings.Contains(notes, `"a note"`) {
		t.Errorf("the application has the notes %s", notes)
	}

	// Everybody proves who they are once more.
	id = g.contain(t, "step-up", "--for", "1h", "--reason", "ticket 7")
	want("a proof from before", get("/whoami"), "mfa_required", 401)
	page := alice.visit(t, "/whoami")
	if page.Status != http.StatusFound && page.Status != http.StatusSeeOther {
		t.Fatalf("a person is led to a page that asks: %d", page.Status)
	}
	f, err := alice.visit(t, page.Header.Get("Location")).form()
	if err != nil {
		t.Fatal(err)
	}
	f.Fields.Set("code", spare[0])
	if a, err := alice.submit(f); err != nil || a.Status >= 400 {
		t.Fatalf("proving it: %v, %d", err, a.Status)
	}
	want("a proof from afterwards", get("/whoami"), "", 200)
	g.contain(t, "lift", id)

	// The WAF looks more closely.
	odd := get("/whoami?q=caf%C3%A9")
	want("at paranoia 1", odd, "", 200)
	id = g.contain(t, "paranoia", "3", "--for", "1h", "--reason", "ticket 7")
	want("at paranoia 3", odd, "waf_blocked", 403)
	want("at paranoia 3", get("/whoami"), "", 200)
	g.contain(t, "lift", id)
	want("lifted", odd, "", 200)

	// A switch ends by itself.
	g.contain(t, "lock", "--all", "--for", "1s", "--reason", "ticket 8")
	eventually(t, readyIn, "it ends by itself", func() bool { return alice.must(t, get("/whoami")).Status == 200 })
	during.end(t)

	// It survives kill -9, and whoever is locked out is not locked out of the portal, nor the operator of the gateway.
	g.contain(t, "paranoia", "3", "--for", "1h", "--reason", "ticket 9")
	id = g.contain(t, "lock", "--all", "--for", "1h", "--reason", "ticket 9")
	if err := g.kill9(); err != nil {
		t.Fatal(err)
	}
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	want("after kill -9", get("/whoami"), "locked", 503)
	if a := g.stranger(t).visit(t, "/healthz"); a.Status != 503 {
		t.Errorf("what is public: %d", a.Status)
	}
	if a := alice.visit(t, "/.gatehouse/account"); a.Status != 200 {
		t.Errorf("the portal: %d", a.Status)
	}
	if a, err := g.newClient().loginOnce("alice", alicesPassword, "/"); err != nil {
		t.Errorf("a login: %v %v", err, a)
	}
	g.contain(t, "lift", id)
	want("lifted", get("/whoami"), "", 200)
	want("still at paranoia 3", odd, "waf_blocked", 403)

	shown, stderr, code, err := g.command("audit", "show", filepath.Join(g.env["STATE"], "audit"))
	if err != nil || code != 0 {
		t.Fatalf("audit show: %v\n%s", err, stderr)
	}
	for kind, n := range map[string]int{"containment.thrown": 7, "containment.lifted": 5, "containment.ended": 1} {
		if got := strings.Count(shown, " "+kind+" "); got != n {
			t.Errorf("%d × %s in the audit log, want %d:\n%s", got, kind, n, shown)
		}
	}
	for _, want := range []string{`operator="olga"`, `switch="read_only"`, "ticket 9"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the audit log does not say %s", want)
		}
	}
}

// TestContainmentInACluster (CTB-08): a switch thrown at one gateway counts at the other, where it can be lifted.
func TestContainmentInACluster(t *testing.T) {
	t.Parallel()
	be, r := startBackend(t), startRedis(t)
	g := startCluster(t, 2, r, be.Listen)
	alice := g[1].newUser(t, "alice", alicesPassword)
	status := func(i int) int { return alice.at(g[i]).must(t, request{Path: "/whoami"}).Status }
	id := g[0].contain(t, "lock", "--all", "--for", "1h", "--reason", "ticket 7")
	began := time.Now()
	eventually(t, readyIn, "the other refuses, too", func() bool { return status(1) == 503 })
	t.Logf("seen at the other gateway at most %v after the command returned", time.Since(began).Round(time.Millisecond))
	if s := status(0); s != 503 {
		t.Errorf("where it was thrown: %d", s)
	}
	g[1].contain(t, "lift", id)
	eventually(t, readyIn, "both go on", func() bool { return status(0) == 200 && status(1) == 200 })
}
