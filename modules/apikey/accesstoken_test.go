package apikey

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/roster"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/service"
	"gatehouse.internal/modules/internal/store"
)

// issued is a book, and the text of a key of a service account's in it.
func issued(t testing.TB) (b *Book, key string) {
	t.Helper()
	st := store.NewMemory()
	keys, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := service.Open(st, keys)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = NewBook(st, keys, accounts, roster.Roster{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Destruct(); _ = accounts.Destruct() })
	if _, err := accounts.Add(t.Context(), service.Account{Name: "robot", Roles: []string{"staff"}}); err != nil {
		t.Fatal(err)
	}
	all, err := reqpath.ParsePattern("/*")
	if err != nil {
		t.Fatal(err)
	}
	key, err = b.Issue(t.Context(), &Key{
		Account: "robot", Scope: scope.Scope{Hosts: []string{"a.test"}, Paths: []reqpath.Pattern{all}}, Scopes: []string{"api"},
		Workspaces: []string{"acme"}, Expires: time.Now().Add(24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b, key
}

// A token is good for its time, on the clock that is asked by, and as long as its key is; what was found of its signature is
// forgotten in time for a key of the house's that was retired.
func TestAccessTokenTimes(t *testing.T) {
	b, key := issued(t)
	now := time.Now()
	k, proves, err := b.Find(t.Context(), key, now)
	if err != nil {
		t.Fatal(err)
	}
	text, id, expires, err := b.Mint(k, proves, AccessAsk{Issuer: "https://a.test", Audience: "api", Scopes: k.Scopes, Workspaces: k.Workspaces, Lasts: 10 * time.Minute}, now)
	if err != nil || id == "" || expires.After(now.Add(10*time.Minute)) {
		t.Fatal(id, expires, err)
	}
	for _, tt := range []struct {
		after time.Duration
		want  error
	}{
		{0, nil}, {-30 * time.Second, nil}, {-2 * time.Minute, errTokenFuture}, {9*time.Minute + 58*time.Second, nil}, {10 * time.Minute, errTokenOver}, {time.Hour, errTokenOver}, {0, nil},
	} {
		got, err := b.FindToken(t.Context(), text, now.Add(tt.after))
		if !errors.Is(err, tt.want) || (tt.want == nil) != (got != nil) {
			t.Errorf("%s after it was made: %v, want %v", tt.after, err, tt.want)
		}
		if got != nil && (got.testimony.Credential.Until != expires || got.testimony.Credential.Method != identity.ByAPIKey || got.ID != id) {
			t.Errorf("%+v", got.testimony.Credential)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if got, err := b.FindToken(t.Context(), text, now); err != nil || got == nil {
			t.Fatal(err)
		}
	}); n > 1 { // for whose it is now
		t.Errorf("a known token costs %v allocations", n)
	}
	if _, err := b.Revoke(t.Context(), k.ID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.FindToken(t.Context(), text, now); !errors.Is(err, errNoKey) {
		t.Errorf("the key is revoked: %v", err)
	}
}

func TestWordsWithin(t *testing.T) {
	all := []string{"a", "b", "c"}
	for asked, want := range map[string]int{"": 3, "a": 1, "c a c": 2, "d": -1, "a d": -1, "A": -1} {
		if words, ok := wordsWithin(asked, all); ok != (want >= 0) || ok && len(words) != want {
			t.Errorf("%q of %v: %v, %v", asked, all, words, ok)
		}
	}
}

// A key gets tokens for the APIs that it has paths of: what a more specific API takes is not the wider one's.
func TestAudience(t *testing.T) {
	api := func(path, audience string, lasts time.Duration) API {
		p, err := reqpath.ParsePattern(path)
		if err != nil {
			t.Fatal(err)
		}
		if audience == "" { // another issuer's
			return API{Path: p}
		}
		return API{Path: p, Tokens: &Tokens{Audiences: []string{audience}, Lasts: caddy.Duration(lasts)}}
	}
	a := &Authenticator{APIs: []API{ // the most specific first, as they are provisioned
		api("/api/ws/*", "ws", time.Minute), api("/api/x/*", "", 0), api("/api/*", "wide", time.Hour), api("/b/*", "ws", 2*time.Minute),
	}}
	for _, tt := range []struct {
		paths, asked string
		want         string
		lasts        time.Duration
	}{
		{"/*", "ws", "ws", time.Minute}, {"/*", "wide", "wide", time.Hour}, {"/*", "", "", 0}, {"/*", "none", "", 0}, {"/*", "ws wide", "", 0},
		{"/api/ws/acme/*", "", "ws", time.Minute}, {"/api/ws/acme/*", "wide", "", 0}, {"/api/ws", "wide", "", 0}, {"/api/y", "", "wide", time.Hour},
		{"/api/y", "ws", "", 0}, {"/api/x/*", "wide", "", 0}, {"/api/x/*", "", "", 0}, {"/b/c /files/*", "", "ws", time.Minute},
		{"/files/*", "", "", 0}, {"/files/*", "ws", "", 0}, {"/API/*", "wide", "", 0}, {"/apis/*", "wide", "", 0}, {"", "ws", "", 0},
	} {
		var paths []reqpath.Pattern
		for _, text := range strings.Fields(tt.paths) {
			paths = append(paths, api(text, "", 0).Path)
		}
		name, lasts, ok := a.audience(paths, strings.Fields(tt.asked))
		if ok != (tt.want != "") || ok && (name != tt.want || lasts != tt.lasts) {
			t.Errorf("a key for %q that asks for %q: %q for %s, %v", tt.paths, tt.asked, name, lasts, ok)
		}
	}
	for path, want := range map[string]bool{"/api/ws/a": true, "/API/WS/a": true, "/api/x/a": false, "/api/X/a": true, "/api/y": true, "/b": true, "/files/x": false} {
		p, err := reqpath.Parse(path, reqpath.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.wantsToken(p); got != want {
			t.Errorf("%s wants a token: %v", path, got)
		}
	}
}

// FuzzReadToken holds that no text but the gateway's own is a token.
func FuzzReadToken(f *testing.F) {
	b, key := issued(f)
	now := time.Now()
	k, proves, err := b.Find(f.Context(), key, now)
	if err != nil {
		f.Fatal(err)
	}
	text, _, _, err := b.Mint(k, proves, AccessAsk{Issuer: "https://a.test", Audience: "api", Lasts: time.Hour}, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add("..")
	f.Add(accessHead("00000000") + ".e30.")
	f.Fuzz(func(t *testing.T, other string) {
		if got, err := b.FindToken(t.Context(), other, now); got != nil && other != text {
			t.Errorf("%q is a token: %v", other, err)
		}
	})
}
