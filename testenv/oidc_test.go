package testenv

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const callbackPath = "/.gatehouse/login/oidc/callback"

// oidcHouse is the house of a gateway whose people are the provider's.
func (op *provider) house() string {
	return "oidc " + op.Issuer + ` {env.OIDC_ID} {env.OIDC_SECRET} {
			roles_claim groups
			role gh-staff staff
			role gh-admins admin staff
			trust_pem {$CA}
		}`
}

// relying is a gateway in front of an application that trusts the provider. It is told of the provider's people by
// their names too. When the provider is to be there, it is started first.
func (op *provider) relying(t testing.TB, there bool, c config) *gateway {
	t.Helper()
	var err error
	if c.Port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	if c.House == "" {
		c.House = op.house()
	}
	if c.Site == "" {
		c.Site = defaultSite + "\n\t\tforward user name roles"
	}
	c.Env = append(c.Env, "OIDC_ID="+op.Client.ID, "OIDC_SECRET="+op.Client.Secret)
	name := "oidc"
	if _, after, ok := strings.Cut(c.House, "\tname "); ok {
		name, _, _ = strings.Cut(after, "\n")
	}
	site := fmt.Sprintf("https://%s:%d/.gatehouse/", appHost, c.Port)
	op.Client.Redirects = append(op.Client.Redirects, site+"login/"+name+"/callback")
	op.Client.PostLogout = append(op.Client.PostLogout, site+"logout")
	op.Client.BackChannel = site + "login/" + name + "/backchannel-logout"
	if there {
		op.start(t)
	}
	g := startGateway(t, c)
	g.secret(op.Client.Secret)
	return g
}

// everybody are the people of the stories.
func (op *provider) everybody() {
	op.People["ada"] = map[string]any{"name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true, "groups": []string{"gh-admins", "chess"}}
	op.People["bob"] = map[string]any{"name": "Bob", "groups": []string{"gh-staff", "admin"}}
	op.People["eve"] = map[string]any{"name": "Eve", "email": "ada@example.com", "email_verified": false, "groups": []string{"GH-ADMINS", "gh-admins "}}
	groups := []string{"gh-staff"}
	for i := range 2000 {
		groups = append(groups, fmt.Sprintf("department-%04d", i))
	}
	op.People["many"] = map[string]any{"name": "Many", "groups": groups}
}

// TestOIDCInBrowser: people of an OpenID provider log in, straight from the address they wanted and back to it.
func TestOIDCInBrowser(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	op := newProvider(t)
	op.everybody()
	g := op.relying(t, false, config{Backend: be.Listen}) // the provider is away: the gateway starts all the same
	b := startBrowser(t)
	ada := b.person(t)

	// The provider is away: a page says so, and the public parts of the site are served.
	deep := g.origin() + "/search?q=welcome&x=%26"
	ada.open(t, deep)
	ada.led(t)
	if at := ada.where(t); !strings.HasPrefix(at, g.origin()) {
		t.Errorf("without the provider: at %s", at)
	}
	ada.mustSay(t, "provider_down")
	ada.shot(t, "01-provider-away")
	if r := ada.open(t, g.origin()+"/healthz"); r.Status != 200 {
		t.Errorf("a public address without the provider: status %d", r.Status)
	}

	// It comes, and logins work without anybody having done anything.
	op.start(t)
	began := time.Now()
	stranger := g.stranger(t)
	eventually(t, 20*time.Second, "the login leads to the provider", func() bool {
		a := stranger.visit(t, "/.gatehouse/login/oidc")
		return a.Status == http.StatusFound && strings.HasPrefix(a.Header.Get("Location"), op.Issuer)
	})
	ada.open(t, deep)
	t.Logf("the gateway noticed the provider after %v", time.Since(began).Round(time.Millisecond))
	ada.shot(t, "02-at-the-provider")
	signInAtProvider(t, ada, "ada")
	ada.mustBeAt(t, deep)
	ada.session(t, g)
	ada.mustSay(t, "You are Ada Lovelace (admin,staff)", "Welcome. This notice board")
	ada.shot(t, "03-back")
	if r := ada.open(t, g.origin()+"/admin/"); r.Status != 200 {
		t.Errorf("an administrator at /admin/: status %d", r.Status)
	}
	checkCookies(t, ada, g)
	ada.open(t, g.origin()+"/.gatehouse/account")
	ada.mustSay(t, "Ada Lovelace", "ada@example.com", "127.0.0.1")
	ada.shot(t, "04-account")

	// Straight: no page of the gateway's to press anything on between the address and the provider.
	bob := b.person(t)
	bob.open(t, g.origin()+"/admin/")
	bob.led(t)
	var way []string
	for _, u := range bob.asked("https://") {
		u, _, _ = strings.Cut(u, "?")
		way = append(way, strings.TrimPrefix(u, g.origin()))
	}
	if want := []string{"/admin/", "/.gatehouse/login", "/.gatehouse/login/oidc", op.Issuer + "/auth"}; len(way) < 5 || !slices.Equal(way[:4], want) {
		t.Errorf("the way to the provider was %q, want %q", way, want)
	}
	signInAtProvider(t, bob, "bob")
	bob.session(t, g)
	// A group that is called like a role of the house is none when the roles are mapped.
	bob.mustBeAt(t, g.origin()+"/admin/")
	bob.mustSay(t, "You do not have access to this page", "forbidden")
	bob.shot(t, "05-forbidden")
	bob.open(t, g.origin()+"/")
	bob.mustSay(t, "You are Bob (staff)")

	// Two tabs at once.
	one := b.person(t)
	two := one.another(t)
	one.open(t, g.origin()+"/search?q=one")
	two.open(t, g.origin()+"/search?q=two")
	signInAtProvider(t, two, "ada")
	two.mustBeAt(t, g.origin()+"/search?q=two")
	signInAtProvider(t, one, "ada")
	one.mustBeAt(t, g.origin()+"/search?q=one")
	for _, p := range []*tab{one, two} {
		p.session(t, g)
		p.open(t, g.origin()+"/")
		p.mustSay(t, "You are Ada Lovelace")
	}

	// The callback's address again, from the history: they are signed in, so nothing happens.
	again := one.asked(callbackPath)
	if len(again) != 1 {
		t.Fatalf("%d callbacks: %q", len(again), again)
	}
	one.open(t, again[0])
	one.mustBeAt(t, g.origin()+"/search?q=one")
	// And when they are not.
	one.open(t, g.origin()+"/.gatehouse/logout")
	one.click(t, "main button")
	one.mustSay(t, "You are signed out")
	one.shot(t, "06-signed-out")
	if r := one.open(t, again[0]); r.Status != 400 {
		t.Errorf("the callback once more: status %d", r.Status)
	}
	one.mustSay(t, "login_expired")
	one.shot(t, "07-callback-again")

	// Somebody changes their mind at the provider.
	eve := b.person(t)
	eve.open(t, deep)
	eve.led(t)
	eve.turn(t, "cancelling", chromedp.Click(chromedp.CSS("a[href*=abort]")))
	eve.mustSay(t, "Signing in did not work", "login_failed")
	eve.shot(t, "08-cancelled")
	eve.click(t, "a.button")
	signInAtProvider(t, eve, "eve")
	eve.session(t, g)
	eve.mustBeAt(t, deep) // where they wanted to go has not been forgotten
	// A name like a group's is not the group, and an address that the provider has not verified is not taken over.
	eve.mustSay(t, "You do not have access to this page")
	eve.open(t, g.origin()+"/.gatehouse/account")
	if words := eve.words(t); strings.Contains(words, "ada@example.com") || strings.Contains(words, "admin") {
		t.Errorf("Eve's account says\n%s", words)
	}
	for _, p := range []*tab{ada, bob, eve, one, two} {
		if e := p.complaints("responded with a status of", "fonts.googleapis.com", "/ws"); e != nil { // a live page whose session ended
			t.Errorf("the console says %q", e)
		}
	}
}

// signInAtProvider fills in the provider's own pages: who, and that the gateway may know it.
func signInAtProvider(t *testing.T, p *tab, who string) {
	t.Helper()
	p.led(t)
	if eval[bool](t, p, `document.querySelector("input[name=login]") != null`) {
		p.fill(t, "input[name=login]", who, "input[name=password]", "anything")
		p.click(t, "button[type=submit]")
	}
	if eval[bool](t, p, `document.querySelector("input[name=prompt][value=consent]") != null`) {
		p.click(t, "button[type=submit]")
	}
}

// TestOIDCBesidePasswords: with more than one way in, people choose, and come to the same place.
func TestOIDCBesidePasswords(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	op := newProvider(t)
	op.everybody()
	op.UserInfo = true // the claims are not in the ID token here
	house := strings.Replace(op.house(), "roles_claim groups", "roles_claim groups\n\t\t\tname sso\n\t\t\tlabel \"Example Workspace\"", 1) +
		"\n\t\tlocal {\n\t\t\tfirst_user_roles staff\n\t\t}"
	g := op.relying(t, true, config{Backend: be.Listen, House: house})
	g.newUser(t, "alice", alicesPassword)
	p := startBrowser(t).person(t)
	deep := g.origin() + "/search?q=board"
	p.open(t, deep)
	p.mustSay(t, "Continue with Example Workspace", "or with a password")
	p.shot(t, "two-ways-in")
	p.fill(t, "#username", "alice", "#password", alicesPassword)
	p.click(t, "button[type=submit]")
	p.mustBeAt(t, deep)
	p.mustSay(t, "You are alice")
	p.session(t, g)
	p.open(t, g.origin()+"/.gatehouse/logout")
	p.click(t, "main button")
	p.open(t, deep)
	p.click(t, ".providers a.button")
	signInAtProvider(t, p, "ada")
	p.session(t, g)
	p.mustBeAt(t, deep)
	p.mustSay(t, "You are Ada Lovelace (admin,staff)")
	p.open(t, g.origin()+"/.gatehouse/account")
	p.mustSay(t, "Example Workspace")
}

// seeker is a client of the gateway that can also walk through the provider's pages, without the weight of a browser.
type seeker struct {
	*client
	op  *provider
	web *http.Client
}

func (op *provider) seeker(t testing.TB, g *gateway) *seeker {
	t.Helper()
	jar, _ := cookiejar.New(nil) // never fails
	web := &http.Client{Jar: jar, Timeout: answersIn,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca().pool}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(web.CloseIdleConnections)
	return &seeker{client: g.stranger(t), op: op, web: web}
}

// begin is where the gateway sends somebody who wants to go to next.
func (s *seeker) begin(t testing.TB, next string) *url.URL {
	t.Helper()
	a := s.visit(t, "/.gatehouse/login?next="+url.QueryEscape(next))
	if onward := a.onward(); a.Status == http.StatusOK && onward != "" { // the page that keeps the fragment
		a = s.visit(t, onward)
	}
	to, err := url.Parse(a.Header.Get("Location"))
	if a.Status != http.StatusFound || err != nil || !strings.HasPrefix(to.String(), s.op.Issuer+"/") {
		t.Fatalf("the login begins with status %d and leads to %q", a.Status, a.Header.Get("Location"))
	}
	return to
}

// atProvider walks through the provider's pages and returns where it leads back to.
func (s *seeker) atProvider(t testing.TB, to *url.URL, who string) *url.URL {
	t.Helper()
	method, body := http.MethodGet, url.Values(nil)
	for range 12 {
		if !strings.HasPrefix(to.String(), s.op.Issuer+"/") {
			return to
		}
		req, err := http.NewRequest(method, to.String(), strings.NewReader(body.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := s.web.Do(req)
		if err != nil {
			t.Fatalf("the provider: %v", err)
		}
		page, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatalf("the provider: %v", err)
		}
		next := resp.Header.Get("Location")
		method, body = http.MethodGet, nil
		if next == "" {
			f, err := (&answer{Status: resp.StatusCode, Body: page}).form()
			if err != nil {
				t.Fatalf("the provider: %v", err)
			}
			if f.Fields.Has("login") {
				f.Fields.Set("login", who)
				f.Fields.Set("password", "anything")
			}
			next, method, body = f.Action, http.MethodPost, f.Fields
		}
		if to, err = to.Parse(next); err != nil {
			t.Fatalf("the provider leads to %q: %v", next, err)
		}
	}
	t.Fatalf("the provider never leads back; last to %s", to)
	return nil
}

// back is what a browser sends when the provider leads it back.
func (s *seeker) back(t testing.TB, to *url.URL) *answer {
	t.Helper()
	return s.must(t, request{Path: to.String(), Nav: true, Header: http.Header{"Sec-Fetch-Site": {"cross-site"}}})
}

// logIn is the whole way.
func (s *seeker) logIn(t testing.TB, who, next string) *answer {
	t.Helper()
	a := s.back(t, s.atProvider(t, s.begin(t, next), who))
	if err := s.expectLogin(a); err != nil {
		t.Fatalf("%s: %v", who, err)
	}
	return a
}

// with is an address with one parameter of its query changed; without a value it is left out.
func with(u *url.URL, name string, values ...string) *url.URL {
	changed := *u
	q := changed.Query()
	q[name] = values
	if len(values) == 0 {
		q.Del(name)
	}
	changed.RawQuery = q.Encode()
	return &changed
}

// TestOIDCAbuse: rows O of the abuse list, against the real provider.
func TestOIDCAbuse(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	op := newProvider(t)
	op.everybody()
	// Through the browser, so that what is asked for can be seen and changed on the way; the other stories push it.
	house := strings.Replace(op.house(), "roles_claim groups", "roles_claim groups\n\t\t\tpar off", 1)
	g := op.relying(t, true, config{Backend: be.Listen, House: house})

	// refused is a callback that makes no session; nothing of its query is on the page.
	refused := func(t *testing.T, s *seeker, to *url.URL, reasons ...string) {
		t.Helper()
		a := s.back(t, to)
		var errs []error
		for _, reason := range reasons {
			status := map[string]int{"login_expired": 400, "login_failed": 403, "provider_down": 503, "bad_request": 400, "waf_blocked": 403}[reason]
			if err := a.refusedAs(reason, status); err != nil {
				errs = append(errs, err)
			}
		}
		if len(errs) == len(reasons) {
			t.Errorf("%v", errors.Join(errs...))
		}
		if s.cookie(sessionCookie) != "" {
			t.Errorf("there is a session after %s", to)
		}
		for name, values := range to.Query() {
			for _, v := range values {
				if len(v) > 5 && strings.Contains(string(a.Body), v) {
					t.Errorf("the page repeats %s", name)
				}
			}
		}
	}

	t.Run("O6 what is asked for", func(t *testing.T) {
		s := op.seeker(t, g)
		seen := map[string]bool{}
		for range 5 {
			q := s.begin(t, "/").Query()
			for name, want := range map[string]string{
				"response_type": "code", "code_challenge_method": "S256", "client_id": op.Client.ID,
				"redirect_uri": g.origin() + callbackPath, "scope": "openid profile email",
			} {
				if got := q[name]; len(got) != 1 || got[0] != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			for _, name := range []string{"state", "nonce", "code_challenge"} {
				v := q.Get(name)
				if raw, err := base64.RawURLEncoding.DecodeString(v); err != nil || len(raw) < 32 || seen[v] {
					t.Errorf("%s is %q: want 32 bytes or more, never the same (%v)", name, v, err)
				}
				seen[v] = true
			}
			if q.Has("client_secret") || q.Has("code_verifier") || len(q.Get("state")) > 1024 {
				t.Errorf("asked with %v", q)
			}
		}
	})

	t.Run("O1 who comes back", func(t *testing.T) {
		for who, want := range map[string]string{"ada": "admin,staff", "bob": "staff", "many": "staff"} {
			s := op.seeker(t, g)
			if a := s.logIn(t, who, "/search?q=a&b=%20"); a.Header.Get("Location") != "/search?q=a&b=%20" {
				t.Errorf("%s was led to %q", who, a.Header.Get("Location"))
			}
			be.mustForget(t)
			s.get(t, "/whoami")
			seen := be.mustSee(t)
			if len(seen.Requests) != 1 || seen.Requests[0].Headers.Get("X-Gatehouse-Roles") != want {
				t.Errorf("%s: the application was told %+v, want the roles %q", who, seen.Requests, want)
			}
			want := map[string]int{"ada": 200, "bob": 403, "many": 403}[who]
			if a := s.get(t, "/admin/"); a.Status != want {
				t.Errorf("%s at /admin/: status %d, want %d", who, a.Status, want)
			}
		}
	})

	t.Run("O4 state", func(t *testing.T) {
		s := op.seeker(t, g)
		to := s.atProvider(t, s.begin(t, "/"), "ada")
		state := to.Query().Get("state")
		refused(t, s, with(to, "state"), "login_expired")
		refused(t, s, with(to, "state", ""), "login_expired")
		refused(t, s, with(to, "state", "../../etc/passwd"), "login_expired", "waf_blocked")
		refused(t, s, with(to, "state", strings.Repeat("A", 9000)), "login_expired", "bad_request")
		refused(t, s, with(to, "state", state+"A"), "login_expired")
		refused(t, s, with(to, "state", state[:len(state)-1]), "login_expired")
		for i := 0; i < len(state); i += 1 + len(state)/24 {
			other := byte('A')
			if state[i] == other {
				other = 'B'
			}
			refused(t, s, with(to, "state", state[:i]+string(other)+state[i+1:]), "login_expired")
		}
		// All of that has cost the login nothing: the true answer is taken. But it is not when it says two things.
		a := s.back(t, to)
		if err := s.expectLogin(a); err != nil {
			t.Errorf("the login itself: %v", err)
		}
		for _, name := range []string{"state", "code", "iss"} {
			s := op.seeker(t, g)
			to := s.atProvider(t, s.begin(t, "/"), "ada")
			refused(t, s, with(to, name, to.Query().Get(name), to.Query().Get(name)), "login_failed", "login_expired")
			refused(t, s, with(to, name, to.Query().Get(name), "other"), "login_failed", "login_expired")
		}
	})

	t.Run("O4 mix-up", func(t *testing.T) {
		for _, iss := range [][]string{{}, {""}, {"https://evil.test"}, {op.Issuer + "/"}, {strings.ToUpper(op.Issuer)}} {
			s := op.seeker(t, g)
			refused(t, s, with(s.atProvider(t, s.begin(t, "/"), "ada"), "iss", iss...), "login_failed")
		}
	})

	t.Run("O4 an error that says too much", func(t *testing.T) {
		for _, description := range []string{
			`"><img src=x onerror=alert(1)>`, "<script>alert(1)</script>", "one\r\nSet-Cookie: a=b\r\n\r\ntwo", "\u2028\u202eevil.test", strings.Repeat("Please call 555-1234. ", 50),
		} {
			s := op.seeker(t, g)
			to := s.begin(t, "/")
			back, _ := url.Parse(g.origin() + callbackPath)
			back.RawQuery = url.Values{"state": {to.Query().Get("state")}, "iss": {op.Issuer}, "error": {"access_denied"}, "error_description": {description}}.Encode()
			refused(t, s, back, "login_failed", "waf_blocked")
			refused(t, s, with(back, "error", description), "login_failed", "login_expired", "waf_blocked")
		}
	})

	t.Run("O4 code twice", func(t *testing.T) {
		s := op.seeker(t, g)
		to := s.atProvider(t, s.begin(t, "/search?q=twice"), "ada")
		if err := s.expectLogin(s.back(t, to)); err != nil {
			t.Fatal(err)
		}
		first := s.cookie(sessionCookie)
		// The same browser, still logged in: on to where they wanted, without a new session.
		if a := s.back(t, to); a.Status != http.StatusSeeOther || a.Header.Get("Location") != "/search?q=twice" || s.cookie(sessionCookie) != first {
			t.Errorf("the callback once more: status %d, to %q, a new session: %v", a.Status, a.Header.Get("Location"), s.cookie(sessionCookie) != first)
		}
		if _, err := s.logout(); err != nil {
			t.Fatal(err)
		}
		refused(t, s, to, "login_expired")
	})

	t.Run("O7 callback without its cookie", func(t *testing.T) {
		s, stranger := op.seeker(t, g), op.seeker(t, g)
		to := s.atProvider(t, s.begin(t, "/"), "ada")
		refused(t, stranger, to, "login_expired") // the state itself was never used
		other := op.seeker(t, g)
		other.begin(t, "/") // has a login cookie, but of its own
		refused(t, other, to, "login_expired")
		if err := s.expectLogin(s.back(t, to)); err != nil {
			t.Errorf("the login itself: %v", err)
		}
	})

	t.Run("O7 code of another browser", func(t *testing.T) {
		attacker, victim := op.seeker(t, g), op.seeker(t, g)
		theirs := attacker.atProvider(t, attacker.begin(t, "/"), "bob")
		mine := victim.begin(t, "/").Query().Get("state")
		refused(t, victim, with(theirs, "state", mine), "login_failed")
	})

	t.Run("O7 fixation", func(t *testing.T) {
		attacker, victim := op.seeker(t, g), op.seeker(t, g)
		attacker.logIn(t, "bob", "/")
		planted := attacker.cookie(sessionCookie)
		origin, _ := url.Parse(g.origin())
		victim.jar.SetCookies(origin, []*http.Cookie{{Name: sessionCookie, Value: planted, Path: "/", Secure: true}})
		// The login page leads on who is logged in already: as the attacker, who now sees nothing of the victim's.
		// But a login that has begun makes a session of its own, and the planted one ends.
		victim.jar.SetCookies(origin, []*http.Cookie{{Name: sessionCookie, Path: "/", MaxAge: -1}})
		to := victim.atProvider(t, victim.begin(t, "/"), "ada")
		victim.jar.SetCookies(origin, []*http.Cookie{{Name: sessionCookie, Value: planted, Path: "/", Secure: true}})
		if err := victim.expectLogin(victim.back(t, to)); err != nil {
			t.Fatal(err)
		}
		if victim.cookie(sessionCookie) == planted {
			t.Error("the planted cookie is the victim's session")
		}
		if a := attacker.get(t, "/whoami"); a.Status != http.StatusUnauthorized {
			t.Errorf("with the planted cookie: status %d\n%s", a.Status, excerpt(a.Body, 300))
		}
	})

	t.Run("O8 cookies", func(t *testing.T) {
		s := op.seeker(t, g)
		s.logIn(t, "ada", "/")
		good := s.cookie(sessionCookie)
		values := []string{"", "x", strings.Repeat("A", len(good)), strings.Repeat("A", 5000), good + "A", good[1:], good + "." + good, strings.ToUpper(good), "%00", `"` + good + `"`, " " + good + " x"}
		for i := range len(good) {
			for _, c := range []byte{good[i] ^ 1, good[i] ^ 0x20} {
				if c > ' ' && c < 0x7f && c != ';' && c != '"' && c != '\\' && c != ',' {
					values = append(values, good[:i]+string(c)+good[i+1:])
				}
			}
		}
		for _, v := range values {
			a := s.must(t, request{Path: "/whoami", Bare: true, Header: http.Header{"Cookie": {sessionCookie + "=" + v}}})
			if a.Status < 400 || a.Status >= 500 {
				t.Errorf("the cookie %.80q: status %d", v, a.Status)
			}
		}
		// Two cookies of one name: one of them was planted, and nobody can say which.
		for _, pair := range []string{good + "; " + sessionCookie + "=x", "x; " + sessionCookie + "=" + good} {
			a := s.must(t, request{Path: "/whoami", Bare: true, Header: http.Header{"Cookie": {sessionCookie + "=" + pair}}})
			if a.Status < 400 || a.Status >= 500 {
				t.Errorf("two session cookies: status %d", a.Status)
			}
		}
		if a := s.get(t, "/whoami"); a.Status != 200 {
			t.Errorf("the cookie itself: status %d", a.Status)
		}
	})

	t.Run("O9 the application's cookies are its own", func(t *testing.T) {
		s := op.seeker(t, g)
		s.logIn(t, "ada", "/")
		if s.cookie("__Host-gatehouse-login") == "" {
			t.Fatal("there is only one cookie of the gateway's: this would not see the other one leak")
		}
		for given, want := range map[string]string{
			"":                           "",
			"theme=dark":                 "theme=dark",
			"a=1; b=\"two words\"; c=":   "a=1; b=\"two words\"; c=",
			"gatehouse=mine; __Host-x=y": "gatehouse=mine; __Host-x=y",
		} {
			be.mustForget(t)
			cookies := s.cookieHeader()
			if given != "" {
				cookies = strings.Replace(cookies, "; ", "; "+given+"; ", 1)
			}
			s.must(t, request{Path: "/whoami", Bare: true, Header: http.Header{"Cookie": {cookies}}})
			seen := be.mustSee(t)
			if len(seen.Requests) != 1 || strings.Join(seen.Requests[0].Headers["Cookie"], "|") != want {
				t.Errorf("given %q beside ours, the application saw %+v, want %q", given, seen.Requests, want)
			}
		}
	})

	t.Run("O11 open redirect", func(t *testing.T) { openRedirects(t, op, g) })

	t.Run("O13 thirty logins begun", func(t *testing.T) {
		s := op.seeker(t, g)
		var to *url.URL
		for i := range 30 {
			to = s.begin(t, fmt.Sprintf("/search?q=%d&long=%s", i, strings.Repeat("x", 200)))
		}
		a := s.back(t, s.atProvider(t, to, "ada"))
		if err := s.expectLogin(a); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(a.Header.Get("Location"), "/search?q=29&") {
			t.Errorf("led to %q", a.Header.Get("Location"))
		}
		if n := len(s.cookieHeader()); n > 8<<10 {
			t.Errorf("the Cookie header has %d bytes", n)
		} else {
			t.Logf("the Cookie header has %d bytes", n)
		}
	})

	// Last: the provider goes away, comes back with other keys.
	t.Run("S6 the provider is away", func(t *testing.T) {
		in, out := op.seeker(t, g), op.seeker(t, g)
		in.logIn(t, "ada", "/")
		to := out.atProvider(t, out.begin(t, "/"), "ada")
		op.stop()
		if a := in.get(t, "/whoami"); a.Status != 200 {
			t.Errorf("who is logged in: status %d", a.Status)
		}
		began := time.Now()
		refused(t, out, to, "provider_down")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the callback was answered after %v", took)
		}
		op.start(t)
		again := op.seeker(t, g)
		began = time.Now()
		again.logIn(t, "ada", "/")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the login with new keys took %v", took)
		}
	})
}

// elsewhere are spellings of another site, or of a script.
var elsewhere = []string{
	"https://evil.test/", "//evil.test/", `/\evil.test/`, `\/evil.test/`, `\\evil.test/`, "///evil.test/", "/%5cevil.test/", "/%2fevil.test/",
	"/\t/evil.test/", "\t//evil.test/", " //evil.test/", "/ /evil.test/", "https:evil.test", "https:/evil.test", "javascript:alert(1)", "data:text/html,x",
	"//app.test@evil.test/", "https://app.test.evil.test/", "/..//evil.test/", "/.//evil.test/", "/.gatehouse/logout", "/x\r\nLocation: https://evil.test/", "http://app.test/", "@evil.test", "?next=//evil.test", "",
}

// openRedirects: whatever is asked for, a login leads to a path of this site.
func openRedirects(t *testing.T, op *provider, g *gateway) {
	names := []string{"next", "url", "redirect", "redirect_uri", "return_to", "rd", "continue", "dest", "RelayState"}
	host := regexp.MustCompile(`^/([^/\\]|$)`)
	stays := func(t *testing.T, location string) {
		t.Helper()
		u, err := url.Parse(location)
		if err != nil || !host.MatchString(location) || u.Host != "" || strings.ContainsAny(location, "\r\n\t \\") {
			t.Errorf("led to %q", location)
		}
	}
	in, out := op.seeker(t, g), op.seeker(t, g)
	in.logIn(t, "ada", "/")
	for _, to := range elsewhere {
		for i, name := range names {
			query := "?" + name + "=" + url.QueryEscape(to)
			ways := map[string]*seeker{"/.gatehouse/login": out}
			if i == 0 { // the name that counts
				ways = map[string]*seeker{"/.gatehouse/login": in, "/.gatehouse/logout": in, "/.gatehouse/login/oidc": out}
			}
			for path, s := range ways {
				a := s.visit(t, path+query)
				if l := a.Header.Get("Location"); l != "" && !strings.HasPrefix(l, op.Issuer+"/auth?") {
					stays(t, l)
				}
				if bytes.Contains(a.Body, []byte("evil.test")) {
					t.Errorf("%s%s: the page names the other site", path, query)
				}
			}
		}
		// The whole way.
		s := op.seeker(t, g)
		if a := s.visit(t, "/.gatehouse/login?next="+url.QueryEscape(to)); a.Status == http.StatusForbidden {
			continue // the WAF thinks so too
		}
		stays(t, s.logIn(t, "ada", to).Header.Get("Location"))
	}
}
