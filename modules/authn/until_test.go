package authn

import (
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// A session that its provider vouches for until a moment ends then, used or not, on every node and in lists, with what runs
// in it.
func TestSessionUntil(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		v := vouching{Identity: person("3F7K", "admin"), Until: time.Now().Add(30 * time.Minute)}
		token, _, err := s.Create(t.Context(), v, host, Meta{}, limits)
		must(t, err)
		other := node(t, st, keys)
		if _, left, ok := s.Remaining(t.Context(), token, host, limits); !ok || left != 30*time.Minute {
			t.Errorf("%v left", left)
		}
		for range 29 {
			time.Sleep(time.Minute)
			wantLive(t, s, token, true)
			wantLive(t, other, token, true)
		}
		visit := enter(t, other, token, limits)
		defer visit.Leave()
		time.Sleep(time.Minute + guardEvery)
		synctest.Wait()
		if visit.cutBy() != "max" {
			t.Errorf("what runs in it: %q", visit.cutBy())
		}
		wantLive(t, s, token, false)
		wantLive(t, node(t, st, keys), token, false)
		if found, err := s.List(t.Context(), "local", "3F7K", ""); err != nil || len(found) != 0 {
			t.Errorf("listed: %v, %v", found, err)
		}
		past, _, err := s.Create(t.Context(), vouching{Identity: person("0000"), Until: time.Now().Add(-time.Hour)}, host, Meta{}, limits)
		must(t, err)
		time.Sleep(1)
		wantLive(t, s, past, false)
	})
}
