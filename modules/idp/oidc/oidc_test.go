package oidc

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/secret"
)

// logIn runs a whole login and returns how it ended. change may alter the callback's query.
func (p *fakeIdP) logIn(c *Client, a Attempt, change func(url.Values)) (*identity.Identity, error) {
	p.t.Helper()
	to, err := c.AuthURL(p.t.Context(), a)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(to, p.URL+"/auth?tenant=1&") {
		p.t.Errorf("people are sent to %s", to)
	}
	back := p.authorize(to)
	if change != nil {
		change(back)
	}
	session, err := c.Finish(p.t.Context(), back, a)
	if err != nil {
		return nil, err
	}
	return &session.Identity, nil
}

func set(name string, v any) func(*fakeIdP) {
	return func(p *fakeIdP) { p.claims = func(c map[string]any) { c[name] = v } }
}

func shifted(d time.Duration, names ...string) func(*fakeIdP) {
	return func(p *fakeIdP) {
		p.claims = func(c map[string]any) {
			for _, name := range names {
				c[name] = time.Now().Add(d).Unix()
			}
		}
	}
}

// TestLogins holds every way an ID token, a callback or a provider can be right (refused is "") or wrong.
func TestLogins(t *testing.T) {
	k := testKeys()
	tests := []struct {
		name     string
		idp      func(*fakeIdP)
		callback func(url.Values)
		down     bool   // refused as not available
		refused  string // part of the error for operators
	}{
		{name: "ok"},
		{name: "ES256", idp: func(p *fakeIdP) {
			p.alg, p.key = jose.ES256, k.ec
			p.published = []any{publicJWK(&k.ec.PublicKey, "k1", "ES256")}
		}},
		{name: "EdDSA", idp: func(p *fakeIdP) {
			p.alg, p.key = jose.EdDSA, k.ed
			p.published = []any{publicJWK(k.ed.Public(), "k1", "EdDSA")}
		}},
		{name: "PS256 with a key for any algorithm", idp: func(p *fakeIdP) { p.alg = jose.PS256; p.published = []any{publicJWK(&k.rsa.PublicKey, "k1", "")} }},
		{name: "kid absent, one key", idp: func(p *fakeIdP) { p.kid = "" }},
		{name: "key without kid", idp: func(p *fakeIdP) { p.published = []any{publicJWK(&k.rsa.PublicKey, "", "")} }},
		{name: "a key that cannot be read beside a good one", idp: func(p *fakeIdP) {
			p.published = append([]any{map[string]any{"kty": "OKP", "crv": "Ed448", "x": "AA"}, map[string]any{"kty": 7}, "nonsense"}, p.published...)
		}},
		{name: "typ at all absent", idp: func(p *fakeIdP) { p.typ = "" }},
		{name: "iss parameter", callback: func(q url.Values) { q.Set("iss", "SELF") }},
		{name: "aud as a list with azp", idp: func(p *fakeIdP) {
			p.claims = func(c map[string]any) { c["aud"], c["azp"] = []string{"other", testClientID}, testClientID }
		}},
		{name: "expired within the skew", idp: shifted(-30*time.Second, "exp")},
		{name: "nbf and iat ahead within the skew", idp: shifted(30*time.Second, "nbf", "iat")},
		{name: "issued before the login within the skew", idp: shifted(-30*time.Second, "iat")},
		{name: "times with fractions", idp: func(p *fakeIdP) {
			p.claims = func(c map[string]any) { c["iat"] = float64(time.Now().UnixMilli()) / 1000 }
		}},
		{name: "at_hash", idp: set("at_hash", atHash("access"))},
		{name: "client_secret_post", idp: func(p *fakeIdP) {
			p.discovery = func(d map[string]any) {
				d["token_endpoint_auth_methods_supported"] = []string{"client_secret_post", "private_key_jwt"}
			}
		}},
		{name: "2,000 groups", idp: set("groups", strings.Split(strings.Repeat("cn=some-long-group-name,", 2000), ","))},

		{name: "alg none", idp: func(p *fakeIdP) { p.alg = "none" }, refused: "malformed"},
		{name: "HS256 with the public key", idp: hs256(func(p *fakeIdP) []byte { return p.trustPEM() }), refused: "malformed"},
		{name: "HS256 with the client secret", idp: hs256(func(*fakeIdP) []byte { return []byte(testSecret) }), refused: "malformed"},
		{name: "an algorithm that was not announced", idp: func(p *fakeIdP) {
			p.discovery = func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []string{"ES256"} }
		}, refused: "malformed"},
		{name: "another algorithm than the key's", idp: func(p *fakeIdP) { p.alg = jose.PS256 }, refused: "no key"},
		{name: "bad signature", idp: func(p *fakeIdP) { p.key = k.other }, refused: "no key"},
		{name: "kid unknown", idp: func(p *fakeIdP) { p.kid = "k9" }, refused: "no key"},
		{name: "signed with an encryption key", idp: func(p *fakeIdP) {
			enc := publicJWK(&k.other.PublicKey, "k2", "")
			enc.Use = "enc"
			p.key, p.kid, p.published = k.other, "k2", append(p.published, enc)
		}, refused: "no key"},
		{name: "RSA key of 1,024 bits", idp: func(p *fakeIdP) { p.key = k.small; p.published = []any{publicJWK(&k.small.PublicKey, "k1", "")} }, down: true, refused: "no usable key"},
		{name: "private key published", idp: func(p *fakeIdP) { p.published = []any{publicJWK(k.rsa, "k1", "")} }, down: true, refused: "no usable key"},
		{name: "payload changed", idp: func(p *fakeIdP) {
			p.forge = func(h, b []byte) string {
				token := sign(t, jose.RS256, k.rsa, h, b)
				return strings.Replace(token, b64(b), b64([]byte(strings.Replace(string(b), "u-1", "u-2", 1))), 1)
			}
		}, refused: "no key"},
		{name: "JSON serialisation", idp: func(p *fakeIdP) {
			p.forge = func(h, b []byte) string {
				part := strings.Split(sign(t, jose.RS256, k.rsa, h, b), ".")
				return `{"protected":"` + part[0] + `","payload":"` + part[1] + `","signature":"` + part[2] + `"}`
			}
		}, refused: "three parts"},
		{name: "encrypted token", idp: func(p *fakeIdP) { p.forge = func(_, _ []byte) string { return "e30.a.b.c.d" } }, refused: "three parts"},
		{name: "empty ID token", idp: func(p *fakeIdP) { p.forge = func(_, _ []byte) string { return "" } }, refused: "no ID token"},
		{name: "critical extension", idp: func(p *fakeIdP) { p.crit = true }, refused: "critical"},
		{name: "access token", idp: func(p *fakeIdP) { p.typ = "at+jwt" }, refused: "of type"},
		{name: "logout token by header", idp: func(p *fakeIdP) { p.typ = "logout+jwt" }, refused: "of type"},
		{name: "logout token by claim", idp: set("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}), refused: "security event"},

		{name: "wrong iss", idp: set("iss", "https://evil.example"), refused: "different provider"},
		{name: "no iss", idp: set("iss", nil), refused: "different provider"},
		{name: "wrong aud", idp: set("aud", "other"), refused: "audience"},
		{name: "no aud", idp: set("aud", nil), refused: "audience"},
		{name: "several aud without azp", idp: set("aud", []string{testClientID, "other"}), refused: "no azp"},
		{name: "azp of another client", idp: set("azp", "other"), refused: "azp"},
		{name: "aud only by another case of its name", idp: func(p *fakeIdP) {
			p.claims = func(c map[string]any) { c["AUD"], c["aud"] = c["aud"], nil }
		}, refused: "it is not about this login: for"},
		{name: "wrong nonce", idp: set("nonce", "x"), refused: "nonce"},
		{name: "no nonce", idp: set("nonce", nil), refused: "nonce"},
		{name: "nonce that is no string", idp: set("nonce", 7), refused: "ID token"},
		{name: "no sub", idp: set("sub", nil), refused: "sub"},
		{name: "empty sub", idp: set("sub", ""), refused: "sub"},
		{name: "sub that is a number", idp: set("sub", 7), refused: "ID token"},
		{name: "sub of 256 characters", idp: set("sub", strings.Repeat("a", 256)), refused: "sub"},
		{name: "sub with a line break", idp: set("sub", "a\r\nX-Role: admin"), refused: "sub"},
		{name: "sub by another case of its name", idp: func(p *fakeIdP) {
			p.claims = func(c map[string]any) { c["SUB"], c["sub"] = c["sub"], nil }
		}, refused: "sub"},
		{name: "no iat", idp: set("iat", nil), refused: "without exp or iat"},
		{name: "no exp", idp: set("exp", nil), refused: "without exp or iat"},
		{name: "iat that is text", idp: set("iat", "now"), refused: "ID token"},
		{name: "expired", idp: shifted(-2*time.Minute, "exp"), refused: "expired"},
		{name: "nbf ahead", idp: shifted(2*time.Minute, "nbf"), refused: "not valid for another"},
		{name: "clock ten minutes ahead", idp: shifted(10*time.Minute, "iat"), refused: "ahead of our clock"},
		{name: "clock ten minutes behind", idp: shifted(-10*time.Minute, "iat"), refused: "before it was asked for; the provider's clock agrees with ours"},
		{name: "auth_time ahead", idp: shifted(10*time.Minute, "auth_time"), refused: "auth_time"},
		{name: "at_hash of another token", idp: set("at_hash", atHash("other")), refused: "at_hash"},
		{name: "groups of another shape", idp: set("groups", map[string]any{"admin": true}), refused: "roles"},
		{name: "groups overage", idp: func(p *fakeIdP) {
			p.claims = func(c map[string]any) {
				c["groups"], c["_claim_names"] = nil, map[string]any{"groups": "src1"}
				c["_claim_sources"] = map[string]any{"src1": map[string]any{"endpoint": "https://graph.example"}}
			}
		}, refused: "groups not delivered"},
		{name: "groups overage hinted at", idp: func(p *fakeIdP) {
			p.claims = func(c map[string]any) { c["groups"], c["hasgroups"] = nil, true }
		}, refused: "groups not delivered"},
		{name: "too many groups", idp: set("groups", strings.Split(strings.Repeat("g,", maxRoles+1), ",")), refused: "map those that matter"},

		{name: "mix-up", callback: func(q url.Values) { q.Set("iss", "https://evil.example") }, refused: "mix-up"},
		{name: "iss empty", callback: func(q url.Values) { q.Set("iss", "") }, refused: "mix-up"},
		{name: "iss promised and missing", idp: func(p *fakeIdP) {
			p.discovery = func(d map[string]any) { d["authorization_response_iss_parameter_supported"] = true }
		}, refused: "no iss"},
		{name: "error with an attack in it", callback: func(q url.Values) {
			q.Set("error", "<script>alert(1)</script>")
			q.Set("error_description", "\r\nSet-Cookie: a=b")
		}, refused: "without a known code"},
		{name: "access denied", callback: func(q url.Values) { q.Set("error", "access_denied") }, refused: "access_denied"},
		{name: "provider in trouble", callback: func(q url.Values) { q.Set("error", "temporarily_unavailable") }, down: true, refused: "temporarily"},
		{name: "no code", callback: func(q url.Values) { q.Del("code") }, refused: "no code"},
		{name: "two codes", callback: func(q url.Values) { q.Add("code", "x") }, refused: "more than one code"},
		{name: "code of somebody else", callback: func(q url.Values) { q.Set("code", "x") }, refused: "invalid_grant"},

		{name: "sid with a line break", idp: set("sid", "a\r\nb"), refused: "sid"},
		{name: "sid of 256 characters", idp: set("sid", strings.Repeat("a", 256)), refused: "sid"},
		{name: "more audiences than can be kept", idp: func(p *fakeIdP) {
			p.claims = func(c map[string]any) {
				c["aud"], c["azp"] = append(strings.Split(strings.Repeat("a,", maxAudience), ","), testClientID), testClientID
			}
		}, refused: "audiences"},
		{name: "a token of another kind than bearer", idp: func(p *fakeIdP) { p.answer = func(a map[string]any) { a["token_type"] = "DPoP" } }, refused: "no bearer token"},
		{name: "no access token", idp: func(p *fakeIdP) { p.answer = func(a map[string]any) { delete(a, "access_token") } }, refused: "no bearer token"},
		{name: "token answer is no JSON", idp: body("/token", "<html>"), down: true, refused: "not the JSON"},
		{name: "no ID token", idp: func(p *fakeIdP) { p.answer = func(a map[string]any) { delete(a, "id_token") } }, refused: "no ID token"},
		{name: "ID token that is an object", idp: func(p *fakeIdP) { p.answer = func(a map[string]any) { a["id_token"] = map[string]any{} } }, refused: "no ID token"},
		{name: "token endpoint fails", idp: status("/token", 503), down: true, refused: "503"},
		{name: "token endpoint is redirected", idp: redirect("/token"), refused: "307"},
		{name: "token answer is huge", idp: huge("/token"), down: true, refused: "token endpoint"},
		{name: "keys fail", idp: status("/jwks", 500), down: true, refused: "500"},
		{name: "keys are huge", idp: huge("/jwks"), down: true, refused: "too large"},
		{name: "keys are no JSON", idp: body("/jwks", "<html>"), down: true, refused: "not the JSON"},
		{name: "no keys", idp: body("/jwks", "null"), down: true, refused: "no usable key"},
		{name: "discovery fails", idp: status(endpoints[0], 500), down: true, refused: "500"},
		{name: "discovery is huge", idp: huge(endpoints[0]), down: true, refused: "too large"},
		{name: "discovery is redirected", idp: redirect(endpoints[0]), down: true, refused: "307"},
		{name: "discovery of another issuer", idp: discovered("issuer", "https://evil.example"), down: true, refused: "speaks for"},
		{name: "discovery with a slash more", idp: func(p *fakeIdP) { discovered("issuer", p.URL+"/")(p) }, down: true, refused: "speaks for"},
		{name: "http token endpoint", idp: discovered("token_endpoint", "http://idp.example/token"), down: true, refused: "not an https URL"},
		{name: "authorization endpoint is a script", idp: discovered("authorization_endpoint", "javascript:alert(1)"), down: true, refused: "not an https URL"},
		{name: "symmetric algorithms only", idp: discovered("id_token_signing_alg_values_supported", []string{"HS256", "none"}), down: true, refused: "no algorithm"},
		{name: "no secret accepted", idp: discovered("token_endpoint_auth_methods_supported", []string{"private_key_jwt"}), down: true, refused: "neither"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdP(t)
			if tt.idp != nil {
				tt.idp(p)
			}
			who, err := p.logIn(p.client(), attempt(), func(q url.Values) {
				if tt.callback != nil {
					tt.callback(q)
				}
				if q.Get("iss") == "SELF" {
					q.Set("iss", p.URL)
				}
			})
			if tt.refused == "" {
				if err != nil || who.Subject != "u-1" || who.Issuer != p.URL || who.Provider != "oidc" {
					t.Fatalf("got %+v, %v; want u-1", who, err)
				}
				return
			}
			if err == nil || who != nil {
				t.Fatalf("logged in as %+v", who)
			}
			if errors.Is(err, ErrDown) != tt.down || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("refused with %v; want %q, down %v", err, tt.refused, tt.down)
			}
			if text := err.Error(); strings.ContainsAny(text, "\r\n") || strings.Contains(text, testSecret) || len(text) > 1000 {
				t.Errorf("the error shows too much: %q", text)
			}
		})
	}
}

func hs256(key func(*fakeIdP) []byte) func(*fakeIdP) {
	return func(p *fakeIdP) { p.alg, p.key = jose.HS256, key(p) }
}

func discovered(name string, v any) func(*fakeIdP) {
	return func(p *fakeIdP) { p.discovery = func(d map[string]any) { d[name] = v } }
}

func answering(path string, fn func(http.ResponseWriter, *http.Request)) func(*fakeIdP) {
	return func(p *fakeIdP) { p.handle[path] = fn }
}

func status(path string, code int) func(*fakeIdP) {
	return answering(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

func body(path, text string) func(*fakeIdP) {
	return answering(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

func huge(path string) func(*fakeIdP) { return body(path, `{"a":"`+strings.Repeat("a", maxBody)+`"}`) }

// redirect sends the request, secret and all, to another path of the same host: even that is not followed.
func redirect(path string) func(*fakeIdP) {
	return answering(path, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
}

func TestNewClientRefuses(t *testing.T) {
	good := Config{Name: "oidc", Issuer: "https://idp.example", ClientID: "id", ClientSecret: secret.New("s"), RolesClaim: "groups"}
	tests := []struct {
		name   string
		change func(*Config)
		ok     bool
	}{
		{"good", func(*Config) {}, true},
		{"path", func(c *Config) { c.Issuer = "https://idp.example/realms/a" }, true},
		{"http", func(c *Config) { c.Issuer = "http://idp.example" }, false},
		{"loopback http", func(c *Config) { c.Issuer = "http://127.0.0.1:1" }, false},
		{"loopback http by its word", func(c *Config) { c.Issuer, c.InsecureHTTP = "http://127.0.0.1:1", true }, true},
		{"http elsewhere by that word", func(c *Config) { c.Issuer, c.InsecureHTTP = "http://idp.example", true }, false},
		{"localhost as a prefix", func(c *Config) { c.Issuer, c.InsecureHTTP = "http://localhost.evil.example", true }, false},
		{"no scheme", func(c *Config) { c.Issuer = "idp.example" }, false},
		{"no host", func(c *Config) { c.Issuer = "https:///a" }, false},
		{"user name", func(c *Config) { c.Issuer = "https://a@idp.example" }, false},
		{"query", func(c *Config) { c.Issuer = "https://idp.example?a" }, false},
		{"fragment", func(c *Config) { c.Issuer = "https://idp.example#a" }, false},
		{"no secret", func(c *Config) { c.ClientSecret = secret.String{} }, false},
		{"no client id", func(c *Config) { c.ClientID = "" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			if _, err := NewClient(cfg); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// FuzzClaims: whatever a provider puts into its claims, nothing but bounded, visible text comes out.
func FuzzClaims(f *testing.F) {
	f.Add(`{"sub":"a","iat":1,"groups":["a",""],"name":"x\u0000y","email":"a@b","email_verified":"true","amr":"pwd"}`)
	f.Add(`{"sub":"a","realm_access":{"roles":"admin"},"auth_time":1e99}`)
	c := &Client{cfg: Config{Name: "oidc", RolesClaim: "groups"}}
	f.Fuzz(func(t *testing.T, text string) {
		cl, err := parseClaims([]byte(text))
		if err != nil {
			return
		}
		_ = cl.checkTimes(time.Now(), expected{started: time.Now(), clock: new(clock)})
		who, err := c.identityOf(cl)
		if err != nil {
			return
		}
		for _, s := range append(append([]string{who.Name, who.Email, who.ACR}, who.Roles...), who.AMR...) {
			if len(s) > maxText || clean(s) != s {
				t.Errorf("took over %q", s)
			}
		}
		if _, err := json.Marshal(who); err != nil {
			t.Error(err)
		}
	})
}
