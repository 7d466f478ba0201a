package store

import (
	"fmt"
	"math"
	"time"
)

const maxDepth = 100 * 365 * 24 * time.Hour

// Check returns ErrInvalid for a limit that no engine takes.
func (l Limit) Check() error {
	if l.Burst <= 0 || l.Every <= 0 || l.Burst > int64(maxDepth)/int64(l.Every) {
		return fmt.Errorf("%w: limit of %d tokens, one each %v", ErrInvalid, l.Burst, l.Every)
	}
	return nil
}

// gcra takes up to want tokens. tat is the theoretical arrival time: when the bucket will be full again, in store time.
func gcra(tat, now int64, l Limit, want int64) (next, got int64, retry time.Duration) {
	depth := l.Burst * int64(l.Every)
	// A bucket is never emptier than empty: this is what applies a lowered limit at once.
	base := min(max(tat, now), now+depth)
	got = min(want, (depth-(base-now))/int64(l.Every))
	next = base + got*int64(l.Every)
	retry = time.Duration(max(0, next+int64(l.Every)-depth-now))
	return next, got, retry
}

// addSaturated adds without wrapping round.
func addSaturated(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}
