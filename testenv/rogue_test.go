package testenv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	rogueClient = "gatehouse"
	rogueSecret = "the-secret-at-the-rogue-provider"
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
)

// rogue is a server of OpenID providers that do what the certified one cannot: each of its issuers is right until its
// knobs say otherwise.
type rogue struct {
	addr    string
	listens net.Listener
	cert    tls.Certificate
	issuers map[string]*issuer // written before it serves
	srv     *http.Server
}

// rogueKeys are made once a run: RSA keys are slow to make.
var rogueKeys = sync.OnceValue(func() (k struct {
	rsa, other *rsa.PrivateKey
	ec         *ecdsa.PrivateKey
}) {
	k.rsa, _ = rsa.GenerateKey(rand.Reader, 2048) // cannot fail (crypto/rand)
	k.other, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return k
})

func newRogue(t testing.TB) *rogue {
	t.Helper()
	cert, key, err := ca().leaf("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ro := &rogue{addr: l.Addr().String(), listens: l, issuers: map[string]*issuer{}}
	if ro.cert, err = tls.X509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ro.stop)
	return ro
}

// start serves the issuers that were added.
func (ro *rogue) start() {
	ro.srv = &http.Server{
		Handler: http.HandlerFunc(ro.serve), ReadHeaderTimeout: answersIn, TLSConfig: &tls.Config{Certificates: []tls.Certificate{ro.cert}},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { _ = ro.srv.ServeTLS(ro.listens, "", "") }()
}

// stop cuts every connection.
func (ro *rogue) stop() {
	if ro.srv != nil {
		_ = ro.srv.Close()
	}
	_ = ro.listens.Close()
}

func (ro *rogue) serve(w http.ResponseWriter, r *http.Request) {
	name, endpoint, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	i := ro.issuers[name]
	if i == nil {
		http.NotFound(w, r)
		return
	}
	i.serve(w, r, endpoint)
}

// issuer is one provider. Its knobs are set before it serves, or under mu (see knob).
type issuer struct {
	ro   *rogue
	name string // also the gateway's name for it

	mu        sync.Mutex
	alg       string         // of tokens: RS256, PS256, ES256, HS256 or none
	key       any            // signs
	kid       string         // in the token's header; "" leaves it out
	typ       string         // the same
	header    map[string]any // further members of it
	published []any          // JWKs
	clock     time.Duration  // what its clock is ahead of ours
	lasts     time.Duration  // of access tokens
	takes     time.Duration  // for an answer of the token endpoint
	refresh   string         // the refresh token that is good; "": none is given

	discovery func(map[string]any)              // changes the metadata
	claims    func(map[string]any)              // changes the ID token; nil values are left out
	renewed   func(map[string]any)              // the same of renewed ones, beside claims
	answer    func(map[string]any)              // changes the token answer
	forge     func(head, payload []byte) string // makes the token in another way
	back      func(url.Values)                  // changes what the browser brings back
	userinfo  map[string]any                    // nil: there is none
	words     []string                          // of the gateway's block for it
	handle    map[string]http.HandlerFunc       // serves an endpoint in its stead

	nonce string                // of the last login
	codes map[string]url.Values // by code, or by request URI: the authorization request
	asked map[string]int        // requests, by endpoint; by token:<grant> too
}

// add adds an issuer; set turns its knobs.
func (ro *rogue) add(name string, set func(*issuer)) *issuer {
	k := rogueKeys()
	i := &issuer{
		ro: ro, name: name, alg: "RS256", key: k.rsa, kid: "k1", typ: "JWT", lasts: 10 * time.Minute,
		published: []any{jwk(&k.rsa.PublicKey, "k1")}, handle: map[string]http.HandlerFunc{}, codes: map[string]url.Values{}, asked: map[string]int{},
	}
	if set != nil {
		set(i)
	}
	ro.issuers[name] = i
	return i
}

func (i *issuer) knob(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *issuer) times(endpoint string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[endpoint]
}

func (i *issuer) url() string { return "https://" + i.ro.addr + "/" + i.name }

// house is the gateway's block for the issuer.
func (i *issuer) house() string {
	lines := append([]string{"name " + i.name, "trust_pem {$CA}", "role gh-staff staff", "role gh-admins admin staff"}, i.words...)
	return "oidc " + i.url() + " {env.OIDC_ID} {env.OIDC_SECRET} {\n\t\t\t" + strings.Join(lines, "\n\t\t\t") + "\n\t\t}\n\t\t"
}

// relying is a gateway that trusts every issuer; more are further lines of the house.
func (ro *rogue) relying(t testing.TB, c config, more ...string) *gateway {
	t.Helper()
	if c.House == "" {
		names := make([]string, 0, len(ro.issuers))
		for name := range ro.issuers {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			c.House += ro.issuers[name].house()
		}
	}
	c.House += strings.Join(more, "\n\t\t")
	c.Env = append(c.Env, "OIDC_ID="+rogueClient, "OIDC_SECRET="+rogueSecret)
	g := startGateway(t, c)
	g.secret(rogueSecret)
	return g
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request, endpoint string) {
	i.mu.Lock()
	i.asked[endpoint]++
	other := i.handle[endpoint]
	w.Header().Set("Date", time.Now().Add(i.clock).UTC().Format(http.TimeFormat))
	i.mu.Unlock()
	if other != nil {
		other(w, r)
		return
	}
	switch endpoint {
	case ".well-known/openid-configuration":
		i.serveMetadata(w)
	case "jwks":
		i.mu.Lock()
		defer i.mu.Unlock()
		writeJSON(w, http.StatusOK, map[string]any{"keys": i.published})
	case "token":
		i.serveToken(w, r)
	case "par":
		i.servePush(w, r)
	case "userinfo":
		i.mu.Lock()
		defer i.mu.Unlock()
		writeJSON(w, http.StatusOK, i.userinfo)
	default:
		http.NotFound(w, r)
	}
}

func (i *issuer) serveMetadata(w http.ResponseWriter) {
	i.mu.Lock()
	defer i.mu.Unlock()
	doc := map[string]any{
		"issuer": i.url(), "authorization_endpoint": i.url() + "/auth", "token_endpoint": i.url() + "/token", "jwks_uri": i.url() + "/jwks",
		"id_token_signing_alg_values_supported": []string{"RS256", "PS256", "ES256", "HS256", "none"},
	}
	if i.userinfo != nil {
		doc["userinfo_endpoint"] = i.url() + "/userinfo"
	}
	if i.discovery != nil {
		i.discovery(doc)
	}
	writeJSON(w, http.StatusOK, doc)
}

func (i *issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	id, pass, _ := r.BasicAuth()
	if id != rogueClient || pass != rogueSecret {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	grant := r.PostFormValue("grant_type")
	i.mu.Lock()
	i.asked["token:"+grant]++
	takes := i.takes
	i.mu.Unlock()
	time.Sleep(takes)
	i.mu.Lock()
	defer i.mu.Unlock()
	answer := map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": i.lasts.Seconds()}
	switch grant {
	case "authorization_code":
		asked, known := i.codes[r.PostFormValue("code")]
		delete(i.codes, r.PostFormValue("code"))
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if !known || b64(sum[:]) != asked.Get("code_challenge") || r.PostFormValue("redirect_uri") != asked.Get("redirect_uri") {
			writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
			return
		}
		if i.refresh != "" {
			answer["refresh_token"] = i.refresh
		}
		i.nonce = asked.Get("nonce")
		answer["id_token"] = i.idToken(i.nonce, i.claims)
	case "refresh_token": // each is good once
		if i.refresh == "" || r.PostFormValue("refresh_token") != i.refresh {
			writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
			return
		}
		i.refresh = rand.Text()
		answer["refresh_token"] = i.refresh
		answer["id_token"] = i.idToken("", i.claims, i.renewed)
	default:
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type"})
		return
	}
	if i.answer != nil {
		i.answer(answer)
	}
	writeJSON(w, http.StatusOK, answer)
}

// servePush takes a pushed request (RFC 9126).
func (i *issuer) servePush(w http.ResponseWriter, r *http.Request) {
	if id, pass, _ := r.BasicAuth(); id != rogueClient || pass != rogueSecret {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	_ = r.ParseForm() // what cannot be read has no state
	uri := "urn:ietf:params:oauth:request_uri:" + rand.Text()
	i.knob(func() { i.codes[uri] = r.PostForm })
	writeJSON(w, http.StatusCreated, map[string]any{"request_uri": uri, "expires_in": 60})
}

// idToken is one about u-1, as the changes alter it. i.mu must be held, here and below.
func (i *issuer) idToken(nonce string, changes ...func(map[string]any)) string {
	now := time.Now().Add(i.clock).Unix()
	c := map[string]any{
		"iss": i.url(), "aud": rogueClient, "sub": "u-1", "iat": now, "exp": now + 300, "groups": []string{"gh-staff"}, "sid": "s-1", "name": "Una",
	}
	if nonce != "" {
		c["nonce"] = nonce
	}
	return i.token(c, changes...)
}

// token signs claims as the knobs say.
func (i *issuer) token(c map[string]any, changes ...func(map[string]any)) string {
	for _, change := range changes {
		if change != nil {
			change(c)
		}
	}
	for name, v := range c {
		if v == nil {
			delete(c, name)
		}
	}
	header := map[string]any{"alg": i.alg, "kid": i.kid, "typ": i.typ}
	for name, v := range i.header {
		header[name] = v
	}
	for _, name := range []string{"kid", "typ"} {
		if header[name] == "" {
			delete(header, name)
		}
	}
	head, _ := json.Marshal(header) // texts and numbers: cannot fail
	payload, _ := json.Marshal(c)
	if i.forge != nil {
		return i.forge(head, payload)
	}
	return signed(i.alg, i.key, head, payload)
}

// logoutToken is a good one for session s-1 of u-1, as change alters it.
func (i *issuer) logoutToken(change func(map[string]any)) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now().Add(i.clock).Unix()
	return i.token(map[string]any{
		"iss": i.url(), "aud": rogueClient, "sub": "u-1", "sid": "s-1", "iat": now, "exp": now + 120, "jti": rand.Text(),
		"events": map[string]any{logoutEvent: map[string]any{}},
	}, change)
}

// signed makes a compact JWS with exactly this header, as no library would let a test do.
func signed(alg string, key any, header, payload []byte) string {
	input := b64(header) + "." + b64(payload)
	digest := sha256.Sum256([]byte(input))
	var sig []byte
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if alg == "PS256" {
			sig, _ = rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, _ = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
		}
	case *ecdsa.PrivateKey:
		r, s, _ := ecdsa.Sign(rand.Reader, k, digest[:])
		sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case []byte:
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(input))
		sig = mac.Sum(nil)
	}
	return input + "." + b64(sig)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk is a public key as a provider publishes it.
func jwk(key any, kid string) map[string]any {
	k := map[string]any{"use": "sig"}
	switch key := key.(type) {
	case *rsa.PublicKey:
		k["kty"], k["n"], k["e"] = "RSA", b64(key.N.Bytes()), b64(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		k["kty"], k["crv"] = "EC", "P-256"
		k["x"], k["y"] = b64(key.X.FillBytes(make([]byte, 32))), b64(key.Y.FillBytes(make([]byte, 32)))
	}
	if kid != "" {
		k["kid"] = kid
	}
	return k
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who asked has gone
}

// lead is where the gateway sends somebody who logs in with the issuer.
func (i *issuer) lead(t testing.TB, c *client, next string) *answer {
	t.Helper()
	return c.visit(t, "/.gatehouse/login/"+i.name+"?next="+url.QueryEscape(next))
}

// authorize is what the issuer leads back to, after u-1 has logged in there.
func (i *issuer) authorize(t testing.TB, location string) *url.URL {
	t.Helper()
	to, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, i.url()+"/auth?") {
		t.Fatalf("%s: led to %q", i.name, location)
	}
	q := to.Query()
	if uri := q.Get("request_uri"); uri != "" {
		i.knob(func() { q = i.codes[uri] })
	}
	code := rand.Text()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil {
		t.Fatal(err)
	}
	params := url.Values{"code": {code}, "state": {q.Get("state")}}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.codes[code] = q
	if i.back != nil {
		i.back(params)
	}
	back.RawQuery = params.Encode()
	return back
}

// logIn is the whole way of somebody who wants to go to next, and the answer to the callback.
func (i *issuer) logIn(t testing.TB, c *client, next string) *answer {
	t.Helper()
	a := i.lead(t, c, next)
	if a.Status != http.StatusFound {
		return a
	}
	back := i.authorize(t, a.Header.Get("Location"))
	return c.must(t, request{Path: back.String(), Nav: true, Header: http.Header{"Sec-Fetch-Site": {"cross-site"}}})
}

// mustLogIn is logIn of a new visitor.
func (i *issuer) mustLogIn(t testing.TB, g *gateway) *client {
	t.Helper()
	c := g.stranger(t)
	if err := c.expectLogin(i.logIn(t, c, "/")); err != nil {
		t.Fatalf("%s: %v", i.name, err)
	}
	return c
}

// notify tells the gateway of a logout, as the issuer's server.
func (i *issuer) notify(t testing.TB, g *gateway, token string) *answer {
	t.Helper()
	return g.stranger(t).must(t, request{
		Method: http.MethodPost, Path: "/.gatehouse/login/" + i.name + "/backchannel-logout", Bare: true,
		Body: []byte(url.Values{"logout_token": {token}}.Encode()), Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	})
}

// whyNot is what the gateway's log says of a login that it refused.
func (g *gateway) whyNot(t testing.TB, a *answer) string {
	t.Helper()
	line, err := g.accessLine(a.id())
	if err != nil {
		t.Fatal(err)
	}
	detail, _ := line["detail"].(string)
	return detail
}
