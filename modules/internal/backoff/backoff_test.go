package backoff

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const maxPause = 15 * time.Minute

var (
	home  = "192.0.2.1/32"
	other = "192.0.2.2/32"
)

func TestPausesDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, key := New(10, maxPause), KeyOf("local", "ada", home)
		for n := 1; n <= 20; n++ {
			if wait := s.Begin(key); wait != 0 {
				t.Fatalf("attempt %d must wait %v", n, wait)
			}
			want := min(time.Second<<(n-1), maxPause)
			if wait := s.Begin(key); wait != want {
				t.Errorf("after failure %d: wait %v, want %v", n, wait, want)
			}
			time.Sleep(want - time.Millisecond) // fake time
			if wait := s.Begin(key); wait != time.Millisecond {
				t.Errorf("after failure %d: wait %v at the end, want 1ms", n, wait)
			}
			time.Sleep(time.Millisecond)
		}
		if wait := s.Begin(KeyOf("local", "ada", other)); wait != 0 {
			t.Error("the victim is locked out from another network")
		}
		if wait := s.Begin(KeyOf("local", "bob", home)); wait != 0 {
			t.Error("another user waits, too")
		}
	})
}

func TestStreakEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, key := New(10, maxPause), KeyOf("local", "ada", home)
		fail := func(times int) {
			for range times {
				if wait := s.Begin(key); wait > 0 {
					time.Sleep(wait)
					s.Begin(key)
				}
			}
		}
		fail(5)
		time.Sleep(time.Hour)
		s.Succeeded(key)
		if s.Begin(key); s.Begin(key) != time.Second {
			t.Error("success did not end the streak")
		}
		time.Sleep(time.Second)
		fail(5)
		time.Sleep(forgetAfter + maxPause)
		if s.Begin(key); s.Begin(key) != time.Second {
			t.Error("a day did not end the streak")
		}
		time.Sleep(time.Second)
		s.Begin(key)
		s.Undo(key)
		if wait := s.Begin(key); wait != 0 {
			t.Errorf("an attempt that was not judged counts: wait %v", wait)
		}
		if wait := s.Begin(key); wait != 2*time.Second {
			t.Errorf("wait %v after two failures", wait)
		}
	})
}

func TestParallelGuessesAreOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, key := New(10, maxPause), KeyOf("local", "ada", home)
		var mu sync.Mutex
		var through int
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if s.Begin(key) == 0 {
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
		s := New(100, maxPause)
		victim := KeyOf("local", "ada", home)
		s.Begin(victim)
		for i := range 1000 {
			s.Begin(KeyOf("local", fmt.Sprint("user", i), home))
			if i%50 == 0 {
				if s.Begin(victim) == 0 {
					t.Fatal("a streak in use was pushed out")
				}
			}
		}
		if len(s.byKey) != 100 || s.order.Len() != 100 {
			t.Errorf("%d entries, want 100", len(s.byKey))
		}
	})
}
