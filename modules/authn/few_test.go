package authn

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/store"
)

// few is a store on a server with the word replicas, of which, while lags says so, none has what is changed: all changes are made and not
// acknowledged, but those that need no replica.
type few struct {
	store.Store
	lags atomic.Bool
}

var errLags = fmt.Errorf("%w: too few replicas", store.ErrDown)

func (f *few) answer(err error) error {
	if err == nil && f.lags.Load() {
		time.Sleep(time.Second) // it has waited
		return errLags
	}
	return err
}

func (f *few) Put(ctx context.Context, k store.Key, value []byte, o store.PutOptions) (uint64, error) {
	v, err := f.Store.Put(ctx, k, value, o)
	if o.Soft {
		return v, err
	}
	return v, f.answer(err)
}

func (f *few) Delete(ctx context.Context, keys ...store.Key) error {
	return f.answer(f.Store.Delete(ctx, keys...))
}

// While replicas lag, whoever is logged in stays so: renewals come to pass, long beyond the grace.
func TestRenewalWithoutReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &few{Store: store.NewMemory()}
		t.Cleanup(func() { _ = st.Close() })
		s := node(t, st, ring(t))
		idp := &issuer{lasts: 5 * time.Minute}
		token, l := idp.login(t, s), idp.limits()
		st.lags.Store(true)
		for at := time.Duration(0); at < 40*time.Minute; at += time.Minute {
			if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
				t.Fatalf("after %v: %v", at, err)
			}
			time.Sleep(time.Minute)
		}
		if n := idp.calls.Load(); n < 7 || n > 9 {
			t.Errorf("%d renewals in 40 minutes", n)
		}
	})
}

// Nor is anybody told that their session has ended who proves a second factor meanwhile.
func TestProveFactorWithoutReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &few{Store: store.NewMemory()}
		t.Cleanup(func() { _ = st.Close() })
		s := node(t, st, ring(t))
		token, _, err := s.ProveFactor(t.Context(), create(t, s, person("ada")), host, identity.TOTP, limits)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		st.lags.Store(true)
		_, proof, err := s.ProveFactor(t.Context(), token, host, identity.TOTP, limits)
		if f := proof.Factor(); err != nil || !f.Within(10*time.Second) {
			t.Errorf("ProveFactor = %v, %+v", err, f)
		}
		// The end of a session is one.
		item, err := st.Get(t.Context(), keyOf(token))
		if err != nil {
			t.Fatal(err)
		}
		id, _ := sumOf(token)
		rec, err := s.open(item)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.end(t.Context(), id); !errors.Is(err, errLags) {
			t.Errorf("end = %v", err)
		}
		if _, err := s.replaceProven(t.Context(), id, item, rec, limits, s.clock.now()); !errors.Is(err, errNoSession) {
			t.Errorf("a session that has ended: %v", err)
		}
	})
}
