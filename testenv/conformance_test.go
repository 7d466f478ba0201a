package testenv

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// conformance is a provider that is right (refused is "") or wrong in one way. Where the OpenID Foundation's tests of
// relying parties have the case, the name is theirs.
type conformance struct {
	name    string
	set     func(*issuer)
	refused string // the reason code
	detail  string // part of what the operator's log says
}

func claim(name string, v any) func(*issuer) {
	return func(i *issuer) { i.claims = func(c map[string]any) { c[name] = v } }
}

// moved has times of the ID token moved.
func moved(d time.Duration, names ...string) func(*issuer) {
	return func(i *issuer) {
		i.claims = func(c map[string]any) {
			for _, name := range names {
				c[name] = time.Now().Add(d).Unix()
			}
		}
	}
}

func says(name string, v any) func(*issuer) {
	return func(i *issuer) { i.discovery = func(d map[string]any) { d[name] = v } }
}

func brings(name string, values ...string) func(*issuer) {
	return func(i *issuer) { i.back = func(q url.Values) { q[name] = values } }
}

func answers(endpoint string, status int, body string) func(*issuer) {
	return func(i *issuer) {
		i.handle[endpoint] = func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
}

// words are further words of the gateway's block for the provider.
func words(lines ...string) func(*issuer) {
	return func(i *issuer) { i.words = lines }
}

// overage has the groups left out of the ID token, as Entra ID does.
func overage(i *issuer) {
	i.claims = func(c map[string]any) {
		c["groups"], c["_claim_names"] = nil, map[string]any{"groups": "src1"}
		c["_claim_sources"] = map[string]any{"src1": map[string]any{"endpoint": i.url() + "/graph"}}
	}
}

// cuts has an endpoint cut the connection in the middle of its answer.
func cuts(endpoint string) func(*issuer) {
	return func(i *issuer) {
		i.handle[endpoint] = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"access_token":"`))
			panic(http.ErrAbortHandler)
		}
	}
}

func both(sets ...func(*issuer)) func(*issuer) {
	return func(i *issuer) {
		for _, set := range sets {
			set(i)
		}
	}
}

// asSecret is the published key in the spellings that programs have taken for an HMAC secret.
func asSecret(pemFile bool) func(*issuer) {
	return func(i *issuer) {
		der, _ := x509.MarshalPKIXPublicKey(&i.key.(*rsa.PrivateKey).PublicKey) // cannot fail
		if i.alg, i.key = "HS256", der; pemFile {
			i.key = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		}
	}
}

func atHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return b64(sum[:16])
}

const (
	failed = "login_failed"
	down   = "provider_down"
	apart  = "clock_differs"
)

func conformances() []conformance {
	k := rogueKeys()
	ofEC := func(i *issuer) { i.alg, i.key, i.kid = "ES256", k.ec, "ec" }
	groups := []string{"gh-staff"}
	for i := range 2000 {
		groups = append(groups, fmt.Sprintf("cn=department-%04d,ou=groups,dc=example", i))
	}
	return []conformance{
		{name: "oidcc-client-test"},
		{name: "oidcc-client-test-kid-absent-single-jwks", set: func(i *issuer) { i.kid = "" }},
		{name: "oidcc-client-test-kid-absent-multiple-jwks", set: func(i *issuer) {
			i.kid, i.published = "", []any{jwk(&k.other.PublicKey, "k0"), jwk(&k.ec.PublicKey, "k2"), jwk(&k.rsa.PublicKey, "k1")}
		}},
		{name: "oidcc-client-test-ignores-unparseable-key", set: func(i *issuer) {
			i.published = append([]any{map[string]any{"kty": "OKP", "crv": "Ed448", "x": "AA", "kid": "k1"}, 7, "nonsense"}, i.published...)
		}},
		{name: "oidcc-client-test-idtoken-sig-es256", set: both(ofEC, func(i *issuer) { i.published = []any{jwk(&k.ec.PublicKey, "ec")} })},
		{name: "oidcc-client-test-scope-userinfo-claims", set: both(claim("groups", nil), func(i *issuer) {
			i.userinfo = map[string]any{"sub": "u-1", "groups": []string{"gh-staff"}}
		})},
		{name: "2,000 groups", set: claim("groups", groups)},
		{name: "no iss parameter, none promised"},
		{name: "iss parameter", set: func(i *issuer) { i.back = func(q url.Values) { q.Set("iss", i.url()) } }},
		{name: "at_hash", set: claim("at_hash", atHash("access"))},
		{name: "aud as a list, azp", set: func(i *issuer) {
			i.claims = func(c map[string]any) { c["aud"], c["azp"] = []string{"other", rogueClient}, rogueClient }
		}},
		{name: "no typ", set: func(i *issuer) { i.typ = "" }},
		{name: "clock 55 s ahead", set: func(i *issuer) { i.clock = 55 * time.Second }},
		{name: "clock 55 s behind", set: func(i *issuer) { i.clock = -55 * time.Second }},
		{name: "expired 55 s ago", set: moved(-55*time.Second, "exp")},
		{name: "pushed requests", set: func(i *issuer) {
			says("pushed_authorization_request_endpoint", i.url()+"/par")(i)
			i.back = func(q url.Values) {
				if i.asked["par"] == 0 {
					q.Del("code")
				}
			}
		}},
		{name: "groups overage, from Graph", set: func(i *issuer) {
			overage(i)
			i.words = []string{"groups_overage graph " + i.url()}
			i.handle["v1.0/me/transitiveMemberOf/microsoft.graph.group"] = func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer access" {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				writeJSON(w, http.StatusOK, map[string]any{"value": []any{map[string]any{"id": "gh-staff"}, map[string]any{"id": "other"}}})
			}
		}},
		{name: "acr that was asked for", set: both(words("acr urn:gold urn:silver"), claim("acr", "urn:silver"))},
		{name: "max_age kept", set: both(words("max_age 1h"), moved(-59*time.Minute, "auth_time"))},
		{name: "prompt login obeyed", set: both(words("prompt login"), moved(0, "auth_time"))},
		{name: "acr and auth_time", set: func(i *issuer) {
			i.claims = func(c map[string]any) { c["acr"], c["auth_time"] = "urn:silver", time.Now().Add(-time.Hour).Unix() }
		}},

		{name: "oidcc-client-test-invalid-iss", set: claim("iss", "https://localhost/1"), refused: failed, detail: "different provider"},
		{name: "no iss", set: claim("iss", nil), refused: failed},
		{name: "oidcc-client-test-missing-sub", set: claim("sub", nil), refused: failed, detail: "sub"},
		{name: "empty sub", set: claim("sub", ""), refused: failed, detail: "sub"},
		{name: "sub that is a number", set: claim("sub", 7), refused: failed},
		{name: "sub with a header in it", set: claim("sub", "a\r\nX-Gatehouse-Roles: admin"), refused: failed, detail: "sub"},
		{name: "sub by another case of its name", set: func(i *issuer) {
			i.claims = func(c map[string]any) { c["SUB"], c["sub"] = c["sub"], nil }
		}, refused: failed, detail: "sub"},
		{name: "oidcc-client-test-invalid-aud", set: claim("aud", rogueClient+"1"), refused: failed, detail: "audience"},
		{name: "oidcc-client-test-missing-aud", set: claim("aud", nil), refused: failed, detail: "audience"},
		{name: "several audiences, no azp", set: claim("aud", []string{rogueClient, "other"}), refused: failed, detail: "azp"},
		{name: "azp of another client", set: claim("azp", "other"), refused: failed, detail: "azp"},
		{name: "oidcc-client-test-missing-iat", set: claim("iat", nil), refused: failed, detail: "iat"},
		{name: "iat ten minutes ahead", set: moved(10*time.Minute, "iat"), refused: failed, detail: "ahead of our clock"},
		{name: "iat ten minutes ago", set: moved(-10*time.Minute, "iat"), refused: failed, detail: "before it was asked for"},
		{name: "no exp", set: claim("exp", nil), refused: failed, detail: "exp"},
		{name: "expired", set: moved(-2*time.Minute, "exp"), refused: failed, detail: "expired"},
		{name: "nbf ahead", set: moved(2*time.Minute, "nbf"), refused: failed, detail: "not valid"},
		{name: "auth_time ahead", set: moved(10*time.Minute, "auth_time"), refused: failed, detail: "auth_time"},
		{name: "clock 65 s ahead", set: func(i *issuer) { i.clock = 65 * time.Second }, refused: apart, detail: "the provider's clock is 1m"},
		{name: "clock 10 min ahead", set: func(i *issuer) { i.clock = 10 * time.Minute }, refused: apart, detail: "the provider's clock is 10m"},
		{name: "clock 10 min behind", set: func(i *issuer) { i.clock = -10 * time.Minute }, refused: apart, detail: "behind ours"},
		{name: "oidcc-client-test-nonce-invalid", set: claim("nonce", "invalid"), refused: failed, detail: "nonce"},
		{name: "no nonce", set: claim("nonce", nil), refused: failed, detail: "nonce"},
		{name: "at_hash of another token", set: claim("at_hash", atHash("other")), refused: failed, detail: "at_hash"},
		{name: "oidcc-client-test-userinfo-invalid-sub", set: both(claim("groups", nil), func(i *issuer) {
			i.userinfo = map[string]any{"sub": "u-1invalid", "groups": []string{"gh-admins"}}
		}), refused: failed, detail: "somebody else"},

		{name: "oidcc-client-test-idtoken-sig-none", set: func(i *issuer) { i.alg, i.key = "none", nil }, refused: failed},
		{name: "alg None", set: func(i *issuer) { i.alg, i.key = "None", nil }, refused: failed},
		{name: "oidcc-client-test-invalid-sig-rs256", set: func(i *issuer) { i.key = k.other }, refused: failed, detail: "no key"},
		{name: "oidcc-client-test-invalid-sig-es256", set: ofEC, refused: failed, detail: "no key"},
		{name: "oidcc-client-test-invalid-sig-hs256", set: func(i *issuer) { i.alg, i.key = "HS256", []byte("wrong") }, refused: failed},
		{name: "HS256 with the public key", set: asSecret(false), refused: failed},
		{name: "HS256 with the public key, as PEM", set: asSecret(true), refused: failed},
		{name: "HS256 with the client secret", set: func(i *issuer) { i.alg, i.key = "HS256", []byte(rogueSecret) }, refused: failed},
		{name: "PS256 by a key for RS256", set: both(func(i *issuer) { i.alg = "PS256" }, func(i *issuer) { i.published[0].(map[string]any)["alg"] = "RS256" }), refused: failed, detail: "no key"},
		{name: "no signature", set: func(i *issuer) { i.key = nil }, refused: failed},
		{name: "unknown kid", set: func(i *issuer) { i.kid = "k9" }, refused: failed, detail: "no key"},
		{name: "the key comes along in the header", set: func(i *issuer) {
			i.key, i.header = k.other, map[string]any{"jwk": jwk(&k.other.PublicKey, "k1"), "jku": i.url() + "/jwks"}
		}, refused: failed, detail: "no key"},
		{name: "crit", set: func(i *issuer) { i.header = map[string]any{"crit": []string{"exp"}} }, refused: failed, detail: "critical"},
		{name: "a key for encryption", set: func(i *issuer) {
			enc := jwk(&k.other.PublicKey, "k2")
			enc["use"] = "enc"
			i.key, i.kid, i.published = k.other, "k2", append(i.published, enc)
		}, refused: failed, detail: "no key"},
		{name: "payload changed", set: func(i *issuer) {
			i.forge = func(head, payload []byte) string {
				return strings.Replace(signed("RS256", k.rsa, head, payload), b64(payload), b64([]byte(strings.Replace(string(payload), "u-1", "u-2", 1))), 1)
			}
		}, refused: failed, detail: "no key"},
		{name: "JSON serialisation", set: func(i *issuer) {
			i.forge = func(head, payload []byte) string {
				part := strings.Split(signed("RS256", k.rsa, head, payload), ".")
				return `{"protected":"` + part[0] + `","payload":"` + part[1] + `","signature":"` + part[2] + `"}`
			}
		}, refused: failed},
		{name: "access token", set: func(i *issuer) { i.typ = "at+jwt" }, refused: failed, detail: "type"},
		{name: "logout token", set: claim("events", map[string]any{logoutEvent: map[string]any{}}), refused: failed, detail: "security event"},
		{name: "no ID token", set: func(i *issuer) { i.answer = func(a map[string]any) { delete(a, "id_token") } }, refused: failed, detail: "no ID token"},
		{name: "ID token that is no token", set: func(i *issuer) { i.answer = func(a map[string]any) { a["id_token"] = "..." } }, refused: failed},
		{name: "token_type mac", set: func(i *issuer) { i.answer = func(a map[string]any) { a["token_type"] = "mac" } }, refused: failed, detail: "bearer"},

		{name: "mix-up", set: brings("iss", "https://evil.test"), refused: failed, detail: "mix-up"},
		{name: "iss empty", set: brings("iss", ""), refused: failed, detail: "mix-up"},
		{name: "iss promised and missing", set: says("authorization_response_iss_parameter_supported", true), refused: failed, detail: "no iss"},
		{name: "no code", set: brings("code"), refused: failed, detail: "no code"},
		{name: "two codes", set: brings("code", "a", "b"), refused: failed, detail: "more than one"},
		{name: "a code of nobody's", set: brings("code", "x"), refused: failed, detail: "invalid_grant"},
		{name: "access_denied", set: brings("error", "access_denied"), refused: failed, detail: "access_denied"},
		{name: "temporarily_unavailable", set: brings("error", "temporarily_unavailable"), refused: down},
		{name: "groups of another shape", set: claim("groups", map[string]any{"gh-admins": true}), refused: failed, detail: "roles"},
		{name: "acr too low", set: both(words("acr urn:gold"), claim("acr", "urn:bronze")), refused: failed, detail: "acr"},
		{name: "acr missing", set: words("acr urn:gold"), refused: failed, detail: "acr"},
		{name: "max_age passed", set: both(words("max_age 1h"), moved(-2*time.Hour, "auth_time")), refused: failed, detail: "max_age"},
		{name: "max_age without auth_time", set: words("max_age 1h"), refused: failed, detail: "auth_time"},
		{name: "prompt login ignored", set: both(words("prompt login"), moved(-10*time.Minute, "auth_time")), refused: failed, detail: "again"},
		{name: "groups overage, Graph refuses", set: func(i *issuer) {
			overage(i)
			i.words = []string{"groups_overage graph " + i.url()}
			answers("v1.0/me/transitiveMemberOf/microsoft.graph.group", 403, "{}")(i)
		}, refused: "groups_missing", detail: "GroupMember.Read.All"},
		{name: "groups overage", set: overage, refused: "groups_missing", detail: "groups not delivered"},

		{name: "oidcc-client-test-discovery-issuer-mismatch", set: says("issuer", "https://evil.test"), refused: down, detail: "speaks for"},
		{name: "discovery with a slash more", set: func(i *issuer) { says("issuer", i.url()+"/")(i) }, refused: down, detail: "speaks for"},
		{name: "token endpoint in the clear", set: says("token_endpoint", "http://127.0.0.1:1/token"), refused: down, detail: "https"},
		{name: "login at a script", set: says("authorization_endpoint", "javascript:alert(1)"), refused: down, detail: "https"},
		{name: "symmetric signatures only", set: says("id_token_signing_alg_values_supported", []string{"HS256", "none"}), refused: down, detail: "no algorithm"},
		{name: "discovery answers 500", set: answers(".well-known/openid-configuration", 500, ""), refused: down, detail: "500"},
		{name: "discovery is no JSON", set: answers(".well-known/openid-configuration", 200, "<html>"), refused: down, detail: "JSON"},
		{name: "discovery is cut", set: cuts(".well-known/openid-configuration"), refused: down},
		{name: "discovery is endless", set: answers(".well-known/openid-configuration", 200, `{"a":"`+strings.Repeat("a", 2<<20)+`"}`), refused: down, detail: "too large"},
		{name: "discovery leads elsewhere", set: func(i *issuer) {
			i.handle[".well-known/openid-configuration"] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, i.url()+"/elsewhere", http.StatusFound)
			}
		}, refused: down, detail: "302"},
		{name: "keys answer 500", set: answers("jwks", 500, ""), refused: down, detail: "500"},
		{name: "keys are cut", set: cuts("jwks"), refused: down},
		{name: "no keys", set: func(i *issuer) { i.published = nil }, refused: down, detail: "no usable key"},
		{name: "token endpoint answers 500", set: answers("token", 500, ""), refused: down, detail: "500"},
		{name: "token endpoint is cut", set: cuts("token"), refused: down},
		{name: "token answer is no JSON", set: answers("token", 200, "<html>"), refused: down, detail: "JSON"},
		{name: "token answer is endless", set: answers("token", 200, `{"a":"`+strings.Repeat("a", 2<<20)+`"}`), refused: down},
		{name: "token endpoint leads elsewhere", set: func(i *issuer) {
			i.handle["token"] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://"+i.ro.addr+"/conf00/token", http.StatusTemporaryRedirect)
			}
		}, refused: failed, detail: "307"},
		{name: "invalid_client", set: answers("token", 401, `{"error":"invalid_client","error_description":"<script>"}`), refused: failed, detail: "invalid_client"},
	}
}

// TestConformanceKeyRotation: keys change while the gateway runs, before the login and in the middle of it.
func TestConformanceKeyRotation(t *testing.T) {
	t.Parallel()
	k := rogueKeys()
	ro := newRogue(t)
	before, within := ro.add("before", nil), ro.add("within", nil)
	ro.start()
	g := ro.relying(t, config{Backend: startBackend(t).Listen})
	rotate := func(i *issuer) {
		i.key, i.kid, i.published = k.other, "k2", []any{jwk(&k.other.PublicKey, "k2")}
	}
	for name, i := range map[string]*issuer{
		"oidcc-client-test-signing-key-rotation": before, "oidcc-client-test-signing-key-rotation-just-before-signing": within,
	} {
		i.mustLogIn(t, g)
		if i == before {
			i.knob(func() { rotate(i) })
		} else {
			i.knob(func() { i.answer = func(a map[string]any) { rotate(i); a["id_token"] = i.idToken(i.nonce, i.claims) } })
		}
		fetched := i.times("jwks")
		i.mustLogIn(t, g)
		i.mustLogIn(t, g)
		if n := i.times("jwks") - fetched; n != 1 {
			t.Errorf("%s: the keys were fetched %d times for two logins", name, n)
		}
	}
}

// TestConformance: rows O1, O2 and O4 of the abuse list, through the gateway as it runs: one provider of the house for
// each way in which providers are right or wrong. Who is right gets in, with their roles; of all others nobody does, each is
// told in a page with a request number, and none of it is an error of the gateway's.
func TestConformance(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	ro := newRogue(t)
	all := conformances()
	for n, c := range all {
		ro.add(fmt.Sprintf("conf%02d", n), c.set)
	}
	ro.start()
	g := ro.relying(t, config{Backend: be.Listen})
	refused := 0
	for n, c := range all {
		t.Run(c.name, func(t *testing.T) {
			i := ro.issuers[fmt.Sprintf("conf%02d", n)]
			person := g.stranger(t)
			a := i.logIn(t, person, "/search?q=x")
			if c.refused == "" {
				if err := person.expectLogin(a); err != nil {
					t.Fatalf("%v\n%s", err, g.whyNot(t, a))
				}
				if to := a.Header.Get("Location"); to != "/search?q=x" {
					t.Errorf("led to %q", to)
				}
				be.mustForget(t)
				person.get(t, "/whoami")
				seen := be.mustSee(t).Requests
				if len(seen) != 1 || seen[0].Headers.Get("X-Gatehouse-User") != "u-1" || seen[0].Headers.Get("X-Gatehouse-Roles") != "staff" {
					t.Errorf("the application saw %+v", seen)
				}
				return
			}
			refused++
			if err := a.refusedAs(c.refused, map[bool]int{true: 503, false: 403}[c.refused == down]); err != nil {
				t.Errorf("%v", err)
			}
			if person.cookie(sessionCookie) != "" {
				t.Error("there is a session")
			}
			if c.refused == apart && !strings.Contains(string(a.Body), "The two clocks are about") {
				t.Errorf("the page does not say how far the clocks are apart:\n%s", excerpt(a.Body, 2000))
			}
			if why := g.whyNot(t, a); !strings.Contains(why, c.detail) {
				t.Errorf("the log says %q, want %q in it", why, c.detail)
			}
		})
	}
	t.Logf("%d providers are right, %d are wrong", len(all)-refused, refused)
	if took := ro.issuers["conf00"].times("token"); took != 1 {
		t.Errorf("the token endpoint of conf00 was asked %d times: another led there", took)
	}
}
