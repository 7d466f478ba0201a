package authn

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/store"
)

// cutWithin waits for the visit to be cut and returns how long that took.
func cutWithin(t *testing.T, v *Visit, most time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	select {
	case <-v.run.Done():
	case <-time.After(most + time.Second):
	}
	took := time.Since(began)
	if v.cutBy() == "" || took > most {
		t.Errorf("cut %q after %v, want within %v", v.cutBy(), took, most)
	}
	return took
}

// Whatever ends a session ends what runs in it, on every node, within a second.
func TestStreamsEndWithTheirSession(t *testing.T) {
	tests := []struct {
		name string
		end  func(t *testing.T, s *Sessions, token string)
		late time.Duration // how long after end it ends
	}{
		{"logout", func(t *testing.T, s *Sessions, token string) { must(t, s.End(t.Context(), token)) }, 0},
		{"the user is revoked", func(t *testing.T, s *Sessions, _ string) {
			_, err := s.EndUser(t.Context(), "local", "ada")
			must(t, err)
		}, 0},
		{"the provider's session ends", func(t *testing.T, s *Sessions, _ string) {
			_, err := s.EndSID(t.Context(), "local", "sid-ada")
			must(t, err)
		}, 0},
		{"everybody is revoked", func(t *testing.T, s *Sessions, _ string) { _, err := s.EndAll(t.Context()); must(t, err) }, 0},
		{"the cookie leaked", func(t *testing.T, s *Sessions, token string) { must(t, s.EndLeaked(t.Context(), token, "test")) }, 0},
		{"nobody uses it", func(*testing.T, *Sessions, string) {}, limits.Idle},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
				other := node(t, st, keys)
				idp := &issuer{lasts: time.Hour}
				token, l := idp.login(t, s), idp.limits()
				bystander := create(t, s, person("eve"))
				kept := enter(t, s, bystander, l)
				defer kept.Leave()
				here, again, there := enter(t, s, token, l), enter(t, s, token, l), enter(t, other, token, l)
				tt.end(t, s, token)
				time.Sleep(tt.late)
				for _, v := range []*Visit{here, again, there} {
					cutWithin(t, v, time.Second)
					v.Leave()
				}
				if tt.late == 0 && tt.name != "everybody is revoked" && kept.cutBy() != "" {
					t.Errorf("another session's visit was cut: %s", kept.cutBy())
				}
			})
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStreamsEndAtTheAbsoluteLimit(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token := create(t, s, person("ada"))
		v := enter(t, s, token, limits)
		defer v.Leave()
		for range 12*4 - 1 {
			time.Sleep(15 * time.Minute)
			wantLive(t, s, token, true)
		}
		if v.cutBy() != "" {
			t.Fatalf("cut too early: %s", v.cutBy())
		}
		time.Sleep(15 * time.Minute)
		cutWithin(t, v, time.Second)
	})
}

// The store is down: what this node knows still counts, and still ages.
func TestStreamsAgeWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &faulty{Store: store.NewMemory()}
		t.Cleanup(func() { _ = st.Close() })
		s := node(t, st, ring(t))
		token := create(t, s, person("ada"))
		v := enter(t, s, token, limits)
		defer v.Leave()
		broken := down
		st.get.Store(&broken)
		time.Sleep(limits.Idle - time.Minute)
		if v.cutBy() != "" {
			t.Fatalf("cut too early: %s", v.cutBy())
		}
		time.Sleep(time.Minute)
		cutWithin(t, v, time.Second)
	})
}

// No order of entering, leaving and ending leaves a visit running in a session that has ended, or anything behind.
func TestEnterRacesEnd(t *testing.T) {
	st, keys := store.NewMemory(), ring(t)
	t.Cleanup(func() { _ = st.Close() })
	nodes := []*Sessions{node(t, st, keys), node(t, st, keys)}
	for range 300 {
		token := create(t, nodes[0], person("ada"))
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				v, err := nodes[i%2].Enter(running.New(context.Background(), nil), token, host, limits, ByPerson)
				if err != nil {
					return
				}
				defer v.Leave()
				select {
				case <-v.run.Done():
				case <-time.After(20 * time.Second):
					t.Error("a visit outlives its session")
				}
			})
		}
		wg.Go(func() {
			if err := nodes[0].End(context.Background(), token); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
	}
	for _, n := range nodes {
		for i := range n.streams.shards {
			if left := len(n.streams.shards[i].groups); left > 0 {
				t.Errorf("%d sessions are left in the table of streams", left)
			}
		}
	}
}

func TestVisitsLeaveNothingBehind(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token := create(t, s, person("ada"))
		var visits []*Visit
		for range 5 {
			visits = append(visits, enter(t, s, token, limits))
		}
		for _, i := range []int{2, 0, 4, 1, 3} { // out of the middle, the end and the front
			visits[i].Leave()
		}
		id, _ := sumOf(token)
		if g := s.streams.shard(id).groups[id]; g != nil {
			t.Error("a group without visits is left")
		}
		wantLive(t, s, token, true)
	})
}
