package waf

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"
)

// An inspection costs milliseconds of CPU per KiB. What costs more than a glance waits here for one of a few places,
// so that however many clients send large requests, a part of the machine is left for everybody else.

const (
	// cheap is the cost below which an inspection does not wait: some 70 ms of stock Coraza.
	cheap = 16 << 10

	queueLength = 64               // who would be further behind is refused at once
	queueTime   = 10 * time.Second // and who has waited that long, too
)

var errBusy = errors.New("too many expensive inspections are waiting")

// Cap lets a few in at a time, keeps a bounded number waiting, in order of arrival and for a bounded time, and refuses
// the rest.
type Cap struct {
	places   chan struct{}
	waiting  atomic.Int64
	queue    int64
	patience time.Duration
}

// NewCap returns a cap with this many places and this long a queue.
func NewCap(places, queue int, patience time.Duration) *Cap {
	return &Cap{places: make(chan struct{}, places), queue: int64(queue), patience: patience}
}

// newBodyCap is the cap for what granted clients send: half of the machine.
func newBodyCap() *Cap { return NewCap(max(1, runtime.GOMAXPROCS(0)/2), queueLength, queueTime) }

// newHeadCap is the cap for heads. These come from strangers, who must not take the places of those logged in.
func newHeadCap() *Cap { return NewCap(max(1, runtime.GOMAXPROCS(0)/4), queueLength/4, queueTime/5) }

// enter waits for a place. Without error, leave must be called once. The error is errBusy, or the context's when that
// ended first: who has gone away waits no longer.
func (c *Cap) enter(ctx context.Context) (leave func(), err error) {
	select {
	case c.places <- struct{}{}: // Fast path
		return c.leave, nil
	default:
	}
	if c.waiting.Add(1) > c.queue {
		c.waiting.Add(-1)
		return nil, errBusy
	}
	defer c.waiting.Add(-1)
	timeout := time.NewTimer(c.patience)
	defer timeout.Stop()
	select {
	case c.places <- struct{}{}:
		return c.leave, nil
	case <-timeout.C:
		return nil, errBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Cap) leave() { <-c.places }

// Waiting is how many wait now.
func (c *Cap) Waiting() int64 { return c.waiting.Load() }
