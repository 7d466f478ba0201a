package local

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/store"
)

// attempts are logins that fail, each in a way of its own.
var attempts = []struct{ name, user, password string }{
	{"known", "ada", "wrong wrong wrong"}, {"unknown", "nobody", "wrong wrong wrong"}, {"imported", "bea", "wrong wrong wrong"},
	{"no password yet", "cleo", "wrong wrong wrong"}, {"malformed", "no such name", "x"}, {"empty", "", ""},
}

func crowd(t testing.TB, s *Users) {
	t.Helper()
	for name, hash := range map[string]string{"ada": cheapHash(goodPassword, cheap), "bea": phpHash, "cleo": ""} {
		if err := s.Create(t.Context(), User{Name: name, Hash: hash}); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever the account is, or whether there is one: a failed login takes the same time from when its turn has come.
func TestFailuresTakeTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		defer st.Close()
		s := newUsers(t)
		s.Store, s.Hasher.sameTime = st, sameTime
		crowd(t, s)
		for _, a := range attempts {
			began := time.Now()
			if _, err := s.Authenticate(t.Context(), a.user, a.password); !errors.Is(err, ErrWrong) || err.Error() != ErrWrong.Error() {
				t.Errorf("%s: %v", a.name, err)
			}
			if took := time.Since(began); took != sameTime { // computing takes none of a bubble's time
				t.Errorf("%s took %v, want %v", a.name, took, sameTime)
			}
		}
	})
}

// The same by the clock on the wall, as who is at the other end would measure it: the Mann-Whitney test between known,
// imported and unknown users. Without the equal time, the same test tells them apart.
func TestTimingTellsNothing(t *testing.T) {
	const (
		rounds = 25
		sure   = 4 // deviations: one in 16,000 by chance
	)
	if RaceEnabled {
		t.Skip("the race detector makes a hash take longer than the equal time")
	}
	measure := func(equal time.Duration) (worst float64) {
		s := newUsers(t)
		s.Cost, s.Hasher.sameTime = cheap, equal
		crowd(t, s)
		took := make([][]time.Duration, 3)
		for i := range 3 * rounds {
			kind := (i*7 + i/3) % 3 // in changing order, so that a slow second meets all of them
			a := attempts[kind]
			began := time.Now()
			if _, err := s.Authenticate(t.Context(), a.user, a.password); !errors.Is(err, ErrWrong) {
				t.Fatal(err)
			}
			took[kind] = append(took[kind], time.Since(began))
		}
		for _, pair := range [][2]int{{0, 1}, {2, 1}} {
			worst = max(worst, math.Abs(mannWhitney(took[pair[0]], took[pair[1]])))
		}
		return worst
	}
	if without := measure(0); without < sure {
		t.Fatalf("%.1f deviations: the test could not tell an imported hash from none", without)
	}
	with := 0.0
	for range 3 { // what tells them apart does so each time; a machine that is busy with something else does not
		if with = measure(60 * time.Millisecond); with <= sure {
			return
		}
	}
	t.Errorf("%.1f deviations: known, imported and unknown users can be told apart", with)
}

// mannWhitney returns by how many deviations one of the samples is higher than the other.
func mannWhitney(a, b []time.Duration) float64 {
	u := 0.0
	for _, x := range a {
		for _, y := range b {
			if x > y {
				u++
			} else if x == y {
				u += 0.5
			}
		}
	}
	n, m := float64(len(a)), float64(len(b))
	return (u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
}

// However many log in at once, so many passwords are worked on as there are slots, and everybody who finds a place in the
// queue is served.
func TestPeakConcurrency(t *testing.T) {
	for _, slots := range []int{1, 2} {
		h := NewHasher(slots)
		var now, peak, served, busy atomic.Int32
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				_, err := h.compute(t.Context(), func() {
					n := now.Add(1)
					for most := peak.Load(); n > most && !peak.CompareAndSwap(most, n); most = peak.Load() {
					}
					time.Sleep(100 * time.Microsecond)
					now.Add(-1)
				})
				if errors.Is(err, ErrBusy) {
					busy.Add(1)
				} else if err == nil {
					served.Add(1)
				}
			})
		}
		wg.Wait()
		if int(peak.Load()) > slots || served.Load() != 200 {
			t.Errorf("%d slots: %d at a time, %d served, %d sent away", slots, peak.Load(), served.Load(), busy.Load())
		}
	}
}
