package pseudonym_test

import (
	"errors"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/pseudonym"
	"gatehouse.internal/modules/internal/store"
)

const day = 24 * time.Hour

// Two gateways on one store give the same pseudonyms, also when the master key is another one later. When one of them destroys a
// tenant's key, neither gives or tells those pseudonyms any more, and the tenant that has the name next has others.
func TestDestroy(t *testing.T) {
	st := store.NewMemory()
	defer func() { _ = st.Close() }()
	old, now := ring(t, 7), time.Now()
	one, two := keysOn(t, st, old, "acme", "bolt"), keysOn(t, st, old, "acme", "bolt")
	acme, bolt := one.Namer("acme", day), one.Namer("bolt", day)
	ada, bob := acme.User("ada", now), bolt.User("bob", now)
	if got := two.Namer("acme", day).User("ada", now); got != ada {
		t.Fatalf("one person is %s and %s", ada, got)
	}
	k, err := keyring.NewKey([]byte("another master key of 32 bytes, y"[:32]), time.Unix(2, 0))
	if err != nil {
		t.Fatal(err)
	}
	both, err := old.Rotate(k)
	if err != nil {
		t.Fatal(err)
	}
	keysOn(t, st, both, "acme", "bolt") // which seals them anew
	alone, err := keyring.New(k)
	if err != nil {
		t.Fatal(err)
	}
	later := keysOn(t, st, alone, "acme", "bolt")
	if got := later.Namer("acme", day).User("ada", now); got != ada {
		t.Fatalf("after a rotation %s is %s", ada, got)
	}
	if n, err := later.On(t.Context(), "acme", day, now); err != nil || n.User("ada", now) != ada {
		t.Fatalf("asked: %v", err)
	}

	if there, err := later.Destroy(t.Context(), "acme"); !there || err != nil {
		t.Fatalf("destroyed: %t, %v", there, err)
	}
	if there, err := later.Destroy(t.Context(), "acme"); there || err != nil {
		t.Fatalf("destroyed again: %t, %v", there, err)
	}
	if has, err := later.Has(t.Context(), "acme"); has || err != nil {
		t.Errorf("it is there: %v", err)
	}
	if got := later.Namer("acme", day).User("ada", now); got == ada {
		t.Error("she has the same pseudonym still")
	}
	again := keysOn(t, st, alone, "acme")
	if got := again.Namer("acme", day).User("ada", now); got == ada {
		t.Error("she has the same pseudonym again")
	}
	for _, k := range []*pseudonym.Keys{later, again} {
		if _, err := k.On(t.Context(), "acme", day, now.Add(-2*day)); !errors.Is(err, pseudonym.ErrDestroyed) {
			t.Errorf("asked for a day before: %v", err)
		}
	}
	if got := later.Namer("bolt", day).User("bob", now); got != bob {
		t.Errorf("another tenant's person was %s and is %s", bob, got)
	}
}

// What gateways gave before tenants had keys of their own can be asked for, until the tenant is gone; also when it never had one.
func TestBeforeThereWereKeys(t *testing.T) {
	st := store.NewMemory()
	defer func() { _ = st.Close() }()
	k, now := keysOn(t, st, ring(t, 7), "acme"), time.Now()
	const before = "u_vgmtxnw73wv3v3rf" // of ada, in the epoch that never ends, as it was given then
	n, err := k.On(t.Context(), "acme", 0, now.Add(-2*day))
	if err != nil || n.User("ada", now) != before {
		t.Fatalf("%v: %s", err, n.User("ada", now))
	}
	if n, err = k.On(t.Context(), "acme", 0, now); err != nil || n.User("ada", now) == before {
		t.Error("the master key still gives pseudonyms")
	}
	for _, tenant := range []string{"acme", "bolt"} {
		if _, err := k.Destroy(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
		if _, err := k.On(t.Context(), tenant, 0, now.Add(-2*day)); !errors.Is(err, pseudonym.ErrDestroyed) {
			t.Errorf("%s: %v", tenant, err)
		}
	}
	if _, err := k.On(t.Context(), "initech", 0, now); err == nil || errors.Is(err, pseudonym.ErrDestroyed) {
		t.Errorf("a tenant that never was: %v", err)
	}
}
