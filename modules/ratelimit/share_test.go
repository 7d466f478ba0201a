package ratelimit

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/store"
)

// far is a store that takes a while to answer, or does not answer at all.
type far struct {
	store.Store
	away  time.Duration
	down  atomic.Bool
	asked atomic.Int64
}

func (f *far) Lease(ctx context.Context, k store.Key, l store.Limit, want int64) (int64, time.Duration, error) {
	f.asked.Add(1)
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(f.away):
	}
	if f.down.Load() {
		return 0, 0, store.ErrDown
	}
	return f.Store.Lease(ctx, k, l, want)
}

// gateways are n limiters with a table each and one store, a millisecond away.
func gateways(t *testing.T, n int, rules ...Rule) ([]*Limiter, *far) {
	t.Helper()
	st := &far{Store: store.NewMemory(), away: time.Millisecond}
	all := make([]*Limiter, n)
	for i := range all {
		node := testNode()
		node.shares = newShares(st, func() int { return n }, 8)
		t.Cleanup(func() { _ = node.Destruct() })
		all[i] = NewLimiter(node, "app", compiled(t, rules...))
	}
	t.Cleanup(func() { _ = st.Close() })
	return all, st
}

// TestSharedLimit: a client that is spread over gateways gets what one gateway would give it, and what the contract says at
// the most beside; and no less.
func TestSharedLimit(t *testing.T) {
	for _, tt := range []struct {
		name     string
		gateways int
		rule     Rule
		every    time.Duration // between requests, which go to the gateways in turn
		lasts    time.Duration
	}{
		{"a burst over three", 3, Rule{Rate: "1r/h", Burst: 160}, 2 * time.Millisecond, 10 * time.Second},
		{"few over three", 3, Rule{Rate: "5r/m", Burst: 5}, time.Second, 10 * time.Minute},
		{"twice the rate over two", 2, Rule{Rate: "100r/s", Burst: 100}, 5 * time.Millisecond, time.Minute},
		{"ten times the rate over ten", 10, Rule{Rate: "100r/s", Burst: 100}, time.Millisecond, time.Minute},
		{"one gateway alone", 1, Rule{Rate: "50r/s", Burst: 10}, 7 * time.Millisecond, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all, st := gateways(t, tt.gateways, tt.rule)
				r := &all[0].rules[0]
				asked := Asked{Path: path(t, "/"), Client: netip.MustParseAddr("192.0.2.1")}
				passed := 0
				requests := int(tt.lasts / tt.every)
				for i := range requests {
					if all[i%tt.gateways].Judge(asked, http.Header{}) == nil {
						passed++
					}
					time.Sleep(tt.every)
				}
				ideal := float64(r.limit.burst) + tt.lasts.Seconds()*float64(time.Second)/float64(r.limit.every)
				trip := float64(2*st.away)/float64(tt.every)/float64(tt.gateways) + 1
				most := ideal + float64(tt.gateways)*(float64(debtLeases*r.limit.lease())+trip)
				t.Logf("%d of %d passed, ideal %.0f, at most %.0f; %d reports", passed, requests, ideal, most, st.asked.Load())
				if float64(passed) > most {
					t.Errorf("%d passed, want %.0f at most", passed, most)
				}
				if float64(passed) < .95*ideal-1 {
					t.Errorf("%d passed, want %.0f", passed, ideal)
				}
			})
		})
	}
}

// TestSharedLimitWithoutStore: while the store does not answer, each gateway keeps its part, nobody waits for it, and
// nobody owes anything for that time afterwards.
func TestSharedLimitWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, st := gateways(t, 4, Rule{Rate: "40r/s", Burst: 40})
		asked := Asked{Path: path(t, "/"), Client: netip.MustParseAddr("192.0.2.1")}
		second := func() (passed int) {
			for i := range 1000 {
				if all[i%4].Judge(asked, http.Header{}) == nil {
					passed++
				}
				time.Sleep(time.Millisecond)
			}
			return passed
		}
		second()
		st.down.Store(true)
		for range 5 {
			second()
		}
		for range 10 {
			if n := second(); n > 44 || n < 36 {
				t.Errorf("%d of four gateways' requests passed in a second without the store, want about 40", n)
			}
		}
		st.down.Store(false)
		second() // the shared bucket is full again
		for range 5 {
			if n := second(); n > 44 || n < 36 {
				t.Errorf("%d passed in a second after the store came back, want about 40", n)
			}
		}
		for _, l := range all {
			if n := l.node.shares.apart.Load(); n != 0 {
				t.Errorf("a gateway still keeps a part of %d", n)
			}
		}
	})
}

// TestStoreThatHangs: the request path does not wait for it.
func TestStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, st := gateways(t, 2, Rule{Rate: "10r/s", Burst: 20})
		st.away = time.Hour
		begin := time.Now()
		for i := range 20_000 {
			all[i%2].Judge(Asked{Path: path(t, "/"), Client: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}, http.Header{})
			all[i%2].Judge(Asked{Path: path(t, "/"), Client: netip.MustParseAddr("192.0.2.1")}, http.Header{})
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("requests waited %v", took)
		}
		if all[0].node.shares.dropped.Load() == 0 {
			t.Error("nothing was dropped: the queue has no end")
		}
		time.Sleep(2 * reportIn)
		if n := all[0].node.shares.apart.Load(); n != 2 {
			t.Errorf("a gateway keeps a part of %d, want of 2", n)
		}
	})
}

// TestFloodOfKeysFreesNobodyElsewhere: who has to wait for the shared bucket is not forgotten for keys that come and go.
func TestFloodOfKeysFreesNobodyElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _ := gateways(t, 2, Rule{Rate: "1r/h", Burst: 32})
		offender := Asked{Path: path(t, "/"), Client: netip.MustParseAddr("192.0.2.1")}
		for all[0].Judge(offender, http.Header{}) == nil {
			synctest.Wait()
			time.Sleep(2 * time.Millisecond)
		}
		n := 0
		for all[1].Judge(offender, http.Header{}) == nil {
			time.Sleep(2 * time.Millisecond)
			n++
		}
		if n > 2+1 {
			t.Fatalf("the other gateway let %d pass", n)
		}
		for range 10_000 {
			all[1].node.shares.take(rand.Uint64(), all[1].rules[0].limit)
		}
		if all[1].Judge(offender, http.Header{}) == nil {
			t.Error("the flood freed the offender")
		}
	})
}

// TestGivenBackIsNotReported: a request that another rule refuses costs the shared bucket nothing.
func TestGivenBackIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _ := gateways(t, 2, Rule{Rate: "1r/h", Burst: 32}, Rule{Rate: "1r/s", Burst: 1})
		asked := Asked{Path: path(t, "/"), Client: netip.MustParseAddr("192.0.2.1")}
		passed := 0
		for range 400 {
			if all[0].Judge(asked, http.Header{}) == nil {
				passed++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if passed != 32 {
			t.Errorf("%d passed, want 32", passed)
		}
	})
}

func BenchmarkJudgeShared(b *testing.B) {
	st := &far{Store: store.NewMemory(), away: time.Millisecond}
	n := NewNode(NewShares(st, func() int { return 2 }))
	defer n.Destruct()
	l := NewLimiter(n, "app", compiled(b, Rule{Rate: "100000r/s", Burst: 1_000_000}))
	asked, h := Asked{Path: path(b, "/"), Client: netip.MustParseAddr("192.0.2.1")}, http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		clear(h)
		l.Judge(asked, h)
	}
}
