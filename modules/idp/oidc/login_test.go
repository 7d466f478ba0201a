package oidc

import (
	"context"
	"crypto/rsa"
	"errors"
	"net/http"
	"testing"
)

func TestCodeIsRedeemedOnce(t *testing.T) {
	p := newIdP(t)
	c, a := p.client(), attempt()
	to, err := c.AuthURL(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	back := p.authorize(to)
	if _, err := c.Finish(t.Context(), back, a); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Finish(t.Context(), back, a); err == nil || errors.Is(err, ErrDown) {
		t.Errorf("the code was redeemed twice: %v", err)
	}
	other := attempt()
	if _, err := c.Finish(t.Context(), p.authorize(to), other); err == nil {
		t.Error("a code was redeemed without its verifier")
	}
	if n := p.hits["/token"].Load(); n != 3 {
		t.Errorf("%d token requests for 3 callbacks", n)
	}
}

func TestSlowProviderEndsWithTheRequest(t *testing.T) {
	for _, path := range endpoints[:3] {
		t.Run(path, func(t *testing.T) {
			p := newIdP(t)
			hang := make(chan struct{})
			defer close(hang)
			reached := make(chan struct{})
			answering(path, func(http.ResponseWriter, *http.Request) { close(reached); <-hang })(p)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-reached; cancel() }()
			c, a := p.client(), attempt()
			to, err := c.AuthURL(ctx, a)
			if err == nil {
				_, err = c.Finish(ctx, p.authorize(to), a)
			}
			if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrDown) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

func TestProviderComesUpLater(t *testing.T) {
	p := newIdP(t)
	status(endpoints[0], 502)(p)
	c := p.client()
	for range 100 { // people keep clicking
		if _, err := c.AuthURL(t.Context(), attempt()); !errors.Is(err, ErrDown) {
			t.Fatalf("got %v", err)
		}
	}
	if n := p.hits[endpoints[0]].Load(); n != 1 {
		t.Errorf("%d requests while the provider was down, want 1 in %v", n, retry)
	}
	p.mu.Lock()
	clear(p.handle)
	p.mu.Unlock()
	c.meta.mu.Lock()
	c.meta.tried = c.meta.tried.Add(-retry)
	c.meta.mu.Unlock()
	if _, err := p.logIn(c, attempt(), nil); err != nil {
		t.Error(err)
	}
}

func TestKeyRotation(t *testing.T) {
	k := testKeys()
	p := newIdP(t)
	c := p.client()
	for i, step := range []struct {
		key       *rsa.PrivateKey
		kid       string
		published []any
	}{
		{k.rsa, "k1", []any{publicJWK(&k.rsa.PublicKey, "k1", "")}},
		{k.other, "k2", []any{publicJWK(&k.rsa.PublicKey, "k1", ""), publicJWK(&k.other.PublicKey, "k2", "")}}, // overlap
		{k.rsa, "k3", []any{publicJWK(&k.rsa.PublicKey, "k3", "")}},                                            // at once
		{k.other, "k3", []any{publicJWK(&k.other.PublicKey, "k3", "")}},                                        // under the same name
	} {
		p.mu.Lock()
		p.key, p.kid, p.published = step.key, step.kid, step.published
		p.mu.Unlock()
		for range 3 {
			if _, err := p.logIn(c, attempt(), nil); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
		if n := p.hits["/jwks"].Load(); n != int32(i+1) {
			t.Errorf("step %d: %d fetches of keys, want %d", i, n, i+1)
		}
	}
}

func TestUserInfo(t *testing.T) {
	tests := []struct {
		name  string
		info  map[string]any
		claim map[string]any // beside sub and the rest; groups are not in the token
		roles int
		email string
		ok    bool
	}{
		{name: "roles and e-mail", info: map[string]any{"sub": "u-1", "groups": []string{"a", "b"}, "email": "a@b.c", "email_verified": true}, roles: 2, email: "a@b.c", ok: true},
		{name: "no roles anywhere", info: map[string]any{"sub": "u-1"}, ok: true},
		{name: "verifies no other address", info: map[string]any{"sub": "u-1", "email_verified": true}, claim: map[string]any{"email": "x@y.z"}, ok: true},
		{name: "somebody else", info: map[string]any{"sub": "u-2", "groups": []string{"admin"}}},
		{name: "no sub", info: map[string]any{"groups": []string{"admin"}}},
		{name: "null", info: nil},
		{name: "token's own claims win", info: map[string]any{"sub": "u-1", "name": "Eve", "acr": "high", "amr": []string{"mfa"}, "auth_time": 1}, claim: map[string]any{"name": "Ada"}, ok: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdP(t)
			p.userinfo = tt.info
			p.claims = func(c map[string]any) {
				c["groups"] = nil
				for name, v := range tt.claim {
					c[name] = v
				}
			}
			who, err := p.logIn(p.client(), attempt(), nil)
			if !tt.ok {
				if err == nil || errors.Is(err, ErrDown) {
					t.Fatalf("got %+v, %v; want it refused", who, err)
				}
				return
			}
			if err != nil || len(who.Roles) != tt.roles || who.Email != tt.email || who.Name == "Eve" || who.ACR != "" || who.AMR != nil {
				t.Errorf("got %+v, %v", who, err)
			}
		})
	}
	p := newIdP(t)
	if _, err := p.logIn(p.client(), attempt(), nil); err != nil || p.hits["/userinfo"].Load() != 0 {
		t.Errorf("userinfo was asked for what the ID token has (%v)", err)
	}
}
