package authn

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// At the moment a vouching runs out, 200 parallel requests on two nodes make one call to a provider that takes five
// seconds; none waits, and nobody is logged out.
func TestOneRenewalForAll(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		idp := &issuer{takes: 5 * time.Second, lasts: 5 * time.Minute}
		nodes := []*Sessions{s, node(t, st, keys)}
		token, l := idp.login(t, s), idp.limits()
		for _, n := range nodes { // both have it at hand
			if _, err := n.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Minute) // exactly when it runs out
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				began := time.Now()
				if _, err := nodes[i%2].Lookup(t.Context(), token, host, l, ByPerson); err != nil {
					t.Errorf("request %d: %v", i, err)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("request %d waited %v", i, took)
				}
			})
		}
		wg.Wait()
		time.Sleep(10 * time.Second)
		if n := idp.calls.Load(); n != 1 {
			t.Errorf("the provider was asked %d times", n)
		}
		for _, n := range nodes {
			if _, err := n.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
				t.Errorf("after the renewal: %v", err)
			}
		}
		time.Sleep(time.Minute)
		if n := idp.calls.Load(); n != 1 {
			t.Errorf("the provider was asked %d times: a node did not hear of the renewal", n)
		}
	})
}

func TestRenewalBeginsAhead(t *testing.T) {
	for lasts, lead := range map[time.Duration]time.Duration{5 * time.Minute: 30 * time.Second, time.Hour: time.Minute} {
		bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
			idp := &issuer{lasts: lasts}
			limits := idp.limits()
			limits.Idle, limits.AdminIdle = 2*time.Hour, 2*time.Hour
			token, l := idp.loginUnder(t, s, limits), limits
			for _, at := range []struct {
				after time.Duration
				calls int64
			}{{lasts - lead - time.Second, 0}, {2 * time.Second, 1}} {
				time.Sleep(at.after)
				if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if n := idp.calls.Load(); n != at.calls {
					t.Fatalf("%d calls, want %d", n, at.calls)
				}
			}
			item, err := st.Get(t.Context(), keyOf(token))
			if err != nil {
				t.Fatal(err)
			}
			rec, err := s.open(item)
			if err != nil || time.Until(rec.Renew) < lasts-time.Second || string(rec.Keep) != "ada xx" {
				t.Errorf("stored: renew in %v, keep %q, %v", time.Until(rec.Renew), rec.Keep, err)
			}
		})
	}
}

// An outage of the provider is survived for the grace, and refused then, without ending the session.
func TestOutageGrace(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		idp := &issuer{lasts: 5 * time.Minute}
		token, l := idp.login(t, s), idp.limits()
		idp.set(func() { idp.fail = func(int64) error { return errors.New("503") } })
		until := 5*time.Minute + l.Grace
		for at := time.Duration(0); at < until-time.Minute; at += 30 * time.Second {
			if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
				t.Fatalf("after %v: %v", at, err)
			}
			time.Sleep(30 * time.Second)
		}
		v := enter(t, s, token, l)
		defer v.Leave()
		time.Sleep(2 * time.Minute)
		if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); !errors.Is(err, errProviderDown) {
			t.Fatalf("after the grace: %v, want errProviderDown", err)
		}
		if v.cutBy() == "" {
			t.Error("what ran in the session goes on without anybody who vouches")
		}
		calls := idp.calls.Load()
		if calls > int64(until/renewRetry) {
			t.Errorf("%d calls in %v: no pause between tries", calls, until)
		}
		idp.set(func() { idp.fail = nil })
		time.Sleep(5 * time.Second) // recovery
		if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
			t.Errorf("the provider answers again, and the session does not: %v", err)
		}
	})
}

// Who comes back after a pause longer than the grace waits for the provider, and is not refused because nobody asked it.
func TestReturnAfterPause(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		idp := &issuer{takes: time.Second, lasts: 5 * time.Minute}
		token, l := idp.login(t, s), idp.limits()
		time.Sleep(25 * time.Minute)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
					t.Errorf("after the pause: %v", err)
				}
			})
		}
		wg.Wait()
		if n := idp.calls.Load(); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

// The same on two nodes, of which one asks: requests at the other wait for what it hears, and none is refused.
func TestReturnAfterPauseOnTwoNodes(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		idp := &issuer{takes: 3 * time.Second, lasts: 5 * time.Minute}
		nodes := []*Sessions{s, node(t, st, keys)}
		token, l := idp.login(t, s), idp.limits()
		time.Sleep(25 * time.Minute)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				began := time.Now()
				_, err := nodes[i%2].Lookup(t.Context(), token, host, l, ByPerson)
				if took := time.Since(began); err != nil || took > renewalWait {
					t.Errorf("request %d after the pause, after %v: %v", i, took, err)
				}
			})
		}
		wg.Wait()
		if n := idp.calls.Load(); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

// A provider that is too slow for who must wait does not hold requests for longer than they may wait.
func TestReturnToSlowProvider(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		idp := &issuer{takes: 8 * time.Second, lasts: 5 * time.Minute}
		token, l := idp.login(t, s), idp.limits()
		time.Sleep(25 * time.Minute)
		began := time.Now()
		_, err := s.Lookup(t.Context(), token, host, l, ByPerson)
		if took := time.Since(began); !errors.Is(err, errProviderDown) || took > renewalWait {
			t.Errorf("after %v: %v", took, err)
		}
		time.Sleep(5 * time.Second)
		if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
			t.Errorf("the answer came late, and was lost: %v", err)
		}
	})
}

// The provider says that it no longer vouches: the session ends on every node, with what runs in it.
func TestVouchingEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, keys, told := store.NewMemory(), ring(t), new(log)
		t.Cleanup(func() { _ = st.Close() })
		s, err := NewSessions(st, keys, told.publish)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Destruct()
		other := node(t, st, keys)
		idp := &issuer{lasts: 5 * time.Minute}
		token, l := idp.login(t, s), idp.limits()
		wantLive(t, other, token, true)
		// The other node's configuration has nobody who renews: it hears of the end through the feed, and until then is not
		// in the way of those who ask. Its guard looks at the session at the very moment at which it is to be renewed here.
		mute := idp.limits()
		mute.Renewer = nil
		v := enter(t, other, token, mute)
		defer v.Leave()
		idp.set(func() { idp.fail = func(int64) error { return errVouchingEnded } })
		time.Sleep(5 * time.Minute)
		if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantLive(t, s, token, false)
		wantLive(t, other, token, false)
		if why := v.cutBy(); why != "ended" {
			t.Errorf("what ran on the other node was cut because %q", why)
		}
		if ended := told.kinds(event.SessionEnded); len(ended) != 1 || ended[0].User != "local:ada" {
			t.Errorf("events: %v", ended)
		}
		if _, ok := s.Expired(t.Context(), token, host, l); ok {
			t.Error("a session that was ended still tells whose it was")
		}
	})
}

// Another node has renewed while this one asked with what was rotated away: invalid_grant must not end the session.
func TestInvalidGrantRereads(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		idp := &issuer{takes: time.Second, lasts: 5 * time.Minute}
		token, l := idp.login(t, s), idp.limits()
		id, _ := sumOf(token)
		var once sync.Once
		idp.set(func() {
			idp.seen = func(ctx context.Context) { // a node that lost its lease stores what it got meanwhile
				once.Do(func() {
					item, err := st.Get(ctx, storeKey(id))
					if err != nil {
						t.Error(err)
					}
					rec, err := s.open(item)
					if err != nil {
						t.Error(err)
					}
					rec.vouched(*idp.vouch("ada"), s.clock.now())
					if err := s.replace(ctx, id, item, rec); err != nil {
						t.Error(err)
					}
				})
			}
		})
		time.Sleep(5 * time.Minute)
		for range 20 {
			if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := idp.calls.Load(); n != 1 {
			t.Errorf("%d calls, want one, which was refused", n)
		}
	})
}

// What the provider rotated is stored before it is used, over and over while the store is down.
func TestRotationIsStoredBeforeUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &faulty{Store: store.NewMemory()}
		keys := ring(t)
		t.Cleanup(func() { _ = st.Close() })
		s := node(t, st, keys)
		idp := &issuer{lasts: 5 * time.Minute}
		token, l := idp.login(t, s), idp.limits()
		if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
			t.Fatal(err)
		}
		idp.set(func() { idp.roles = []string{"staff"} })
		broken := func(k store.Key) error {
			if k.Bucket == sessionBucket {
				return errBroken
			}
			return nil
		}
		st.put.Store(&broken)
		time.Sleep(5 * time.Minute)
		for range 5 {
			proof, err := s.Lookup(t.Context(), token, host, l, ByPerson)
			if err != nil || proof.HasRole("staff") {
				t.Fatalf("while the store is down: %v, new roles %v", err, proof.HasRole("staff"))
			}
			time.Sleep(time.Second)
		}
		st.put.Store(nil)
		time.Sleep(time.Second)
		proof, err := s.Lookup(t.Context(), token, host, l, ByPerson)
		if err != nil || !proof.HasRole("staff") {
			t.Fatalf("after the store came back: %v, new roles %v", err, proof.HasRole("staff"))
		}
		if n := idp.calls.Load(); n != 1 {
			t.Errorf("%d calls", n)
		}
		time.Sleep(5 * time.Minute) // and what was rotated is what is sent next
		if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		wantLive(t, s, token, true)
	})
}

// A session that ends while its renewal is under way stays ended.
func TestEndedWhileRenewing(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		idp := &issuer{takes: 5 * time.Second, lasts: 5 * time.Minute}
		token, l := idp.login(t, s), idp.limits()
		time.Sleep(5 * time.Minute)
		if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := s.End(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		wantLive(t, s, token, false)
	})
}

func TestRenewalForSomebodyElseEndsTheSession(t *testing.T) {
	for name, change := range map[string]func(v *gatehouse.Vouching){
		"another subject": func(v *gatehouse.Vouching) { v.Identity.Subject = "eve" },
		"another issuer":  func(v *gatehouse.Vouching) { v.Identity.Issuer = "elsewhere" },
		"nobody":          func(v *gatehouse.Vouching) { v.Identity = person("") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
				idp := &issuer{lasts: 5 * time.Minute, check: change}
				token, l := idp.login(t, s), idp.limits()
				time.Sleep(5 * time.Minute)
				if _, err := s.Lookup(t.Context(), token, host, l, ByPerson); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				wantLive(t, s, token, false)
			})
		})
	}
}

// Roles that a renewal brings count at once: the strictest idle limit, and what ran with a lost role is cut.
func TestRoleChange(t *testing.T) {
	tests := []struct {
		name          string
		before, after []string
		cut           bool
		idle          time.Duration
	}{
		{"a role is lost", []string{"admin", "staff"}, []string{"staff"}, true, 30 * time.Minute},
		{"a role is gained", []string{"staff"}, []string{"admin", "staff"}, false, 15 * time.Minute},
		{"all roles are lost", []string{"staff"}, nil, true, 30 * time.Minute},
		{"nothing changes", []string{"staff"}, []string{"staff"}, false, 30 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
				other := node(t, st, keys)
				idp := &issuer{lasts: 5 * time.Minute, roles: tt.before}
				token, l := idp.login(t, s), idp.limits()
				here, there := enter(t, s, token, l), enter(t, other, token, limits)
				defer here.Leave()
				defer there.Leave()
				idp.set(func() { idp.roles = tt.after })
				time.Sleep(5*time.Minute + time.Second) // the open visit alone has it renewed
				for name, v := range map[string]*Visit{"this node": here, "the other": there} {
					if (v.cutBy() != "") != tt.cut {
						t.Errorf("what ran on %s was cut: %q", name, v.cutBy())
					}
				}
				idle, _, ok := s.Remaining(t.Context(), token, host, l)
				if !ok || idle > tt.idle-5*time.Minute || idle < tt.idle-6*time.Minute {
					t.Errorf("idle for %v more, want %v less 5 minutes: a renewal is no use", idle, tt.idle)
				}
			})
		})
	}
}
