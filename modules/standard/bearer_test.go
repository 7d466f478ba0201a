package standard_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

// signature signs the input as the header's alg says, with whatever key.
func signature(t testing.TB, header []byte, input string, key any) []byte {
	t.Helper()
	var h struct {
		Alg string `json:"alg"`
	}
	_ = json.Unmarshal(header, &h)
	sum := sha256.Sum256([]byte(input))
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case *rsa.PrivateKey:
		if strings.HasPrefix(h.Alg, "PS") {
			sig, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			if err != nil {
				t.Fatal(err)
			}
			return sig
		}
		sig, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig
	case ed25519.PrivateKey:
		return ed25519.Sign(k, []byte(input))
	case []byte: // an HMAC secret
		hash := sha256.New
		if h.Alg == "HS512" {
			hash = sha512.New
		}
		mac := hmac.New(hash, k)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	}
	return nil
}

// apiSite has an API for access tokens, a part that it shares with them, and one that is none of theirs.
func apiSite(t testing.TB, i *issuer, more ...string) (*gatetest.Gateway, *http.Client) {
	t.Helper()
	api := fmt.Sprintf(`api /api/* {
			issuer partner %s {
				trust_pem %s
			}
			audience https://app.test/api
			scope app.read
			%s
		}
		route /api/* {
			allow role staff
		}
		public /open/*
		allow role staff`, i.URL, i.trust(t.TempDir()), strings.Join(more, "\n"))
	g := gatetest.Start(t, fill(newcomer, pairs("policy", api, "backend", "reverse_proxy "+backend(t))))
	return g, g.Client()
}

// seen is what the backend got.
func seen(t *testing.T, body string) (header http.Header) {
	t.Helper()
	var got struct{ Header http.Header }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return got.Header
}

// TestBearerTokens tells of BRF-04.
func TestBearerTokens(t *testing.T) {
	i := newIssuer(t)
	g, c := apiSite(t, i)
	now := time.Now().Unix()
	head := func(change map[string]any) map[string]any {
		h := map[string]any{"alg": "ES256", "kid": "e1", "typ": "at+jwt"}
		for k, v := range change {
			if h[k] = v; v == nil {
				delete(h, k)
			}
		}
		return h
	}
	withHead := func(change map[string]any) string { return i.sign(head(change), i.claims(nil), i.ec) }
	good := i.token(nil)
	parts := strings.Split(good, ".")
	publicPEM := func(key any) []byte {
		der, _ := x509.MarshalPKIXPublicKey(key)
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	jwk := map[string]any{"kty": "EC", "crv": "P-256", "x": b64(i.stray.X.FillBytes(make([]byte, 32))), "y": b64(i.stray.Y.FillBytes(make([]byte, 32)))}
	r, s := new(big.Int), new(big.Int)
	raw, _ := base64.RawURLEncoding.DecodeString(parts[2])
	r.SetBytes(raw[:32])
	s.SetBytes(raw[32:])
	derSig, _ := ecdsa.SignASN1(rand.Reader, i.ec, func() []byte { h := sha256.Sum256([]byte(parts[0] + "." + parts[1])); return h[:] }())

	accepted := map[string]string{
		"ES256":                              "Bearer " + good,
		"RS256":                              "Bearer " + i.sign(head(map[string]any{"alg": "RS256", "kid": "r1"}), i.claims(nil), i.rsa),
		"PS256":                              "Bearer " + i.sign(head(map[string]any{"alg": "PS256", "kid": "r1"}), i.claims(nil), i.rsa),
		"EdDSA":                              "Bearer " + i.sign(head(map[string]any{"alg": "EdDSA", "kid": "d1"}), i.claims(nil), i.ed),
		"scheme in lower case (RFC 9110)":    "bearer " + good,
		"scheme in capitals":                 "BEARER " + good,
		"several blanks (RFC 9110 11.4)":     "Bearer   " + good,
		"typ JWT":                            "Bearer " + withHead(map[string]any{"typ": "JWT"}),
		"typ in full":                        "Bearer " + withHead(map[string]any{"typ": "application/at+jwt"}),
		"typ in capitals":                    "Bearer " + withHead(map[string]any{"typ": "AT+JWT"}),
		"no kid":                             "Bearer " + withHead(map[string]any{"kid": nil}),
		"jku is not looked at":               "Bearer " + withHead(map[string]any{"jku": "https://evil.test/jwks"}),
		"x5u is not looked at":               "Bearer " + withHead(map[string]any{"x5u": "https://evil.test/cert"}),
		"several audiences":                  "Bearer " + i.token(map[string]any{"aud": []string{"x", "https://app.test/api"}}),
		"expired 30 s ago, within the skew":  "Bearer " + i.token(map[string]any{"exp": now - 30}),
		"issued 30 s ahead, within the skew": "Bearer " + i.token(map[string]any{"iat": now + 30}),
		"nbf 30 s ahead, within the skew":    "Bearer " + i.token(map[string]any{"nbf": now + 30}),
		"times with fractions":               "Bearer " + i.token(map[string]any{"exp": float64(now) + 300.5}),
		"scopes as a list":                   "Bearer " + i.token(map[string]any{"scope": []string{"x", "app.read"}}),
		"scopes as scp":                      "Bearer " + i.token(map[string]any{"scope": nil, "scp": "app.read"}),
		"token use of its own (Keycloak)":    "Bearer " + i.token(map[string]any{"typ": "Bearer"}),
	}
	for name, header := range accepted {
		res, body := get(t, c, "https://app.test/api/items", "Authorization", header)
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: refused with %d %s", name, res.StatusCode, body)
			continue
		}
		got := seen(t, body)
		if got.Get("X-Gatehouse-User") != "ada" || got.Get("X-Gatehouse-Roles") != "staff" || got.Get("Authorization") != "" {
			t.Errorf("%s: the backend saw %v", name, got)
		}
	}

	bad := map[string][]string{
		"nothing":                       {"Bearer"},
		"a blank":                       {"Bearer "},
		"no token":                      {"Bearer x"},
		"two parts":                     {"Bearer " + parts[0] + "." + parts[1]},
		"four parts":                    {"Bearer " + good + ".x"},
		"no signature":                  {"Bearer " + parts[0] + "." + parts[1] + "."},
		"a tab for the blank":           {"Bearer\t" + good},
		"a blank inside":                {"Bearer " + parts[0] + ". " + parts[1] + "." + parts[2]},
		"two tokens":                    {"Bearer " + good + " " + good},
		"two tokens with a comma":       {"Bearer " + good + ", Bearer " + good},
		"a comma after":                 {"Bearer " + good + ","},
		"two headers":                   {"Bearer " + good, "Bearer " + good},
		"two headers, another scheme":   {"Basic eDp5", "Bearer " + good},
		"in quotes":                     {`Bearer "` + good + `"`},
		"as a parameter":                {"Bearer token=" + good},
		"non-ASCII":                     {"Bearer " + good + "é"},
		"oversized":                     {"Bearer " + i.token(map[string]any{"pad": strings.Repeat("x", 9400)})},
		"alg none":                      {"Bearer " + b64(mustJSON(t, head(map[string]any{"alg": "none"}))) + "." + parts[1] + "."},
		"alg none with a signature":     {"Bearer " + b64(mustJSON(t, head(map[string]any{"alg": "none"}))) + "." + parts[1] + "." + parts[2]},
		"alg NoNe":                      {"Bearer " + b64(mustJSON(t, head(map[string]any{"alg": "NoNe"}))) + "." + parts[1] + "." + parts[2]},
		"no alg":                        {"Bearer " + withHead(map[string]any{"alg": nil})},
		"alg no string":                 {"Bearer " + withHead(map[string]any{"alg": []string{"ES256"}})},
		"HS256 with the public RSA key": {"Bearer " + i.sign(head(map[string]any{"alg": "HS256", "kid": "r1"}), i.claims(nil), publicPEM(&i.rsa.PublicKey))},
		"HS256 with the public EC key":  {"Bearer " + i.sign(head(map[string]any{"alg": "HS256"}), i.claims(nil), publicPEM(&i.ec.PublicKey))},
		"HS512 with nothing":            {"Bearer " + i.sign(head(map[string]any{"alg": "HS512", "kid": nil}), i.claims(nil), []byte{})},
		"another key":                   {"Bearer " + i.sign(head(nil), i.claims(nil), i.stray)},
		"another key, unknown kid":      {"Bearer " + i.sign(head(map[string]any{"kid": "zz"}), i.claims(nil), i.stray)},
		"another key, its jwk":          {"Bearer " + i.sign(head(map[string]any{"jwk": jwk}), i.claims(nil), i.stray)},
		"another key, its jku":          {"Bearer " + i.sign(head(map[string]any{"kid": "x", "jku": "https://evil.test/jwks"}), i.claims(nil), i.stray)},
		"kid of another algorithm":      {"Bearer " + withHead(map[string]any{"kid": "r1"})},
		"kid as a path":                 {"Bearer " + i.sign(head(map[string]any{"alg": "HS256", "kid": "../../../../dev/null"}), i.claims(nil), []byte{})},
		"kid as SQL":                    {"Bearer " + i.sign(head(map[string]any{"kid": "x' UNION SELECT 'k"}), i.claims(nil), i.stray)},
		"kid no string":                 {"Bearer " + withHead(map[string]any{"kid": 1})},
		"RSA key of 1024 bits":          {"Bearer " + i.sign(head(map[string]any{"alg": "RS256", "kid": "small"}), i.claims(nil), smallKey)},
		"signature changed":             {"Bearer " + parts[0] + "." + parts[1] + "." + b64(append([]byte{raw[0] ^ 1}, raw[1:]...))},
		"signature of zeros":            {"Bearer " + parts[0] + "." + parts[1] + "." + b64(make([]byte, 64))},
		"signature of another token":    {"Bearer " + parts[0] + "." + strings.Split(i.token(map[string]any{"sub": "root"}), ".")[1] + "." + parts[2]},
		"signature in DER":              {"Bearer " + parts[0] + "." + parts[1] + "." + b64(derSig)},
		"signature cut":                 {"Bearer " + parts[0] + "." + parts[1] + "." + b64(raw[:63])},
		"signature longer":              {"Bearer " + parts[0] + "." + parts[1] + "." + b64(append(raw[:64:64], 0))},
		"padding":                       {"Bearer " + good + "=="},
		"standard base64":               {"Bearer " + parts[0] + "." + parts[1] + "." + base64.RawStdEncoding.EncodeToString(append([]byte{0xfb, 0xff}, raw[2:]...))},
		"stray bits at the end":         {"Bearer " + parts[0] + "." + parts[1] + "." + strayBits(parts[2])},
		"header no JSON":                {"Bearer " + b64([]byte("{")) + "." + parts[1] + "." + parts[2]},
		"header an array":               {"Bearer " + i.signRaw([]byte(`["ES256"]`), mustJSON(t, i.claims(nil)), i.ec)},
		"header twice":                  {"Bearer " + i.signRaw([]byte(`{"alg":"none","alg":"ES256","kid":"e1","typ":"at+jwt"}`), mustJSON(t, i.claims(nil)), i.ec)},
		"payload no JSON":               {"Bearer " + i.signRaw(mustJSON(t, head(nil)), []byte("ada"), i.ec)},
		"payload followed by another":   {"Bearer " + i.signRaw(mustJSON(t, head(nil)), append(mustJSON(t, i.claims(nil)), "{}"...), i.ec)},
		"a claim twice": {"Bearer " + i.signRaw(mustJSON(t, head(nil)),
			[]byte(strings.Replace(string(mustJSON(t, i.claims(nil))), "{", `{"sub":"root",`, 1)), i.ec)},
		"a nested token":                   {"Bearer " + i.signRaw(mustJSON(t, head(map[string]any{"cty": "JWT"})), []byte(good), i.ec)},
		"crit":                             {"Bearer " + withHead(map[string]any{"crit": []string{"exp"}})},
		"crit, empty":                      {"Bearer " + withHead(map[string]any{"crit": []string{}})},
		"b64 false":                        {"Bearer " + withHead(map[string]any{"b64": false, "crit": []string{"b64"}})},
		"no typ":                           {"Bearer " + withHead(map[string]any{"typ": nil})},
		"typ of a logout token":            {"Bearer " + withHead(map[string]any{"typ": "logout+jwt"})},
		"typ of a DPoP proof":              {"Bearer " + withHead(map[string]any{"typ": "dpop+jwt"})},
		"an ID token (nonce)":              {"Bearer " + i.token(map[string]any{"nonce": "n"})},
		"an ID token (at_hash)":            {"Bearer " + i.token(map[string]any{"at_hash": "x"})},
		"an ID token (typ claim)":          {"Bearer " + i.token(map[string]any{"typ": "ID"})},
		"a refresh token (typ claim)":      {"Bearer " + i.token(map[string]any{"typ": "Refresh"})},
		"a logout token":                   {"Bearer " + i.token(map[string]any{"events": map[string]any{}})},
		"another issuer":                   {"Bearer " + i.token(map[string]any{"iss": "https://evil.test"})},
		"issuer with a slash":              {"Bearer " + i.token(map[string]any{"iss": i.URL + "/"})},
		"no issuer":                        {"Bearer " + i.token(map[string]any{"iss": nil})},
		"another audience":                 {"Bearer " + i.token(map[string]any{"aud": "https://other.test/api"})},
		"no audience":                      {"Bearer " + i.token(map[string]any{"aud": nil})},
		"an empty audience":                {"Bearer " + i.token(map[string]any{"aud": []string{}})},
		"audience in other case":           {"Bearer " + i.token(map[string]any{"aud": "https://APP.test/api"})},
		"no subject":                       {"Bearer " + i.token(map[string]any{"sub": nil})},
		"an empty subject":                 {"Bearer " + i.token(map[string]any{"sub": ""})},
		"a subject in capitals":            {"Bearer " + i.token(map[string]any{"sub": nil, "SUB": "ada"})},
		"a subject that is no string":      {"Bearer " + i.token(map[string]any{"sub": 1})},
		"a subject with a line break":      {"Bearer " + i.token(map[string]any{"sub": "ada\r\nX-Admin: 1"})},
		"a subject that is not ASCII":      {"Bearer " + i.token(map[string]any{"sub": "ad\u0430"})},
		"expired":                          {"Bearer " + i.token(map[string]any{"exp": now - 61})},
		"no exp":                           {"Bearer " + i.token(map[string]any{"exp": nil})},
		"exp a string":                     {"Bearer " + i.token(map[string]any{"exp": fmt.Sprint(now + 300)})},
		"exp beyond time":                  {"Bearer " + i.signRaw(mustJSON(t, head(nil)), []byte(strings.Replace(string(mustJSON(t, i.claims(map[string]any{"exp": 1}))), `"exp":1`, `"exp":1e400`, 1)), i.ec)},
		"exp negative":                     {"Bearer " + i.token(map[string]any{"exp": -1})},
		"not yet valid":                    {"Bearer " + i.token(map[string]any{"nbf": now + 65})},
		"nbf a string":                     {"Bearer " + i.token(map[string]any{"nbf": "0"})},
		"issued in the future":             {"Bearer " + i.token(map[string]any{"iat": now + 65})},
		"no iat":                           {"Bearer " + i.token(map[string]any{"iat": nil})},
		"bound to a key (DPoP)":            {"Bearer " + i.token(map[string]any{"cnf": map[string]any{"jkt": "x"}})},
		"bound to a certificate":           {"Bearer " + i.token(map[string]any{"cnf": map[string]any{"x5t#S256": strings.Repeat("A", 43)}})},
		"a binding that is no object":      {"Bearer " + i.token(map[string]any{"cnf": "x"})},
		"roles that are no strings":        {"Bearer " + i.token(map[string]any{"groups": []any{1}})},
		"scopes that are no strings":       {"Bearer " + i.token(map[string]any{"scope": []any{1}})},
		"more scopes than anybody reads":   {"Bearer " + i.token(map[string]any{"scope": strings.Repeat("s ", 300)})},
		"an API key's look, and nothing":   {"Bearer ghk_x"},
		"what a proxy would have signed":   {"Bearer " + i.sign(head(map[string]any{"alg": "ES256K"}), i.claims(nil), i.ec)},
		"an encrypted token's five parts":  {"Bearer " + good + "." + parts[0] + "." + parts[1]},
		"an access token as the API's key": {"Bearer " + good + "~"},
	}
	if len(bad) < 53 {
		t.Errorf("only %d bad tokens", len(bad))
	}
	for name, headers := range bad {
		var pairs []string
		for _, h := range headers {
			pairs = append(pairs, "Authorization", h)
		}
		res, body := get(t, c, "https://app.test/api/items", pairs...)
		if res.StatusCode != http.StatusUnauthorized || !strings.Contains(body, `"reason":"invalid_token"`) ||
			!strings.HasPrefix(res.Header.Get("Www-Authenticate"), `Bearer error="invalid_`) {
			t.Errorf("%s: answered %d %q %s", name, res.StatusCode, res.Header.Get("Www-Authenticate"), body)
		}
	}
	if n := i.fetches.Load(); n > 2 {
		t.Errorf("the keys were fetched %d times", n)
	}
	if log := g.Log(); strings.Contains(log, parts[1]) || strings.Contains(log, parts[2]) {
		t.Error("a token is in the log")
	}
}

// strayBits changes bits of base64 that stand for nothing.
func strayBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last^1])
}

// Where no API is, the Authorization header is the application's own business, and proves nobody.
func TestBearerTokensElsewhere(t *testing.T) {
	i := newIssuer(t)
	_, c := apiSite(t, i)
	good := "Bearer " + i.token(nil)
	for path, status := range map[string]int{"/": 401, "/API/items": 401, "/api;x/items": 401, "/apis": 401, "/open/x": 200} {
		res, body := get(t, c, "https://app.test"+path, "Authorization", good)
		if res.StatusCode != status || strings.Contains(body, "X-Gatehouse-User") {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	res, _ := get(t, c, "https://app.test/api/items?access_token="+good[7:])
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token in the query: %d", res.StatusCode)
	}
	res, body := get(t, c, "https://app.test/api/items", "Authorization", "Bearer "+i.token(map[string]any{"scope": "app.write"}))
	if res.StatusCode != http.StatusForbidden || !strings.Contains(body, "insufficient_scope") ||
		res.Header.Get("Www-Authenticate") != `Bearer error="insufficient_scope", scope="app.read"` {
		t.Errorf("without the scope: %d %q %s", res.StatusCode, res.Header.Get("Www-Authenticate"), body)
	}
	res, body = get(t, c, "https://app.test/api/items", "Authorization", "Bearer "+i.token(map[string]any{"groups": []string{"guests"}}))
	if res.StatusCode != http.StatusForbidden || !strings.Contains(body, `"reason":"forbidden"`) {
		t.Errorf("a good token does not get past the policy: %d %s", res.StatusCode, body)
	}
}

// A thousand bad tokens cause one fetch of the issuer's keys at the most.
func TestBadTokensDoNotFloodTheIssuer(t *testing.T) {
	i := newIssuer(t)
	_, c := apiSite(t, i)
	get(t, c, "https://app.test/api/items", "Authorization", "Bearer "+i.token(nil))
	before := i.fetches.Load()
	for n := range 1000 {
		token := i.sign(map[string]any{"alg": "ES256", "kid": fmt.Sprint("k", n), "typ": "at+jwt"}, i.claims(nil), i.stray)
		if res, _ := get(t, c, "https://app.test/api/items", "Authorization", "Bearer "+token); res.StatusCode != http.StatusUnauthorized {
			t.Fatalf("token %d: %d", n, res.StatusCode)
		}
	}
	if n := i.fetches.Load() - before; n > 1 {
		t.Errorf("%d fetches of keys", n)
	}
}

// TestWorkspaceOfATokenIsTheRequests tells of BRF-04.
func TestWorkspaceOfATokenIsTheRequests(t *testing.T) {
	i := newIssuer(t)
	g, c := apiSite(t, i, "workspace_claim workspaces", "workspace path /api/ws/{workspace}/*", "workspace header X-Workspace")
	token := "Bearer " + i.token(nil) // for a and c
	tests := []struct {
		name, path string
		workspace  []string
		status     int
	}{
		{"its own", "/api/ws/a/docs", nil, 200},
		{"its other own", "/api/ws/c", nil, 200},
		{"by the header", "/api/docs", []string{"a"}, 200},
		{"both", "/api/ws/a/docs", []string{"a"}, 200},
		{"its own, encoded", "/api/ws/%61/docs", nil, 200},
		{"another", "/api/ws/b/docs", nil, 403},
		{"another, encoded", "/api/ws/%62/docs", nil, 403},
		{"its own in capitals is another", "/api/ws/A/docs", nil, 403},
		{"the path in capitals", "/api/WS/a/docs", []string{"a"}, 403},
		{"another by the header", "/api/docs", []string{"b"}, 403},
		{"path and header differ", "/api/ws/a/docs", []string{"c"}, 403},
		{"path and header differ, the other way", "/api/ws/b/docs", []string{"a"}, 403},
		{"two headers", "/api/ws/a/docs", []string{"a", "a"}, 403},
		{"parameters", "/api/ws/a;b/docs", nil, 403},
		{"none", "/api/docs", nil, 403},
	}
	for _, tt := range tests {
		h := []string{"Authorization", token}
		for _, w := range tt.workspace {
			h = append(h, "X-Workspace", w)
		}
		res, body := get(t, c, "https://app.test"+tt.path, h...)
		if res.StatusCode != tt.status || tt.status == 403 && !strings.Contains(body, "workspace_mismatch") {
			t.Errorf("%s: %d %s", tt.name, res.StatusCode, body)
		}
	}
	if log := g.Log(); !strings.Contains(log, `"reason":"workspace_mismatch"`) || !strings.Contains(log, "request.refused") {
		t.Errorf("no event of it:\n%s", log)
	}
}
