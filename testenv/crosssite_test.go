package testenv

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestShield: what a page of another site sends with the person's session changes nothing; what it sends without
// is a stranger's. Programs, webhooks and the site's own pages are not hurt.
func TestShield(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Caddyfile: strings.Replace(threeSites, "public /healthz", "public /healthz /whoami", 1)})
	alice, stranger := g.newUser(t, "alice", "two cranes over a tin roof"), g.stranger(t)

	site := func(v string) http.Header { return http.Header{"Sec-Fetch-Site": {v}} }
	from := func(v string) http.Header { return http.Header{"Origin": {v}} }
	const passes, refused, stays = "", "cross_origin", "login_required"
	for _, tt := range []struct {
		name   string
		path   string // /whoami is public, / and /api are not
		header http.Header
		alice  string // what becomes of it with a session
		nobody string // and without
	}{
		{"own page", "/api/x", site("same-origin"), passes, stays},
		{"typed", "/api/x", site("none"), passes, stays},
		{"another site", "/api/x", site("cross-site"), refused, refused},
		{"a sibling", "/api/x", site("same-site"), refused, refused},
		{"a sibling, to what is public", "/whoami", site("same-site"), refused, passes},
		{"another site, to what is public", "/whoami", site("cross-site"), refused, passes},
		{"own origin, older browser", "/api/x", from(g.origin()), passes, stays},
		{"another origin, older browser", "/api/x", from(evil), refused, refused},
		{"another origin, to what is public", "/whoami", from(evil), refused, passes},
		{"an origin that hides", "/api/x", from("null"), refused, refused},
		{"an origin that hides, to what is public", "/whoami", from("null"), refused, passes},
		{"own page, oldest browser", "/api/x", http.Header{"Referer": {g.origin() + "/"}}, passes, stays},
		{"another page, oldest browser", "/api/x", http.Header{"Referer": {evil + "/"}}, refused, refused},
		{"a program", "/api/x", http.Header{}, passes, stays},
		{"a webhook", "/whoami", http.Header{"X-Hub-Signature-256": {"sha256=00"}}, passes, passes},
		{"an origin that acts for the person", "/api/x", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {spa}}, passes, stays},
		{"an origin that may only read", "/api/x", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {reader}}, refused, refused},
		{"where other sites may post", "/upload", site("cross-site"), passes, stays},
		{"beside it", "/upload/x", site("cross-site"), refused, refused},
		{"another spelling of it", "/UPLOAD", site("cross-site"), refused, refused},
	} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			for name, who := range map[string]*client{"alice": alice, "nobody": stranger} {
				t.Run(tt.name+"/"+method+"/"+name, func(t *testing.T) {
					be.mustForget(t)
					want := tt.alice
					if name == "nobody" {
						want = tt.nobody
					}
					a := who.must(t, request{Method: method, Path: tt.path, Header: asForm(tt.header), Body: []byte("a=b")})
					switch n := be.mustSee(t).Total; {
					case want == passes:
						if n != 1 {
							t.Errorf("did not reach the application: status %d\n%s", a.Status, excerpt(a.Body, 300))
						}
					case n != 0:
						t.Errorf("reached the application: status %d", a.Status)
					default:
						status := map[string]int{refused: 403, stays: 401}[want]
						if err := a.refusedAs(want, status); err != nil {
							t.Error(err)
						}
						if line, err := g.accessLine(a.id()); err != nil || line["reason"] != want {
							t.Errorf("logged as %v, %v", line["reason"], err)
						}
					}
				})
			}
		}
	}
	t.Run("following a link", func(t *testing.T) {
		for _, method := range []string{"GET", "HEAD"} {
			for _, h := range []http.Header{site("cross-site"), site("same-site"), from("null")} {
				if a := alice.must(t, request{Method: method, Path: "/whoami", Nav: true, Header: h}); a.Status != 200 {
					t.Errorf("%s %v: status %d", method, h, a.Status)
				}
			}
		}
	})
	t.Run("the portal", func(t *testing.T) {
		for path, want := range map[string]string{"/.gatehouse/logout": refused, "/.gatehouse/account": refused, "/.gatehouse/login/local": "login_expired"} {
			a := alice.must(t, request{Method: "POST", Path: path, Header: asForm(site("cross-site")), Body: []byte("csrf=x")})
			if err := a.refusedAs(want, map[string]int{refused: 403, "login_expired": 400}[want]); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		if ok, err := alice.alive(); err != nil || !ok {
			t.Errorf("the session has ended: %v", err)
		}
	})
}

func asForm(h http.Header) http.Header {
	h = h.Clone()
	h["Content-Type"] = []string{"application/x-www-form-urlencoded"}
	return h
}

// foreignSite is a page of another origin, in which a story runs its scripts.
func foreignSite(t *testing.T, host string) (origin string) {
	t.Helper()
	cert, key, err := ca().leaf(host)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, "<!doctype html><title>another site</title><p>You have won.")
	}))
	site.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	site.Config.ErrorLog = quiet
	site.StartTLS()
	t.Cleanup(site.Close)
	_, port, _ := strings.Cut(site.Listener.Addr().String(), ":")
	return "https://" + host + ":" + port
}

// Scripts of pages. $AT is the gateway.
const (
	// fetches returns the status and the body, or what a script is told when it may not know.
	fetches = `fetch("$AT%s", %s).then(async r => r.type + " " + r.status + " " + await r.text()).catch(e => "failed: " + e.name)`

	fetchNotes  = `{credentials: "include"}`
	postForm    = `{method: "POST", credentials: "include", mode: "no-cors", headers: {"Content-Type": "application/x-www-form-urlencoded"}, body: "text=forged"}`
	postJSON    = `{method: "POST", credentials: "include", headers: {"Content-Type": "application/json"}, body: JSON.stringify({text: "forged"})}`
	putWithMark = `{method: "PUT", credentials: "include", headers: {"X-Csrf-Token": "1"}, body: "forged"}`

	opensSocket = `new Promise(done => { const s = new WebSocket("$AT/ws".replace("https", "wss")); s.onopen = () => s.send("hello");
		s.onmessage = e => { done(e.data); s.close() }; s.onerror = () => done("failed") })`
	sendsForm = `(() => { const f = document.createElement("form"); f.method = "POST"; f.action = "$AT/notes"; f.innerHTML = "<input name=text value=forged>";
		document.body.append(f); f.submit(); return true })()`
)

// TestCrossSiteInBrowser: what pages of other origins can do to somebody who is logged in, in Chromium. A page on
// another port of the same name is the worst neighbour: the browser thinks it the same site and sends it all cookies.
func TestCrossSiteInBrowser(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	friend, neighbour, strangers := foreignSite(t, appHost), foreignSite(t, appHost), foreignSite(t, "evil.test")
	g := startGateway(t, config{Backend: be.Listen, Site: defaultSite + "\n\t\tcors " + friend + " {\n\t\t\tcredentials\n\t\t\tmethods PUT\n\t\t\theaders Content-Type X-Csrf-Token\n\t\t}"})
	plain := startPlain(t, config{Backend: be.Listen})
	g.secret(alicesPassword)

	p := startBrowser(t).person(t)
	p.open(t, g.setupLink())
	p.fill(t, "#username", "alice", "#password", alicesPassword, "#password_again", alicesPassword)
	p.click(t, "button[type=submit]")
	p.mustBeAt(t, g.origin()+"/")
	p.session(t, g)

	at := func(script string, to *gateway, args ...any) string {
		return strings.ReplaceAll(fmt.Sprintf(script, args...), "$AT", to.origin())
	}
	fetched := func(to *gateway, path, options string) string {
		return eval[string](t, p, at(fetches, to, path, options))
	}
	submit := func(to *gateway) {
		t.Helper()
		p.turn(t, "a form is sent", func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
			_, err := chromedp.Evaluate[bool](at(sendsForm, to))(ctx, target)
			return chromedp.Void{}, err
		})
	}

	for name, origin := range map[string]string{"a neighbour": neighbour, "a stranger": strangers} {
		t.Run(name, func(t *testing.T) {
			p.open(t, origin+"/")
			be.mustForget(t)
			for _, tt := range []struct{ path, options, want string }{
				{"/api/notes", fetchNotes, "failed: TypeError"},
				{"/notes", postForm, "opaque 0 "},
				{"/api/notes", postJSON, "failed: TypeError"},
				{"/whoami", putWithMark, "failed: TypeError"},
			} {
				if got := fetched(g, tt.path, tt.options); got != tt.want {
					t.Errorf("%s %s: %q, want %q", tt.path, tt.options, excerpt([]byte(got), 300), tt.want)
				}
			}
			if got := eval[string](t, p, at(opensSocket, g)); got != "failed" {
				t.Errorf("a websocket says %q", got)
			}
			for _, r := range be.mustSee(t).Requests {
				if r.Method != "GET" {
					t.Errorf("%s %s reached the application", r.Method, r.URI)
				}
			}
			be.mustForget(t)
			submit(g)
			p.mustSay(t, "cross_origin")
			p.mustBeAt(t, g.origin()+"/notes")
			p.shot(t, "form-of-"+strings.ReplaceAll(name, " ", "-"))
			if n := be.mustSee(t).Total; n != 0 {
				t.Errorf("the form reached the application")
			}
		})
	}
	t.Run("a neighbour, plain Caddy", func(t *testing.T) {
		p.open(t, neighbour+"/")
		be.mustForget(t)
		submit(plain)
		seen := be.mustSee(t).Requests
		if len(seen) == 0 || seen[0].Method != "POST" || !strings.Contains(seen[0].Headers.Get("Cookie"), sessionCookie) {
			t.Errorf("the browser sends no cookie with the neighbour's form: this would not notice a gateway that does nothing: %+v", seen)
		}
		if got := eval[string](t, p, at(opensSocket, plain)); got != "echo: hello" {
			p.open(t, neighbour+"/")
			if got = eval[string](t, p, at(opensSocket, plain)); got != "echo: hello" {
				t.Errorf("the neighbour's websocket says %q", got)
			}
		}
	})
	t.Run("its own pages", func(t *testing.T) {
		p.open(t, g.origin()+"/")
		if got := fetched(g, "/api/notes", postJSON); !strings.HasPrefix(got, "basic 201 ") {
			t.Errorf("fetch: %q", got)
		}
		if got := eval[string](t, p, at(opensSocket, g)); got != "echo: hello" {
			t.Errorf("a websocket says %q", got)
		}
		submit(g)
		p.mustBeAt(t, g.origin()+"/")
		p.mustSay(t, "forged")
	})
	t.Run("a friend", func(t *testing.T) {
		p.open(t, friend+"/")
		for _, tt := range []struct{ path, options, want string }{
			{"/api/notes", fetchNotes, "cors 200 [{"},
			{"/api/notes", postJSON, `cors 201 {"id":`},
			{"/whoami", putWithMark, `cors 200 {"body"`},
			{"/nothing", fetchNotes, "cors 404 "},
			{"/api/notes?q=<script>alert(1)</script>", fetchNotes, `cors 403 {"type":"urn:gatehouse:reason:waf_blocked"`},
			{"/.gatehouse/account", fetchNotes, "failed: TypeError"},
		} {
			if got := fetched(g, tt.path, tt.options); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s %s: %q, want %q", tt.path, tt.options, excerpt([]byte(got), 300), tt.want)
			}
		}
		if got := eval[string](t, p, at(opensSocket, g)); got != "echo: hello" {
			t.Errorf("a websocket says %q", got)
		}
		asStranger := fetched(g, "/api/notes", `{credentials: "omit"}`)
		if !strings.HasPrefix(asStranger, `cors 401 {`) || !strings.Contains(asStranger, `"login_url":"/.gatehouse/login`) {
			t.Errorf("without the session: %q", asStranger)
		}
		exposed := eval[string](t, p, at(`fetch("$AT/api/notes", {credentials: "omit"}).then(r => r.headers.get("WWW-Authenticate") + " " + (r.headers.get("X-Request-Id") || "").length)`, g))
		if exposed != `Bearer realm="gatehouse" 26` {
			t.Errorf("the headers of the refusal: %q", exposed)
		}
	})
}
