package standard_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"gatehouse.internal/modules/internal/gatetest"
)

// toldBy returns what the backend that echoes was sent in the header.
func toldBy(t *testing.T, body, header string) []string {
	t.Helper()
	var echo struct{ Header map[string][]string }
	if err := json.Unmarshal([]byte(body), &echo); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return echo.Header[header]
}

// An application verifies who the user is with the published keys and a library of its own, for its own audience, over a
// restart's worth of keys too; what a client sends in the header's place is gone.
func TestAssertion(t *testing.T) {
	g := openSite(t, "idp", "voucher", "policy", "public /open\n allow role staff\n forward user email roles {\n assertion\n }")
	sam := as(t, g, "app.test", "as=sam&roles=editor,staff")
	forged := []string{"X-Gatehouse-Assertion", "eyJhbGciOiJub25lIn0.e30.", "X_Gatehouse_Assertion", "x"}
	if _, body := get(t, g.Client(), "https://app.test/open", forged...); toldBy(t, body, "X-Gatehouse-Assertion") != nil || strings.Contains(body, "eyJ") {
		t.Errorf("somebody unknown: %s", body)
	}
	_, body := get(t, sam, "https://app.test/", forged...)
	told := toldBy(t, body, "X-Gatehouse-Assertion")
	if len(told) != 1 {
		t.Fatalf("the application is told %q", told)
	}
	claims := verified(t, g, told[0])
	for name, want := range map[string]any{
		"iss": "https://app.test", "aud": "https://app.test", "sub": "sam", "provider": "voucher", "method": "session",
	} {
		if claims[name] != want {
			t.Errorf("%s: %v, want %v", name, claims[name], want)
		}
	}
	if roles, _ := json.Marshal(claims["roles"]); string(roles) != `["staff"]` {
		t.Errorf("roles: %s, want those that the site names", roles)
	}
	if life := claims["exp"].(float64) - claims["iat"].(float64); life <= 0 || life > 300 {
		t.Errorf("it counts for %v s, want 300 at the most", life)
	}
	if _, again := get(t, sam, "https://app.test/"); toldBy(t, again, "X-Gatehouse-Assertion")[0] != told[0] {
		t.Error("each request has a signature of its own, which is dear")
	}
	eve := as(t, g, "app.test", "as=eve&roles=staff")
	if _, hers := get(t, eve, "https://app.test/"); verified(t, g, toldBy(t, hers, "X-Gatehouse-Assertion")[0])["sub"] != "eve" {
		t.Error("another person is told of as the first")
	}
}

// verified checks an assertion as an application would: with the site's published keys.
func verified(t *testing.T, g *gatetest.Gateway, token string) map[string]any {
	t.Helper()
	res, body := get(t, g.Client(), "https://app.test/.gatehouse/jwks.json")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/jwk-set+json" || strings.Contains(body, `"d":`) {
		t.Fatalf("the keys: %d %s: %s", res.StatusCode, res.Header.Get("Content-Type"), body)
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(body), &keys); err != nil || len(keys.Keys) != 1 || !keys.Keys[0].IsPublic() {
		t.Fatalf("%v: %s", err, body)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var std jwt.Claims
	all := map[string]any{}
	if err := parsed.Claims(keys, &std, &all); err != nil {
		t.Fatal(err)
	}
	if err := std.ValidateWithLeeway(jwt.Expected{Issuer: "https://app.test", AnyAudience: jwt.Audience{"https://app.test"}, Time: time.Now()}, 0); err != nil {
		t.Error(err)
	}
	return all
}

func TestAssertionWords(t *testing.T) {
	for name, tt := range map[string]struct{ site, forward, want string }{
		"told nothing": {"https://app.test:{{addr}}", "forward none {\n assertion\n }", "forward none tells the application nothing"},
		"a wildcard":   {"https://*.test:{{addr}}", "forward user {\n assertion\n }", "write `assertion <audience> <issuer>`"},
		"twice":        {"https://app.test:{{addr}}", "forward user {\n assertion\n assertion a\n }", "write it once"},
	} {
		t.Run(name, func(t *testing.T) {
			err := gatetest.New(t).Load(fill(newcomer, pairs("site", tt.site, "idp", "voucher", "policy", "allow role staff\n "+tt.forward)))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "Caddyfile:") {
				t.Errorf("%v", err)
			}
		})
	}
}
