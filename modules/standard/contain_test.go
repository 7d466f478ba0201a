package standard_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/gatetest"
)

// CTB-08: a locked tenant's site refuses, and says so; others go on. What ran there is cut. Nobody is locked out of the portal, nor of
// the administration endpoint. All of it is on record.
func TestContainLock(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello\n")
		_ = http.NewResponseController(w).Flush()
		if strings.HasSuffix(r.URL.Path, "/stream") {
			<-r.Context().Done()
		}
	}))
	defer app.Close()
	up := "reverse_proxy " + strings.TrimPrefix(app.URL, "http://")
	words := []string{"idp", "voucher", "policy", "allow role staff\npublic /open/*\ntenant bolt", "backend", up,
		"more", "https://acme.test:{{addr}} {\n{{tls}}\ngatehouse {\ntenant acme\nallow role staff\n}\n" + up + "\n}"}
	g := operate(t, words...)
	sam := as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	logIn(t, sam, "acme.test", "voucher", "as=sam&roles=staff")

	g.no("say what to lock", "contain", "lock", "--for", "1h", "--reason", "x")
	g.no("say for how long", "contain", "lock", "--all", "--reason", "x")
	g.no("say why", "contain", "lock", "--all", "--for", "1h")
	g.no("7 days", "contain", "lock", "--all", "--for", "8d", "--reason", "x")
	g.no("no duration", "contain", "lock", "--all", "--for", "long", "--reason", "x")
	g.no("no site of the running configuration", "contain", "lock", "--tenant", "nobody", "--for", "1h", "--reason", "x")
	g.no("not both", "contain", "lock", "--tenant", "acme", "--all", "--for", "1h", "--reason", "x")
	g.no("route", "contain", "lock", "--route", "no/slash", "--for", "1h", "--reason", "x")

	res, err := sam.Get("https://acme.test/stream")
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	dry := g.ok("contain", "lock", "--tenant", "acme", "--dry-run")
	for _, want := range []string{"tenant acme: 1 sites: acme.test", "1 requests run there now at this gateway, of which 1 would be cut", `"voucher:sam"`} {
		if !strings.Contains(dry, want) {
			t.Errorf("the dry run says %s\nwant %s", dry, want)
		}
	}
	wantStatus(t, sam, "https://acme.test/x", 200)

	id := g.ok("contain", "lock", "--tenant", "acme", "--for", "1h", "--reason", "ticket 7: an export that nobody asked for")
	refused, body := get(t, sam, "https://acme.test/x")
	if refused.StatusCode != 503 || refused.Header.Get("Retry-After") != "900" || !strings.Contains(body, `"reason":"locked"`) || !strings.Contains(body, refused.Header.Get("X-Request-Id")) {
		t.Errorf("locked: %d %v %s", refused.StatusCode, refused.Header, body)
	}
	wantStatus(t, sam, "https://app.test/x", 200)
	if _, err := io.ReadAll(res.Body); err == nil { // how soon: TestCut's business, which has a clock of its own
		t.Error("what ran there ended as if it were whole")
	}
	stranger := g.Client()
	wantStatus(t, stranger, "https://acme.test/x", 503)
	if res, _ := get(t, stranger, "https://acme.test/.gatehouse/login"); res.StatusCode >= 400 {
		t.Errorf("the login: %d", res.StatusCode)
	}
	wantStatus(t, sam, "https://acme.test/.gatehouse/account", 200)
	if !strings.Contains(g.metrics(), `gatehouse_contain_active{switch="lock"} 1`) {
		t.Error("the switch is in no metric")
	}
	if list := g.ok("contain", "list"); !strings.Contains(list, id) || !strings.Contains(list, "tenant acme") || !strings.Contains(list, "olga") {
		t.Errorf("the list:\n%s", list)
	}
	g.WantEvent("containment.thrown", `"session":"`+id+`"`, `"tenant":"acme"`, `"operator":"olga"`, "ticket 7")
	if err := g.Load(g.text(words...)); err != nil { // a reload forgets nothing
		t.Fatal(err)
	}
	wantStatus(t, sam, "https://acme.test/x", 503)
	g.ok("contain", "lift", id, "--note", "it was the auditor")
	wantStatus(t, sam, "https://acme.test/x", 200)
	g.no("ended already", "contain", "lift", id)
	g.no("no such record", "contain", "lift", "nothing")
	g.WantEvent("containment.lifted", `"session":"`+id+`"`, `"ended_by":"olga"`, "it was the auditor")

	// A part of a site, however the path is spelled; and it ends by itself.
	id = g.ok("contain", "lock", "--site", "app.test", "--route", "/export/*", "--for", "1h", "--reason", "x")
	for path, status := range map[string]int{"/x": 200, "/open/x": 200, "/export": 503, "/Export/y": 503, "/%65xport/y": 503} {
		wantStatus(t, sam, "https://app.test"+path, status)
	}
	g.ok("contain", "lift", id)
	g.ok("contain", "lock", "--site", "app.test", "--route", "/export/*", "--for", "1s", "--reason", "x")
	gatetest.Eventually(t, "it ended by itself", func() bool { return g.Events("containment.ended") == 1 })
	wantStatus(t, sam, "https://app.test/export", 200)
	if list := g.ok("contain", "list", "--all"); strings.Count(list, "\n") != 3 || !strings.Contains(list, "expired") {
		t.Errorf("all:\n%s", list)
	}
}

// CTB-08: while nothing may be changed, everything can be looked at; websockets can not, for nobody here reads them.
func TestContainReadOnly(t *testing.T) {
	g := operate(t, "idp", "voucher", "policy", "allow role staff\nmethods PROPFIND\ndevice_pairing", "backend", "reverse_proxy "+backend(t))
	sam := as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	ask := func(method, path string, header ...string) (int, string) {
		t.Helper()
		res, body := call(t, sam, method, "https://app.test"+path, "", append(header, "Origin", "https://app.test")...)
		return res.StatusCode, body
	}
	id := g.ok("contain", "read-only", "--site", "app.test", "--for", "1h", "--reason", "x")
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		if status, body := ask(method, "/x"); status != 200 {
			t.Errorf("%s: %d %s", method, status, body)
		}
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "PROPFIND"} {
		if status, body := ask(method, "/x"); status != 503 || !strings.Contains(body, `"reason":"read_only"`) {
			t.Errorf("%s: %d %s", method, status, body)
		}
	}
	if status, body := ask("POST", "/.gatehouse/device/code"); status != 503 || !strings.Contains(body, "read_only") {
		t.Errorf("a program asks for a key: %d %s", status, body)
	}
	if status, body := ask("POST", "/.gatehouse/logout"); status == 503 {
		t.Errorf("the way out: %d %s", status, body)
	}
	g.ok("contain", "lift", id)
	sam = as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	if status, body := ask("POST", "/x"); status != 200 {
		t.Errorf("lifted: %d %s", status, body)
	}
}

// deafTo keeps events as another does, but for those of one kind, which it cannot put on record.
type deafTo struct {
	event.Keeper
	kind event.Kind
}

func (d deafTo) Record(e event.Event) error {
	if e.Kind == d.kind {
		return errors.New("no room for it")
	}
	return d.Keeper.Record(e)
}

// A switch that cannot be put on record is not thrown, though what the administrator asked for was.
func TestContainIsOnRecordFirst(t *testing.T) {
	g := operate(t, "idp", "voucher", "policy", "allow role staff\npublic /open/*", "backend", "reverse_proxy "+backend(t))
	_, state, err := gatehouse.RunningState()
	if err != nil {
		t.Fatal(err)
	}
	state.Bus.KeepWith(deafTo{state.Audit, event.ContainmentThrown})
	defer state.Bus.KeepWith(state.Audit)
	g.no("nothing was done: a switch must be on record first", "contain", "lock", "--all", "--for", "1h", "--reason", "x")
	if list := g.ok("contain", "list", "--all"); strings.Contains(list, "lock") {
		t.Errorf("the list:\n%s", list)
	}
	wantStatus(t, g.Client(), "https://app.test/open/x", 200)
	state.Bus.KeepWith(state.Audit)
	g.ok("contain", "lock", "--all", "--for", "1h", "--reason", "x")
	wantStatus(t, g.Client(), "https://app.test/open/x", 503)
}

// A lock leaves a link that is good for once as it is: opening it would let its guest nowhere.
func TestContainSparesLinks(t *testing.T) {
	g, _ := linked(t)
	path, _, _ := g.link("--host", "app.test", "--path", "/offers/17/*")
	lock := g.ok("contain", "lock", "--all", "--for", "1h", "--reason", "x")
	b := g.Browser()
	shown := b.Get(b.Get(path).Header.Get("Location")).Want(t, 200, "You were sent a link")
	b.Submit(shown).Want(t, 503, "locked")
	b.Get("/.gatehouse/account").Want(t, 302, "") // the other pages are open
	g.ok("contain", "lift", lock)
	if a := b.Submit(shown); a.StatusCode != 303 || a.Header.Get("Location") != "/offers/17/" {
		t.Errorf("after the lock: %d to %q\n%.300s", a.StatusCode, a.Header.Get("Location"), a.Body)
	}
	b.Get("/offers/17/a").Want(t, 200, "")
	// Nothing is changed by opening one.
	path, _, _ = g.link("--host", "app.test", "--path", "/offers/18/*")
	g.ok("contain", "read-only", "--for", "1h", "--reason", "x")
	open(t, g.Browser(), path).Want(t, 303, "")
}

// CTB-08: programs that speak for people prove no second factor, and are refused while everybody has to; those that speak for themselves
// go on.
func TestContainStepUpOfPrograms(t *testing.T) {
	g := operate(t, "idp", "voucher", "policy", "allow role staff\nallow service_account robot\npublic /open/*", "backend", "reverse_proxy "+backend(t))
	as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	g.ok("service-account", "add", "robot")
	robot := g.ok("api-key", "create", "--account", "robot", "--host", "app.test")
	sams := g.ok("api-key", "create", "--user", "voucher:sam", "--host", "app.test")
	status := func(path, key string) (int, string) {
		t.Helper()
		var header []string
		if key != "" {
			header = []string{"Authorization", "Bearer " + key}
		}
		res, body := call(t, g.Client(), "GET", "https://app.test"+path, "", header...)
		return res.StatusCode, body
	}
	for _, key := range []string{robot, sams} {
		if s, body := status("/x", key); s != 200 {
			t.Fatalf("before: %d %s", s, body)
		}
	}
	g.ok("contain", "step-up", "--for", "1h", "--reason", "x")
	if s, body := status("/x", robot); s != 200 {
		t.Errorf("a service account: %d %s", s, body)
	}
	if s, body := status("/x", sams); s != 401 || !strings.Contains(body, "mfa_required") {
		t.Errorf("a person's key: %d %s", s, body)
	}
	if s, body := status("/open/x", ""); s != 200 {
		t.Errorf("what is public, nobody logged in: %d %s", s, body)
	}
}
