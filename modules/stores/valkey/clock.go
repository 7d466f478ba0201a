package valkey

import (
	"sync/atomic"
	"time"
)

// clock is this node's idea of store time, in microseconds: what the server said last, and what the monotonic clock has gone
// since. It lies behind the server by what answers take to come, never ahead, and never goes back. What this node's wall
// clock says does not matter to it.
type clock struct {
	start  time.Time // carries the monotonic reading
	wallIs func() time.Time
	offset atomic.Int64 // store time at start; only grows
}

func newClock() *clock { return &clock{start: time.Now(), wallIs: time.Now} }

// heard takes in what the server said.
func (c *clock) heard(server int64) {
	offset := server - time.Since(c.start).Microseconds()
	for {
		old := c.offset.Load()
		if offset <= old || c.offset.CompareAndSwap(old, offset) {
			return
		}
	}
}

// now is 0 before the first answer.
func (c *clock) now() int64 {
	offset := c.offset.Load()
	if offset == 0 {
		return 0
	}
	return offset + time.Since(c.start).Microseconds()
}

// jitter: a difference between this node's wall clock and store time below this is noise.
const jitter = int64(time.Second / time.Microsecond)

// ahead is by how much store time is ahead of this node's wall clock; negative if it lies behind.
func (c *clock) ahead() int64 {
	now := c.now()
	if now == 0 {
		return 0
	}
	if d := now - c.wallIs().UnixMicro(); d <= -jitter || d >= jitter {
		return d
	}
	return 0
}

// wall is the expiry in this node's wall clock.
func (c *clock) wall(expires int64) time.Time {
	if expires == 0 {
		return time.Time{}
	}
	return time.UnixMicro(expires - c.ahead()).UTC()
}

// stored turns a caller's wall time into a stored expiry; ok is false for the zero time and for years that are not meant.
func (c *clock) stored(t time.Time) (expires int64, ok bool) {
	if t.IsZero() || t.Year() < 1970 || t.Year() > 2200 {
		return 0, false
	}
	return t.UnixMicro() + c.ahead(), true
}
