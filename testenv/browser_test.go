package testenv

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const alicesPassword = "two cranes over a tin roof"

// TestBrowserLogin is the main job as a person sees it: from the link that was printed at the first start to an
// application that was never changed, out again, and back to the place they wanted.
func TestBrowserLogin(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	g.secret(alicesPassword)
	b := startBrowser(t)
	p := b.person(t)

	// The set-up link leads to a form, which says what is wrong with what was typed, and keeps the name.
	if r := p.open(t, g.setupLink()); r.Status != 200 || r.Protocol != "h2" {
		t.Errorf("the set-up page came with status %d over %s", r.Status, r.Protocol)
	}
	p.shot(t, "01-setup")
	p.fill(t, "#username", "alice", "#password", alicesPassword, "#password_again", "two cranes over a thin roof")
	if r := p.click(t, "button[type=submit]"); r.Status != 422 {
		t.Errorf("two passwords: status %d", r.Status)
	}
	p.shot(t, "02-setup-mistake")
	if name := eval[string](t, p, `document.querySelector("#username").value`); name != "alice" {
		t.Errorf("after a mistake the name is %q", name)
	}
	p.fill(t, "#username", "alice", "#password", alicesPassword, "#password_again", alicesPassword)
	p.click(t, "button[type=submit]")

	// In front of the application, which knows who this is; its live connection works.
	p.mustBeAt(t, g.origin()+"/")
	p.mustSay(t, "Notice board", "You are alice", "(admin,staff)")
	p.until(t, "the application's websocket is open", `document.querySelector("#live").textContent == "live"`)
	p.shot(t, "03-application")
	checkCookies(t, p, g)
	if e := p.complaints("status of 422", "/favicon.ico"); e != nil {
		t.Errorf("the console says %q", e)
	}

	// The account, and out.
	p.open(t, g.origin()+"/.gatehouse/account")
	p.mustSay(t, "Your account", "alice", "User name and password", "admin", "staff")
	p.shot(t, "04-account")
	before := p.session(t, g)
	p.click(t, "form button")
	p.mustSay(t, "You are signed out")
	p.shot(t, "05-signed-out")
	if p.cookies(t)[sessionCookie] != nil {
		t.Error("the session cookie is still there after signing out")
	}
	gone := g.stranger(t).must(t, request{Path: "/", Nav: true, Header: map[string][]string{"Cookie": {sessionCookie + "=" + before}}})
	if gone.Status != 302 {
		t.Errorf("the session that was signed out of opens the door: status %d", gone.Status)
	}

	// Back at the very address, after a wrong password.
	deep := g.origin() + "/search?q=welcome&empty=&x=%26%20%3D&x=2"
	p.open(t, deep)
	p.mustSay(t, "Sign in")
	p.shot(t, "06-sign-in")
	signInWrongThenRight(t, p, "07-wrong-password")
	p.mustBeAt(t, deep)
	p.mustSay(t, "Welcome. This notice board")
	if after := p.session(t, g); after == "" || after == before {
		t.Errorf("the new session's cookie is %q, the old one's was %q", after, before)
	}
	// "Not signed in" and the wrong password are statuses of pages, which Chromium counts as errors.
	if e := p.complaints("/favicon.ico", "status of 403", "status of 429"); e != nil {
		t.Errorf("the console says %q", e)
	}
}

// signInWrongThenRight fills in the login form that is open. The gateway asks for a pause after a failure, which
// people make without noticing.
func signInWrongThenRight(t *testing.T, p *tab, picture string) {
	t.Helper()
	p.fill(t, "#username", "alice", "#password", "two cranes over a barn")
	if r := p.click(t, "button[type=submit]"); r.Status != 403 {
		t.Errorf("a wrong password: status %d", r.Status)
	}
	p.mustSay(t, "Sign in")
	alert := eval[string](t, p, `document.querySelector("#alert").innerText`)
	if alert == "" {
		t.Errorf("nothing says that the password was wrong:\n%s", p.describe())
	}
	p.shot(t, picture)
	if err := until(pageIn, "the right password is taken", func() bool {
		p.fill(t, "#password", alicesPassword)
		r := p.click(t, "button[type=submit]")
		if r.Status == 429 {
			p.shot(t, picture+"-too-soon")
		} else if r.Status != 200 {
			t.Fatalf("the right password: status %d\n%s", r.Status, p.describe())
		}
		return r.Status == 200
	}); err != nil {
		t.Fatal(err)
	}
}

// checkCookies holds the gateway's cookies, as Chromium has understood them, to what they should be.
func checkCookies(t *testing.T, p *tab, g *gateway) {
	t.Helper()
	p.session(t, g)
	cookies := p.cookies(t)
	if cookies[sessionCookie] == nil {
		t.Errorf("no %s", sessionCookie)
	}
	for name, c := range cookies {
		if c.Domain != appHost && c.Domain != "."+appHost {
			continue // the provider's
		}
		if !strings.HasPrefix(name, "__Host-gatehouse") {
			t.Errorf("an unexpected cookie %s", name)
			continue
		}
		// A domain without a dot before it is this host alone. Only the device's cookie, which opens nothing, outlives the browser.
		lasts := name == deviceCookie
		if !c.HTTPOnly || !c.Secure || c.SameSite != network.CookieSameSiteLax || c.Domain != appHost || c.Path != "/" || c.Session == lasts {
			t.Errorf("%s: HttpOnly %v, Secure %v, SameSite %q, domain %q, path %q, gone with the browser %v",
				name, c.HTTPOnly, c.Secure, c.SameSite, c.Domain, c.Path, c.Session)
		}
	}
	if seen := eval[string](t, p, "document.cookie"); seen != "" {
		t.Errorf("a script of the application can read the cookies %q", seen)
	}
}

// TestBrowserWithoutScripts: nothing of the gateway's needs JavaScript.
func TestBrowserWithoutScripts(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	g.newUser(t, "alice", alicesPassword)
	p := startBrowser(t).person(t)
	p.withoutScripts(t)
	deep := g.origin() + "/search?q=board"
	p.open(t, deep)
	signInWrongThenRight(t, p, "wrong-password")
	p.mustBeAt(t, deep)
	p.open(t, g.origin()+"/")
	if live := eval[string](t, p, `document.querySelector("#live").textContent`); live != "not live" {
		t.Fatalf("scripts run: the application's says %q", live)
	}
	p.open(t, g.origin()+"/.gatehouse/logout")
	p.mustSay(t, "Sign out", "Stay signed in")
	p.shot(t, "sign-out")
	p.click(t, "main button")
	p.mustSay(t, "You are signed out")
	p.click(t, "a.button.primary")
	p.mustSay(t, "Sign in", "User name")
}

// TestBrowserRefusals: what a person sees when they are not let through, on every kind of screen.
func TestBrowserRefusals(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Site: "allow role staff\n\t\troute /admin/* {\n\t\t\tallow role chief\n\t\t}"})
	g.newUser(t, "alice", alicesPassword)
	p := startBrowser(t).person(t)

	// An attack in the address bar: refused before the login as after it, and the log knows this very request.
	blocked := func(picture string) {
		t.Helper()
		be.mustForget(t)
		r := p.open(t, g.origin()+"/?q=<script>alert(document.cookie)</script>")
		p.shot(t, picture)
		p.mustSay(t, "This request was stopped", "waf_blocked")
		id := eval[string](t, p, `document.querySelector("footer code").innerText`)
		if r.Status != 403 || id == "" || id != header(r, "x-request-id") {
			t.Errorf("status %d, request number %q on the page, %q in the header", r.Status, id, header(r, "x-request-id"))
		}
		line, err := g.accessLine(id)
		if err != nil {
			t.Fatal(err)
		}
		if line["reason"] != "waf_blocked" || text(line["status"]) != "403" {
			t.Errorf("the log tells of reason %v, status %v", line["reason"], line["status"])
		}
		for _, seen := range be.mustSee(t).Requests {
			if strings.Contains(seen.URI, "script") { // not what an earlier page still asks for
				t.Errorf("%s %s reached the application", seen.Method, seen.URI)
			}
		}
	}
	blocked("01-attack")
	p.open(t, g.origin()+"/.gatehouse/login")
	p.fill(t, "#username", "alice", "#password", alicesPassword)
	p.click(t, "button[type=submit]")
	p.mustSay(t, "You are alice")
	p.session(t, g)
	blocked("02-attack-signed-in")

	for _, tt := range []struct {
		name, path string
		status     int64
		say        string
	}{
		{"03-forbidden", "/admin/", 403, "You do not have access to this page"},
		{"04-not-found", "/.gatehouse/nothing", 404, "There is nothing here"},
		{"05-two-readings", "/a%2fb", 400, "This address cannot be opened"},
	} {
		r := p.open(t, g.origin()+tt.path)
		p.shot(t, tt.name)
		p.mustSay(t, tt.say, header(r, "x-request-id"))
		if r.Status != tt.status {
			t.Errorf("%s: status %d, want %d", tt.path, r.Status, tt.status)
		}
	}
	// Small and dark.
	p.do(t, "turning the lights off", chromedp.EmulateViewport(360, 640), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
		return err
	}))
	blocked("06-attack-small-dark")
	p.open(t, g.origin()+"/.gatehouse/account")
	p.shot(t, "07-account-small-dark")
	for _, path := range []string{"/.gatehouse/account", "/.gatehouse/logout", "/admin/"} {
		p.open(t, g.origin()+path)
		if wide := eval[float64](t, p, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
			t.Errorf("%s is %v pixels too wide for a telephone", path, wide)
		}
	}
	// The application is away.
	be.close()
	if r := p.open(t, g.origin()+"/"); r.Status != 502 {
		t.Errorf("without the application: status %d", r.Status)
	}
	p.shot(t, "08-application-away-small-dark")
	p.mustSay(t, "The site is not answering", "upstream_down")

	// The pages themselves work: nothing of theirs is stopped by their own Content-Security-Policy.
	if e := p.complaints("responded with a status of", "/favicon.ico"); e != nil {
		t.Errorf("the console says %q", e)
	}
}

// TestBrowserTwoTabs: whoever has two login pages open comes to both places.
func TestBrowserTwoTabs(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	g.newUser(t, "alice", alicesPassword)
	one := startBrowser(t).person(t)
	two := one.another(t)
	one.open(t, g.origin()+"/search?q=one")
	two.open(t, g.origin()+"/search?q=two")
	one.fill(t, "#username", "alice", "#password", alicesPassword)
	two.fill(t, "#username", "alice", "#password", alicesPassword)
	one.click(t, "button[type=submit]")
	one.mustBeAt(t, g.origin()+"/search?q=one")
	two.click(t, "button[type=submit]")
	two.mustBeAt(t, g.origin()+"/search?q=two")
	one.open(t, g.origin()+"/")
	one.mustSay(t, "You are alice")
	// The login page is kept nowhere: who goes back to it is signed in and is led on.
	two.turn(t, "going back", chromedp.NavigateBack())
	two.mustBeAt(t, g.origin()+"/search?q=two")
}

// header is a header of an answer in the browser, whatever its case.
func header(r *network.Response, name string) string {
	for k, v := range r.Headers {
		if strings.EqualFold(k, name) {
			return text(v)
		}
	}
	return ""
}
