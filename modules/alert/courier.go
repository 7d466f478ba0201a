package alert

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	queueLength  = 256
	firstPause   = time.Second
	longestPause = 5 * time.Minute
	triesRefused = 10
	triesFor     = 24 * time.Hour
	downAfter    = 3 // failures in a row
)

// courier brings notices to one receiver, one after the other, again and again until it has them.
type courier struct {
	name     string
	severity string   // the least that it wants
	classes  []string // empty: all
	to       sender
	hear     func(report) // what came of tries; must not block for long
	gone     func()       // a notice waits no more

	cancel context.CancelFunc
	done   sync.WaitGroup
	more   chan struct{}

	mu      sync.Mutex
	queue   []Notice  // guarded by mu; at most queueLength
	fails   int       // guarded by mu; in a row
	since   time.Time // guarded by mu; of the first of them
	err     string    // guarded by mu; the last, while it lasts
	sent    int       // guarded by mu
	dropped int       // guarded by mu
}

// report is what came of a try, or of a notice.
type report struct {
	courier *courier
	outcome string // sent, failed, dropped (the queue was full), given_up
	err     error
	down    bool          // it has just been found to be down
	up      time.Duration // it has just been found to be up again, after so long
}

func newCourier(name, severity string, classes []string, to sender) *courier {
	return &courier{name: name, severity: severity, classes: classes, to: to, more: make(chan struct{}, 1), hear: func(report) {}, gone: func() {}}
}

// wants reports whether the receiver is to be told.
func (c *courier) wants(n Notice) bool {
	return n.Status == trial || slices.Index(Severities, n.Severity) >= slices.Index(Severities, c.severity) &&
		(len(c.classes) == 0 || slices.Contains(c.classes, n.Class))
}

// put takes a notice to be brought. When the queue is full the oldest is dropped: what is new matters more.
func (c *courier) put(n Notice) {
	c.mu.Lock()
	full := len(c.queue) >= queueLength
	if full {
		c.queue = slices.Delete(c.queue, 0, 1)
		c.dropped++
	}
	c.queue = append(c.queue, n)
	c.mu.Unlock()
	if full {
		c.hear(report{courier: c, outcome: "dropped"})
	}
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// waiting are the notices that have not been brought.
func (c *courier) waiting() []Notice {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.queue)
}

// start begins to bring what was put, until stop.
func (c *courier) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.done.Go(func() { c.run(ctx) })
}

func (c *courier) stop() {
	c.cancel()
	c.done.Wait()
}

func (c *courier) run(ctx context.Context) {
	for tries := 0; ctx.Err() == nil; {
		c.mu.Lock()
		var next Notice
		empty := len(c.queue) == 0
		if !empty {
			next = c.queue[0]
		}
		c.mu.Unlock()
		if empty {
			select {
			case <-c.more:
			case <-ctx.Done():
			}
			continue
		}
		err := c.try(ctx, next)
		if ctx.Err() != nil && err != nil {
			return
		}
		tries++
		switch {
		case err == nil:
			c.took(next.ID)
		case errors.Is(err, errRefused) && tries >= triesRefused, time.Since(next.At) >= triesFor:
			c.failed(err)
			c.took(next.ID)
			c.mu.Lock()
			c.dropped++
			c.mu.Unlock()
			c.hear(report{courier: c, outcome: "given_up", err: err})
		default:
			c.failed(err)
			pause := min(firstPause<<min(tries-1, 10), longestPause)
			select {
			case <-time.After(pause/2 + rand.N(pause/2)):
			case <-ctx.Done():
			}
			continue
		}
		tries = 0
	}
}

// try sends the notice once, and says so when that shows the receiver to be up again.
func (c *courier) try(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, 2*sendFor)
	defer cancel()
	if err := c.to.send(ctx, n); err != nil {
		return err
	}
	c.mu.Lock()
	fails, since := c.fails, c.since
	c.fails, c.err = 0, ""
	c.sent++
	c.mu.Unlock()
	r := report{courier: c, outcome: "sent"}
	if fails >= downAfter {
		r.up = max(time.Since(since), 1)
	}
	c.hear(r)
	return nil
}

// took removes the notice from the queue, from which it may have been dropped meanwhile.
func (c *courier) took(id string) {
	c.mu.Lock()
	c.queue = slices.DeleteFunc(c.queue, func(n Notice) bool { return n.ID == id })
	c.mu.Unlock()
	c.gone()
}

// failed counts a failure.
func (c *courier) failed(err error) {
	c.mu.Lock()
	if c.fails++; c.fails == 1 {
		c.since = time.Now()
	}
	c.err = err.Error()
	down := c.fails == downAfter
	c.mu.Unlock()
	c.hear(report{courier: c, outcome: "failed", err: err, down: down})
}

// Receiver is what a courier says of its receiver.
type Receiver struct {
	Name    string    `json:"name"`
	Sent    int       `json:"sent"`
	Dropped int       `json:"dropped"`
	Waiting int       `json:"waiting"`
	Down    time.Time `json:"down_since,omitzero"`
	Error   string    `json:"error,omitempty"`
}

func (c *courier) status() Receiver {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Receiver{Name: c.name, Sent: c.sent, Dropped: c.dropped, Waiting: len(c.queue), Error: c.err}
	if c.fails >= downAfter {
		r.Down = c.since
	}
	return r
}
