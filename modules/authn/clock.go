package authn

import (
	"sync/atomic"
	"time"
)

// rollbackTolerance is how far the wall clock may lie behind before that is an event: below it, it is what time servers
// do to clocks every day.
const rollbackTolerance = time.Minute

// clock is the time by which sessions age, in nanoseconds since 1970: the wall clock, but never back. While the wall
// clock lies behind, it goes on at the pace of the monotonic clock, so that setting the wall clock back never
// lengthens a session; set forward, it ages them at once. That, and not the monotonic clock alone, since that one
// stands still while a machine is suspended. It is safe for concurrent use.
type clock struct {
	skew   func() time.Duration // what a test sets the wall clock wrong by; nil: nothing
	start  time.Time            // carries a monotonic reading
	offset atomic.Int64         // the clock's reading at start; only grows
}

// newClock returns a clock that is never behind floor, a reading that was kept from an earlier run.
func newClock(skew func() time.Duration, floor int64) *clock {
	c := &clock{skew: skew, start: time.Now()}
	c.offset.Store(floor)
	c.read()
	return c
}

// read returns the clock's reading, and how far the wall clock lies behind it.
func (c *clock) read() (now int64, behind time.Duration) {
	t := time.Now()
	wall, elapsed := t.UnixNano(), int64(t.Sub(c.start))
	if c.skew != nil {
		wall += int64(c.skew())
	}
	for {
		offset := c.offset.Load()
		now = offset + elapsed
		if wall <= now {
			return now, time.Duration(now - wall)
		}
		if c.offset.CompareAndSwap(offset, wall-elapsed) {
			return wall, 0
		}
	}
}

func (c *clock) now() int64 {
	now, _ := c.read()
	return now
}
