package testenv

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const secretPage = "/admin/" // for role admin alone

// asking is one way in which browsers and programs ask for a page.
type asking struct {
	name string
	ask  request
	// What who is not logged in is told: 302 to the login, or 401, as a page or as a problem document.
	stranger int
	login    string // where the way in is said to be; "" on pages, where it is a link
}

const loginAddress = "/.gatehouse/login"

// kinds are the ways in which a page is asked for.
func kinds() []asking {
	fetched := func(more ...string) http.Header {
		h := http.Header{
			"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}, "Accept": {"*/*"},
			"User-Agent": navigation["User-Agent"],
		}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = []string{more[i+1]}
		}
		return h
	}
	back := loginAddress + "?next=%2Fadmin%2F"
	return []asking{
		{"page", request{Nav: true}, 302, back},
		{"page the browser thinks of", request{Nav: true, Header: http.Header{"Sec-Purpose": {"prefetch;prerender"}}}, 401, ""},
		{"form", request{Nav: true, Method: "POST", Body: []byte("text=hello"), Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}, 401, ""},
		{"fetch", request{Header: fetched()}, 401, back},
		{"fetch of JSON", request{Method: "POST", Body: []byte(`{"text":"hello"}`), Header: fetched("Content-Type", "application/json")}, 401, loginAddress},
		{"program", request{Header: http.Header{"Accept": {"*/*"}, "User-Agent": {"curl/8.16.0"}}}, 401, back},
		{"websocket", request{HTTP: "1.1", Header: http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"websocket"}, "Sec-Fetch-Dest": {"websocket"},
		}}, 401, back},
		{"event stream", request{Header: fetched("Accept", "text/event-stream")}, 401, back},
	}
}

// bearer is somebody with a session cookie, as it stands in the header; each use may need another.
type bearer struct {
	state  string
	g      *gateway
	host   string // of the site; default: app.test
	cookie func(i int) string
	knows  bool // the session is good, but not good enough
}

// TestPeopleAndPrograms: whatever became of a session, a person's page load leads to the login and everything else is
// told in words that a program reads. Nothing but a page load is ever redirected, nothing fails, nothing reaches the
// application.
func TestPeopleAndPrograms(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	states := sessionStates(t, be)
	if len(states) != 9 || len(kinds()) != 8 {
		t.Fatalf("%d states, %d kinds", len(states), len(kinds()))
	}
	be.mustForget(t)
	for _, who := range states {
		for i, kind := range kinds() {
			t.Run(who.state+"/"+kind.name, func(t *testing.T) {
				host := who.host
				if host == "" {
					host = appHost
				}
				origin := fmt.Sprintf("https://%s:%d", host, who.g.port)
				r := kind.ask
				r.Path, r.Bare = origin+secretPage, true
				r.Header = r.Header.Clone()
				if r.Header == nil {
					r.Header = http.Header{}
				}
				if r.Method == "POST" || kind.name == "websocket" {
					r.Header["Origin"] = []string{origin}
				}
				if cookie := who.cookie(i); cookie != "" {
					r.Header["Cookie"] = []string{cookie}
				}
				if err := kind.judge(who.g.stranger(t).must(t, r), who.knows); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if seen := be.mustSee(t); seen.Total != 0 {
		t.Errorf("reached the application: %+v", seen.Requests)
	}
}

// judge reports an answer that is not the one.
func (k asking) judge(a *answer, knows bool) error {
	location, challenge := a.Header.Get("Location"), a.Header.Get("Www-Authenticate")
	if k.stranger == 302 && !knows {
		if a.Status != 302 || location != k.login || a.Header.Get("Cache-Control") != "no-store" || challenge != "" {
			return fmt.Errorf("status %d to %q, Cache-Control %q, WWW-Authenticate %q", a.Status, location, a.Header.Get("Cache-Control"), challenge)
		}
		return nil
	}
	if location != "" {
		return fmt.Errorf("status %d with Location %q", a.Status, location)
	}
	if knows {
		if challenge != "" {
			return fmt.Errorf("who is logged in is challenged: %q", challenge)
		}
		return a.refusedAs("forbidden", 403)
	}
	if err := a.refusedAs("login_required", k.stranger); err != nil {
		return err
	}
	if challenge != `Bearer realm="gatehouse"` {
		return fmt.Errorf("WWW-Authenticate %q", challenge)
	}
	if a.Nav {
		if !strings.Contains(string(a.Body), `href="`+loginAddress) {
			return fmt.Errorf("the page does not lead to the login:\n%s", excerpt(a.Body, 3000))
		}
		return nil
	}
	if p, err := a.problem(); err != nil || p.LoginURL != k.login {
		return fmt.Errorf("the login is said to be at %q, want %q (%v)", p.LoginURL, k.login, err)
	}
	return nil
}

// sessionStates makes sessions and lets happen to them what happens to sessions.
func sessionStates(t *testing.T, be *backend) []bearer {
	t.Helper()
	const password = "two cranes over a tin roof"
	fixed := func(s string) func(int) string { return func(int) string { return s } }
	named := func(value string) func(int) string { return fixed(sessionCookie + "=" + value) }
	raw := make([]byte, 32)
	rand.Read(raw)
	unknown := base64.RawURLEncoding.EncodeToString(raw)

	g := startGateway(t, config{Backend: be.Listen, Roles: "staff", Rest: "reverse_proxy {$BACKEND}\n}\nhttps://other.test:{$PORT} {\n\ttls {$CERT} {$KEY}\n\tgatehouse {\n\t\t" + defaultSite + "\n\t}\n\treverse_proxy {$BACKEND}"})
	alice := g.newUser(t, "alice", password)
	gone := g.stranger(t)
	if _, err := gone.login("alice", password, "/"); err != nil {
		t.Fatal(err)
	}
	revoked := gone.cookieHeader()
	if _, err := gone.logout(); err != nil {
		t.Fatal(err)
	}
	idle, idleSessions := endingSessions(t, be, password, "idle 1s\n\t\t\tadmin_idle 1s\n\t\t\tmax 1h", 0)
	short, oldSessions := endingSessions(t, be, password, "idle 4s\n\t\t\tadmin_idle 4s\n\t\t\tmax 4s", 2*time.Second)

	return []bearer{
		{state: "no cookie", g: g, cookie: fixed("")},
		{state: "garbage", g: g, cookie: named(`no, session "at all"`)},
		{state: "wrong length", g: g, cookie: named(unknown[1:])},
		{state: "unknown", g: g, cookie: named(unknown)},
		{state: "unused for too long", g: idle, cookie: idleSessions},
		{state: "too old", g: short, cookie: oldSessions},
		{state: "another site's", g: g, host: "other.test", cookie: fixed(alice.cookieHeader())},
		{state: "logged out", g: g, cookie: fixed(revoked)},
		{state: "not allowed here", g: g, cookie: fixed(alice.cookieHeader()), knows: true},
	}
}

// endingSessions returns a gateway with these limits and one session for each kind of request, all of which are past
// their limit. A session that is asked for after its end is gone, so that each serves once. What is used after `again`
// was not unused for too long when it ended.
func endingSessions(t *testing.T, be *backend, password, limits string, again time.Duration) (*gateway, func(int) string) {
	t.Helper()
	g := startGateway(t, config{Backend: be.Listen, Roles: "staff", House: defaultHouse + "\n\t\tsession {\n\t\t\t" + limits + "\n\t\t}"})
	people := []*client{g.newUser(t, "alice", password)}
	for len(people) < len(kinds()) {
		c := g.stranger(t)
		if _, err := c.login("alice", password, "/"); err != nil {
			t.Fatal(err)
		}
		people = append(people, c)
	}
	last := time.Now()
	var cookies []string
	for _, c := range people {
		cookies = append(cookies, c.cookieHeader())
	}
	if again > 0 {
		time.Sleep(time.Until(last.Add(again))) // the time itself is what the story is about
		for _, c := range people {
			c.get(t, "/whoami")
		}
	}
	limit, err := time.ParseDuration(strings.Fields(limits)[1])
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(last.Add(limit + 300*time.Millisecond)))
	return g, func(i int) string { return cookies[i] }
}

const (
	spa    = "https://spa.test:8443"    // may act with the session
	reader = "https://reader.test:8443" // may read as a stranger
	evil   = "https://evil.test"
)

// threeSites are app.test, which names origins; other.test, which names none; and localhost, whose application answers
// preflights itself.
const threeSites = `{
	import {$COMMON}
	gatehouse {
		state_dir {$STATE}
		insecure_http3
		mfa {
			insecure_admins_without_factor
		}
		local {
			first_user_roles {$ROLES}
		}
	}
}
(gate) {
	tls {$CERT} {$KEY}
	reverse_proxy {$BACKEND}
}
https://app.test:{$PORT} {
	import gate
	gatehouse {
		allow role staff
		public /healthz
		route /admin/* {
			allow role admin
		}
		cors ` + spa + ` {
			credentials
			methods PUT DELETE
			headers Content-Type X-Csrf-Token
			max_age 5m
		}
		cors ` + reader + `
		cross_site /notes /upload
	}
}
https://other.test:{$PORT} {
	import gate
	gatehouse {
		allow role staff
		public /healthz
	}
}
https://localhost:{$PORT} {
	import gate
	gatehouse {
		allow role staff
		public /healthz
		cors backend
		cors ` + spa + ` {
			credentials
		}
	}
}
`

// TestPreflights: browsers ask before scripts of other origins may, without any cookie. They are told what the site's
// configuration says, by the gateway; and nothing else is let in because it calls itself a preflight.
func TestPreflights(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Caddyfile: threeSites})
	c := g.stranger(t)
	ask := func(origin, method string) http.Header {
		h := http.Header{"Access-Control-Request-Headers": {"x-csrf-token"}}
		if origin != "" {
			h["Origin"] = []string{origin}
		}
		if method != "" {
			h["Access-Control-Request-Method"] = []string{method}
		}
		return h
	}
	tests := []struct {
		name   string
		host   string
		path   string
		header http.Header
		status int    // of the answer
		reason string // of the refusal
		origin string // that is allowed
		passes bool   // it reached the application
	}{
		{"named", appHost, "/whoami", ask(spa, "PUT"), 204, "", spa, false},
		{"named, a method that is not allowed: the browser judges", appHost, "/whoami", ask(spa, "PATCH"), 204, "", spa, false},
		{"named, a public path", appHost, "/healthz", ask(spa, "PUT"), 204, "", spa, false},
		{"named, where an admin is wanted", appHost, "/admin/", ask(spa, "PUT"), 204, "", spa, false},
		{"named for reading", appHost, "/whoami", ask(reader, "POST"), 204, "", reader, false},
		{"not named", appHost, "/whoami", ask(evil, "PUT"), 403, "cross_origin", "", false},
		{"not named, a public path", appHost, "/healthz", ask(evil, "GET"), 403, "cross_origin", "", false},
		{"null", appHost, "/whoami", ask("null", "PUT"), 403, "cross_origin", "", false},
		{"named, in other letters", appHost, "/whoami", ask(strings.ToUpper(spa), "PUT"), 403, "cross_origin", "", false},
		{"named, another port", appHost, "/whoami", ask("https://spa.test", "PUT"), 403, "cross_origin", "", false},
		{"named, without TLS", appHost, "/whoami", ask("http://spa.test:8443", "PUT"), 403, "cross_origin", "", false},
		{"the portal", appHost, "/.gatehouse/account", ask(spa, "PUT"), 403, "cross_origin", spa, false},
		{"the portal, misspelled", appHost, "/.GATEHOUSE/account", ask(spa, "PUT"), 403, "cross_origin", spa, false},
		{"a path with two readings", appHost, "/a/..%2fadmin", ask(spa, "PUT"), 400, "bad_path", spa, false},
		{"no method asked for: an ordinary request", appHost, "/whoami", ask(spa, ""), 401, "login_required", spa, false},
		{"no origin: an ordinary request", appHost, "/whoami", ask("", "PUT"), 401, "login_required", "", false},
		{"an ordinary request of nobody's to a public path", appHost, "/healthz", ask("", ""), 405, "", "", true},
		{"two origins: an ordinary request", appHost, "/whoami", http.Header{"Origin": {spa, spa}, "Access-Control-Request-Method": {"PUT"}}, 401, "login_required", "", false},
		{"a site that names nobody", "other.test", "/whoami", ask(spa, "PUT"), 403, "cross_origin", "", false},
		{"a site that names nobody, a public path", "other.test", "/healthz", ask(spa, "PUT"), 403, "cross_origin", "", false},
		{"an application that answers itself", "localhost", "/whoami", ask(spa, "PUT"), 200, "", "", true},
		{"an application that answers itself, anybody", "localhost", "/whoami", ask(evil, "PUT"), 200, "", "", true},
		{"an application that answers itself, no preflight", "localhost", "/whoami", ask(spa, ""), 401, "login_required", spa, false},
		{"an application that answers itself, the portal", "localhost", "/.gatehouse/x", ask(spa, "PUT"), 404, "not_found", spa, false},
		{"an application that answers itself, under attack", "localhost", "/whoami?q=<script>alert(1)</script>", ask(spa, "PUT"), 403, "waf_blocked", spa, false},
	}
	for _, tt := range tests {
		for _, version := range []string{"1.1", "2", "3"} {
			t.Run(tt.name+"/"+version, func(t *testing.T) {
				be.mustForget(t)
				h := tt.header.Clone()
				h["Cookie"], h["Authorization"] = []string{"theme=dark; " + sessionCookie + "=x"}, []string{"Basic eDp5"}
				a := c.must(t, request{HTTP: version, Method: "OPTIONS", Path: fmt.Sprintf("https://%s:%d%s", tt.host, g.port, tt.path), Header: h, Bare: true})
				if tt.reason != "" {
					if err := a.refusedAs(tt.reason, tt.status); err != nil {
						t.Error(err)
					}
				} else if a.Status != tt.status {
					t.Errorf("status %d, want %d\n%s", a.Status, tt.status, excerpt(a.Body, 300))
				}
				checkShared(t, a, tt.origin)
				seen := be.mustSee(t)
				if (seen.Total > 0) != tt.passes {
					t.Errorf("the application saw %d requests", seen.Total)
				}
				for _, r := range seen.Requests {
					if tt.host == "localhost" && (r.Headers.Get("Cookie") != "" || r.Headers.Get("Authorization") != "" || r.Headers.Get("X-Gatehouse-User") != "" || r.Bytes > 0) {
						t.Errorf("more than the question reached the application: %v", r.Headers)
					}
				}
				if tt.status == 204 {
					if got := a.Header.Get("Vary"); !strings.Contains(got, "Access-Control-Request-Method") || !strings.Contains(got, "Origin") {
						t.Errorf("Vary %q", got)
					}
				}
			})
		}
	}
	t.Run("what is allowed", func(t *testing.T) {
		for origin, want := range map[string]string{spa: "GET, HEAD, POST, PUT, DELETE|Content-Type, X-Csrf-Token|300", reader: "GET, HEAD, POST|Content-Type|600"} {
			a := c.must(t, request{Method: "OPTIONS", Path: "/whoami", Header: ask(origin, "PUT")})
			if got := a.Header.Get("Access-Control-Allow-Methods") + "|" + a.Header.Get("Access-Control-Allow-Headers") + "|" + a.Header.Get("Access-Control-Max-Age"); got != want {
				t.Errorf("%s may %q, want %q", origin, got, want)
			}
		}
	})
	t.Run("with a body", func(t *testing.T) {
		for _, host := range []string{appHost, "localhost"} {
			be.mustForget(t)
			a := c.must(t, request{Method: "OPTIONS", Path: fmt.Sprintf("https://%s:%d/whoami", host, g.port), Header: ask(spa, "PUT"), Body: []byte("x")})
			if err := a.refusedAs("bad_request", 400); err != nil || be.mustSee(t).Total != 0 {
				t.Errorf("at %s: %v", host, err)
			}
		}
	})
}

// checkShared fails unless the answer may be read by scripts of this origin, and of no other.
func checkShared(t *testing.T, a *answer, origin string) {
	t.Helper()
	want, credentials := []string(nil), ""
	if origin != "" {
		want = []string{origin}
	}
	if origin == spa {
		credentials = "true"
	}
	got := a.Header.Values("Access-Control-Allow-Origin")
	if strings.Join(got, "|") != strings.Join(want, "|") || a.Header.Get("Access-Control-Allow-Credentials") != credentials {
		t.Errorf("status %d allows %q, credentials %q; want %q, %q", a.Status, got, a.Header.Get("Access-Control-Allow-Credentials"), want, credentials)
	}
	if origin != "" && !strings.Contains(strings.Join(a.Header.Values("Vary"), ","), "Origin") {
		t.Errorf("status %d does not vary on Origin: %q", a.Status, a.Header.Values("Vary"))
	}
}

// TestRefusalsAreReadable: a script of a named origin can read why it was refused, one of any other cannot.
func TestRefusalsAreReadable(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Caddyfile: threeSites, Roles: "staff"})
	alice, stranger := g.newUser(t, "alice", "two cranes over a tin roof"), g.stranger(t)
	for _, origin := range []string{spa, reader, evil} {
		readable := origin
		if origin == evil {
			readable = ""
		}
		for _, tt := range []struct {
			name   string
			who    *client
			ask    request
			reason string
			status int
		}{
			{"nobody is logged in", stranger, request{Path: "/whoami"}, "login_required", 401},
			{"not allowed", alice, request{Path: "/admin/"}, "forbidden", 403},
			{"an attack", alice, request{Path: "/whoami?q=<script>alert(1)</script>"}, "waf_blocked", 403},
			{"an unknown method", alice, request{Method: "BREW", Path: "/whoami"}, "method_not_allowed", 405},
			{"an odd path", alice, request{Path: "/a/..%2fb"}, "bad_path", 400},
			{"nothing in the portal", alice, request{Path: "/.gatehouse/nothing"}, "not_found", 404},
		} {
			t.Run(origin+"/"+tt.name, func(t *testing.T) {
				tt.ask.Header = http.Header{"Origin": {origin}, "Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}}
				a := tt.who.must(t, tt.ask)
				if err := a.refusedAs(tt.reason, tt.status); err != nil {
					t.Error(err)
				}
				checkShared(t, a, readable)
				if got := a.Header.Get("Access-Control-Expose-Headers"); (got != "") != (readable != "") {
					t.Errorf("exposes %q", got)
				}
			})
		}
		t.Run(origin+"/the application's answer", func(t *testing.T) {
			a := alice.must(t, request{Path: "/whoami", Header: http.Header{"Origin": {origin}}})
			if a.Status != 200 {
				t.Errorf("status %d", a.Status)
			}
			checkShared(t, a, readable)
		})
		t.Run(origin+"/the portal's pages", func(t *testing.T) {
			a := alice.must(t, request{Path: "/.gatehouse/account", Header: http.Header{"Origin": {origin}}})
			if a.Status != 200 {
				t.Errorf("status %d", a.Status)
			}
			checkShared(t, a, "")
		})
	}
}
