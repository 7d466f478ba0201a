package local

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	home  = "192.0.2.1/32"
	other = "192.0.2.2/32"
)

func TestPausesDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, key := newStreaks(10), keyOf("local", "ada", home)
		for n := 1; n <= 20; n++ {
			if wait := s.begin(key); wait != 0 {
				t.Fatalf("attempt %d must wait %v", n, wait)
			}
			want := min(time.Second<<(n-1), maxPause)
			if wait := s.begin(key); wait != want {
				t.Errorf("after failure %d: wait %v, want %v", n, wait, want)
			}
			time.Sleep(want - time.Millisecond) // fake time
			if wait := s.begin(key); wait != time.Millisecond {
				t.Errorf("after failure %d: wait %v at the end, want 1ms", n, wait)
			}
			time.Sleep(time.Millisecond)
		}
		if wait := s.begin(keyOf("local", "ada", other)); wait != 0 {
			t.Error("the victim is locked out from another network")
		}
		if wait := s.begin(keyOf("local", "bob", home)); wait != 0 {
			t.Error("another user waits, too")
		}
	})
}

func TestStreakEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, key := newStreaks(10), keyOf("local", "ada", home)
		fail := func(times int) {
			for range times {
				if wait := s.begin(key); wait > 0 {
					time.Sleep(wait)
					s.begin(key)
				}
			}
		}
		fail(5)
		time.Sleep(time.Hour)
		s.succeeded(key)
		if s.begin(key); s.begin(key) != time.Second {
			t.Error("success did not end the streak")
		}
		time.Sleep(time.Second)
		fail(5)
		time.Sleep(streakEnds + maxPause)
		if s.begin(key); s.begin(key) != time.Second {
			t.Error("a day did not end the streak")
		}
		time.Sleep(time.Second)
		s.begin(key)
		s.undo(key)
		if wait := s.begin(key); wait != 0 {
			t.Errorf("an attempt that was not judged counts: wait %v", wait)
		}
		if wait := s.begin(key); wait != 2*time.Second {
			t.Errorf("wait %v after two failures", wait)
		}
	})
}

func TestParallelGuessesAreOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, key := newStreaks(10), keyOf("local", "ada", home)
		var mu sync.Mutex
		var through int
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if s.begin(key) == 0 {
					mu.Lock()
					through++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if through != 1 {
			t.Errorf("%d of 100 parallel guesses were let through", through)
		}
	})
}

func TestStreaksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreaks(100)
		victim := keyOf("local", "ada", home)
		s.begin(victim)
		for i := range 1000 {
			s.begin(keyOf("local", fmt.Sprint("user", i), home))
			if i%50 == 0 {
				if s.begin(victim) == 0 {
					t.Fatal("a streak in use was pushed out")
				}
			}
		}
		if len(s.byKey) != 100 || s.order.Len() != 100 {
			t.Errorf("%d entries, want 100", len(s.byKey))
		}
	})
}
