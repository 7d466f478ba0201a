package waf

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/verdict"
)

func TestCap(t *testing.T) {
	t.Run("no more than its places are in at a time, the others in order", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := NewCap(2, 8, time.Minute)
			var mu sync.Mutex
			in, most, order := 0, 0, []int(nil) // guarded by mu
			for n := range 8 {
				go func() {
					leave, err := c.enter(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					in++
					most, order = max(most, in), append(order, n)
					mu.Unlock()
					time.Sleep(time.Second) // the bubble's clock
					mu.Lock()
					in--
					mu.Unlock()
					leave()
				}()
				synctest.Wait()
			}
			if c.Waiting() != 6 {
				t.Errorf("%d wait", c.Waiting())
			}
			time.Sleep(10 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			// The two that came in at once, and each two of one second after them, may overtake each other only.
			for at, n := range order {
				if n/2 != at/2 {
					t.Errorf("the order was %v", order)
					break
				}
			}
			if most != 2 || len(order) != 8 || c.Waiting() != 0 {
				t.Errorf("%d at a time, %v came in, %d wait still", most, order, c.Waiting())
			}
		})
	})
	t.Run("a full queue refuses at once, a long wait in the end, a gone client immediately", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := NewCap(1, 1, time.Minute)
			leave, err := c.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			got := make(chan error, 1)
			wait := func(ctx context.Context) {
				_, err := c.enter(ctx)
				got <- err
			}
			go wait(ctx)
			synctest.Wait()
			if _, err := c.enter(t.Context()); !errors.Is(err, errBusy) {
				t.Errorf("a full queue: %v", err)
			}
			cancel()
			if err := <-got; !errors.Is(err, context.Canceled) {
				t.Errorf("gone: %v", err)
			}
			begin := time.Now()
			go wait(t.Context())
			if err := <-got; !errors.Is(err, errBusy) || time.Since(begin) != time.Minute {
				t.Errorf("after %v: %v", time.Since(begin), err)
			}
			leave()
			if leave, err = c.enter(t.Context()); err != nil {
				t.Errorf("a free place: %v", err)
			}
			leave()
		})
	})
}

// TestExpensiveInspectionsWait: with all places taken, what is cheap passes, what is not is refused with a time to come
// back, and in detect mode passes unread; and nothing is owed afterwards.
func TestExpensiveInspectionsWait(t *testing.T) {
	large := strings.Repeat("some words ", cheap/10)
	for _, mode := range []Mode{Block, Detect} {
		e, err := New(Config{Paranoia: 1, Mode: mode, BodyLimit: testLimit}, NewBudget(DefaultBudget))
		if err != nil {
			t.Fatal(err)
		}
		e.budget.bodies, e.budget.heads = NewCap(1, 0, time.Minute), NewCap(1, 0, time.Minute)
		for _, c := range []*Cap{e.budget.bodies, e.budget.heads} {
			if _, err := c.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if v, i := judge(e, form("q", "hello")); v.Given() || i.skipped != "" {
			t.Errorf("%s: cheap: %+v %q", mode, v, i.skipped)
		}
		v, i := judge(e, form("q", large))
		if mode == Block && (v.Reason != verdict.WAFFailed || v.RetryAfter <= 0 || i.outcome != Failed) {
			t.Errorf("a large body: %+v %q", v, i.outcome)
		}
		if mode == Detect && (v.Given() || i.skipped != "busy") {
			t.Errorf("detect: a large body: %+v %q", v, i.skipped)
		}
		v, i = judge(e, get("/?q="+strings.ReplaceAll(large, " ", "+")))
		if (mode == Block) != (v.Reason == verdict.WAFFailed) || (mode == Detect && i.skipped != "busy") {
			t.Errorf("%s: a large head: %+v %q", mode, v, i.skipped)
		}
		if used := e.budget.Used(); used != 0 {
			t.Errorf("%d bytes still in use", used)
		}
	}
}

// TestBudgetFits: what one body or answer may take must fit, and a running budget changes its size.
func TestBudgetFits(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		size int64
		want string
	}{
		{Config{BodyLimit: 10}, 40, ""},
		{Config{BodyLimit: 10}, 39, "body_limit"},
		{Config{BodyLimit: 10, ResponseLimit: 11}, 43, "response_inspection"},
		{Config{BodyLimit: MaxBodyLimit, ResponseLimit: maxResponseLimit}, DefaultBudget, ""},
	} {
		err := tt.cfg.fits(tt.size)
		if err != nil != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v in %d: %v", tt.cfg, tt.size, err)
		}
	}
	b := NewBudget(10)
	if !b.take(8) || b.take(3) {
		t.Fatal("a budget of 10")
	}
	if b.resize(20); !b.take(10) {
		t.Error("a larger budget has no room")
	}
	if b.resize(5); b.take(1) || b.Used() != 18 {
		t.Errorf("a smaller budget has room; %d used", b.Used())
	}
	if b.give(18); !b.take(5) || b.take(1) {
		t.Error("a smaller budget, once it is empty")
	}
}
