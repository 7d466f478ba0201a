package oidc

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestConformance runs the OpenID Foundation's relying party tests for the code flow, by their names, against a provider
// that does what theirs does. Those that only tell what a relying party may ignore are left out.
func TestConformance(t *testing.T) {
	k := testKeys()
	two := func(p *fakeIdP) {
		p.published = []any{publicJWK(&k.other.PublicKey, "k0", ""), publicJWK(&k.rsa.PublicKey, "k1", "")}
	}
	both := func(fns ...func(*fakeIdP)) func(*fakeIdP) {
		return func(p *fakeIdP) {
			for _, fn := range fns {
				fn(p)
			}
		}
	}
	tests := []struct {
		name    string
		idp     func(*fakeIdP)
		refused string // part of the error; "": it must work
	}{
		{name: "oidcc-client-test"},
		{name: "oidcc-client-test-nonce-invalid", idp: set("nonce", "invalid"), refused: "nonce"},
		{name: "oidcc-client-test-scope-userinfo-claims", idp: both(set("groups", nil), func(p *fakeIdP) {
			p.userinfo = map[string]any{"sub": "u-1", "groups": []string{"staff"}, "email": "a@b.c"}
		})},
		{name: "oidcc-client-test-client-secret-basic", idp: discovered("token_endpoint_auth_methods_supported", []string{authBasic})},
		{name: "oidcc-client-test-client-secret-post", idp: discovered("token_endpoint_auth_methods_supported", []string{authPost})},
		{name: "oidcc-client-test-kid-absent-single-jwks", idp: func(p *fakeIdP) { p.kid = "" }},
		{name: "oidcc-client-test-kid-absent-multiple-jwks", idp: both(two, func(p *fakeIdP) { p.kid = "" })},
		{name: "oidcc-client-test-missing-iat", idp: set("iat", nil), refused: "iat"},
		{name: "oidcc-client-test-missing-aud", idp: set("aud", nil), refused: "audience"},
		{name: "oidcc-client-test-invalid-aud", idp: set("aud", testClientID+"1"), refused: "audience"},
		{name: "oidcc-client-test-missing-sub", idp: set("sub", nil), refused: "sub"},
		{name: "oidcc-client-test-invalid-iss", idp: set("iss", "https://localhost/1"), refused: "different provider"},
		{name: "oidcc-client-test-idtoken-sig-none", idp: func(p *fakeIdP) { p.alg = "none" }, refused: "malformed"},
		{name: "oidcc-client-test-idtoken-sig-rs256"},
		{name: "oidcc-client-test-invalid-sig-rs256", idp: func(p *fakeIdP) { p.key = k.other }, refused: "no key"},
		{name: "oidcc-client-test-invalid-sig-hs256", idp: hs256(func(*fakeIdP) []byte { return []byte("wrong") }), refused: "malformed"},
		{name: "oidcc-client-test-invalid-sig-es256", idp: func(p *fakeIdP) {
			p.alg, p.key = jose.ES256, k.ec
			p.published = []any{publicJWK(&k.rsa.PublicKey, "k1", "")}
		}, refused: "no key"},
		{name: "oidcc-client-test-userinfo-invalid-sub", idp: both(set("groups", nil), func(p *fakeIdP) {
			p.userinfo = map[string]any{"sub": "u-1invalid", "groups": []string{"admin"}}
		}), refused: "somebody else"},
		{name: "oidcc-client-test-userinfo-bearer-header", idp: both(set("groups", nil), func(p *fakeIdP) {
			p.handle["/userinfo"] = func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer access" || r.URL.RawQuery != "" || r.Method != "GET" {
					t.Errorf("userinfo was asked with %s %s %v", r.Method, r.URL, r.Header)
				}
				writeJSON(w, map[string]any{"sub": "u-1", "groups": []string{"staff"}})
			}
		})},
		{name: "oidcc-client-test-discovery-openid-config"},
		{name: "oidcc-client-test-discovery-jwks-uri-keys", idp: two},
		{name: "oidcc-client-test-discovery-issuer-mismatch", idp: discovered("issuer", "https://evil.example"), refused: "speaks for"},
		{name: "oidcc-client-test-ignores-unparseable-key", idp: func(p *fakeIdP) {
			p.published = append([]any{map[string]any{"kty": "unknown", "kid": "k1"}, 7}, p.published...)
		}},
		{name: "oidcc-client-test-aggregated-claims", idp: func(p *fakeIdP) {
			p.claims = func(c map[string]any) {
				c["_claim_names"] = map[string]any{"address": "src1"}
				c["_claim_sources"] = map[string]any{"src1": map[string]any{"JWT": "a.b.c"}}
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdP(t)
			if tt.idp != nil {
				tt.idp(p)
			}
			who, err := p.logIn(p.client(), attempt(), nil)
			if tt.refused == "" && (err != nil || who.Subject != "u-1" || !strings.Contains(strings.Join(who.Roles, " "), "staff")) {
				t.Errorf("got %+v, %v", who, err)
			}
			if tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused)) {
				t.Errorf("got %+v, %v; want it refused with %q", who, err, tt.refused)
			}
		})
	}
}

// TestConformanceSigningKeyRotation: oidcc-client-test-signing-key-rotation, and -just-before-signing, where the token
// comes with the first sight of the key.
func TestConformanceSigningKeyRotation(t *testing.T) {
	k := testKeys()
	for _, name := range []string{"oidcc-client-test-signing-key-rotation", "oidcc-client-test-signing-key-rotation-just-before-signing"} {
		t.Run(name, func(t *testing.T) {
			p := newIdP(t)
			c := p.client()
			if _, err := p.logIn(c, attempt(), nil); err != nil {
				t.Fatal(err)
			}
			rotate := func() { p.key, p.kid, p.published = k.other, "k2", []any{publicJWK(&k.other.PublicKey, "k2", "")} }
			if strings.HasSuffix(name, "signing") {
				p.handle["/token"] = func(w http.ResponseWriter, r *http.Request) { p.knob(rotate); p.serveToken(w, r) }
			} else {
				p.knob(rotate)
			}
			if _, err := p.logIn(c, attempt(), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestConformanceRefresh: OpenID Connect Core 12.2.
func TestConformanceRefresh(t *testing.T) {
	tests := []struct {
		name    string
		first   map[string]any // claims of the login's ID token
		renewed map[string]any // claims of the renewed one
		ended   bool
		refused string
	}{
		{name: "oidcc-client-test-refresh-token"},
		{name: "with the same nonce", first: map[string]any{"nonce": nil}, renewed: map[string]any{"nonce": "SAME"}},
		{name: "oidcc-client-test-refresh-token-invalid-iss", renewed: map[string]any{"iss": "https://evil.example"}, ended: true, refused: "different provider"},
		{name: "oidcc-client-test-refresh-token-invalid-aud", renewed: map[string]any{"aud": "other"}, ended: true, refused: "audience"},
		{name: "oidcc-client-test-refresh-token-invalid-sub", renewed: map[string]any{"sub": "u-2"}, ended: true, refused: "sub is another"},
		{name: "oidcc-client-test-refresh-token-invalid-azp", first: map[string]any{"azp": testClientID}, renewed: map[string]any{"azp": "other"}, ended: true, refused: "azp"},
		{name: "azp gone", first: map[string]any{"azp": testClientID}, ended: true, refused: "azp"},
		{name: "azp that was not there", renewed: map[string]any{"azp": testClientID}, ended: true, refused: "azp"},
		{name: "an audience gone", first: map[string]any{"aud": []string{testClientID, "api"}, "azp": testClientID}, renewed: map[string]any{"azp": testClientID}, ended: true, refused: "gone"},
		{name: "nonce of another login", renewed: map[string]any{"nonce": "other"}, ended: true, refused: "nonce"},
		{name: "auth_time later", first: map[string]any{"auth_time": time.Now().Add(-time.Hour).Unix()}, renewed: map[string]any{"auth_time": time.Now().Unix()}, ended: true, refused: "auth_time"},
		{name: "a security event", renewed: map[string]any{"events": map[string]any{}}, ended: true, refused: "security event"},
		{name: "no sub", renewed: map[string]any{"sub": nil}, refused: "sub"},
		{name: "iat of long ago", renewed: map[string]any{"iat": time.Now().Add(-time.Hour).Unix()}, refused: "before it was asked for"},
		{name: "expired", renewed: map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, refused: "expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdP(t)
			p.refresh = "r-1"
			var nonce any
			apply := func(changes map[string]any) func(map[string]any) {
				return func(c map[string]any) {
					if c["nonce"] != nil {
						nonce = c["nonce"]
					}
					for name, v := range changes {
						if name == "nonce" && v == nil {
							continue
						}
						if v == "SAME" {
							v = nonce
						}
						c[name] = v
					}
				}
			}
			p.claims, p.renewed = apply(tt.first), apply(tt.renewed)
			c := p.client()
			s, err := c.Renew(t.Context(), p.begin(c).Keep)
			if tt.refused == "" {
				if err != nil || s.Identity.Subject != "u-1" {
					t.Fatalf("got %+v, %v", s, err)
				}
				return
			}
			if s != nil || err == nil || errors.Is(err, ErrEnded) != tt.ended || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("got %+v, %v; want it refused with %q, ended %v", s, err, tt.refused, tt.ended)
			}
		})
	}
}

// TestConformanceBackChannelLogout: OpenID Connect Back-Channel Logout 2.6.
func TestConformanceBackChannelLogout(t *testing.T) {
	k := testKeys()
	claim := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	at := func(name string, d time.Duration) func(map[string]any) { return claim(name, time.Now().Add(d).Unix()) }
	tests := []struct {
		name    string
		idp     func(*fakeIdP)
		change  func(map[string]any)
		refused string
	}{
		{name: "oidcc-client-test-rp-backchannel-logout"},
		{name: "typ logout+jwt", idp: func(p *fakeIdP) { p.typ = "logout+jwt" }},
		{name: "no typ", idp: func(p *fakeIdP) { p.typ = "" }},
		{name: "sub only", change: claim("sid", nil)},
		{name: "sid only", change: claim("sub", nil)},
		{name: "several audiences", change: claim("aud", []string{"other", testClientID})},
		{name: "clock ahead within the skew", change: at("iat", 30*time.Second)},
		{name: "expired within the skew", change: at("exp", -30*time.Second)},
		{name: "oidcc-client-test-rp-backchannel-logout-alg-none", idp: func(p *fakeIdP) { p.alg = "none" }, refused: "malformed"},
		{name: "oidcc-client-test-rp-backchannel-logout-wrong-alg", idp: func(p *fakeIdP) { p.alg = jose.PS256 }, refused: "no key"},
		{name: "HS256 with the public key", idp: hs256(func(p *fakeIdP) []byte { return p.trustPEM() }), refused: "malformed"},
		{name: "bad signature", idp: func(p *fakeIdP) { p.key = k.other }, refused: "no key"},
		{name: "oidcc-client-test-rp-backchannel-logout-wrong-aud", change: claim("aud", "other"), refused: "audience"},
		{name: "oidcc-client-test-rp-backchannel-logout-wrong-issuer", change: claim("iss", "https://evil.example"), refused: "different provider"},
		{name: "oidcc-client-test-rp-backchannel-logout-no-event", change: claim("events", nil), refused: "no logout"},
		{name: "oidcc-client-test-rp-backchannel-logout-wrong-event", change: claim("events", map[string]any{logoutEvent + "x": map[string]any{}}), refused: "no logout"},
		{name: "event that is no object", change: claim("events", map[string]any{logoutEvent: true}), refused: "no logout"},
		{name: "events that are a list", change: claim("events", []string{logoutEvent}), refused: "no logout"},
		{name: "oidcc-client-test-rp-backchannel-logout-with-nonce", change: claim("nonce", "n"), refused: "nonce"},
		{name: "empty nonce", change: claim("nonce", ""), refused: "nonce"},
		{name: "neither sub nor sid", change: func(c map[string]any) { c["sub"], c["sid"] = nil, nil }, refused: "neither"},
		{name: "sub that is a list", change: claim("sub", []string{"u-1"}), refused: "sub"},
		{name: "sub with a line break", change: claim("sub", "a\nb"), refused: "sub"},
		{name: "sid too long", change: claim("sid", strings.Repeat("s", 256)), refused: "sid"},
		{name: "no jti", change: claim("jti", nil), refused: "jti"},
		{name: "jti too long", change: claim("jti", strings.Repeat("j", 256)), refused: "jti"},
		{name: "no iat", change: claim("iat", nil), refused: "iat"},
		{name: "no exp", change: claim("exp", nil), refused: "exp"},
		{name: "future iat", change: at("iat", 10*time.Minute), refused: "ahead of our clock"},
		{name: "expired", change: at("exp", -10*time.Minute), refused: "expired"},
		{name: "good for years, and old", change: func(c map[string]any) {
			c["iat"], c["exp"] = time.Now().Add(-2*time.Hour).Unix(), time.Now().Add(1000*time.Hour).Unix()
		}, refused: "expired"},
		{name: "access token", idp: func(p *fakeIdP) { p.typ = "at+jwt" }, refused: "of type"},
		{name: "ID token by typ", idp: func(p *fakeIdP) { p.typ = "id_token+jwt" }, refused: "of type"},
		{name: "critical extension", idp: func(p *fakeIdP) { p.crit = true }, refused: "critical"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdP(t)
			if tt.idp != nil {
				tt.idp(p)
			}
			n, err := p.client().LogoutNotice(logoutRequest(p.logoutToken(tt.change)))
			if tt.refused == "" {
				if err != nil || n.ID == "" || n.Subject+n.SID == "" || time.Until(n.Expires) > noticeFor+2*skew || time.Until(n.Expires) < 0 {
					t.Fatalf("got %+v, %v", n, err)
				}
				return
			}
			if n != nil || err == nil || errors.Is(err, ErrDown) || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("got %+v, %v; want it refused with %q", n, err, tt.refused)
			}
		})
	}
}
