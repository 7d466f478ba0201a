package testenv

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestOIDCVerifiesAnew: who comes with a device that is not known proves themselves at the provider, by logging in there anew
// (CER-04). What the provider says of an older login, or of one of another class than was asked for, lets nobody in.
func TestOIDCVerifiesAnew(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	open := func(t *testing.T, change func(*provider), words string) (*provider, *gateway) {
		op := newProvider(t)
		op.everybody()
		op.ACR = map[string]string{"ada": "phr"}
		change(op)
		house := strings.Replace(op.house(), "roles_claim groups", "roles_claim groups\n\t\t\tpar off\n\t\t\t"+words, 1) + "\n\t\tverify {\n\t\t\tnew_device step_up\n\t\t}"
		return op, op.relying(t, true, config{Backend: be.Listen, House: house})
	}

	t.Run("a login anew", func(t *testing.T) {
		t.Parallel()
		op, g := open(t, func(*provider) {}, "step_up phr")
		known(t, op, g, "ada")
		s := op.seeker(t, g)
		s.logIn(t, "ada", "/")
		s.held(t)
		asked := s.anew(t)
		for name, want := range map[string]string{"prompt": "login", "max_age": "0", "acr_values": "phr"} {
			if got := asked.Query().Get(name); got != want {
				t.Errorf("the provider is asked with %s=%q, want %q", name, got, want)
			}
		}
		s.held(t) // being on the way proves nothing
		before := s.cookie(sessionCookie)
		if a := s.back(t, s.atProvider(t, asked, "ada")); a.Status != http.StatusSeeOther || a.Header.Get("Location") != "/search?q=board" {
			t.Fatalf("back from the provider: status %d, to %q", a.Status, a.Header.Get("Location"))
		}
		if s.cookie(sessionCookie) == before {
			t.Error("the login anew has made no session of its own")
		}
		for range 2 {
			if a := s.get(t, "/search?q=board"); a.Status != 200 {
				t.Fatalf("after the login anew: status %d\n%s", a.Status, excerpt(a.Body, 300))
			}
		}
		// The device is known from then on: its next login needs no proof.
		if _, err := s.logout(); err != nil {
			t.Fatal(err)
		}
		s.logIn(t, "ada", "/")
		if a := s.get(t, "/whoami"); a.Status != 200 {
			t.Errorf("the next login with the device: status %d", a.Status)
		}
	})

	t.Run("somebody else logs in", func(t *testing.T) {
		t.Parallel()
		op, g := open(t, func(*provider) {}, "step_up")
		known(t, op, g, "ada")
		known(t, op, g, "bob")
		s := op.seeker(t, g)
		s.logIn(t, "ada", "/")
		s.held(t)
		s.back(t, s.atProvider(t, s.anew(t), "bob"))
		s.held(t) // as Bob now, whose device this is no more than it is Ada's
	})

	t.Run("no class", func(t *testing.T) {
		t.Parallel()
		op, g := open(t, func(*provider) {}, "step_up phr")
		known(t, op, g, "bob")
		s := op.seeker(t, g)
		s.logIn(t, "bob", "/")
		s.held(t)
		s.back(t, s.atProvider(t, s.anew(t), "bob")) // a fresh auth_time, and no acr
		s.held(t)
	})

	t.Run("a stale auth_time", func(t *testing.T) {
		t.Parallel()
		op, g := open(t, func(op *provider) { op.Lazy = true }, "step_up")
		known(t, op, g, "bob")
		s := op.seeker(t, g)
		s.logIn(t, "bob", "/")
		s.held(t)
		s.back(t, s.atProvider(t, s.anew(t), "bob")) // with the login of before
		s.held(t)
	})

	t.Run("every login needs the class", func(t *testing.T) {
		t.Parallel()
		op, g := open(t, func(*provider) {}, "acr phr\n\t\t\tmax_age 1h")
		known(t, op, g, "ada")
		s := op.seeker(t, g)
		to := s.begin(t, "/")
		if q := to.Query(); q.Get("acr_values") != "phr" || q.Get("max_age") != "3600" {
			t.Errorf("asked with %v", q)
		}
		if err := s.back(t, s.atProvider(t, to, "bob")).refusedAs("login_failed", http.StatusForbidden); err != nil {
			t.Errorf("a login without the class: %v", err)
		}
	})
}

// known logs somebody in for the first time, which is learned.
func known(t *testing.T, op *provider, g *gateway, who string) {
	t.Helper()
	s := op.seeker(t, g)
	s.logIn(t, who, "/")
	if a := s.get(t, "/whoami"); a.Status != 200 {
		t.Fatalf("the first login of %s: status %d\n%s", who, a.Status, excerpt(a.Body, 300))
	}
}

// held expects the person to reach nothing but the page that asks them to prove themselves.
func (s *seeker) held(t *testing.T) {
	t.Helper()
	if a := s.visit(t, "/search?q=board"); a.Status != http.StatusFound || a.Header.Get("Location") != "/.gatehouse/verify?next=%2Fsearch%3Fq%3Dboard" {
		t.Fatalf("a page: status %d, to %q", a.Status, a.Header.Get("Location"))
	}
	if err := s.get(t, "/whoami").refusedAs("verification_required", http.StatusUnauthorized); err != nil {
		t.Fatalf("a script: %v", err)
	}
}

var anewLink = regexp.MustCompile(`href="(/\.gatehouse/login/oidc\?[^"]*)"`)

// anew presses what the page has for logging in anew, and returns where that leads. An auth_time counts whole seconds: it is
// only after the visit was held in the next one.
func (s *seeker) anew(t *testing.T) *url.URL {
	t.Helper()
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	page := s.visit(t, "/.gatehouse/verify?next=%2Fsearch%3Fq%3Dboard")
	link := anewLink.FindSubmatch(page.Body)
	if page.Status != 200 || link == nil {
		t.Fatalf("the page offers no login anew: status %d\n%s", page.Status, excerpt(page.Body, 3000))
	}
	a := s.visit(t, html.UnescapeString(string(link[1])))
	to, err := url.Parse(a.Header.Get("Location"))
	if err != nil || a.Status != http.StatusFound || !strings.HasPrefix(to.String(), s.op.Issuer+"/") {
		t.Fatalf("the login anew: status %d, to %q", a.Status, a.Header.Get("Location"))
	}
	return to
}
