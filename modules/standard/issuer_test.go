package standard_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is an authorization server: it publishes keys, and signs whatever a test wants.
type issuer struct {
	*httptest.Server
	t       testing.TB
	ec      *ecdsa.PrivateKey // kid e1, ES256
	rsa     *rsa.PrivateKey   // kid r1, RS256
	ed      ed25519.PrivateKey
	stray   *ecdsa.PrivateKey // published nowhere
	fetches atomic.Int32      // of keys
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{t: t}
	i.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	i.stray, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	i.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	_, i.ed, _ = ed25519.GenerateKey(rand.Reader)
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/jwks"})
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		i.fetches.Add(1)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: &i.ec.PublicKey, KeyID: "e1", Algorithm: "ES256", Use: "sig"},
			{Key: &i.rsa.PublicKey, KeyID: "r1", Use: "sig"},
			{Key: i.ed.Public(), KeyID: "d1", Use: "sig"},
			{Key: &small.PublicKey, KeyID: "small", Use: "sig"},
		}})
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	smallKey = small
	return i
}

var smallKey *rsa.PrivateKey

// trust is the file with the server's certificate.
func (i *issuer) trust(dir string) string {
	file := filepath.Join(dir, "issuer.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}), 0o600); err != nil {
		i.t.Fatal(err)
	}
	return file
}

// claims are those of a good access token, changed.
func (i *issuer) claims(change map[string]any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{
		"iss": i.URL, "aud": "https://app.test/api", "sub": "ada", "client_id": "cli", "iat": now, "exp": now + 300, "jti": rand.Text(),
		"scope": "app.read app.write", "groups": []string{"staff"}, "workspaces": []string{"a", "c"},
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// token is a good access token with changed claims.
func (i *issuer) token(change map[string]any) string {
	return i.sign(map[string]any{"alg": "ES256", "kid": "e1", "typ": "at+jwt"}, i.claims(change), i.ec)
}

// sign makes a compact JWS of whatever it is given.
func (i *issuer) sign(header, claims any, key any) string {
	i.t.Helper()
	return i.signRaw(mustJSON(i.t, header), mustJSON(i.t, claims), key)
}

func (i *issuer) signRaw(header, claims []byte, key any) string {
	i.t.Helper()
	input := b64(header) + "." + b64(claims)
	return input + "." + b64(signature(i.t, header, input, key))
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
