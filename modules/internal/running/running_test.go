package running

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/verdict"
)

// A request that does not return when it is cut is severed, once; one that has returned never is.
func TestSevering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var severed [3]atomic.Int64
		at := func(i int) *Run { return New(t.Context(), func() { severed[i].Add(1) }) }
		polite, stubborn, finished := at(0), at(1), at(2)
		finished.Leave()
		for _, r := range []*Run{polite, stubborn, finished} {
			if first := r.Cut(Cut{Why: "a"}); first != (r != finished) || r.Cut(Cut{Why: "b"}) {
				t.Errorf("cut: %v, or a second time", first)
			}
			<-r.Done()
		}
		polite.Leave()
		time.Sleep(time.Second)
		stubborn.Leave()
		if a, b, c := severed[0].Load(), severed[1].Load(), severed[2].Load(); a != 0 || b != 1 || c != 0 {
			t.Errorf("severed %d, %d and %d times, want 0, 1 and 0", a, b, c)
		}
		if c, cut := polite.WasCut(); !cut || c.Why != "a" {
			t.Errorf("%+v %v, want the first cut", c, cut)
		}
		if c, cut := finished.WasCut(); cut {
			t.Errorf("a request that had returned was cut: %+v", c)
		}
	})
}

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Minute)
		short, left, banned := New(t.Context(), nil), New(t.Context(), nil), New(t.Context(), nil)
		for _, r := range []*Run{short, left, banned} {
			r.Until(end, Cut{Why: "over"})
		}
		left.Leave()
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		if short.Err() != nil {
			t.Fatal("cut too early")
		}
		banned.Cut(Cut{Why: "banned", Reason: verdict.Banned, Until: time.Now().Add(time.Hour)})
		time.Sleep(time.Second)
		if c, cut := short.WasCut(); !cut || c.Why != "over" || c.Verdict().Reason != verdict.Forbidden {
			t.Errorf("at its end: %+v, %v", c, cut)
		}
		if c, _ := banned.WasCut(); c.Why != "banned" || c.Verdict().Reason != verdict.Banned || c.Verdict().RetryAfter != time.Hour-time.Second {
			t.Errorf("cut before its end: %+v", c)
		}
		if _, cut := left.WasCut(); cut {
			t.Error("a request that had returned was cut")
		}
		short.Leave()
		banned.Leave()
	})
}
