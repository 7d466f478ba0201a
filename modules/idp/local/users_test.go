package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const goodPassword = "wander quilt marble"

func newUsers(t *testing.T) *Users {
	t.Helper()
	keys, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	st := store.NewMemory()
	t.Cleanup(func() { _ = st.Close() })
	h := NewHasher(2)
	h.sameTime = 0
	return &Users{Store: st, Keys: keys, Hasher: h, Provider: "local", MinPassword: 12, Cost: standard}
}

// add stores a user whose password is good, with a hash that costs nothing.
func add(t *testing.T, s *Users, name string, roles ...string) {
	t.Helper()
	if err := s.Create(t.Context(), User{Name: name, Roles: roles, Hash: cheapHash(goodPassword, cheap)}); err != nil {
		t.Fatal(err)
	}
}

func TestUsers(t *testing.T) {
	ctx, s := t.Context(), newUsers(t)
	if some, err := s.Any(ctx); some || err != nil {
		t.Errorf("an empty store has users: %v, %v", some, err)
	}
	u, err := s.New(ctx, "Ada", goodPassword, []string{"admin"})
	if err != nil || u.Name != "ada" {
		t.Fatalf("%v, %v", u, err)
	}
	if err := s.Create(ctx, u); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(ctx, u); !errors.Is(err, ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	add(t, s, "bob", "staff")
	got, err := s.Get(ctx, "ADA")
	if err != nil || got.Name != "ada" || got.Roles[0] != "admin" || got.Created.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	if list, err := s.List(ctx); err != nil || len(list) != 2 || list[0].Name != "ada" || list[1].Name != "bob" {
		t.Errorf("list %v, %v", list, err)
	}
	if err := s.SetPassword(ctx, "ada", "another quilt marble"); err != nil {
		t.Error(err)
	}
	if _, err := s.Authenticate(ctx, "ada", goodPassword); !errors.Is(err, ErrWrong) {
		t.Errorf("the old password still works: %v", err)
	}
	if _, err := s.Authenticate(ctx, " Ada", "another quilt marble"); err != nil {
		t.Errorf("the new password does not work: %v", err)
	}
	if err := s.SetPassword(ctx, "ada", "short"); !errors.Is(err, ErrPasswordShort) {
		t.Errorf("got %v", err)
	}
	if err := s.SetPassword(ctx, "eve", goodPassword); !errors.Is(err, ErrNoUser) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(s.Delete(ctx, "ada"), s.Delete(ctx, "ada"), s.Delete(ctx, "no such name")); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(ctx, "ada"); !errors.Is(err, ErrNoUser) {
		t.Errorf("deleted user: %v", err)
	}
	if n, err := s.Count(ctx); n != 1 || err != nil {
		t.Errorf("%d users, %v", n, err)
	}
	elsewhere := *s
	elsewhere.Provider = "partners"
	if _, err := elsewhere.Get(ctx, "bob"); !errors.Is(err, ErrNoUser) {
		t.Errorf("a user of another provider: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	s := newUsers(t)
	for name, want := range map[string]error{"": ErrName, "a/b": ErrName, "ada": nil} {
		if _, err := s.New(t.Context(), name, goodPassword, nil); !errors.Is(err, want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := s.New(t.Context(), "ada", "passwordpassword", nil); !errors.Is(err, ErrPasswordWeak) {
		t.Errorf("got %v", err)
	}
}

// TestStoreHoldsNothingReadable: neither names nor hashes can be read from a copy of the store, nor records be swapped.
func TestStoreHoldsNothingReadable(t *testing.T) {
	ctx, s := t.Context(), newUsers(t)
	add(t, s, "ada", "admin")
	add(t, s, "bob")
	var items []store.Item
	for item, err := range s.Store.Scan(ctx, userBucket, "") {
		if err != nil {
			t.Fatal(err)
		}
		if text := item.Key.ID + string(item.Value); strings.Contains(text, "ada") || strings.Contains(text, "argon2") {
			t.Errorf("readable: %q", text)
		}
		items = append(items, item)
	}
	_, err := s.Store.Put(ctx, items[0].Key, items[1].Value, store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var refused int
	for _, name := range []string{"ada", "bob"} {
		if _, err := s.Authenticate(ctx, name, goodPassword); err != nil && !errors.Is(err, ErrWrong) {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d of 2 swapped records refused, want 1", refused)
	}
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v", User{Name: "ada", Hash: "H"}, User{Name: "ada", Hash: "H"}, User{Name: "ada", Hash: "H"})} {
		if strings.Contains(shown, "H") {
			t.Errorf("a user prints its hash: %s", shown)
		}
	}
}

// TestAuthenticateCostsTheSame counts hashes: time is for the load test, but the number of hashes is the time.
func TestAuthenticateCostsTheSame(t *testing.T) {
	ctx, s := t.Context(), newUsers(t)
	hash, err := s.Hasher.Hash(ctx, standard, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(ctx, User{Name: "ada", Hash: hash}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, user, password string }{
		{"right", "ada", goodPassword}, {"wrong password", "ada", "x"}, {"no password", "ada", ""},
		{"unknown", "eve", goodPassword}, {"malformed", "no such name", goodPassword}, {"empty", "", ""},
		{"too long", "ada", strings.Repeat("x", 2000)}, {"too long, unknown", "eve", strings.Repeat("x", 2000)},
		{"with a null", "ada", goodPassword + "\x00"},
	} {
		before := s.Hasher.made.Load()
		_, err := s.Authenticate(ctx, tt.user, tt.password)
		if (err == nil) != (tt.name == "right") || err != nil && err.Error() != ErrWrong.Error() {
			t.Errorf("%s: got %v", tt.name, err)
		}
		if n := s.Hasher.made.Load() - before; n != 1 {
			t.Errorf("%s: %d hashes, want 1", tt.name, n)
		}
	}
}

func TestOutdatedHashIsMadeAnew(t *testing.T) {
	ctx, s := t.Context(), newUsers(t)
	add(t, s, "ada", "admin")
	if _, err := s.Authenticate(ctx, "ada", "wrong"); !errors.Is(err, ErrWrong) {
		t.Fatal(err)
	}
	if u, _ := s.Get(ctx, "ada"); !strings.Contains(u.Hash, "m=8,") {
		t.Fatal("a wrong password changed the hash")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := s.Authenticate(ctx, "ada", goodPassword); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	u, err := s.Get(ctx, "ada")
	if err != nil || !strings.Contains(u.Hash, "m=19456,t=2,p=1") || u.Roles[0] != "admin" {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := s.Authenticate(ctx, "ada", goodPassword); err != nil {
		t.Error(err)
	}
}

func TestBrokenStoreIsNotAWrongPassword(t *testing.T) {
	s := newUsers(t)
	add(t, s, "ada")
	_ = s.Store.Close()
	if _, err := s.Authenticate(t.Context(), "ada", goodPassword); !errors.Is(err, store.ErrDown) || errors.Is(err, ErrWrong) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Any(t.Context()); err == nil {
		t.Error("a broken store has no users: everybody could become the first")
	}
}

func TestLostKeyStillMeansThereAreUsers(t *testing.T) {
	s := newUsers(t)
	add(t, s, "ada")
	s.Keys, _ = keyring.New(keyring.Generate())
	if some, err := s.Any(t.Context()); !some || err != nil {
		t.Errorf("%v, %v: a lost key opens the set-up again", some, err)
	}
	if _, err := s.Authenticate(t.Context(), "ada", goodPassword); err == nil || errors.Is(err, ErrWrong) {
		t.Errorf("got %v", err)
	}
}

func TestUserRecordIsStable(t *testing.T) {
	got, _ := json.Marshal(User{Name: "ada", Roles: []string{"admin"}, Hash: "h"})
	want := `{"name":"ada","roles":["admin"],"hash":"h","created":"0001-01-01T00:00:00Z","password_changed":"0001-01-01T00:00:00Z"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSetupLinks(t *testing.T) {
	ctx := context.Background()
	st := store.NewMemory()
	defer st.Close()
	links, others := SetupLinks{st, "local"}, SetupLinks{st, "partners"}
	first, err := links.Issue(ctx)
	if err != nil || len(first) != 43 {
		t.Fatalf("%q, %v", first, err)
	}
	second, _ := links.Issue(ctx)
	foreign, _ := others.Issue(ctx)
	for name, tt := range map[string]struct {
		token string
		want  error
	}{
		"replaced": {first, ErrSetupToken}, "live": {second, nil}, "of another provider": {foreign, ErrSetupToken},
		"empty": {"", ErrSetupToken}, "guess": {strings.Repeat("A", 43), ErrSetupToken}, "huge": {strings.Repeat("A", 1<<16), ErrSetupToken},
	} {
		if err := links.Check(ctx, tt.token); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for item, err := range st.Scan(ctx, setupBucket, "") {
		if err != nil || strings.Contains(item.Key.ID+string(item.Value), second) {
			t.Errorf("the store holds the token: %v", err)
		}
		if item.Expires.IsZero() {
			t.Error("a token lives for ever")
		}
	}
	var mu sync.Mutex
	var redeemed int
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if links.Redeem(ctx, second) == nil {
				mu.Lock()
				redeemed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if redeemed != 1 {
		t.Errorf("redeemed %d times", redeemed)
	}
	if err := others.Check(ctx, foreign); err != nil {
		t.Errorf("another provider's token: %v", err)
	}
}
