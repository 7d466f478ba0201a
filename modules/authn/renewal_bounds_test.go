package authn

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// A node that dies with the lease delays the renewal, no more.
func TestDeadNodesLease(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		idp := &issuer{lasts: 5 * time.Minute}
		token, l := idp.login(t, s), idp.limits()
		time.Sleep(5 * time.Minute)
		lease := store.Key{Bucket: renewBucket, ID: keyOf(token).ID}
		if _, err := st.Put(t.Context(), lease, nil, store.PutOptions{TTL: renewLease}); err != nil {
			t.Fatal(err)
		}
		for range 40 {
			if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := idp.calls.Load(); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestRenewalsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		var now, most atomic.Int64
		idp := &issuer{takes: time.Second, lasts: time.Minute}
		idp.seen = func(context.Context) { most.Store(max(most.Load(), now.Add(1))) }
		idp.fail = func(int64) error { now.Add(-1); return errors.New("503") }
		l, tokens := idp.limits(), make([]string, 2*maxRenewals)
		for i := range tokens {
			tokens[i] = idp.login(t, s)
		}
		time.Sleep(time.Minute)
		for _, token := range tokens {
			if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(500 * time.Millisecond)
		if n := most.Load(); n != maxRenewals {
			t.Errorf("%d renewals of %d sessions at once, want %d", n, len(tokens), maxRenewals)
		}
		time.Sleep(5 * time.Second)
	})
}

func TestStopWaitsForRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, keys := store.NewMemory(), ring(t)
		t.Cleanup(func() { _ = st.Close() })
		idp := &issuer{takes: 2 * time.Second, lasts: 5 * time.Minute}
		s := node(t, st, keys)
		token, l := idp.login(t, s), idp.limits()
		time.Sleep(5 * time.Minute)
		if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
			t.Fatal(err)
		}
		if err := s.Destruct(); err != nil {
			t.Fatal(err)
		}
		next := node(t, st, keys)
		item, err := st.Get(t.Context(), keyOf(token))
		if err != nil {
			t.Fatal(err)
		}
		if rec, err := next.open(item); err != nil || string(rec.Keep) != "ada xx" {
			t.Errorf("what the provider rotated while the node stopped is lost: %v", err)
		}
	})
}
