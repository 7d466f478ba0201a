package link

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/store"
)

var here = Where{Host: "app.test:8443", Client: netip.MustParseAddr("192.0.2.7")}

// nodes are books of one house on one store.
func nodes(t *testing.T, n int) (books []*Book, st store.Store) {
	t.Helper()
	st = store.NewMemory()
	keys, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		people, err := standing.Open(st, keys)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewBook(st, keys, people)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = errors.Join(b.Destruct(), people.Destruct()) })
		books = append(books, b)
	}
	return books, st
}

func draft(t *testing.T, change func(*Link)) *Link {
	t.Helper()
	p, err := reqpath.ParsePattern("/offers/*")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{
		Label: "ines", MaxUses: 1, Lasts: time.Hour, Expires: time.Now().Add(time.Hour),
		Scope: scope.Scope{Hosts: []string{"app.test"}, Paths: []reqpath.Pattern{p}},
	}
	if change != nil {
		change(l)
	}
	return l
}

func made(t *testing.T, b *Book, change func(*Link)) (text string) {
	t.Helper()
	text, err := b.Create(t.Context(), draft(t, change))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Of many who open a link at one time, on several nodes, as many get in as it has uses: they are counted in the store.
func TestUsesAreCountedAcrossNodes(t *testing.T) {
	books, _ := nodes(t, 3)
	for _, uses := range []int{1, 2} {
		text := made(t, books[0], func(l *Link) { l.MaxUses = uses })
		var in atomic.Int32
		var all sync.WaitGroup
		for i := range 15 {
			all.Go(func() {
				switch _, _, err := books[i%len(books)].Open(t.Context(), text, NewSession(), here); {
				case err == nil:
					in.Add(1)
				case !errors.Is(err, ErrUsedUp):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if int(in.Load()) != uses {
			t.Errorf("%d got in by a link for %d", in.Load(), uses)
		}
	}
}

// The button pressed twice begins one session and takes one use, wherever the second press arrives; later it takes another.
func TestPressedTwice(t *testing.T) {
	books, _ := nodes(t, 2)
	text, value := made(t, books[0], nil), NewSession()
	first, _, err := books[0].Open(t.Context(), text, value, here)
	if err != nil {
		t.Fatal(err)
	}
	second, l, err := books[1].Open(t.Context(), text, value, here)
	if err != nil || second != first || l.Uses != 1 {
		t.Fatalf("pressed again: %q, %q, %v", first, second, err)
	}
	if _, _, err := books[1].Open(t.Context(), text, NewSession(), here); !errors.Is(err, ErrUsedUp) {
		t.Errorf("another browser: %v", err)
	}
	now := time.Now()
	again := &Link{}
	if _, was := again.use("a", now); was || again.Uses != 1 {
		t.Error("the first use is none")
	}
	if at, was := again.use("a", now.Add(pressed-1)); !was || !at.Equal(now) || again.Uses != 1 {
		t.Error("a moment later it is another use")
	}
	if _, was := again.use("a", now.Add(pressed)); was || again.Uses != 2 {
		t.Error("much later it is the same use")
	}
	for _, c := range "bcdefghijklmnop" {
		again.use(string(c), now)
	}
	if len(again.Recent) != maxPressed {
		t.Errorf("%d uses are remembered", len(again.Recent))
	}
}

func TestSessionsAreTheirLinks(t *testing.T) {
	books, st := nodes(t, 2)
	a, b := books[0], books[1]
	text, value := made(t, a, func(l *Link) { l.Tenant, l.Expires = "acme", time.Now().Add(10*time.Minute) }), NewSession()
	acme := here
	acme.Tenant = "acme"
	for name, at := range map[string]Where{"no tenant": here, "another tenant": {Host: "app.test", Tenant: "b", Client: here.Client}, "another host": {Host: "b.test", Tenant: "acme", Client: here.Client}} {
		if _, _, err := a.Open(t.Context(), text, value, at); !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, l, err := a.Open(t.Context(), text, value, acme)
	if err != nil {
		t.Fatal(err)
	}
	_, proof, err := b.Session(t.Context(), value, acme)
	if err != nil || proof.Identity.Subject != l.ID || proof.Identity.Kind != "guest" || proof.Identity.Tenant != "acme" || len(proof.Identity.Roles) > 0 {
		t.Fatalf("%+v, %v", proof, err)
	}
	if until := proof.Credential.Until; until.After(l.Expires) || proof.Check() != nil {
		t.Errorf("until %v, the link %v: %v", until, l.Expires, proof.Check())
	}
	for _, bad := range []string{"", value[1:], value + "x", NewSession()} {
		if _, _, err := a.Session(t.Context(), bad, acme); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, _, err := a.Session(t.Context(), value, here); !errors.Is(err, ErrUnknown) {
		t.Errorf("on another tenant's site: %v", err)
	}
	for item, err := range st.Scan(t.Context(), linkBucket, "") {
		if err != nil || strings.Contains(string(item.Value), "ines") || strings.Contains(string(item.Value), text[14:]) {
			t.Errorf("the store can be read: %q, %v", item.Value, err)
		}
	}
	if _, n, err := a.Revoke(t.Context(), l.ID); n != 1 || err != nil {
		t.Errorf("revoked %d, %v", n, err)
	}
	for deadline := time.Now().Add(5 * time.Second); proof.Check() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the other node lets its session go on")
		}
	}
	if _, _, err := a.Open(t.Context(), text, NewSession(), acme); !errors.Is(err, ErrRevoked) {
		t.Errorf("opened after it was revoked: %v", err)
	}
}

// What the store cannot say is no verdict: a link is neither let in by nor called invalid.
func TestStoreDown(t *testing.T) {
	books, st := nodes(t, 1)
	text := made(t, books[0], nil)
	_ = st.Close()
	if _, err := books[0].Look(context.Background(), unknown(), here); err == nil || IsVerdict(err) {
		t.Errorf("Look: %v", err)
	}
	if _, _, err := books[0].Session(context.Background(), NewSession(), here); err == nil || IsVerdict(err) {
		t.Errorf("Session: %v", err)
	}
	if _, _, err := books[0].Open(context.Background(), text, NewSession(), here); err == nil || IsVerdict(err) {
		t.Errorf("Open: %v", err)
	}
}

// unknown is the text of a link that this house never made.
func unknown() string {
	text, _ := Text.New()
	return text
}

func TestDrafts(t *testing.T) {
	books, _ := nodes(t, 1)
	for says, change := range map[string]func(*Link){
		"a host and a path": func(l *Link) { l.Scope.Paths = nil },
		"for one host":      func(l *Link) { l.Scope.Hosts = append(l.Scope.Hosts, "b.test") },
		"say for whom":      func(l *Link) { l.Label = "a\nb" },
		"provider:subject":  func(l *Link) { l.Owner.Provider = "local" },
		"a year":            func(l *Link) { l.Expires = time.Now().Add(-time.Second) },
		"cannot lead":       func(l *Link) { l.Start = "https://evil.example/" },
		"not for this path": func(l *Link) { l.Start = "/" },
	} {
		if _, err := books[0].Create(t.Context(), draft(t, change)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q: %v", says, err)
		}
	}
	l := draft(t, func(l *Link) { l.Uses, l.Revoked, l.Start = 7, time.Now(), "/offers/a%20b?x=1" })
	if _, err := books[0].Create(t.Context(), l); err != nil || l.Uses != 0 || !l.Revoked.IsZero() {
		t.Errorf("a draft that says what only time can: %+v, %v", l, err)
	}
	made(t, books[0], nil)
	list, more, err := books[0].List(t.Context(), 1)
	if err != nil || !more || len(list) != 1 || slices.ContainsFunc(list, func(l *Link) bool { return l.Hash != nil }) {
		t.Errorf("%d links, %v, %v", len(list), more, err)
	}
}
