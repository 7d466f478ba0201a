package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse.internal/modules/internal/secret"
)

const (
	testClientID = "gatehouse"
	testSecret   = "s3cret/with:signs"
)

// testKeys are made once: RSA keys are slow to make.
var testKeys = sync.OnceValue(func() (k struct {
	rsa, other, small *rsa.PrivateKey
	ec                *ecdsa.PrivateKey
	ed                ed25519.PrivateKey
}) {
	k.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.other, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.small, _ = rsa.GenerateKey(rand.Reader, 1024)
	k.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, k.ed, _ = ed25519.GenerateKey(rand.Reader)
	return k
})

// fakeIdP is an OpenID provider that does what it should until a test makes it misbehave. Its knobs must be set before
// it is used, or under mu.
type fakeIdP struct {
	*httptest.Server
	t *testing.T

	mu        sync.Mutex
	alg       jose.SignatureAlgorithm
	key       any    // signs
	kid       string // in the token's header; "" leaves it out
	typ       string
	crit      bool
	published []any // public keys as JSON-able JWKs
	claims    func(map[string]any)
	userinfo  map[string]any
	discovery func(map[string]any)
	answer    func(map[string]any)                                // changes the token answer
	handle    map[string]func(http.ResponseWriter, *http.Request) // replaces an endpoint
	forge     func(header, payload []byte) string                 // makes the ID token instead
	codes     map[string]url.Values                               // by code: the authorization request
	pushed    map[string]url.Values                               // by request URI: the same
	refresh   string                                              // the refresh token that is good; "": none is given
	rotate    bool                                                // each refresh gives another one
	renewed   func(map[string]any)                                // changes the claims of renewed ID tokens
	clientPub any                                                 // the client's public key, for private_key_jwt

	hits map[string]*atomic.Int32 // by path
}

var endpoints = []string{"/.well-known/openid-configuration", "/jwks", "/token", "/userinfo", "/par"}

func newIdP(t *testing.T) *fakeIdP {
	t.Helper()
	k := testKeys()
	p := &fakeIdP{
		t: t, alg: jose.RS256, key: k.rsa, kid: "k1", typ: "JWT", codes: map[string]url.Values{}, pushed: map[string]url.Values{},
		published: []any{publicJWK(&k.rsa.PublicKey, "k1", "RS256")},
		handle:    map[string]func(http.ResponseWriter, *http.Request){}, hits: map[string]*atomic.Int32{},
	}
	mux := http.NewServeMux()
	for path, fn := range map[string]http.HandlerFunc{
		endpoints[0]: p.serveDiscovery, endpoints[1]: p.serveKeys, endpoints[2]: p.serveToken, endpoints[3]: p.serveUserInfo, endpoints[4]: p.servePush,
	} {
		p.hits[path] = new(atomic.Int32)
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			p.hits[path].Add(1)
			p.mu.Lock()
			other := p.handle[path]
			p.mu.Unlock()
			if other != nil {
				other(w, r)
				return
			}
			fn(w, r)
		})
	}
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	return p
}

func publicJWK(key any, kid, alg string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: "sig"}
}

// trustPEM is the server's certificate.
func (p *fakeIdP) trustPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
}

// client returns a relying party of p.
func (p *fakeIdP) client(change ...func(*Config)) *Client {
	p.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(p.Certificate())
	cfg := Config{
		Name: "oidc", Issuer: p.URL, ClientID: testClientID, ClientSecret: secret.New(testSecret),
		Scopes: []string{"openid", "email"}, RolesClaim: "groups", Roots: pool,
	}
	for _, fn := range change {
		fn(&cfg)
	}
	c, err := NewClient(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	return c
}

func attempt() Attempt {
	return Attempt{
		State: rand.Text(), Nonce: rand.Text(), Verifier: rand.Text() + rand.Text(),
		RedirectURI: "https://app.example.com/.gatehouse/login/oidc/callback", Started: time.Now(),
	}
}

// authorize checks an authorization request and returns the callback's query, as if the person had logged in.
func (p *fakeIdP) authorize(authURL string) url.Values {
	p.t.Helper()
	u, err := url.Parse(authURL)
	if err != nil {
		p.t.Fatal(err)
	}
	q := u.Query()
	if uri := q.Get("request_uri"); uri != "" {
		if len(q) != 3 || q.Get("client_id") != testClientID { // and the endpoint's own tenant
			p.t.Errorf("a pushed request also says %v", q)
		}
		p.mu.Lock()
		q = p.pushed[uri]
		delete(p.pushed, uri)
		p.mu.Unlock()
	}
	for name, want := range map[string]string{"response_type": "code", "client_id": testClientID, "code_challenge_method": "S256"} {
		if q.Get(name) != want {
			p.t.Errorf("authorization request: %s is %q, want %q", name, q.Get(name), want)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge", "redirect_uri", "scope"} {
		if q.Get(name) == "" {
			p.t.Errorf("authorization request: no %s", name)
		}
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = q
	p.mu.Unlock()
	return url.Values{"code": {code}, "state": {q.Get("state")}}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (p *fakeIdP) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	doc := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/auth?tenant=1", "token_endpoint": p.URL + "/token",
		"jwks_uri": p.URL + "/jwks", "userinfo_endpoint": p.URL + "/userinfo", "end_session_endpoint": p.URL + "/end?x=1",
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "EdDSA", "PS256", "HS256", "none"},
	}
	if p.discovery != nil {
		p.discovery(doc)
	}
	writeJSON(w, doc)
}

func (p *fakeIdP) serveKeys(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	writeJSON(w, map[string]any{"keys": p.published})
}

func (p *fakeIdP) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer access" {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	writeJSON(w, p.userinfo)
}

// known reports whether the request proves to be the client's, in the one way that metadata offers.
func (p *fakeIdP) known(r *http.Request) bool {
	if assertion := r.PostFormValue("client_assertion"); assertion != "" {
		return p.knownByKey(r, assertion)
	}
	id, pass, ok := r.BasicAuth()
	if !ok {
		id, pass = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	} else if pass, _ = url.QueryUnescape(pass); r.PostFormValue("client_secret") != "" {
		p.t.Error("the secret was sent twice")
	}
	return id == testClientID && pass == testSecret
}

func refuse(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	writeJSON(w, map[string]string{"error": code, "error_description": "<script>alert(1)</script>"})
}

func (p *fakeIdP) serveToken(w http.ResponseWriter, r *http.Request) {
	if !p.known(r) {
		refuse(w, "invalid_client")
		return
	}
	if r.PostFormValue("grant_type") == "refresh_token" {
		p.serveRefresh(w, r)
		return
	}
	p.mu.Lock()
	asked, known := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	if !known || challenge != asked.Get("code_challenge") || r.PostFormValue("redirect_uri") != asked.Get("redirect_uri") {
		refuse(w, "invalid_grant")
		return
	}
	answer := map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 600, "id_token": p.idToken(asked.Get("nonce"), p.claims)}
	if p.refresh != "" {
		answer["refresh_token"] = p.refresh
	}
	if p.answer != nil {
		p.answer(answer)
	}
	writeJSON(w, answer)
}

func (p *fakeIdP) idToken(nonce string, change func(map[string]any)) string {
	now := time.Now().Unix()
	return p.token(map[string]any{
		"iss": p.URL, "aud": testClientID, "sub": "u-1", "nonce": nonce, "iat": now, "exp": now + 300, "groups": []string{"staff"},
	}, change)
}

// token signs claims as the knobs say. change may set a claim to nil to leave it out.
func (p *fakeIdP) token(c map[string]any, change func(map[string]any)) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if change != nil {
		change(c)
	}
	for name, v := range c {
		if v == nil {
			delete(c, name)
		}
	}
	payload, _ := json.Marshal(c)
	header := map[string]any{"alg": string(p.alg), "typ": p.typ, "kid": p.kid}
	if p.kid == "" {
		delete(header, "kid")
	}
	if p.typ == "" {
		delete(header, "typ")
	}
	if p.crit {
		header["crit"], header["b64"] = []string{"b64"}, true
	}
	head, _ := json.Marshal(header)
	if p.forge != nil {
		return p.forge(head, payload)
	}
	return sign(p.t, p.alg, p.key, head, payload)
}

// sign makes a compact JWS with exactly this header, which go-jose would not let a test do.
func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, header, payload []byte) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	if alg == "none" {
		return input + "."
	}
	if alg == jose.HS256 {
		mac := hmac.New(sha256.New, key.([]byte))
		mac.Write([]byte(input))
		return input + "." + b64(mac.Sum(nil))
	}
	digest := sha256.Sum256([]byte(input))
	var sig []byte
	var err error
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if alg == jose.PS256 {
			sig, err = rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
		}
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		r, s, err = ecdsa.Sign(rand.Reader, k, digest[:])
		sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(input))
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(sig)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func atHash(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return b64(sum[:16])
}
