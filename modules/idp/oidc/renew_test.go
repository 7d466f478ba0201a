package oidc

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/store"
)

func TestMaxKeepIsTheHouses(t *testing.T) {
	if maxKeep != gatehouse.MaxKeep {
		t.Errorf("%d bytes are kept at most, and the house takes %d", maxKeep, gatehouse.MaxKeep)
	}
	k := &kept{refresh: strings.Repeat("r", maxRefresh), idToken: strings.Repeat("i", maxHint), authTime: time.Unix(maxTime, 0), claimed: true}
	for _, to := range k.texts()[2:] {
		*to = strings.Repeat("x", maxSmall)
	}
	k.audience = slices.Repeat([]string{strings.Repeat("a", maxSmall)}, maxAudience)
	k.amr = slices.Repeat([]string{strings.Repeat("m", maxAMRBytes)}, maxAMR)
	if n := len(k.encode()); n > maxKeep {
		t.Errorf("the largest is %d bytes", n)
	}
	if got, err := decodeKept(k.encode()); err != nil || got.encode() == nil || !bytes.Equal(got.encode(), k.encode()) {
		t.Errorf("the largest cannot be read: %v", err)
	}
}

func TestSession(t *testing.T) {
	tests := []struct {
		name   string
		idp    func(*fakeIdP)
		change func(*Config)
		renew  time.Duration // zero: never
		hint   bool
	}{
		{name: "no refresh token", hint: true},
		{name: "refresh token", idp: func(p *fakeIdP) { p.refresh = "r-1" }, renew: 10 * time.Minute, hint: true},
		{name: "expires at once", idp: answered("expires_in", 1), renew: renewFloor, hint: true},
		{name: "expires in a year", idp: answered("expires_in", 365*86400), renew: renewCap, hint: true},
		{name: "expires in 1e300 s", idp: answered("expires_in", 1e300), renew: renewCap, hint: true},
		{name: "expires never", idp: answered("expires_in", nil), renew: renewGuess, hint: true},
		{name: "expired yesterday", idp: answered("expires_in", -86400), renew: renewGuess, hint: true},
		{name: "expires in words", idp: answered("expires_in", "soon"), renew: renewGuess, hint: true},
		{name: "refresh off", idp: func(p *fakeIdP) { p.refresh = "r-1" }, change: func(c *Config) { c.NoRefresh = true }, hint: true},
		{name: "refresh token too long", idp: func(p *fakeIdP) { p.refresh = strings.Repeat("r", maxRefresh+1) }, hint: true},
		{name: "ID token too long", idp: set("groups", strings.Split(strings.Repeat("cn=some-long-group-name,", 2000), ","))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdP(t)
			p.claims = func(c map[string]any) { c["sid"] = "s-1" }
			if tt.idp != nil {
				tt.idp(p)
			}
			change := tt.change
			if change == nil {
				change = func(*Config) {}
			}
			s := p.begin(p.client(change))
			k, err := decodeKept(s.Keep)
			if err != nil || len(s.Keep) > maxKeep {
				t.Fatalf("%d bytes, %v", len(s.Keep), err)
			}
			if (k.idToken != "") != tt.hint || (k.refresh != "") != (tt.renew != 0) || k.subject != "u-1" {
				t.Errorf("kept %d bytes of ID token, %d of refresh token", len(k.idToken), len(k.refresh))
			}
			if tt.renew == 0 != s.Renew.IsZero() || tt.renew != 0 && (time.Until(s.Renew)-tt.renew).Abs() > 10*time.Second {
				t.Errorf("to be renewed in %v, want %v", time.Until(s.Renew), tt.renew)
			}
			if tt.hint && s.SID != "s-1" {
				t.Errorf("SID is %q", s.SID)
			}
		})
	}
}

func answered(name string, v any) func(*fakeIdP) {
	return func(p *fakeIdP) {
		p.refresh = "r-1"
		p.answer = func(a map[string]any) { a[name] = v }
	}
}

// TestRenew is how a renewal ends when the provider says no, says nothing, or says something new.
func TestRenew(t *testing.T) {
	gone := func(p *fakeIdP) { p.refresh = "" }
	tests := []struct {
		name  string
		login map[string]any // claims of the login's ID token, besides
		then  func(*fakeIdP) // after the login
		ended bool
		down  bool
		fails bool
		roles []string
	}{
		{name: "not said when they logged in", login: map[string]any{"auth_time": nil, "iat": time.Now().Add(-30 * time.Second).Unix()}, roles: []string{"staff"}},
		{name: "ID token too long, and none later", login: map[string]any{"filler": strings.Repeat("a", maxHint)}, then: func(p *fakeIdP) {
			p.answer = func(a map[string]any) { delete(a, "id_token") }
			p.userinfo = map[string]any{"sub": "u-1", "groups": []string{"guest"}}
		}, roles: []string{"guest"}},
		{name: "address repeated", then: func(p *fakeIdP) {
			p.renewed = func(c map[string]any) { c["email"], c["email_verified"] = "ada@b.c", true }
		}, roles: []string{"staff"}},
		{name: "as before", roles: []string{"staff"}},
		{name: "role lost", then: func(p *fakeIdP) { p.renewed = func(c map[string]any) { c["groups"] = []string{} } }},
		{name: "roles claim gone, userinfo too", then: func(p *fakeIdP) {
			p.renewed = func(c map[string]any) { c["groups"] = nil }
			p.userinfo = map[string]any{"sub": "u-1"}
		}},
		{name: "role won", then: func(p *fakeIdP) { p.renewed = func(c map[string]any) { c["groups"] = []string{"b", "a"} } }, roles: []string{"a", "b"}},
		{name: "no ID token, userinfo tells", then: func(p *fakeIdP) {
			p.answer = func(a map[string]any) { delete(a, "id_token") }
			p.userinfo = map[string]any{"sub": "u-1", "groups": []string{"guest"}}
		}, roles: []string{"guest"}},
		{name: "no ID token, userinfo knows no roles", then: func(p *fakeIdP) {
			p.answer = func(a map[string]any) { delete(a, "id_token") }
			p.userinfo = map[string]any{"sub": "u-1"}
		}, roles: []string{"staff"}},
		{name: "no ID token, userinfo of somebody else", then: func(p *fakeIdP) {
			p.answer = func(a map[string]any) { delete(a, "id_token") }
			p.userinfo = map[string]any{"sub": "u-2", "groups": []string{"admin"}}
		}, ended: true},
		{name: "revoked", then: gone, ended: true},
		{name: "client unknown", then: answering("/token", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }), fails: true},
		{name: "invalid_grant with another status", then: answering("/token", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			writeJSON(w, map[string]string{"error": "invalid_grant"})
		}), fails: true},
		{name: "another error", then: answering("/token", func(w http.ResponseWriter, _ *http.Request) { refuse(w, "invalid_request") }), fails: true},
		{name: "500", then: status("/token", 500), down: true},
		{name: "503", then: status("/token", 503), down: true},
		{name: "429", then: status("/token", 429), down: true},
		{name: "connection cut", then: answering("/token", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), down: true},
		{name: "half an answer", then: answering("/token", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"access_token":`))
		}), down: true},
		{name: "huge answer", then: huge("/token"), down: true},
		{name: "redirected", then: redirect("/token"), fails: true},
		{name: "userinfo fails", then: func(p *fakeIdP) {
			p.renewed = func(c map[string]any) { c["groups"] = nil }
			status("/userinfo", 500)(p)
		}, down: true},
		{name: "the provider is gone", then: func(p *fakeIdP) { p.CloseClientConnections(); p.Listener.Close() }, down: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdP(t)
			p.refresh = "r-1"
			c := p.client()
			p.claims = func(c map[string]any) {
				c["auth_time"], c["acr"], c["amr"] = 1700000000, "gold", []string{"pwd"}
				c["name"], c["email"], c["email_verified"] = "Ada", "ada@b.c", true // renewals repeat none of these
				for name, v := range tt.login {
					c[name] = v
				}
			}
			before := p.begin(c)
			keep := bytes.Clone(before.Keep)
			p.knob(func() {
				if tt.then != nil {
					tt.then(p)
				}
			})
			s, err := c.Renew(t.Context(), before.Keep)
			if !bytes.Equal(keep, before.Keep) {
				t.Error("keep was changed")
			}
			if tt.ended || tt.down || tt.fails {
				if s != nil || err == nil || errors.Is(err, ErrEnded) != tt.ended || errors.Is(err, ErrDown) != tt.down {
					t.Errorf("got %+v, %v; want ended %v, down %v", s, err, tt.ended, tt.down)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := before.Identity
			want.Roles = tt.roles
			if diff := cmp.Diff(want, s.Identity, cmp.Transformer("nil", func(l []string) []string { return append([]string{}, l...) })); diff != "" {
				t.Errorf("the identity changed (-want +got):\n%s", diff)
			}
			if until := time.Until(s.Renew); until < 19*time.Minute || until > 20*time.Minute {
				t.Errorf("to be renewed in %v", until)
			}
			if k, err := decodeKept(s.Keep); err != nil || k.refresh != "r-1" {
				t.Errorf("the refresh token was not kept: %+v, %v", k, err)
			}
		})
	}
}

// TestRenewWithoutAnythingToTellRoles: a refresh that brings no ID token, at a provider without userinfo.
func TestRenewWithoutAnythingToTellRoles(t *testing.T) {
	for name, tt := range map[string]struct {
		filler string
		ended  bool
	}{
		"the login's ID token was kept": {},
		"it was too long":               {strings.Repeat("a", maxHint), true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIdP(t)
			p.refresh = "r-1"
			discovered("userinfo_endpoint", nil)(p)
			set("filler", tt.filler)(p)
			c := p.client()
			keep := p.begin(c).Keep
			p.answer = func(a map[string]any) { delete(a, "id_token") }
			s, err := c.Renew(t.Context(), keep)
			if errors.Is(err, ErrEnded) != tt.ended || err == nil && !slices.Equal(s.Identity.Roles, []string{"staff"}) {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
}

func TestRenewRefusesForeignKeep(t *testing.T) {
	a, b := newIdP(t), newIdP(t)
	a.refresh, b.refresh = "same", "same"
	ca, cb := a.client(), b.client()
	keep := a.begin(ca).Keep
	for name, tt := range map[string]struct {
		client *Client
		keep   []byte
	}{
		"another provider's":    {cb, keep},
		"of another client id":  {a.client(func(c *Config) { c.ClientID = "other" }), keep},
		"nothing":               {ca, nil},
		"of another version":    {ca, append([]byte{keepVersion + 1}, keep[1:]...)},
		"cut":                   {ca, keep[:len(keep)-1]},
		"with something more":   {ca, append(bytes.Clone(keep), 0)},
		"without refresh token": {a.client(func(c *Config) { c.NoRefresh = true }), keep},
	} {
		if s, err := tt.client.Renew(t.Context(), tt.keep); s != nil || !errors.Is(err, ErrEnded) {
			t.Errorf("%s: got %+v, %v", name, s, err)
		}
	}
	if n := b.hits["/token"].Load(); n != 0 {
		t.Errorf("a token of one provider was sent to another %d times", n)
	}
}

func TestRotation(t *testing.T) {
	p := newIdP(t)
	p.refresh, p.rotate = "r-1", true
	c := p.client()
	s := p.begin(c)
	for range 3 {
		before := s
		var err error
		if s, err = c.Renew(t.Context(), before.Keep); err != nil {
			t.Fatal(err)
		}
		if k, _ := decodeKept(s.Keep); k.refresh != p.refresh {
			t.Error("the new refresh token was not kept")
		}
		if _, err := c.Renew(t.Context(), before.Keep); !errors.Is(err, ErrEnded) {
			t.Errorf("a spent refresh token: %v", err)
		}
	}
}

// TestRotationSurvivesWhatFailsAfterIt: the old token is spent, so the new one must not be lost, whatever else fails and
// whichever node goes on.
func TestRotationSurvivesWhatFailsAfterIt(t *testing.T) {
	p := newIdP(t)
	p.refresh, p.rotate = "r-1", true
	p.claims = func(c map[string]any) { c["groups"] = nil }
	p.renewed = p.claims
	p.userinfo = map[string]any{"sub": "u-1", "groups": []string{"staff"}}
	st, ring := stateful(t)
	one, other := p.client(), p.client()
	if err := errors.Join(shelved(t, one, st, ring), shelved(t, other, st, ring)); err != nil {
		t.Fatal(err)
	}
	s := p.begin(one)
	p.knob(func() { status("/userinfo", 500)(p) })
	for range 3 { // each spends a token
		if _, err := one.Renew(t.Context(), s.Keep); !errors.Is(err, ErrDown) {
			t.Fatalf("got %v", err)
		}
	}
	p.knob(func() { clear(p.handle) })
	again, err := other.Renew(t.Context(), s.Keep)
	if err != nil || !again.Identity.AuthTime.Equal(s.Identity.AuthTime) || !slices.Equal(again.Identity.Roles, []string{"staff"}) {
		t.Fatalf("got %+v, %v", again, err)
	}
	for item, err := range st.Scan(context.Background(), shelfBucket, "") {
		if err != nil || bytes.Contains(item.Value, []byte(p.refresh)) || strings.Contains(item.Key.ID, "r-1") || item.Expires.IsZero() {
			t.Errorf("%q shows a token, or stays for ever (%v)", item.Key.ID, err)
		}
	}
	_ = st.Close()
	p.knob(func() { status("/userinfo", 500)(p) })
	if _, err := other.Renew(t.Context(), again.Keep); err == nil || errors.Is(err, ErrEnded) || !errors.Is(err, store.ErrClosed) {
		t.Errorf("with a store that fails, got %v; want the loss named", err)
	}
}

func FuzzKeep(f *testing.F) {
	k := &kept{issuer: "https://i", clientID: "c", subject: "s", audience: []string{"c", "d"}, refresh: "r", idToken: "a.b.c", authTime: time.Unix(1, 0), claimed: true}
	f.Add(k.encode())
	f.Add((&kept{}).encode())
	f.Add([]byte{keepVersion, 0, 0x80, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decodeKept(b)
		if err != nil {
			return
		}
		if !bytes.Equal(k.encode(), b) {
			t.Errorf("%x is read as %x", b, k.encode())
		}
	})
}
