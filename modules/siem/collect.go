package siem

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/retain"
)

const (
	queueLength = 8192             // of what has not been written to the spools yet
	drainAtOnce = 256              // of it that is written at a time
	syncEvery   = time.Second      // so much may be lost when the machine fails
	lossEvery   = 10 * time.Second // losses are told of no more often
)

// collector takes what happens and has it written for each outlet. The zero collector takes nothing; it outlives
// configurations.
type collector struct {
	mu     sync.Mutex
	wake   *sync.Cond
	ring   []told // guarded by mu
	first  int    // guarded by mu
	count  int    // guarded by mu
	lost   int64  // guarded by mu; because the ring was full, not told of yet
	closed bool   // guarded by mu

	use    sync.Mutex // held while outlets are changed
	plan   *plan      // guarded by use; what is followed; nil: nothing
	before *plan      // guarded by use; what was followed before, while the present one's configuration may still fail

	deal    sync.Mutex // held while records are written to outlets
	scribe  *scribe    // guarded by deal
	outlets []*outlet  // guarded by deal

	publish func(event.Event)
	remove  retain.Keeper // of files that are too old
	untap   func()        // nil: nobody
	done    chan struct{}
}

func newCollector(publish func(event.Event)) *collector {
	c := &collector{publish: publish, done: make(chan struct{}), ring: make([]told, queueLength)}
	c.wake = sync.NewCond(&c.mu)
	go c.run()
	return c
}

// put takes one thing that happened. It never waits: when the queue is full, the oldest goes, and is counted.
func (c *collector) put(t told) {
	c.mu.Lock()
	if c.count == len(c.ring) {
		c.first, c.count, c.lost = (c.first+1)%len(c.ring), c.count-1, c.lost+1
	}
	c.ring[(c.first+c.count)%len(c.ring)] = t
	c.count++
	c.mu.Unlock()
	c.wake.Signal()
}

// ended is put for requests.
func (c *collector) ended(e event.Ended) { c.put(told{Ended: e, request: true}) }

// happened is put for events. That a request was refused is told with the request, once.
func (c *collector) happened(e event.Event) {
	if e.Kind != event.RequestRefused {
		c.put(told{Ended: event.Ended{Event: e}})
	}
}

func (c *collector) run() {
	defer close(c.done)
	batch := make([]told, 0, drainAtOnce)
	var lossTold time.Time
	for {
		c.mu.Lock()
		for c.count == 0 && !c.closed {
			c.wake.Wait()
		}
		batch = batch[:0]
		for c.count > 0 && len(batch) < drainAtOnce {
			batch = append(batch, c.ring[c.first])
			c.ring[c.first] = told{} // let go of what it points to
			c.first, c.count = (c.first+1)%len(c.ring), c.count-1
		}
		lost := c.lost
		if lost > 0 && time.Since(lossTold) >= lossEvery {
			c.lost, lossTold = 0, time.Now()
		} else {
			lost = 0
		}
		closed := c.closed && len(batch) == 0
		c.mu.Unlock()
		if closed {
			return
		}
		c.write(batch)
		if lost > 0 {
			lostRecords.WithLabelValues("all", "queue_full").Add(float64(lost))
			c.publish(lossOf("all", "the queue was full", lost))
		}
	}
}

func lossOf(sink, why string, n int64) event.Event {
	return event.Event{
		Time: time.Now(), Kind: event.SIEMLost,
		Attrs: []event.Attr{{Key: "sink", Value: sink}, {Key: "count", Value: strconv.FormatInt(n, 10)}, {Key: "why", Value: why}},
	}
}

// write makes records of a batch and gives them to every outlet that wants them.
func (c *collector) write(batch []told) {
	c.deal.Lock()
	defer c.deal.Unlock()
	if c.scribe == nil || len(c.outlets) == 0 {
		return
	}
	for i := range batch {
		r := c.scribe.record(&batch[i])
		for _, o := range c.outlets {
			if o.wants(r, batch[i].request) {
				o.collect(r)
			}
		}
	}
	for _, o := range c.outlets {
		o.flush()
	}
}

// plan is what one configuration wants.
type plan struct {
	owner  any
	scribe *scribe
	open   map[string]func() (*outlet, error) // by what the outlet is made of
}

// Use has a plan followed from now on. Outlets that are the same as before go on; the others end. Its owner must call Leave,
// also when there was an error.
func (c *collector) Use(p plan) error {
	c.use.Lock()
	defer c.use.Unlock()
	c.before, c.plan = c.plan, &p
	return c.follow(&p)
}

// follow makes the outlets those of the plan. c.use is held.
func (c *collector) follow(p *plan) error {
	c.deal.Lock()
	var made, gone []*outlet
	have := map[string]bool{}
	for _, o := range c.outlets {
		if p.open[o.key] != nil {
			made, have[o.key] = append(made, o), true
		} else {
			gone = append(gone, o)
		}
	}
	c.outlets = slices.Clone(made)
	c.deal.Unlock()
	for _, o := range gone { // before the new ones: they may have the same spool
		o.stop()
	}
	var failed error
	for key, open := range p.open {
		if have[key] {
			continue
		}
		o, err := open()
		if err != nil {
			failed = err
			continue
		}
		o.key, o.publish, o.remove = key, c.publish, c.remove
		o.start()
		made = append(made, o)
	}
	c.deal.Lock()
	c.scribe, c.outlets = p.scribe, made
	c.deal.Unlock()
	return failed
}

// Leave says that the owner's configuration has ended: if it is the present one, which then has failed or is the last, what was
// followed before is followed again, or nothing.
func (c *collector) Leave(owner any) {
	c.use.Lock()
	defer c.use.Unlock()
	switch {
	case c.before != nil && c.before.owner == owner:
		c.before = nil
	case c.plan == nil || c.plan.owner != owner:
	case c.before == nil:
		c.end()
	default:
		c.plan, c.before = c.before, nil
		if err := c.follow(c.plan); err != nil {
			c.publish(event.Event{Time: time.Now(), Kind: event.SIEMDown, Detail: event.Clip(err.Error(), 300)})
		}
	}
}

// end ends all outlets. c.use is held.
func (c *collector) end() {
	c.plan, c.before = nil, nil
	c.deal.Lock()
	gone := c.outlets
	c.scribe, c.outlets = nil, nil
	c.deal.Unlock()
	for _, o := range gone {
		o.stop()
	}
}

// Destruct implements caddy.Destructor: what was taken is written, and the outlets end.
func (c *collector) Destruct() error {
	if c.untap != nil {
		c.untap()
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wake.Signal()
	<-c.done
	c.use.Lock()
	defer c.use.Unlock()
	c.end()
	return nil
}

// statuses are the outlets' own words.
func (c *collector) statuses() (all []outletStatus) {
	c.deal.Lock()
	defer c.deal.Unlock()
	for _, o := range c.outlets {
		all = append(all, o.status())
	}
	return all
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
