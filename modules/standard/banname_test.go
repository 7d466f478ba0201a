package standard_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func wantReason(t *testing.T, c *http.Client, what, path string, status int, reason string) {
	t.Helper()
	res, body := get(t, c, "https://app.test"+path)
	if res.StatusCode != status || !strings.Contains(body, reason) {
		t.Errorf("%s: %d %s, want %d %s", what, res.StatusCode, body, status, reason)
	}
}

// Who is logged in and hunts for holes is banned under their name, exactly; the office they sit in is not, nor are they where the
// jail is not for names.
func TestJailOfUsers(t *testing.T) {
	g := openSite(t, "idp", "voucher\n ban {\n jail hunters 5 in 1m for 10m scope user on app_404 app_403\n allow user:voucher:root\n }")
	sam, again, kim, root := as(t, g, "app.test", "as=sam"), as(t, g, "app.test", "as=sam"), as(t, g, "app.test", "as=kim"), as(t, g, "app.test", "as=root")
	for range 5 {
		wantReason(t, sam, "the hunter", "/status/404", 404, "")
	}
	wantReason(t, sam, "after five", "/", 403, `"reason":"banned"`)
	wantReason(t, again, "another session of theirs", "/", 403, `"reason":"banned"`)
	wantReason(t, sam, "their account", "/.gatehouse/account", 403, `"reason":"banned"`)
	wantReason(t, sam, "the way out", "/.gatehouse/logout", 200, "")
	wantReason(t, kim, "the colleague", "/", 200, "")
	wantReason(t, g.Client(), "a stranger in the office", "/", 200, "")
	for range 20 {
		wantReason(t, root, "who is allowed", "/status/403", 403, "")
	}
	wantReason(t, root, "who is allowed", "/", 200, "")
	awaitLog(t, g, "[hunters] Ban user:voucher:sam")
	awaitLog(t, g, "ban.added", `"scope":"user"`, `"user":"voucher:sam"`)
}

// A jail of sessions spares the person's others.
func TestJailOfSessions(t *testing.T) {
	g := openSite(t, "idp", "voucher\n ban {\n jail scan 5 in 1m for 10m scope session\n }")
	sam, again := as(t, g, "app.test", "as=sam"), as(t, g, "app.test", "as=sam")
	for range 5 {
		wantReason(t, sam, "the hunter", "/status/400", 400, "")
	}
	wantReason(t, sam, "after five", "/", 403, `"reason":"banned"`)
	wantReason(t, again, "the other session", "/", 200, "")
}

// An operator bans by name, keys and tenants too, and what runs is cut.
func TestBanCommandsByName(t *testing.T) {
	stop := make(chan struct{})
	up := handlerBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/stream" {
			<-stop
		}
	})
	defer close(stop)
	g := operate(t, "idp", "voucher\n tenant acme {\n providers voucher\n }", "policy", "tenant acme\n allow authenticated\n allow service_account backup",
		"backend", "reverse_proxy "+up+" {\n flush_interval -1\n }")
	sam, kim := as(t, g.Gateway, "app.test", "as=sam"), as(t, g.Gateway, "app.test", "as=kim")
	open := func(c *http.Client) *http.Response {
		t.Helper()
		res, err := c.Get("https://app.test/stream")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		if _, err := res.Body.Read(make([]byte, 6)); err != nil || res.StatusCode != 200 {
			t.Fatalf("%d %v", res.StatusCode, err)
		}
		return res
	}
	stream := open(sam)
	if out := g.ok("ban", "add", "user:voucher:sam", "--dry-run"); !strings.Contains(out, "1 requests run now") {
		t.Errorf("the dry run: %s", out)
	}
	g.ok("ban", "add", "user:voucher:sam", "--for", "60s", "--detail", "a trial")
	began := time.Now()
	if _, err := io.Copy(io.Discard, stream.Body); err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("the stream's end after %v: %v", time.Since(began), err)
	}
	wantReason(t, sam, "banned", "/", 403, "banned")
	wantReason(t, kim, "not banned", "/", 200, "first")
	for _, args := range [][]string{{"list"}, {"check", "user:voucher:sam"}, {"history"}} {
		if out := g.ok(append([]string{"ban"}, args...)...); !strings.Contains(out, "user:voucher:sam") || !strings.Contains(out, `"a trial"`) {
			t.Errorf("%s: %s", args[0], out)
		}
	}
	g.ok("ban", "remove", "user:voucher:sam")
	wantReason(t, sam, "lifted", "/", 200, "first")

	g.ok("ban", "add", "tenant:acme", "--for", "60s")
	wantReason(t, kim, "of the tenant", "/", 403, "banned")
	wantReason(t, g.Client(), "a stranger may log in", "/", 401, "login_required")
	g.ok("ban", "remove", "tenant:acme")
	g.no("want an address or a network", "ban", "add", "user:sam")
	g.no("the actions are", "ban", "add", "192.0.2.1", "--action", "score")
}

func TestBanOfAKey(t *testing.T) {
	g := operate(t, "policy", keyPolicy, "backend", "reverse_proxy "+backend(t))
	g.ok("service-account", "add", "backup", "--role", "robot")
	keys := []string{
		g.ok("api-key", "create", "--account", "backup", "--host", "app.test"),
		g.ok("api-key", "create", "--account", "backup", "--host", "app.test"),
	}
	status := func(key string) int {
		res, _ := get(t, g.Client(), "https://app.test/files/x", "X-Api-Key", key)
		return res.StatusCode
	}
	id := regexp.MustCompile(`(?m)^[a-z2-7]{8,}`).FindAllString(g.ok("api-key", "list"), -1)
	if len(id) != 2 {
		t.Fatalf("the keys: %q", id)
	}
	first := 0
	if !strings.HasPrefix(keys[0], "ghk_"+id[0]) {
		first = 1
	}
	g.ok("ban", "add", "key:"+id[first], "--for", "60s")
	if a, b := status(keys[0]), status(keys[1]); a != 403 || b != 200 {
		t.Errorf("the banned key %d, the other %d", a, b)
	}
	g.ok("ban", "remove", "key:"+id[first])
	if a := status(keys[0]); a != 200 {
		t.Errorf("lifted: %d", a)
	}
}

// Of a list with action step_up strangers may log in, and see nothing before; a list with a score refuses nobody for itself.
func TestActionsOfLists(t *testing.T) {
	name := filepath.Join(t.TempDir(), "suspects.txt")
	if err := os.WriteFile(name, []byte("127.0.0.0/8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	house := func(action string) string {
		return "voucher\n ban {\n include_private\n jail waf 10 in 1m for 10m\n blocklist suspects " + name + " {\n action " + action + "\n }\n }"
	}
	g := openSite(t, "idp", house("step_up"))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) { // until the list is read
		if res, _ := get(t, g.Client(), "https://app.test/"); res.StatusCode == 401 || time.Now().After(deadline) {
			break
		}
	}
	wantReason(t, g.Client(), "a stranger, of what is public", "/", 401, "login_required")
	sam := as(t, g, "app.test", "as=sam")
	wantReason(t, sam, "without a second factor", "/", 401, "mfa_required")
	if err := g.Load(fill(newcomer, pairs("policy", "public /*", "idp", house("score 4"), "backend", "respond hello"))); err != nil {
		t.Fatal(err)
	}
	c := g.Client()
	for range 3 { // one may come before the list is read
		wantReason(t, c, "who only scores", "/?q=<script>alert(1)</script>", 403, "")
	}
	wantReason(t, c, "after three", "/", 403, `"reason":"banned"`)
}

// Who is in the tarpit waits, at the handshake too, until a reload lets them go.
func TestTarpit(t *testing.T) {
	g := operate(t, "idp", "voucher\n ban {\n include_private\n }", "policy", "public /*", "backend", "reverse_proxy "+backend(t))
	kept := g.Client()
	get(t, kept, "https://app.test/") // a connection from before
	g.ok("ban", "add", "127.0.0.1", "--action", "tarpit", "--for", "10m")
	type answer struct {
		status int
		err    error
	}
	answers := make(chan answer, 2)
	for _, c := range []*http.Client{kept, g.Client()} {
		go func() {
			res, err := c.Get("https://app.test/")
			a := answer{err: err}
			if err == nil {
				a.status = res.StatusCode
				res.Body.Close()
			}
			answers <- a
		}()
	}
	select {
	case a := <-answers:
		t.Errorf("answered at once: %+v", a)
	case <-time.After(300 * time.Millisecond):
	}
	began := time.Now()
	if err := g.Load(g.text("idp", "voucher\n ban {\n include_private\n }", "policy", "public /*", "backend", "respond hello")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if a := <-answers; a.status != 403 && a.err == nil {
			t.Errorf("let go: %+v", a)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the reload took %v", took)
	}
}
