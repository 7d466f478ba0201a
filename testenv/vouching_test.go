package testenv

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// mustOpen opens a websocket that answers.
func (c *client) mustOpen(t testing.TB) *websocket.Conn {
	t.Helper()
	conn, _, err := c.openWebsocket("/ws", c.gw.origin())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	if err := echo(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// cutIn is how long after now the websocket is cut.
func cutIn(t testing.TB, conn *websocket.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := closedWith(conn); err != nil && err.Error() == "it stays open" {
		t.Errorf("the websocket stays open")
	}
	return time.Since(began)
}

// gone reports whether the client's session has ended.
func (c *client) gone(t testing.TB) bool {
	t.Helper()
	return c.must(t, request{Path: "/whoami"}).Status == http.StatusUnauthorized
}

// TestRenewal: while a session lasts, the provider is asked again whenever its access token runs out: once, however many
// requests there are and however long it takes, and nobody waits. Roles that it no longer gives are gone, and a provider
// that refuses ends the session, with all that runs in it.
// Controls: CAL-03.
func TestRenewal(t *testing.T) {
	t.Parallel()
	ro := newRogue(t)
	strict := func(i *issuer) { i.refresh, i.lasts, i.takes = "r-1", 5*time.Second, 0 }
	slow, fickle, harsh := ro.add("slow", strict), ro.add("fickle", strict), ro.add("harsh", strict)
	ro.start()
	g := ro.relying(t, config{Race: true, Backend: startBackend(t).Listen})

	// Each access token is good for five seconds, and renewed within the last tenth of that.
	began := time.Now()
	ada, bob, eve := slow.mustLogIn(t, g), fickle.mustLogIn(t, g), harsh.mustLogIn(t, g)
	bobs, eves := bob.mustOpen(t), eve.mustOpen(t)
	slow.knob(func() { slow.takes = 2 * time.Second })
	fickle.knob(func() { fickle.renewed = func(c map[string]any) { c["groups"] = []string{"chess"} } })
	harsh.knob(func() { harsh.refresh = "" })
	// Whatever changed, the next renewal brings it.
	const soon = 5*time.Second + 3*time.Second
	changed := time.Now()
	var tell sync.WaitGroup
	tell.Go(func() { // no request comes in these sessions: what is open has them renewed
		if cutIn(t, bobs); time.Since(changed) > soon {
			t.Errorf("a lost role cut the websocket after %v", time.Since(changed))
		}
		if err := bob.get(t, "/whoami").refusedAs("forbidden", 403); err != nil {
			t.Errorf("without the role: %v", err)
		}
	})
	tell.Go(func() {
		if cutIn(t, eves); time.Since(changed) > soon {
			t.Errorf("invalid_grant cut the websocket after %v", time.Since(changed))
		}
		if !eve.gone(t) {
			t.Error("a session for which nobody vouches goes on")
		}
	})
	time.Sleep(time.Until(began.Add(5 * time.Second))) // the time itself is what the story is about
	fired := time.Now()
	var many sync.WaitGroup
	for range 200 {
		many.Go(func() {
			if a := ada.get(t, "/whoami"); a.Status != http.StatusOK {
				t.Errorf("while the provider takes two seconds: status %d\n%s", a.Status, excerpt(a.Body, 200))
			}
		})
	}
	many.Wait()
	eventually(t, readyIn, "the renewal ends", func() bool {
		slow.mu.Lock()
		defer slow.mu.Unlock()
		return slow.refresh != "r-1"
	})
	// On a machine that is very slow, the next token may have run out meanwhile.
	if n, most := slow.times("token:refresh_token"), 1+int(time.Since(fired)/(4*time.Second)); n > most {
		t.Errorf("200 requests at the moment a token runs out caused %d renewals", n)
	}
	tell.Wait()
	if a := ada.get(t, "/whoami"); a.Status != http.StatusOK {
		t.Errorf("after the renewal: status %d", a.Status)
	}
}

// TestBackChannelLogout: row O14. A provider's word ends the session that it names, and nobody else's word does.
func TestBackChannelLogout(t *testing.T) {
	t.Parallel()
	k := rogueKeys()
	ro := newRogue(t)
	idp, other := ro.add("idp", nil), ro.add("other", nil)
	ro.start()
	g := ro.relying(t, config{Race: true, Backend: startBackend(t).Listen})
	ada := idp.mustLogIn(t, g)
	conn := ada.mustOpen(t)

	set := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	at := func(name string, d time.Duration) func(map[string]any) { return set(name, time.Now().Add(d).Unix()) }
	bad := map[string]string{
		"wrong aud":      idp.logoutToken(set("aud", "other")),
		"wrong iss":      idp.logoutToken(set("iss", "https://evil.test")),
		"no event":       idp.logoutToken(set("events", nil)),
		"another event":  idp.logoutToken(set("events", map[string]any{logoutEvent + "x": map[string]any{}})),
		"with a nonce":   idp.logoutToken(set("nonce", "n")),
		"no sub, no sid": idp.logoutToken(func(c map[string]any) { c["sub"], c["sid"] = nil, nil }),
		"no jti":         idp.logoutToken(set("jti", nil)),
		"no iat":         idp.logoutToken(set("iat", nil)),
		"future iat":     idp.logoutToken(at("iat", 10*time.Minute)),
		"expired":        idp.logoutToken(at("exp", -10*time.Minute)),
		"no token":       "",
	}
	forged := func(name string, set func()) {
		idp.knob(func() {
			alg, key, typ := idp.alg, idp.key, idp.typ
			set()
			defer func() { idp.alg, idp.key, idp.typ = alg, key, typ }()
			now := time.Now().Unix()
			bad[name] = idp.token(map[string]any{
				"iss": idp.url(), "aud": rogueClient, "sub": "u-1", "sid": "s-1", "iat": now, "exp": now + 60, "jti": name,
				"events": map[string]any{logoutEvent: map[string]any{}},
			})
		})
	}
	forged("alg none", func() { idp.alg, idp.key = "none", nil })
	forged("another key", func() { idp.key = k.other })
	forged("HS256 with the client secret", func() { idp.alg, idp.key = "HS256", []byte(rogueSecret) })
	forged("an ID token by its type", func() { idp.typ = "id_token+jwt" })
	// What another provider of the house signs counts at its own address alone.
	other.knob(func() { other.key, other.published = k.other, []any{jwk(&k.other.PublicKey, "k1")} })
	bad["of the house's other provider"] = other.logoutToken(nil)
	bad["of the house's other provider, in this one's name"] = other.logoutToken(set("iss", idp.url()))
	for name, token := range bad {
		if a := idp.notify(t, g, token); a.Status != http.StatusBadRequest {
			t.Errorf("%s: status %d\n%s", name, a.Status, excerpt(a.Body, 300))
		}
	}
	if ada.gone(t) {
		t.Fatal("a bad logout token ended the session")
	}

	good := idp.logoutToken(func(c map[string]any) { c["sub"] = nil })
	if a := idp.notify(t, g, good); a.Status != http.StatusOK || len(a.Body) != 0 || !strings.Contains(a.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("a good logout token: status %d, Cache-Control %q\n%s", a.Status, a.Header.Get("Cache-Control"), excerpt(a.Body, 300))
	}
	if took := cutIn(t, conn); took > time.Second {
		t.Errorf("the websocket was cut %v later", took)
	}
	if !ada.gone(t) {
		t.Error("the session goes on")
	}
	again := idp.mustLogIn(t, g) // the same session of the provider's
	if a := idp.notify(t, g, good); a.Status != http.StatusBadRequest || again.gone(t) {
		t.Errorf("the token once more: status %d, and it ended the next session: %v", a.Status, again.gone(t))
	}
	if a := idp.notify(t, g, idp.logoutToken(func(c map[string]any) { c["sid"] = nil })); a.Status != http.StatusOK || !again.gone(t) {
		t.Errorf("all of a person's: status %d, and the session goes on: %v", a.Status, !again.gone(t))
	}
}

// TestFloodOfBadTokens: a thousand tokens that nobody signed make the gateway ask the provider for its keys once.
func TestFloodOfBadTokens(t *testing.T) {
	t.Parallel()
	k := rogueKeys()
	ro := newRogue(t)
	idp := ro.add("idp", nil)
	ro.start()
	g := ro.relying(t, config{Race: true, Backend: startBackend(t).Listen})
	idp.mustLogIn(t, g)
	before := idp.times("jwks")
	tokens := make([]string, 1000)
	idp.knob(func() {
		kid, key := idp.kid, idp.key
		idp.key = k.ec // the quickest to sign with
		idp.alg = "ES256"
		for n := range tokens {
			if idp.kid = kid; n%2 == 0 {
				idp.kid = fmt.Sprintf("k-%d", n)
			}
			tokens[n] = idp.token(map[string]any{"iss": idp.url(), "aud": rogueClient, "sub": "u-1", "jti": fmt.Sprint(n), "iat": time.Now().Unix(), "exp": time.Now().Unix() + 60, "events": map[string]any{logoutEvent: map[string]any{}}})
		}
		idp.kid, idp.key, idp.alg = kid, key, "RS256"
	})
	stranger, began := g.stranger(t), time.Now()
	work := make(chan string)
	var flood sync.WaitGroup
	for range 16 {
		flood.Go(func() {
			for token := range work {
				a, err := stranger.do(request{
					Method: http.MethodPost, Path: "/.gatehouse/login/idp/backchannel-logout", Bare: true,
					Body: []byte("logout_token=" + token), Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
				})
				if err != nil || a.Status != http.StatusBadRequest {
					t.Errorf("a bad token: %v, %+v", err, a)
				}
			}
		})
	}
	for _, token := range tokens {
		work <- token
	}
	close(work)
	flood.Wait()
	// The gateway asks once in 30 seconds, and a machine may be so slow.
	if n, most := idp.times("jwks")-before, 1+int(time.Since(began)/(30*time.Second)); n > most {
		t.Errorf("a thousand bad tokens caused %d fetches of keys", n)
	}
	idp.mustLogIn(t, g) // and the house is as it was
}

// TestProviderTroubles: row S6. A gateway is started while its providers are in trouble, each in its own. Who was logged in
// before does not notice; who wants to log in is told within five seconds; and as soon as a provider works again, so do
// logins. What it last said of itself and its keys is known from before, so that its logout tokens count.
func TestProviderTroubles(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	ro := newRogue(t)
	everything := []string{".well-known/openid-configuration", "jwks", "token"}
	trouble := map[string]func(*issuer){
		"broken": func(i *issuer) {
			for _, e := range everything {
				answers(e, 500, "")(i)
			}
		},
		"cut": func(i *issuer) {
			for _, e := range everything {
				cuts(e)(i)
			}
		},
		"slow": func(i *issuer) {
			for _, e := range everything {
				i.handle[e] = func(w http.ResponseWriter, r *http.Request) {
					select {
					case <-time.After(8 * time.Second):
					case <-r.Context().Done():
					}
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}
		},
		"keyless": answers("jwks", 500, ""),
	}
	people := map[string]*client{}
	for name := range trouble {
		ro.add(name, nil)
	}
	ro.start()
	g := ro.relying(t, config{Race: true, Backend: be.Listen})
	for name := range trouble {
		people[name] = ro.issuers[name].mustLogIn(t, g)
	}
	// What the gateway keeps it writes behind the login; the end of the process must not be what writes it.
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	for name, set := range trouble {
		i := ro.issuers[name]
		i.knob(func() { set(i) })
	}
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for name, person := range people {
		i := ro.issuers[name]
		all.Go(func() {
			for range 20 {
				if a := person.get(t, "/whoami"); a.Status != http.StatusOK {
					t.Errorf("%s: who is logged in: status %d", name, a.Status)
				}
			}
			began, newcomer := time.Now(), g.stranger(t)
			a := i.logIn(t, newcomer, "/")
			took := time.Since(began)
			if name == "keyless" { // known from before
				if err := newcomer.expectLogin(a); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			} else if err := a.refusedAs("provider_down", 503); err != nil || took > 5*time.Second+time.Second {
				t.Errorf("%s: a login after %v: %v", name, took, err)
			}
			if a := i.notify(t, g, i.logoutToken(nil)); a.Status != http.StatusOK || !person.gone(t) {
				t.Errorf("%s: a logout token is answered with %d, and the session goes on: %v", name, a.Status, !person.gone(t))
			}
			i.knob(func() { clear(i.handle) })
			began = time.Now()
			err := until(20*time.Second, name+": logins work again", func() bool {
				c := g.stranger(t)
				return c.expectLogin(i.logIn(t, c, "/")) == nil
			})
			if took := time.Since(began); err != nil || took > 6*time.Second {
				t.Errorf("logins work again after %v: %v", took, err)
			} else {
				t.Logf("%s: logins work again after %v", name, took.Round(time.Millisecond))
			}
		})
	}
	all.Wait()
}

// TestSeveralProviders: what comes from one provider of the house is nothing at another.
func TestSeveralProviders(t *testing.T) {
	t.Parallel()
	ro := newRogue(t)
	honest, evil := ro.add("honest", nil), ro.add("evil", nil)
	ro.start()
	g := ro.relying(t, config{Race: true, Backend: startBackend(t).Listen})
	if page := g.stranger(t).visit(t, "/.gatehouse/login"); !strings.Contains(string(page.Body), "/.gatehouse/login/honest") || !strings.Contains(string(page.Body), "/.gatehouse/login/evil") {
		t.Errorf("the login page offers: %s", excerpt(page.Body, 2000))
	}
	begin := func(i *issuer, c *client) string {
		t.Helper()
		a := i.lead(t, c, "/")
		if a.Status != http.StatusFound {
			t.Fatalf("%s: status %d", i.name, a.Status)
		}
		return a.Header.Get("Location")
	}
	// The classical mix-up: the person chose one, and comes back with the other's code, or with its own code elsewhere.
	for name, way := range map[string]func(c *client) string{
		"the state of one at the other's address": func(c *client) string {
			back := honest.authorize(t, begin(honest, c))
			return strings.Replace(back.String(), "/login/honest/", "/login/evil/", 1)
		},
		"the code of the other": func(c *client) string {
			theirs := evil.authorize(t, begin(evil, g.stranger(t)))
			return with(honest.authorize(t, begin(honest, c)), "code", theirs.Query().Get("code")).String()
		},
		"the other's name": func(c *client) string {
			return with(honest.authorize(t, begin(honest, c)), "iss", evil.url()).String()
		},
	} {
		c := g.stranger(t)
		a := c.must(t, request{Path: way(c), Nav: true, Header: http.Header{"Sec-Fetch-Site": {"cross-site"}}})
		if a.Status < 400 || a.Status >= 500 || c.cookie(sessionCookie) != "" {
			t.Errorf("%s: status %d, session %v", name, a.Status, c.cookie(sessionCookie) != "")
		}
	}
	// The same subject at both is two people.
	mine, theirs := honest.mustLogIn(t, g), evil.mustLogIn(t, g)
	if a := evil.notify(t, g, evil.logoutToken(nil)); a.Status != http.StatusOK || !theirs.gone(t) || mine.gone(t) {
		t.Errorf("a logout at one: status %d; its session ended: %v, the other's: %v", a.Status, theirs.gone(t), mine.gone(t))
	}
}
