package store

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

const (
	jitter    = time.Second // a lag of the wall clock below this is noise
	clockWarn = time.Minute // above this Health says ErrClock
)

// clock is store time: Unix nanoseconds that never go back.
//
// It follows the wall clock forward. When the wall clock is set back it goes on at the pace of the monotonic clock, so nothing
// expired comes back, and nothing lives longer than its TTL either. Across restarts the high-water mark in the file is the floor.
// Callers speak wall time: what goes in and out is shifted by the lag, which is zero on a healthy node.
type clock struct {
	start  time.Time    // carries the monotonic reading
	offset atomic.Int64 // store time at start; only grows
}

func newClock(floor int64) *clock {
	c := &clock{start: time.Now()}
	c.offset.Store(max(c.start.UnixNano(), floor))
	return c
}

// read returns store time and how far the wall clock lies behind it.
func (c *clock) read() (now, lag int64) {
	t := time.Now()
	return c.at(t.UnixNano(), int64(t.Sub(c.start)))
}

func (c *clock) at(wall, elapsed int64) (now, lag int64) {
	for {
		off := c.offset.Load()
		now = off + elapsed
		if wall <= now {
			break
		}
		if c.offset.CompareAndSwap(off, wall-elapsed) {
			return wall, 0
		}
	}
	if lag = now - wall; lag < int64(jitter) {
		lag = 0
	}
	return now, lag
}

// after returns now+ttl as a stored expiry; a zero ttl is a zero expiry: never.
func after(now int64, ttl time.Duration) int64 {
	if ttl == 0 {
		return 0
	}
	if int64(ttl) > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + int64(ttl)
}

// toStore turns a caller's wall time into a stored expiry; ok is false for the zero time and for years int64 cannot tell.
func toStore(t time.Time, lag int64) (expires int64, ok bool) {
	if t.IsZero() || t.Year() < 1970 || t.Year() > 2200 {
		return 0, false
	}
	return t.UnixNano() + lag, true
}

func toWall(expires, lag int64) time.Time {
	if expires == 0 {
		return time.Time{}
	}
	return time.Unix(0, expires-lag).UTC()
}

func (c *clock) health() error {
	if _, lag := c.read(); lag > int64(clockWarn) {
		return fmt.Errorf("%w: by %v", ErrClock, time.Duration(lag).Round(time.Second))
	}
	return nil
}
