package authn

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/store"
)

// wall is a wall clock that a test sets.
type wall struct{ off atomic.Int64 }

func (w *wall) skew() time.Duration { return time.Duration(w.off.Load()) }
func (w *wall) set(d time.Duration) { w.off.Store(int64(d)) }

func TestClockNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wall
		c := newClock(w.skew, 0)
		start := c.now()
		want := func(what string, since, behind time.Duration) {
			t.Helper()
			now, lag := c.read()
			if got := time.Duration(now - start); got != since || lag != behind {
				t.Errorf("%s: %v since the start, %v behind; want %v, %v", what, got, lag, since, behind)
			}
		}
		time.Sleep(time.Minute)
		want("a minute on", time.Minute, 0)
		w.set(-time.Hour)
		want("set back", time.Minute, time.Hour)
		time.Sleep(time.Minute)
		want("and it goes on", 2*time.Minute, time.Hour)
		w.set(0)
		want("put right", 2*time.Minute, 0)
		w.set(time.Hour)
		want("set forward", time.Hour+2*time.Minute, 0)
		w.set(0)
		time.Sleep(time.Minute)
		want("and back: the hour counts", time.Hour+3*time.Minute, time.Hour)
		if floor := newClock(w.skew, c.now()+int64(time.Hour)); floor.now() != c.now()+int64(time.Hour) {
			t.Error("a clock begins below what was kept of it")
		}
	})
}

// A wall clock that is set back lengthens no session, while the gateway runs nor while it is down, and is told once.
func TestClockRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, keys, told := store.NewMemory(), ring(t), new(log)
		t.Cleanup(func() { _ = st.Close() })
		var w wall
		open := func() *Sessions {
			s, err := newSessions(st, keys, told.publish, w.skew)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		idle, long := create(t, s, person("ada")), create(t, s, person("bea"))
		time.Sleep(20 * time.Minute)
		w.set(-time.Hour)
		wantLive(t, s, idle, true)
		wantLive(t, s, long, true)
		time.Sleep(5 * time.Second)
		if n := len(told.kinds(event.ClockRolledBack)); n != 1 {
			t.Errorf("%d events", n)
		}
		time.Sleep(limits.Idle)
		wantLive(t, s, idle, false)
		must(t, s.Destruct())

		s = open() // down for a moment, with the clock still wrong
		fresh := create(t, s, person("cleo"))
		for range 12 * 3 { // the absolute limit, by real time
			time.Sleep(20 * time.Minute)
			_, err := s.Lookup(t.Context(), fresh, host, limits, ByPerson)
			if err != nil && !errors.Is(err, errNoSession) {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		wantLive(t, s, fresh, false)
		must(t, s.Destruct())
	})
}

// Created before a restart during which the clock was set back: the absolute limit still counts from the login.
func TestClockRollbackWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, keys := store.NewMemory(), ring(t)
		t.Cleanup(func() { _ = st.Close() })
		var w wall
		s, err := newSessions(st, keys, nil, w.skew)
		must(t, err)
		token := create(t, s, person("ada"))
		for range 33 { // eleven hours
			time.Sleep(20 * time.Minute)
			wantLive(t, s, token, true)
		}
		must(t, s.Destruct())
		w.set(-6 * time.Hour)
		s, err = newSessions(st, keys, nil, w.skew)
		must(t, err)
		defer s.Destruct()
		_, left, ok := s.Remaining(t.Context(), token, host, limits)
		if !ok || left > time.Hour+rollbackTolerance {
			t.Errorf("%v left of the absolute limit, want an hour", left)
		}
	})
}

func TestSmallStepsOfTheClockAreNoEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, told := store.NewMemory(), new(log)
		t.Cleanup(func() { _ = st.Close() })
		var w wall
		s, err := newSessions(st, ring(t), told.publish, w.skew)
		must(t, err)
		defer s.Destruct()
		w.set(-rollbackTolerance + 2*time.Second)
		time.Sleep(10 * time.Second)
		if n := len(told.kinds(event.ClockRolledBack)); n != 0 {
			t.Errorf("%d events", n)
		}
	})
}
