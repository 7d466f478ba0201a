package testenv

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// provenByKey has the client prove itself with a key of its own, and returns the gateway's block for that.
func (op *provider) provenByKey(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(op.dir, "client-key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	op.Client.JWK = jwk(&key.PublicKey, "of-the-gateway")
	house := strings.Replace(op.house(), " {env.OIDC_SECRET}", "", 1)
	return strings.Replace(house, "roles_claim", "client_key "+file+"\n\t\t\tclient_key_id of-the-gateway\n\t\t\troles_claim", 1)
}

// atLogout walks through the provider's logout from an address there, and returns where that leads back to; nil: nowhere.
func (s *seeker) atLogout(t testing.TB, to string) *url.URL {
	t.Helper()
	method, body := http.MethodGet, url.Values(nil)
	for range 5 {
		req, err := http.NewRequest(method, to, strings.NewReader(body.Encode()))
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
		if next := resp.Header.Get("Location"); next != "" {
			back, err := req.URL.Parse(next)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(back.String(), s.op.Issuer+"/") {
				return back
			}
			method, body, to = http.MethodGet, nil, back.String()
			continue
		}
		f, err := (&answer{Status: resp.StatusCode, Body: page}).form()
		if err != nil {
			return nil // it says that it is done
		}
		f.Fields.Set("logout", "yes")
		action, err := req.URL.Parse(f.Action)
		if err != nil {
			t.Fatal(err)
		}
		method, body, to = http.MethodPost, f.Fields, action.String()
	}
	t.Fatal("the provider's logout never ends")
	return nil
}

// TestOIDCSession: a session with the certified provider, from the login to both kinds of logout: the client proves itself
// with a key, refresh tokens are good once, and the session lasts over as many of them as it takes.
// Controls: CAL-03.
func TestOIDCSession(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	op := newProvider(t)
	op.everybody()
	op.Lasts = 5
	g := op.relying(t, true, config{Race: true, Backend: be.Listen, House: op.provenByKey(t)})

	ada := op.seeker(t, g)
	ada.logIn(t, "ada", "/")
	conn := ada.mustOpen(t)
	eventually(t, 30*time.Second, "the session is renewed twice", func() bool {
		return g.metric(t, `gatehouse_oidc_renewals_total{provider="oidc",result="renewed"}`) >= 2
	})
	if a := ada.get(t, "/admin/"); a.Status != http.StatusOK {
		t.Errorf("after two renewals: status %d at /admin/", a.Status)
	}
	if err := echo(conn, "still there"); err != nil {
		t.Errorf("the websocket: %v", err)
	}

	// The person logs out at the provider, which tells the gateway.
	began := time.Now()
	if back := ada.atLogout(t, op.Issuer+"/session/end"); back != nil {
		t.Errorf("the provider leads to %s", back)
	}
	if cutIn(t, conn); time.Since(began) > 3*time.Second {
		t.Errorf("the websocket was cut %v after the logout at the provider", time.Since(began))
	}
	if !ada.gone(t) {
		t.Errorf("after a logout at the provider the session goes on\n%s", tail(filepath.Join(op.dir, "stderr.txt"), 5))
	}

	// And here, with the way on to the provider and back.
	ada.logIn(t, "ada", "/")
	a, err := ada.logout()
	if err != nil {
		t.Fatal(err)
	}
	at := ""
	if m := regexp.MustCompile(`href="(` + regexp.QuoteMeta(op.Issuer) + `[^"]+)"`).FindSubmatch(a.Body); m != nil {
		at = html.UnescapeString(string(m[1]))
	}
	if !strings.HasPrefix(at, op.Issuer+"/session/end?") || !ada.gone(t) {
		t.Fatalf("the logout leads to %q, and the session goes on: %v", at, !ada.gone(t))
	}
	back := ada.atLogout(t, at)
	if back == nil || !strings.HasPrefix(back.String(), g.origin()+"/.gatehouse/logout?state=") {
		t.Fatalf("the provider leads back to %v", back)
	}
	if a := ada.visit(t, back.String()); a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte("You are signed out")) {
		t.Errorf("back from the provider: status %d\n%s", a.Status, excerpt(a.Body, 1500))
	}
	// The provider has forgotten her, too: it asks again.
	to := ada.begin(t, "/")
	resp, err := ada.web.Get(to.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if !strings.Contains(resp.Header.Get("Location"), "/interaction/") {
		t.Errorf("after the logout the provider answers %d, to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
}
