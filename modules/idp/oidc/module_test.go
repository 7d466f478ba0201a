package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/verdict"
)

func parse(t *testing.T, text string) (*Provider, error) {
	t.Helper()
	p := new(Provider)
	return p, p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func TestCaddyfile(t *testing.T) {
	full := `oidc https://idp.example {env.ID} {env.SECRET} {
		name corp
		label "Corporate login"
		scopes openid groups
		roles_claim realm_access.roles
		role G-1 admin staff
		role G-2 staff
		refresh offline
		client_key_id k1
		client_key_audience token_endpoint
		par off
		groups_overage graph
		trust_pem /etc/ca.pem
		insecure_http
	}`
	p, err := parse(t, full)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(p)
	want := `{"name":"corp","label":"Corporate login","issuer":"https://idp.example","client_id":"{env.ID}","client_secret":"{env.SECRET}","client_key_id":"k1","client_key_audience":"token_endpoint","refresh":"offline","par":"off","groups_overage":"https://graph.microsoft.com","scopes":["openid","groups"],"roles_claim":"realm_access.roles","roles":{"G-1":["admin","staff"],"G-2":["staff"]},"trust_pem":"/etc/ca.pem","insecure_http":true}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, bad := range []string{
		"oidc", "oidc https://idp.example", "oidc https://idp.example id", "oidc a b c {\nclient_key /k\n}", "oidc a b {\nname x\n}",
		"oidc a b c {\ngroups_overage\n}", "oidc a b c {\ngroups_overage ldap\n}", "oidc a b c {\npar\n}",
		"oidc https://idp.example id secret more",
		"oidc a b c {\nname\n}", "oidc a b c {\nname x y\n}", "oidc a b c {\nrole x\n}", "oidc a b c {\nscopes\n}",
		"oidc a b c {\ninsecure_http yes\n}", "oidc a b c {\nunknown x\n}",
	} {
		if _, err := parse(t, bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func provision(t *testing.T, text string) (*Provider, error) {
	t.Helper()
	p, err := parse(t, text)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	err = p.Provision(ctx)
	t.Cleanup(func() { _ = p.Cleanup() })
	return p, err
}

func TestProvision(t *testing.T) {
	t.Setenv("GH_ID", "gatehouse")
	t.Setenv("GH_SECRET", "hunter2")
	t.Setenv("GH_EMPTY", "")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, args, refused string }{
		{"environment", "https://idp.example {env.GH_ID} {env.GH_SECRET}", ""},
		{"file", "https://idp.example id {file." + file + "}", ""},
		{"literal", "https://idp.example id hunter2", ""},
		{"empty variable", "https://idp.example id {env.GH_EMPTY}", "the client secret is empty"},
		{"no such variable", "https://idp.example id {env.GH_NOT_SET}", "the client secret is empty"},
		{"no such file", "https://idp.example id {file./nowhere}", "the client secret is empty"},
		{"empty literal", `https://idp.example id ""`, "the client secret is empty"},
		{"empty id", `https://idp.example {env.GH_EMPTY} x`, "the client id is empty"},
		{"unknown placeholder in a secret", `https://idp.example id hunter2{x}y`, "the client secret is empty"},
		{"http", "http://idp.example id hunter2", "https"},
		{"refresh in another word", "https://idp.example id hunter2 {\nrefresh always\n}", "refresh"},
		{"par on", "https://idp.example id hunter2 {\npar on\n}", "par"},
		{"audience of another kind", "https://idp.example id hunter2 {\nclient_key_audience both\n}", "client_key_audience"},
		{"no such key file", "https://idp.example id {\nclient_key /nowhere\n}", "client_key"},
		{"key file without a key", "https://idp.example id {\nclient_key " + file + "\n}", "no private key"},
		{"Graph without https", "https://idp.example id hunter2 {\ngroups_overage graph http://graph.example\n}", "Graph"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := provision(t, "oidc "+tt.args)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("got %v, want %q", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := p.client.cfg.ClientSecret.Reveal(); got != "hunter2" {
				t.Errorf("the secret is %q", got)
			}
			if p.Name() != "oidc" || p.Label() != "idp.example" || p.Form() {
				t.Errorf("name %q, label %q", p.Name(), p.Label())
			}
			dump, _ := json.Marshal(p)
			if text := string(dump) + fmt.Sprintf("%+v", p.client.cfg); tt.name != "literal" && strings.Contains(text, "hunter2") {
				t.Errorf("the secret shows in %s", text)
			}
		})
	}
}

func provider(t *testing.T, idp *fakeIdP) *Provider {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, idp.trustPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GH_SECRET", testSecret)
	p, err := provision(t, "oidc "+idp.URL+" "+testClientID+" {env.GH_SECRET} {\ntrust_pem "+file+"\n}")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func loginAt(sub string, fresh bool) gatehouse.Login {
	return gatehouse.Login{
		Request: &gatehouse.Request{ID: "r1"}, Base: "/.gatehouse/login/oidc", Origin: "https://app.example.com", Sub: sub,
		Flow: gatehouse.Flow{
			Token: "flow-token", Started: time.Now(), Fresh: fresh,
			Derive: func(label string) string { return (label + strings.Repeat("0", 43))[:43] },
		},
	}
}

func TestServeLogin(t *testing.T) {
	idp := newIdP(t)
	p := provider(t, idp)
	serve := func(method, target string, l gatehouse.Login) (*identity.Identity, *httptest.ResponseRecorder, error) {
		w := httptest.NewRecorder()
		vouching, err := p.ServeLogin(w, httptest.NewRequest(method, target, nil), l)
		if vouching == nil {
			return nil, w, err
		}
		return &vouching.Identity, w, err
	}
	who, w, err := serve("GET", "/.gatehouse/login/oidc", loginAt("", true))
	if err != nil || who != nil || w.Code != http.StatusFound || w.Body.Len() != 0 {
		t.Fatalf("%+v, %v, status %d", who, err, w.Code)
	}
	back := idp.authorize(w.Header().Get("Location"))
	if back.Get("state") != "flow-token" {
		t.Errorf("state is %q", back.Get("state"))
	}
	who, w, err = serve("GET", "/x?"+back.Encode(), loginAt("/callback", false))
	if err != nil || who.Subject != "u-1" || len(w.Header()) != 0 {
		t.Fatalf("%+v, %v, wrote %v", who, err, w.Header())
	}
	again := back.Encode()
	for _, tt := range []struct {
		name, method, query string
		login               gatehouse.Login
		want                verdict.Reason
	}{
		{"replay", "GET", again, loginAt("/callback", false), verdict.LoginFailed},
		{"no flow of this browser", "GET", again, loginAt("/callback", true), verdict.LoginExpired},
		{"posted callback", "POST", again, loginAt("/callback", false), verdict.BadMethod},
		{"another path", "GET", "", loginAt("/callback/", false), verdict.NotFound},
		{"malformed query", "GET", "code=%zz", loginAt("/callback", false), verdict.LoginFailed},
		{"denied", "GET", "error=access_denied", loginAt("/callback", false), verdict.LoginFailed},
	} {
		_, w, err := serve(tt.method, "/x?"+tt.query, tt.login)
		var le *gatehouse.LoginError
		if !errors.As(err, &le) || le.Reason != tt.want || w.Body.Len() != 0 || w.Header().Get("Location") != "" {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestClientKeyFromFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pemOf(t, testKeys().ed), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := provision(t, "oidc https://idp.example id {\nclient_key "+file+"\nclient_key_id k7\nrefresh offline\n}")
	if err != nil {
		t.Fatal(err)
	}
	cfg := p.client.cfg
	if cfg.Key.kid != "k7" || !cfg.ClientSecret.IsEmpty() || strings.Join(cfg.Scopes, " ") != "openid profile email offline_access" {
		t.Errorf("got %+v", cfg)
	}
}

// TestVouchingFromLoginToLogout walks a session through what the house asks of its provider.
func TestVouchingFromLoginToLogout(t *testing.T) {
	idp := newIdP(t)
	idp.refresh = "r-1"
	idp.claims = func(c map[string]any) { c["sid"] = "s-1" }
	p := provider(t, idp)
	st, ring := stateful(t)
	p.state = func() (*gatehouse.State, error) { return &gatehouse.State{Store: st, Keys: ring}, nil }
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if _, err := p.ServeLogin(w, httptest.NewRequest("GET", "/x", nil), loginAt("", true)); err != nil {
		t.Fatal(err)
	}
	back := idp.authorize(w.Header().Get("Location"))
	v, err := p.ServeLogin(httptest.NewRecorder(), httptest.NewRequest("GET", "/x?"+back.Encode(), nil), loginAt("/callback", false))
	if err != nil || v.SID != "s-1" || v.Renew.IsZero() || len(v.Keep) == 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	if v, err = p.Renew(t.Context(), v.Keep); err != nil || v.SID != "s-1" || v.Identity.Subject != "u-1" {
		t.Fatalf("%+v, %v", v, err)
	}
	if to, err := p.EndURL(t.Context(), v.Keep, "https://app.example.com/", "s"); err != nil || !strings.Contains(to, "id_token_hint=") {
		t.Errorf("%q, %v", to, err)
	}
	if n, err := p.LogoutNotice(logoutRequest(idp.logoutToken(nil))); err != nil || n.SID != "s-1" || n.Subject != "u-1" || n.ID == "" || n.Expires.IsZero() {
		t.Errorf("%+v, %v", n, err)
	}
	if n, err := p.LogoutNotice(logoutRequest("a.b.c")); err == nil || n != nil {
		t.Errorf("%+v, %v", n, err)
	}
	idp.knob(func() { idp.refresh = "" })
	if v, err := p.Renew(t.Context(), v.Keep); v != nil || !errors.Is(err, gatehouse.ErrVouchingEnded) {
		t.Errorf("%+v, %v", v, err)
	}
	idp.knob(func() { status("/token", 503)(idp) })
	if v, err := p.Renew(t.Context(), v.Keep); v != nil || err == nil || errors.Is(err, gatehouse.ErrVouchingEnded) {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestServeLoginWithoutProvider(t *testing.T) {
	idp := newIdP(t)
	p := provider(t, idp)
	idp.Close()
	st, ring := stateful(t)
	p.state = func() (*gatehouse.State, error) { return &gatehouse.State{Store: st, Keys: ring}, nil }
	if err := p.Start(); err != nil {
		t.Errorf("the house does not start without its provider: %v", err)
	}
	_, err := p.ServeLogin(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil), loginAt("", true))
	var le *gatehouse.LoginError
	if !errors.As(err, &le) || le.Reason != verdict.ProviderDown {
		t.Errorf("got %v", err)
	}
}
