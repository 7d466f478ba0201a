package testenv

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessType    = "urn:ietf:params:oauth:token-type:access_token"
)

// api is a program that asks for tokens, and uses them.
type api struct {
	t testing.TB
	*client
}

// token asks for an access token.
func (p api) token(form url.Values, header ...string) (status int, said map[string]any) {
	p.t.Helper()
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for i := 0; i < len(header); i += 2 {
		h[header[i]] = []string{header[i+1]}
	}
	a := p.must(p.t, request{Method: http.MethodPost, Path: "/.gatehouse/token", Body: []byte(form.Encode()), Header: h, Bare: true})
	if err := json.Unmarshal(a.Body, &said); err != nil {
		p.t.Fatalf("the token endpoint: %d %s", a.Status, a.Body)
	}
	if text, ok := said["access_token"].(string); ok {
		p.gw.secret(text)
		if a.Header.Get("Cache-Control") != "no-store" {
			p.t.Errorf("a token may be kept: %q", a.Header.Get("Cache-Control"))
		}
	}
	return a.Status, said
}

// exchanged is a token for a person's key.
func (p api) exchanged(key string, more ...string) string {
	p.t.Helper()
	form := url.Values{"grant_type": {exchangeGrant}, "subject_token": {key}, "subject_token_type": {accessType}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	status, said := p.token(form)
	text, _ := said["access_token"].(string)
	if status != 200 || strings.Count(text, ".") != 2 {
		p.t.Fatalf("a token for a key: %d %v", status, said)
	}
	return text
}

// use asks the API with a token, and says what became of it.
func (p api) use(path, token string) (status int, reason string) {
	p.t.Helper()
	a := p.must(p.t, request{Path: path, Header: http.Header{"Authorization": {"Bearer " + token}}, Bare: true})
	said, _ := a.problem() // the application's answer is none
	return a.Status, said.Reason
}

func (p api) want(what, path, token string, status int, reason string) {
	p.t.Helper()
	if got, why := p.use(path, token); got != status || why != reason {
		p.t.Errorf("%s: %d %q, want %d %q", what, got, why, status, reason)
	}
}

// soon waits for what counts within a second; a busy machine is given ten.
func (p api) soon(what, path, token string, status int) {
	p.t.Helper()
	began := time.Now()
	for {
		got, why := p.use(path, token)
		if got == status {
			p.t.Logf("%s: %d after %s", what, status, time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > 10*time.Second {
			p.t.Fatalf("%s: still %d %q", what, got, why)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestWorkspaceTokens runs Brainframe's configuration as it is shipped, whose API's workspaces take signed tokens that the gateway
// itself issues: for a person's key, and for a service account's. A token opens its own workspaces for its own time, and nothing when it
// is changed, unsigned, of another site's, or its owner is disabled (BRF-04).
func TestWorkspaceTokens(t *testing.T) {
	t.Parallel()
	be := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Saw", r.Header.Get("X-Gatehouse-User")+"|"+r.Header.Get("Authorization"))
	}))
	defer be.Close()
	shipped, _ := shippedStatement(t, "brainframe")
	shipped = regexp.MustCompile(`(?s)backup \{.*?\n\t\t\}\n`).ReplaceAllString(shipped, "")
	conf := config{Backend: strings.TrimPrefix(be.URL, "http://"), Caddyfile: shipped}
	g := startGateway(t, conf)
	g.secret(alicesPassword)
	cli := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(g.cliOut(t, append(args, "--address", "unix/"+g.env["ADMIN"])...))
	}
	setUp := g.stranger(t)
	if _, err := setUp.setup(g.setupLink(), "root", alicesPassword); err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`https://\S+`).FindString(cli("user", "add", "alice", "--role", "staff", "--email", "alice@example.com", "--approve"))
	alice := g.stranger(t)
	page := alice.visit(t, link)
	f, err := page.form()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range f.Masked {
		f.Fields.Set(name, alicesPassword)
	}
	if a, err := alice.submit(f); err != nil || a.Status >= 400 {
		t.Fatalf("alice sets a password: %d, %v", a.Status, err)
	}
	if alice.cookie(sessionCookie) == "" {
		if _, err := alice.login("alice", alicesPassword, "/"); err != nil {
			t.Fatal(err)
		}
	}

	// Her session has no workspaces, and opens none.
	if a := alice.get(t, "/api/ws/acme/docs"); a.Status != 403 {
		t.Errorf("a session in a workspace: %d", a.Status)
	}
	key := cli("api-key", "create", "--user", "local:alice", "--tenant", "main", "--host", appHost, "--path", "/api/*", "--scope", "api", "--workspace", "acme,basel")
	g.secret(key)
	p := api{t, g.stranger(t)}
	token := p.exchanged(key)
	p.want("its workspace", "/api/ws/acme/docs", token, 200, "")
	p.want("its other workspace", "/api/ws/basel/docs", token, 200, "")
	p.want("another workspace", "/api/ws/corp/docs", token, 403, "workspace_mismatch")
	p.want("another workspace, encoded", "/api/ws/%63orp/docs", token, 403, "workspace_mismatch")
	p.want("its workspace in capitals", "/api/ws/ACME/docs", token, 403, "workspace_mismatch")
	p.want("the path in capitals", "/API/ws/acme/docs", token, 401, "login_required")
	p.want("no API", "/", token, 401, "login_required")
	if a := p.must(t, request{Path: "/api/ws/acme/docs", Header: http.Header{"Authorization": {"Bearer " + token}}}); a.Header.Get("X-Saw") != "alice|" {
		t.Errorf("the application saw %q", a.Header.Get("X-Saw"))
	}
	narrow := p.exchanged(key, "workspace", "basel", "resource", "brainframe-api", "scope", "api")
	p.want("a token for one workspace, in it", "/api/ws/basel/docs", narrow, 200, "")
	p.want("a token for one workspace, beside it", "/api/ws/acme/docs", narrow, 403, "workspace_mismatch")

	parts := strings.Split(token, ".")
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	said, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !strings.Contains(string(said), `"workspaces":["acme","basel"]`) {
		t.Fatalf("the token says %s, %v", said, err)
	}
	head, _ := base64.RawURLEncoding.DecodeString(parts[0])
	other := part(strings.Replace(string(said), `"basel"`, `"corp"`, 1))
	for what, forged := range map[string]string{
		"another workspace written in":   parts[0] + "." + other + "." + parts[2],
		"alg none":                       part(`{"alg":"none","typ":"at+jwt"}`) + "." + other + ".",
		"alg none, our kid":              part(strings.Replace(string(head), "ES256", "none", 1)) + "." + other + ".",
		"alg none, with the signature":   part(strings.Replace(string(head), "ES256", "none", 1)) + "." + parts[1] + "." + parts[2],
		"alg HS256":                      part(strings.Replace(string(head), "ES256", "HS256", 1)) + "." + parts[1] + "." + parts[2],
		"type JWT":                       part(strings.Replace(string(head), "at+jwt", "JWT", 1)) + "." + parts[1] + "." + parts[2],
		"no signature":                   parts[0] + "." + parts[1] + ".",
		"signature of nothing":           parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"signature of another token":     parts[0] + "." + parts[1] + "." + strings.Split(narrow, ".")[2],
		"two parts":                      parts[0] + "." + parts[1],
		"a part more":                    token + ".x",
		"cut":                            token[:len(token)-4],
		"the head alone":                 parts[0],
		"the head, and dots":             parts[0] + "..",
		"another key's id":               part(regexp.MustCompile(`"kid":"[0-9a-f]+"`).ReplaceAllString(string(head), `"kid":"00000000"`)) + "." + parts[1] + "." + parts[2],
		"a key that it brings along":     part(strings.Replace(string(head), `"typ"`, `"jwk":{},"typ"`, 1)) + "." + parts[1] + "." + parts[2],
		"the head in another order":      part(`{"typ":"at+jwt",`+strings.TrimSuffix(string(head)[1:], `,"typ":"at+jwt"}`)+"}") + "." + parts[1] + "." + parts[2],
		"of a key of the gateway's, cut": key[:len(key)-2],
	} {
		for _, path := range []string{"/api/ws/acme/docs", "/api/ws/corp/docs"} {
			p.want(what, path, forged, 401, "invalid_token")
		}
	}

	// A machine: the service account's key is its client secret.
	cli("service-account", "add", "robot", "--role", "staff", "--tenant", "main")
	secret := cli("api-key", "create", "--account", "robot", "--host", appHost, "--path", "/api/ws/*", "--method", "GET", "--scope", "api", "--workspace", "acme")
	g.secret(secret)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("robot:"+secret))
	status, got := p.token(url.Values{"grant_type": {"client_credentials"}}, "Authorization", basic)
	robots, _ := got["access_token"].(string)
	if status != 200 || got["token_type"] != "Bearer" || got["expires_in"] != 600.0 || got["scope"] != "api" {
		t.Fatalf("client_credentials: %d %v", status, got)
	}
	p.want("the machine's workspace", "/api/ws/acme/docs", robots, 200, "")
	p.want("another one of the machine's", "/api/ws/basel/docs", robots, 403, "workspace_mismatch")
	if a := p.must(t, request{Method: "DELETE", Path: "/api/ws/acme/docs", Header: http.Header{"Authorization": {"Bearer " + robots}}}); a.refusedAs("insufficient_scope", 403) != nil {
		t.Errorf("a method that the key is not for: %d %s", a.Status, a.Body)
	}
	for what, tt := range map[string]struct {
		form   url.Values
		status int
		err    string
	}{
		"no grant":                      {url.Values{}, 400, "unsupported_grant_type"},
		"a password":                    {url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {alicesPassword}}, 400, "unsupported_grant_type"},
		"no secret":                     {url.Values{"grant_type": {"client_credentials"}, "client_id": {"robot"}}, 401, "invalid_client"},
		"a secret that is none":         {url.Values{"grant_type": {"client_credentials"}, "client_id": {"robot"}, "client_secret": {otherEnd(secret)}}, 401, "invalid_client"},
		"another client's secret":       {url.Values{"grant_type": {"client_credentials"}, "client_id": {"alice"}, "client_secret": {secret}}, 401, "invalid_client"},
		"a person's key as a client's":  {url.Values{"grant_type": {"client_credentials"}, "client_id": {"alice"}, "client_secret": {key}}, 401, "invalid_client"},
		"a token for a token":           {url.Values{"grant_type": {exchangeGrant}, "subject_token": {token}, "subject_token_type": {accessType}}, 400, "invalid_grant"},
		"a token of another kind":       {url.Values{"grant_type": {exchangeGrant}, "subject_token": {key}, "subject_token_type": {"urn:ietf:params:oauth:token-type:id_token"}}, 400, "invalid_request"},
		"in the name of somebody else":  {url.Values{"grant_type": {exchangeGrant}, "subject_token": {key}, "subject_token_type": {accessType}, "actor_token": {"x"}}, 400, "invalid_request"},
		"a workspace that it is not of": {url.Values{"grant_type": {exchangeGrant}, "subject_token": {key}, "subject_token_type": {accessType}, "workspace": {"corp"}}, 400, "invalid_scope"},
		"a scope that it does not have": {url.Values{"grant_type": {exchangeGrant}, "subject_token": {key}, "subject_token_type": {accessType}, "scope": {"api admin"}}, 400, "invalid_scope"},
		"another resource":              {url.Values{"grant_type": {exchangeGrant}, "subject_token": {key}, "subject_token_type": {accessType}, "resource": {"https://other.test"}}, 400, "invalid_target"},
		"two resources":                 {url.Values{"grant_type": {exchangeGrant}, "subject_token": {key}, "subject_token_type": {accessType}, "resource": {"brainframe-api", "x"}}, 400, "invalid_target"},
	} {
		if status, said := p.token(tt.form); status != tt.status || said["error"] != tt.err || said["access_token"] != nil {
			t.Errorf("%s: %d %v", what, status, said)
		}
	}
	if a := p.get(t, "/.gatehouse/token"); a.Status != 405 {
		t.Errorf("GET of the token endpoint: %d", a.Status)
	}
	p.verifiedElsewhere(token)

	// The key itself opens nothing where tokens are taken, whole as it is, nor is there a token for paths that are no API's.
	for _, path := range []string{"/api/ws/acme/docs", "/API/ws/acme/docs", "/api/ws/%61cme/docs"} {
		p.want("the key itself", path, key, 401, "invalid_token")
		p.want("the machine's key itself", path, secret, 401, "invalid_token")
	}
	p.want("the key where no tokens are taken", "/api/docs", key, 200, "")
	pages := cli("api-key", "create", "--user", "local:alice", "--tenant", "main", "--host", appHost, "--path", "/pages/*", "--scope", "api", "--workspace", "acme")
	g.secret(pages)
	if status, said := p.token(url.Values{"grant_type": {exchangeGrant}, "subject_token": {pages}, "subject_token_type": {accessType}, "resource": {"brainframe-api"}}); status != 400 || said["error"] != "invalid_target" {
		t.Errorf("a token for a key of other paths: %d %v", status, said)
	}

	// What was issued to somebody before they were compromised is void, and stays so when they have logged in again.
	const fresh = "Nine purple herons over Basel"
	g.secret(fresh)
	cli("user", "compromise", "alice", "--note", "phished")
	p.soon("compromised", "/api/ws/acme/docs", token, 401)
	if f, err = alice.visit(t, "/.gatehouse/login?next=/").form(); err != nil {
		t.Fatal(err)
	}
	page, err = alice.submit(f.person("alice", alicesPassword))
	if err != nil {
		t.Fatal(err)
	}
	if f, err = page.form(); err != nil {
		t.Fatal(err)
	}
	for _, name := range f.Masked {
		f.Fields.Set(name, fresh)
	}
	if a, err := alice.submit(f); err != nil || alice.expectLogin(a) != nil {
		t.Fatalf("alice sets another password: %d, %v", a.Status, err)
	}
	old := key
	key = cli("api-key", "create", "--user", "local:alice", "--tenant", "main", "--host", appHost, "--path", "/api/*", "--scope", "api", "--workspace", "acme,basel")
	g.secret(key)
	if status, said := p.token(url.Values{"grant_type": {exchangeGrant}, "subject_token": {old}, "subject_token_type": {accessType}}); status != 400 || said["error"] != "invalid_grant" {
		t.Errorf("a token for a key from before: %d %v", status, said)
	}
	p.want("a token from before", "/api/ws/acme/docs", token, 401, "invalid_token")
	token = p.exchanged(key)
	p.want("a token since", "/api/ws/acme/docs", token, 200, "")

	// Whoever is disabled is nobody at once, with the tokens they had; so is a key that is revoked.
	cli("user", "disable", "alice", "--note", "has left")
	p.soon("disabled", "/api/ws/acme/docs", token, 401)
	if status, said := p.token(url.Values{"grant_type": {exchangeGrant}, "subject_token": {key}, "subject_token_type": {accessType}}); status != 400 || said["error"] != "invalid_grant" {
		t.Errorf("a token for who is disabled: %d %v", status, said)
	}
	p.want("the machine goes on", "/api/ws/acme/docs", robots, 200, "")
	cli("service-account", "disable", "robot")
	p.soon("disabled", "/api/ws/acme/docs", robots, 401)
	cli("service-account", "enable", "robot")
	p.soon("enabled", "/api/ws/acme/docs", robots, 200)
	cli("api-key", "revoke", secret[4:14])
	p.soon("its key is revoked", "/api/ws/acme/docs", robots, 401)

	// A token ends by itself.
	again := cli("api-key", "create", "--account", "robot", "--host", appHost, "--path", "/api/ws/*", "--scope", "api", "--workspace", "acme")
	g.secret(again)
	short := strings.Replace(shipped, "issuer gatehouse", "issuer gatehouse {\n\t\t\t\tlasts 2s\n\t\t\t}", 1)
	if err := g.configure(short); err != nil {
		t.Fatal(err)
	}
	if stderr, err := g.reload(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	status, got = p.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {again[4:14]}, "client_secret": {again}})
	brief, _ := got["access_token"].(string)
	if status != 200 {
		t.Fatalf("%d %v", status, got)
	}
	p.soon("a token of two seconds is over", "/api/ws/acme/docs", brief, 401)
	log, err := os.ReadFile(g.env["LOG"])
	for _, want := range []string{`access_token.issued`, `local:alice`, `service:robot`, `"workspaces":"acme basel"`, `it has expired`} {
		if err != nil || !strings.Contains(string(log), want) {
			t.Errorf("the log does not have %s, %v", want, err)
		}
	}
}

// verifiedElsewhere has a library that is not ours verify the token with the keys that the metadata leads to (RFC 8414, RFC 7517), as
// an API would that is reached without the gateway.
func (p api) verifiedElsewhere(token string) {
	t := p.t
	t.Helper()
	var meta struct {
		Issuer string   `json:"issuer"`
		Token  string   `json:"token_endpoint"`
		JWKS   string   `json:"jwks_uri"`
		Grants []string `json:"grant_types_supported"`
	}
	a := p.get(t, "/.gatehouse/.well-known/oauth-authorization-server")
	if err := json.Unmarshal(a.Body, &meta); err != nil || meta.Issuer != p.gw.origin()+"/.gatehouse" || meta.Token != meta.Issuer+"/token" || len(meta.Grants) != 2 {
		t.Fatalf("the metadata: %s, %v", a.Body, err)
	}
	python := needProgram(t, "python3-jwt", "/usr/bin/python3")
	keys := p.get(t, strings.TrimPrefix(meta.JWKS, p.gw.origin()))
	if keys.Status != 200 {
		t.Fatalf("the keys: %d", keys.Status)
	}
	const script = `import json, os, jwt
token, keys = os.environ["TOKEN"], jwt.PyJWKSet.from_json(os.environ["KEYS"])
head = jwt.get_unverified_header(token)
assert head["typ"] == "at+jwt", head
key = next(k for k in keys.keys if k.key_id == head["kid"])
c = jwt.decode(token, key.key, algorithms=["ES256"], audience="brainframe-api", issuer=os.environ["ISSUER"],
	options={"require": ["iss", "exp", "aud", "sub", "iat", "jti"]})
print(c["sub"], " ".join(c["workspaces"]), c["scope"])`
	cmd := exec.Command(python, "-c", script)
	cmd.Env = append(os.Environ(), "TOKEN="+token, "KEYS="+string(keys.Body), "ISSUER="+meta.Issuer)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "local:alice acme basel api" {
		t.Errorf("PyJWT: %v\n%s", err, out)
	}
}

// otherEnd is the text with another last character.
func otherEnd(text string) string {
	last := "x"
	if strings.HasSuffix(text, last) {
		last = "y"
	}
	return text[:len(text)-1] + last
}
