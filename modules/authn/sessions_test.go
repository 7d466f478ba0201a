package authn

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

var limits = Limits{Idle: 30 * time.Minute, AdminIdle: 15 * time.Minute, Max: 12 * time.Hour, AdminRoles: []string{"admin"}}

const host = "app.test"

func person(subject string, roles ...string) identity.Identity {
	return identity.Identity{Provider: "local", Issuer: "house", Subject: subject, Roles: roles}
}

// node is one gateway on a store that others may share. It ends with the test, before the store.
func node(t *testing.T, st store.Store, keys *keyring.Ring) *Sessions {
	t.Helper()
	s, err := NewSessions(st, keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Destruct(); err != nil && !errors.Is(err, store.ErrDown) {
			t.Error(err)
		}
	})
	return s
}

func ring(t testing.TB) *keyring.Ring {
	t.Helper()
	keys, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// bubble runs f in a synctest bubble with a store, keys and a node, and closes them.
func bubble(t *testing.T, f func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions)) {
	synctest.Test(t, func(t *testing.T) {
		st, keys := store.NewMemory(), ring(t)
		t.Cleanup(func() {
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
		f(t, st, keys, node(t, st, keys))
	})
}

func create(t *testing.T, s *Sessions, who identity.Identity) string {
	t.Helper()
	token, proof, err := s.Create(t.Context(), vouching{Identity: who}, host, Meta{}, limits)
	if err != nil || !proof.Known() {
		t.Fatalf("Create: %v, known %v", err, proof.Known())
	}
	return token
}

func wantLive(t *testing.T, s *Sessions, token string, live bool) {
	t.Helper()
	proof, err := s.Lookup(t.Context(), token, host, limits, ByPerson)
	if live && (err != nil || !proof.Known()) {
		t.Fatalf("the session is dead: %v", err)
	}
	if !live && (!errors.Is(err, errNoSession) || proof.Known()) {
		t.Fatalf("the session lives: %v, %v", proof.Known(), err)
	}
}

func TestIdleLimits(t *testing.T) {
	tests := []struct {
		name  string
		roles []string
		idle  time.Duration
	}{
		{"a user: 30 minutes", []string{"staff"}, 30 * time.Minute},
		{"an administrator: 15 minutes", []string{"admin"}, 15 * time.Minute},
		{"both: the strictest", []string{"staff", "admin"}, 15 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
				token := create(t, s, person("ada", tt.roles...))
				for range 5 {
					time.Sleep(tt.idle - time.Second)
					wantLive(t, s, token, true)
				}
				time.Sleep(tt.idle + time.Second)
				wantLive(t, s, token, false)
				wantLive(t, s, token, false) // and it stays dead
			})
		})
	}
}

func TestUseIsWrittenForOtherNodes(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token := create(t, s, person("ada"))
		for range 6 { // an hour of use on one node, which writes it behind the requests
			time.Sleep(10 * time.Minute)
			wantLive(t, s, token, true)
		}
		time.Sleep(2 * time.Second)
		other := node(t, st, keys)
		wantLive(t, other, token, true)
		time.Sleep(29 * time.Minute)
		wantLive(t, other, token, true)
	})
}

// A node that has not seen a session for long asks whether another one has, before it takes it for unused.
func TestUseOnAnotherNodeCounts(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		other := node(t, st, keys)
		token := create(t, s, person("ada"))
		synctest.Wait() // until both have heard of it, so that nothing but age makes the other ask again
		wantLive(t, other, token, true)
		for range 8 {
			time.Sleep(10 * time.Minute)
			wantLive(t, s, token, true)
		}
		time.Sleep(2 * time.Second)
		wantLive(t, other, token, true)
	})
}

// Idle is idle, whether a node remembers the session or a restarted one reads it back.
func TestRestartNeitherEndsNorLengthensASession(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token := create(t, s, person("ada"))
		time.Sleep(20 * time.Minute)
		restarted := node(t, st, keys) // the first node dies without a word
		time.Sleep(9 * time.Minute)
		wantLive(t, restarted, token, true)
		time.Sleep(29 * time.Minute)
		again := node(t, st, keys)
		wantLive(t, again, token, true)
		time.Sleep(31 * time.Minute)
		wantLive(t, node(t, st, keys), token, false)
	})
}

func TestAbsoluteLimit(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token := create(t, s, person("ada"))
		for range 35 {
			time.Sleep(20 * time.Minute)
			wantLive(t, s, token, true)
		}
		time.Sleep(21 * time.Minute)
		wantLive(t, s, token, false)
	})
}

func TestEndIsAtOnceOnEveryNode(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		other := node(t, st, keys)
		token := create(t, s, person("ada"))
		wantLive(t, s, token, true)
		wantLive(t, other, token, true)
		if err := s.End(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		wantLive(t, s, token, false)
		synctest.Wait() // the feed, not time
		wantLive(t, other, token, false)
	})
}

// A lookup that read the session just before it ended must not keep it alive in the table.
func TestEndRacesLookup(t *testing.T) {
	st, keys := store.NewMemory(), ring(t)
	t.Cleanup(func() { _ = st.Close() })
	s := node(t, st, keys)
	for range 200 {
		token := create(t, s, person("ada"))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = s.Lookup(context.Background(), token, host, limits, ByPerson) })
		}
		wg.Go(func() {
			if err := s.End(context.Background(), token); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		wantLive(t, s, token, false)
	}
}

func TestCookieStandsForNothingElse(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token := create(t, s, person("ada"))
		flip := func(i int) string {
			b := []byte(token)
			b[i] ^= 1
			return string(b)
		}
		for name, other := range map[string]string{
			"empty": "", "short": token[:42], "long": token + "A", "first byte": flip(0), "a middle byte": flip(20),
			"upper case": strings.ToUpper(token), "the store's key": storeKeyOf(token),
		} {
			if _, err := s.Lookup(t.Context(), other, host, limits, ByPerson); !errors.Is(err, errNoSession) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := s.Lookup(t.Context(), token, "other.test", limits, ByPerson); !errors.Is(err, errNoSession) {
			t.Errorf("the cookie of one site is good on another: %v", err)
		}
		if _, err := s.Lookup(t.Context(), token, host+":8443", limits, ByPerson); !errors.Is(err, errNoSession) {
			t.Errorf("the cookie of one port is good on another: %v", err)
		}
		other := limits
		other.Tenant = "acme"
		if _, err := s.Lookup(t.Context(), token, host, other, ByPerson); !errors.Is(err, errNoSession) {
			t.Errorf("the cookie of one tenant is good on another's site: %v", err)
		}
		if v, err := s.Enter(runs(t), token, host, other, ByPerson); !errors.Is(err, errNoSession) || v != nil {
			t.Errorf("the cookie of one tenant opens a visit on another's site: %v", err)
		}
		wantLive(t, s, token, true)
	})
}

func storeKeyOf(token string) string {
	return keyOf(token).ID[:tokenLength]
}

func keyOf(token string) store.Key {
	id, _ := sumOf(token)
	return storeKey(id)
}

// A copy of the store must not hold a usable cookie, nor tell who is logged in.
func TestStoreHoldsNoSecretsAndNoNames(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		who := person("ada-lovelace")
		who.Email = "ada@example.com"
		token := create(t, s, who)
		for item, err := range st.Scan(t.Context(), sessionBucket, "") {
			if err != nil {
				t.Fatal(err)
			}
			dump := item.Key.ID + string(item.Value)
			for _, secret := range []string{token, "lovelace", "example.com"} {
				if strings.Contains(dump, secret) {
					t.Errorf("the store shows %q", secret)
				}
			}
		}
		stranger := node(t, st, ring(t)) // other keys
		wantLive(t, stranger, token, false)
	})
}

func TestSwappedRecordsAreNobody(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		admin, guest := create(t, s, person("root", "admin")), create(t, s, person("gus"))
		item, err := st.Get(t.Context(), keyOf(admin))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Put(t.Context(), keyOf(guest), item.Value, store.PutOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantLive(t, s, guest, false)
	})
}

func TestStoreDownIsNotNobody(t *testing.T) {
	st, keys := store.NewMemory(), ring(t)
	s := node(t, st, keys)
	token := create(t, s, person("ada"))
	st.Close()
	_, err := s.Lookup(t.Context(), token, host, limits, ByPerson)
	if err == nil || errors.Is(err, errNoSession) {
		t.Fatalf("Lookup with the store closed: %v, want the store's error", err)
	}
}

func TestSessionNeedsSomebody(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		if _, _, err := s.Create(t.Context(), vouching{Identity: identity.Identity{Name: "Ada"}}, host, Meta{}, limits); err == nil {
			t.Error("a session for nobody was made")
		}
	})
}

func TestLookupAllocatesNothing(t *testing.T) {
	st, keys := store.NewMemory(), ring(t)
	t.Cleanup(func() { _ = st.Close() })
	s := node(t, st, keys)
	token := create(t, s, person("ada", "staff"))
	wantLive(t, s, token, true)
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := s.Lookup(ctx, token, host, limits, ByPerson); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("a hit allocates %v times", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	st, keys := store.NewMemory(), ring(b)
	defer st.Close()
	s, err := NewSessions(st, keys, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Destruct()
	token, _, err := s.Create(b.Context(), vouching{Identity: person("ada", "staff")}, host, Meta{}, limits)
	if err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Lookup(context.Background(), token, host, limits, ByPerson); err != nil {
				b.Fatal(err)
			}
		}
	})
}
