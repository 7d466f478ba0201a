package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/secret"
)

func pemOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestPrivateKeyJWT(t *testing.T) {
	k := testKeys()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(k.ec)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		pem      []byte
		public   any
		algs     []string
		endpoint bool
		refused  string
	}{
		{name: "RSA, what every provider takes", pem: pemOf(t, k.rsa), public: &k.rsa.PublicKey},
		{name: "RSA PS256", pem: pemOf(t, k.rsa), public: &k.rsa.PublicKey, algs: []string{"RS256", "PS256"}},
		{name: "RSA PKCS 1", pem: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k.rsa)}), public: &k.rsa.PublicKey, algs: []string{"RS256"}},
		{name: "P-256", pem: pemOf(t, k.ec), public: &k.ec.PublicKey, algs: []string{"ES256"}},
		{name: "P-256 SEC 1", pem: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}), public: &k.ec.PublicKey},
		{name: "P-384", pem: pemOf(t, p384), public: &p384.PublicKey},
		{name: "Ed25519", pem: pemOf(t, k.ed), public: k.ed.Public(), algs: []string{"EdDSA"}},
		{name: "for the token endpoint", pem: pemOf(t, k.ed), public: k.ed.Public(), endpoint: true},
		{name: "an algorithm that is not taken", pem: pemOf(t, k.ed), algs: []string{"RS256"}, refused: "no client assertion"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := ParseClientKey(tt.pem, "")
			if err != nil {
				t.Fatal(err)
			}
			if text := fmt.Sprintf("%+v %#v", key, Config{Key: key}); strings.Contains(text, k.rsa.D.String()) {
				t.Error("the key shows")
			}
			p := newIdP(t)
			p.clientPub, p.refresh = tt.public, "r-1"
			p.discovery = func(d map[string]any) {
				d["token_endpoint_auth_methods_supported"] = []string{authBasic, authKey}
				d["pushed_authorization_request_endpoint"] = p.URL + "/par"
				if tt.algs != nil {
					d["token_endpoint_auth_signing_alg_values_supported"] = tt.algs
				}
			}
			c := p.client(func(c *Config) { c.Key, c.ClientSecret, c.KeyForEndpoint = key, secret.String{}, tt.endpoint })
			if tt.refused != "" {
				if _, err := c.AuthURL(t.Context(), attempt()); err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v", err)
				}
				return
			}
			if _, err := c.Renew(t.Context(), p.begin(c).Keep); err != nil {
				t.Error(err)
			}
		})
	}
	p := newIdP(t)
	key, err := ParseClientKey(pemOf(t, k.ec), "k")
	if err != nil {
		t.Fatal(err)
	}
	c := p.client(func(c *Config) { c.Key, c.ClientSecret = key, secret.String{} })
	if _, err := c.AuthURL(t.Context(), attempt()); err == nil || !strings.Contains(err.Error(), "does not take private_key_jwt") {
		t.Errorf("a provider that does not take keys: %v", err)
	}
}

func TestParseClientKeyRefuses(t *testing.T) {
	k := testKeys()
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"nothing":      nil,
		"no PEM":       []byte("secret-text"),
		"public key":   pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		"garbage":      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret-text")}),
		"RSA of 1,024": pemOf(t, k.small),
		"P-224":        pemOf(t, p224),
	} {
		if key, err := ParseClientKey(text, ""); key != nil || err == nil || strings.Contains(err.Error(), "secret-text") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPushedRequests(t *testing.T) {
	offer := func(p *fakeIdP) {
		p.discovery = func(d map[string]any) { d["pushed_authorization_request_endpoint"] = p.URL + "/par" }
	}
	tests := []struct {
		name    string
		idp     func(*fakeIdP)
		off     bool
		pushes  int32
		down    bool
		refused string
	}{
		{name: "not offered"},
		{name: "offered", idp: offer, pushes: 1},
		{name: "offered and not wanted", idp: offer, off: true},
		{name: "required", idp: func(p *fakeIdP) {
			p.discovery = func(d map[string]any) {
				d["pushed_authorization_request_endpoint"], d["require_pushed_authorization_requests"] = p.URL+"/par", true
			}
		}, pushes: 1},
		{name: "required and not offered", idp: discovered("require_pushed_authorization_requests", true), down: true, refused: "pushed_authorization_request_endpoint"},
		{name: "required and not wanted", idp: func(p *fakeIdP) {
			p.discovery = func(d map[string]any) {
				d["pushed_authorization_request_endpoint"], d["require_pushed_authorization_requests"] = p.URL+"/par", true
			}
		}, off: true, down: true, refused: "par off"},
		{name: "refused", idp: func(p *fakeIdP) { offer(p); status("/par", 403)(p) }, pushes: 1, refused: "par off"},
		{name: "fails", idp: func(p *fakeIdP) { offer(p); status("/par", 500)(p) }, pushes: 1, down: true, refused: "500"},
		{name: "empty answer", idp: func(p *fakeIdP) { offer(p); body("/par", "{}")(p) }, pushes: 1, refused: "no request_uri"},
		{name: "no JSON", idp: func(p *fakeIdP) { offer(p); body("/par", "<html>")(p) }, pushes: 1, down: true, refused: "JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdP(t)
			if tt.idp != nil {
				tt.idp(p)
			}
			a := attempt()
			c := p.client(func(c *Config) { c.NoPush = tt.off })
			to, err := c.AuthURL(t.Context(), a)
			if n := p.hits["/par"].Load(); n != tt.pushes {
				t.Errorf("%d pushes, want %d", n, tt.pushes)
			}
			if tt.refused != "" {
				if to != "" || err == nil || errors.Is(err, ErrDown) != tt.down || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %q, %v", to, err)
				}
				return
			}
			if tt.pushes > 0 && strings.Contains(to, a.State) {
				t.Errorf("the browser sees the request: %s", to)
			}
			if s, err := c.Finish(t.Context(), p.authorize(to), a); err != nil || s.Identity.Subject != "u-1" {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
}

// TestProofAskedFor: acr_values, max_age and prompt are asked for, and what comes is held against them.
func TestProofAskedFor(t *testing.T) {
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	tests := []struct {
		name    string
		ask     func(*Attempt)
		claims  map[string]any
		query   url.Values // what the request must say
		refused string
	}{
		{name: "acr", ask: func(a *Attempt) { a.ACR = []string{"gold", "silver"} }, claims: map[string]any{"acr": "silver"}, query: url.Values{"acr_values": {"gold silver"}}},
		{name: "lower acr", ask: func(a *Attempt) { a.ACR = []string{"gold"} }, claims: map[string]any{"acr": "bronze"}, refused: "acr"},
		{name: "no acr", ask: func(a *Attempt) { a.ACR = []string{"gold"} }, refused: "acr"},
		{name: "max_age", ask: func(a *Attempt) { a.MaxAge = time.Hour }, claims: map[string]any{"auth_time": ago(59 * time.Minute)}, query: url.Values{"max_age": {"3600"}}},
		{name: "max_age within the skew", ask: func(a *Attempt) { a.MaxAge = time.Hour }, claims: map[string]any{"auth_time": ago(time.Hour + 30*time.Second)}},
		{name: "too old", ask: func(a *Attempt) { a.MaxAge = time.Hour }, claims: map[string]any{"auth_time": ago(2 * time.Hour)}, refused: "max_age"},
		{name: "max_age without auth_time", ask: func(a *Attempt) { a.MaxAge = time.Hour }, refused: "auth_time"},
		{name: "anew", ask: func(a *Attempt) { a.Anew = true }, claims: map[string]any{"auth_time": ago(0)}, query: url.Values{"max_age": {"0"}, "prompt": {"login"}}},
		{name: "anew with consent", ask: func(a *Attempt) { a.Anew, a.Prompt = true, "consent" }, claims: map[string]any{"auth_time": ago(0)}, query: url.Values{"prompt": {"login consent"}}},
		{name: "not anew", ask: func(a *Attempt) { a.Anew = true }, claims: map[string]any{"auth_time": ago(5 * time.Minute)}, refused: "again"},
		{name: "anew without auth_time", ask: func(a *Attempt) { a.Anew = true }, refused: "auth_time"},
		{name: "prompt", ask: func(a *Attempt) { a.Prompt = "select_account" }, query: url.Values{"prompt": {"select_account"}}},
		{name: "nothing", ask: func(*Attempt) {}, query: url.Values{"prompt": nil, "max_age": nil, "acr_values": nil}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdP(t)
			p.claims = func(c map[string]any) {
				for name, v := range tt.claims {
					c[name] = v
				}
			}
			c, a := p.client(), attempt()
			tt.ask(&a)
			to, err := c.AuthURL(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			u, _ := url.Parse(to)
			for name, want := range tt.query {
				if got := u.Query()[name]; !slices.Equal(got, want) {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			_, err = c.Finish(t.Context(), p.authorize(to), a)
			if (err != nil) != (tt.refused != "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("got %v, want %q", err, tt.refused)
			}
		})
	}
}

// TestGroupsOverage: groups that do not fit the token come from Graph where that is configured, and from nowhere else.
func TestGroupsOverage(t *testing.T) {
	groups := func(n int) (ids []map[string]string) {
		for i := range n {
			ids = append(ids, map[string]string{"id": fmt.Sprint("g-", i)})
		}
		return ids
	}
	tests := []struct {
		name    string
		serve   func(w http.ResponseWriter, r *http.Request, base string)
		roles   int
		down    bool
		refused string
	}{
		{name: "one page", serve: func(w http.ResponseWriter, _ *http.Request, _ string) {
			writeJSON(w, map[string]any{"value": groups(300)})
		}, roles: 300},
		{name: "none", serve: func(w http.ResponseWriter, _ *http.Request, _ string) { writeJSON(w, map[string]any{"value": nil}) }},
		{name: "pages", serve: func(w http.ResponseWriter, r *http.Request, base string) {
			page := map[string]any{"value": []map[string]string{{"id": "p" + r.URL.Query().Get("$skiptoken")}}}
			if at := len(r.URL.Query().Get("$skiptoken")); at < 3 {
				page["@odata.nextLink"] = base + graphPath + "?$skiptoken=" + strings.Repeat("x", at+1)
			}
			writeJSON(w, page)
		}, roles: 4},
		{name: "pages without end", serve: func(w http.ResponseWriter, r *http.Request, base string) {
			writeJSON(w, map[string]any{"value": groups(1), "@odata.nextLink": base + r.URL.Path + "?x"})
		}, refused: "more than 20 pages"},
		{name: "continues on another host", serve: func(w http.ResponseWriter, _ *http.Request, _ string) {
			writeJSON(w, map[string]any{"@odata.nextLink": "https://evil.example" + graphPath})
		}, refused: "continues elsewhere"},
		{name: "continues on another path", serve: func(w http.ResponseWriter, _ *http.Request, base string) {
			writeJSON(w, map[string]any{"@odata.nextLink": base + "/v1.0/me"})
		}, refused: "continues elsewhere"},
		{name: "not permitted", serve: func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(403) }, refused: "groups not delivered"},
		{name: "fails", serve: func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(503) }, down: true, refused: "groups not delivered"},
		{name: "more than can be kept", serve: func(w http.ResponseWriter, _ *http.Request, _ string) {
			writeJSON(w, map[string]any{"value": groups(maxRoles + 1)})
		}, refused: "map those that matter"},
	}
	for _, tt := range tests {
		for _, hint := range []string{"_claim_names", "hasgroups"} {
			t.Run(tt.name+", "+hint, func(t *testing.T) {
				p := newIdP(t)
				var graph *httptest.Server
				graph = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") != "Bearer access" || r.URL.Path != graphPath || r.Header.Get("ConsistencyLevel") == "" {
						t.Errorf("Graph was asked %s with %v", r.URL, r.Header)
					}
					tt.serve(w, r, graph.URL)
				}))
				graph.TLS = p.TLS.Clone()
				graph.StartTLS()
				defer graph.Close()
				p.claims = func(c map[string]any) {
					c["groups"] = nil
					if hint == "hasgroups" {
						c["hasgroups"] = "true"
						return
					}
					c["_claim_names"] = map[string]any{"groups": "src1"}
					c["_claim_sources"] = map[string]any{"src1": map[string]any{"endpoint": "https://evil.example/groups"}}
				}
				c := p.client(func(c *Config) { c.Graph = graph.URL + "/" })
				who, err := p.logIn(c, attempt(), nil)
				if tt.refused != "" {
					if who != nil || err == nil || errors.Is(err, ErrDown) != tt.down || !strings.Contains(err.Error(), tt.refused) {
						t.Errorf("got %+v, %v", who, err)
					}
					return
				}
				if err != nil || len(who.Roles) != tt.roles {
					t.Errorf("got %+v, %v", who, err)
				}
			})
		}
	}
}
