package gatehouse

import (
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemoryOfACrowdIsGivenBack: once, half a minute after most of them have left, and for crowds only.
func TestMemoryOfACrowdIsGivenBack(t *testing.T) {
	collections := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	for name, row := range map[string]struct {
		come, leave int
		given       uint32
	}{
		"a crowd that leaves":  {manyConnections, manyConnections, 1},
		"a crowd that stays":   {manyConnections, manyConnections / 2, 0},
		"few that leave":       {manyConnections / 2, manyConnections / 2, 0},
		"a crowd, most leaves": {2 * manyConnections, 2*manyConnections - manyConnections/2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &crowd{of: map[netip.Prefix]int{}}
				before := collections()
				for range row.come {
					c.enter()
				}
				for range row.leave {
					c.leave(netip.Prefix{})
				}
				time.Sleep(10 * giveBackAfter)
				synctest.Wait()
				if n := collections() - before; n != row.given {
					t.Errorf("given back %d times, want %d", n, row.given)
				}
				if row.given > 0 && c.peak.Load() != c.all.Load() {
					t.Errorf("the peak is still %d of %d", c.peak.Load(), c.all.Load())
				}
			})
		})
	}
}
