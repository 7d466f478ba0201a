package oidc

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestLogoutRequest is everything about a back-channel logout but its token.
func TestLogoutRequest(t *testing.T) {
	p := newIdP(t)
	c := p.client()
	token := p.logoutToken(nil)
	form := "application/x-www-form-urlencoded"
	tests := []struct {
		name, method, kind, query, body string
		ok, parsed                      bool
	}{
		{name: "good", kind: form, body: "logout_token=" + token, ok: true},
		{name: "a form that the portal has read", kind: form, body: "logout_token=" + token, ok: true, parsed: true},
		{name: "in the URL of a form that the portal has read", kind: form, query: "?logout_token=" + token, parsed: true},
		{name: "with more beside it", kind: form, body: "a=b&logout_token=" + token, ok: true},
		{name: "GET", method: "GET", kind: form, body: "logout_token=" + token},
		{name: "in the URL", kind: form, query: "?logout_token=" + token},
		{name: "no content type", body: "logout_token=" + token},
		{name: "JSON", kind: "application/json", body: `{"logout_token":"` + token + `"}`},
		{name: "multipart", kind: "multipart/form-data; boundary=a", body: "--a\r\n"},
		{name: "two tokens", kind: form, body: "logout_token=" + token + "&logout_token=" + token},
		{name: "none", kind: form},
		{name: "empty", kind: form, body: "logout_token="},
		{name: "malformed", kind: form, body: "%zz&logout_token=" + token},
		{name: "too large", kind: form, body: "logout_token=" + token + "&a=" + strings.Repeat("a", maxNotice)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method := tt.method
			if method == "" {
				method = "POST"
			}
			r := httptest.NewRequest(method, "/x"+tt.query, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.kind)
			if tt.parsed {
				_ = r.ParseForm()
			}
			n, err := c.LogoutNotice(r)
			if (err == nil) != tt.ok || (n == nil) == tt.ok {
				t.Errorf("got %+v, %v", n, err)
			}
			if err != nil && (strings.Contains(err.Error(), token) || len(err.Error()) > 500) {
				t.Errorf("the error shows too much: %v", err)
			}
		})
	}
}

// TestFloodOfLogoutTokens: whoever finds the address can post there, and must not be able to have us attack the provider.
func TestFloodOfLogoutTokens(t *testing.T) {
	k := testKeys()
	p := newIdP(t)
	c := p.client()
	good := p.logoutToken(nil)
	if _, err := c.LogoutNotice(logoutRequest(good)); err != nil {
		t.Fatal(err)
	}
	payload, began := []byte(`{"iss":"`+p.URL+`"}`), time.Now()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 250 {
				kid := []string{"k1", "", "x", fmt.Sprint("k", worker, i)}[i%4]
				raw := sign(t, "ES256", k.ec, []byte(`{"alg":"ES256","kid":"`+kid+`"}`), payload)
				if n, err := c.LogoutNotice(logoutRequest(raw)); n != nil || !errors.Is(err, errSignature) {
					t.Errorf("got %+v, %v", n, err)
				}
			}
		})
	}
	wg.Wait()
	// On a machine that is very slow, more than one quiet time may have passed.
	if n, most := p.hits["/jwks"].Load()-1, 1+int32(time.Since(began)/quietFor); n > most {
		t.Errorf("1,000 bad tokens made %d fetches of keys beside the first", n)
	}
	if n := p.hits[endpoints[0]].Load(); n != 1 {
		t.Errorf("%d fetches of metadata", n)
	}
	if _, err := c.LogoutNotice(logoutRequest(good)); err != nil {
		t.Errorf("the flood shut out a good token: %v", err)
	}
}

func TestEndURL(t *testing.T) {
	p := newIdP(t)
	c := p.client()
	keep := p.begin(c).Keep
	k, _ := decodeKept(keep)
	big := *k
	big.idToken = strings.Repeat("a", maxURL+1)
	foreign := *k
	foreign.issuer = "https://other.example"
	tests := []struct {
		name            string
		keep            []byte
		returnTo, state string
		hint            bool
	}{
		{name: "all", keep: keep, returnTo: "https://app.example.com/.gatehouse/logout?done=1&x", state: "a&b", hint: true},
		{name: "nowhere to return to", keep: keep, state: "s", hint: true},
		{name: "nothing kept", returnTo: "https://app.example.com/", state: "s"},
		{name: "of another provider", keep: foreign.encode(), returnTo: "https://app.example.com/", state: "s"},
		{name: "too long for a URL", keep: big.encode(), returnTo: "https://app.example.com/", state: "s"},
		{name: "garbage", keep: []byte("garbage"), returnTo: "https://app.example.com/", state: "s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			to, err := c.EndURL(t.Context(), tt.keep, tt.returnTo, tt.state)
			u, err2 := url.Parse(to)
			if err != nil || err2 != nil || !strings.HasPrefix(to, p.URL+"/end?x=1&") {
				t.Fatalf("got %q, %v", to, err)
			}
			want := url.Values{"x": {"1"}, "client_id": {testClientID}}
			if tt.returnTo != "" {
				want.Set("post_logout_redirect_uri", tt.returnTo)
				want.Set("state", tt.state)
			}
			if tt.hint {
				want.Set("id_token_hint", k.idToken)
			}
			if got := u.Query(); got.Encode() != want.Encode() {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
	none := newIdP(t)
	discovered("end_session_endpoint", nil)(none)
	if to, err := none.client().EndURL(t.Context(), nil, "https://a.example/", ""); to != "" || err != nil {
		t.Errorf("without an endpoint: %q, %v", to, err)
	}
	unsafe := newIdP(t)
	discovered("end_session_endpoint", "javascript:alert(1)")(unsafe)
	if to, err := unsafe.client().EndURL(t.Context(), nil, "https://a.example/", ""); to != "" || !errors.Is(err, ErrDown) {
		t.Errorf("with an endpoint that is a script: %q, %v", to, err)
	}
}

// TestSeveralProviders: what one provider of a house says is nothing at another, though both know the same client.
func TestSeveralProviders(t *testing.T) {
	a, b := newIdP(t), newIdP(t) // of the same keys, even
	ca, cb := a.client(), b.client()
	if _, err := cb.LogoutNotice(logoutRequest(a.logoutToken(nil))); err == nil {
		t.Error("one provider's logout token ended sessions of another's")
	}
	at := attempt()
	to, err := ca.AuthURL(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	back := a.authorize(to)
	if _, err := cb.Finish(t.Context(), back, at); err == nil {
		t.Error("one provider's code was redeemed at another")
	}
	b.answer = func(answer map[string]any) { answer["id_token"] = a.idToken(at.Nonce, nil) }
	other := attempt()
	other.Nonce = at.Nonce
	if to, err = cb.AuthURL(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, err := cb.Finish(t.Context(), b.authorize(to), other); err == nil || !strings.Contains(err.Error(), "different provider") {
		t.Errorf("one provider's ID token passed at another: %v", err)
	}
	back.Set("iss", a.URL)
	if _, err := cb.Finish(t.Context(), back, at); err == nil || !strings.Contains(err.Error(), "mix-up") {
		t.Errorf("got %v", err)
	}
	keep := a.begin(ca).Keep
	if to, err := cb.EndURL(t.Context(), keep, "https://a.example/", ""); err != nil || strings.Contains(to, "id_token_hint") {
		t.Errorf("one provider was shown another's token: %q, %v", to, err)
	}
}

func FuzzLogoutToken(f *testing.F) {
	f.Add(`{"alg":"RS256"}`, `{"iss":"i","aud":"c","iat":1,"exp":2,"jti":"j","sub":"s","events":{"`+logoutEvent+`":{}}}`)
	f.Add(`{"alg":"none","crit":[]}`, `{"iat":1e300,"events":[]}`)
	f.Fuzz(func(t *testing.T, head, payload string) {
		_ = checkHeader(b64([]byte(head))+"."+b64([]byte(payload))+".x", logoutTokenTypes)
		cl, err := parseClaims([]byte(payload))
		if err != nil {
			return
		}
		now := time.Now()
		n, err := cl.notice(now, new(clock))
		if err != nil {
			return
		}
		if !plain(n.ID) || n.SID+n.Subject == "" || n.SID != "" && !plain(n.SID) || n.Subject != "" && !plain(n.Subject) {
			t.Errorf("took over %+v", n)
		}
		if !n.Expires.After(now) || n.Expires.After(now.Add(noticeFor+2*skew)) {
			t.Errorf("to be remembered until %v", n.Expires)
		}
	})
}

// FuzzLogoutRequest: a token is found only where there is exactly one.
func FuzzLogoutRequest(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", "logout_token=a.b.c")
	f.Add("text/plain", "%")
	f.Fuzz(func(t *testing.T, kind, body string) {
		r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(body))
		r.Header["Content-Type"] = []string{kind}
		token, err := logoutToken(r)
		if err != nil {
			return
		}
		form, err := url.ParseQuery(body)
		if err != nil || len(body) > maxNotice || len(form["logout_token"]) != 1 || form.Get("logout_token") != token {
			t.Errorf("found %q in %q (%v)", token, body, err)
		}
	})
}
