package oidc

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// serveRefresh answers a refresh with what the knobs say: renewed changes the claims of the new ID token.
func (p *fakeIdP) serveRefresh(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	good := p.refresh != "" && r.PostFormValue("refresh_token") == p.refresh
	if good && p.rotate {
		p.refresh = rand.Text()
	}
	answer := map[string]any{"access_token": "access", "token_type": "bearer", "expires_in": "1200"}
	if p.rotate {
		answer["refresh_token"] = p.refresh
	}
	p.mu.Unlock()
	if !good {
		refuse(w, "invalid_grant")
		return
	}
	answer["id_token"] = p.idToken("", func(c map[string]any) {
		c["nonce"] = nil
		if p.renewed != nil {
			p.renewed(c)
		}
	})
	if p.answer != nil {
		p.answer(answer)
	}
	writeJSON(w, answer)
}

func (p *fakeIdP) servePush(w http.ResponseWriter, r *http.Request) {
	if !p.known(r) {
		refuse(w, "invalid_client")
		return
	}
	uri := "urn:ietf:params:oauth:request_uri:" + rand.Text()
	p.mu.Lock()
	p.pushed[uri] = r.PostForm
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	writeJSON(w, map[string]any{"request_uri": uri, "expires_in": 60})
}

// knownByKey verifies a client assertion as RFC 7523 3 says.
func (p *fakeIdP) knownByKey(r *http.Request, raw string) bool {
	jws, err := jose.ParseSignedCompact(raw, joseAlgorithms())
	if err != nil || r.PostFormValue("client_secret") != "" || r.Header.Get("Authorization") != "" || r.PostFormValue("client_assertion_type") != assertionType {
		p.t.Errorf("client assertion: %v, %v", err, r.PostForm)
		return false
	}
	payload, err := jws.Verify(p.clientPub)
	var c struct {
		Iss, Sub, Aud, Jti string
		Iat, Exp           int64
	}
	if err != nil || json.Unmarshal(payload, &c) != nil || jws.Signatures[0].Protected.KeyID == "" {
		p.t.Errorf("client assertion: %v", err)
		return false
	}
	now := time.Now().Unix()
	if c.Iss != testClientID || c.Sub != testClientID || (c.Aud != p.URL && c.Aud != p.URL+"/token") || c.Jti == "" || c.Exp > now+61 || c.Exp <= now || c.Iat > now {
		p.t.Errorf("client assertion says %s", payload)
		return false
	}
	return true
}

// begin runs a whole login and returns its session.
func (p *fakeIdP) begin(c *Client) *Session {
	p.t.Helper()
	a := attempt()
	to, err := c.AuthURL(p.t.Context(), a)
	if err != nil {
		p.t.Fatal(err)
	}
	s, err := c.Finish(p.t.Context(), p.authorize(to), a)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// logoutToken is a good logout token, as change alters it.
func (p *fakeIdP) logoutToken(change func(map[string]any)) string {
	now := time.Now().Unix()
	return p.token(map[string]any{
		"iss": p.URL, "aud": testClientID, "sub": "u-1", "sid": "s-1", "iat": now, "exp": now + 120, "jti": rand.Text(),
		"events": map[string]any{logoutEvent: map[string]any{}},
	}, change)
}

func logoutRequest(token string) *http.Request {
	r := httptest.NewRequest("POST", "/x", strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

// shelved gives c a store that outlives it.
func shelved(t *testing.T, c *Client, st store.Store, ring *keyring.Ring) error {
	t.Helper()
	return c.Shelve(t.Context(), st, ring)
}

func stateful(t *testing.T) (store.Store, *keyring.Ring) {
	t.Helper()
	st := store.NewMemory()
	t.Cleanup(func() { _ = st.Close() })
	ring, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	return st, ring
}

func (p *fakeIdP) knob(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn()
}

// age makes the client's documents so old that whoever asks has them fetched anew.
func age(c *Client) {
	c.meta.mu.Lock()
	c.meta.loaded, c.meta.tried = time.Now().Add(-maxAge), time.Time{}
	c.meta.mu.Unlock()
	c.keys.doc.mu.Lock()
	c.keys.doc.loaded, c.keys.doc.tried = time.Now().Add(-maxAge), time.Time{}
	c.keys.doc.mu.Unlock()
}
