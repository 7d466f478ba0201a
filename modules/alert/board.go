package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/wholefile"
)

const saveEvery = time.Minute

// plan is what one configuration wants.
type plan struct {
	owner    any
	read     func() Reading
	interval time.Duration
	repeat   time.Duration
	off      []string
	node     string
	runbooks string
	couriers func() []*courier // makes them; none is started
}

// board is what outlives configurations: what is usual, what is wrong, and what waits to be sent. Make one with openBoard; it
// is safe for concurrent use.
type board struct {
	file    string
	publish func(event.Event)
	wake    chan struct{}

	use    sync.Mutex // held while plans are changed
	before *plan      // guarded by use; what was followed before, while the present one's configuration may still fail
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	plan     *plan               // guarded by mu and use: written with both; nil: nothing is followed
	watch    Watch               // guarded by mu
	couriers []*courier          // guarded as plan is
	pending  map[string][]Notice // guarded by mu; of receivers that have no courier
	saved    time.Time           // guarded by mu
}

// kept is the board's file.
type kept struct {
	Watch   Watch               `json:"watch"`
	Pending map[string][]Notice `json:"pending,omitempty"`
}

// openBoard reads the file, if there is one. What is in it only makes alerts better: one that cannot be read counts as none.
func openBoard(file string, publish func(event.Event)) *board {
	b := &board{file: file, publish: publish, wake: make(chan struct{}, 1), pending: map[string][]Notice{}}
	var k kept
	if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &k) == nil {
		b.watch = k.Watch
		if k.Pending != nil {
			b.pending = k.Pending
		}
	}
	for key, t := range b.watch.Tracks {
		if t == nil {
			delete(b.watch.Tracks, key)
		}
	}
	return b
}

// Wake has the rules look soon: something happened that may concern them.
func (b *board) Wake() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Use has a plan followed from now on. Its owner must call Leave.
func (b *board) Use(p *plan) {
	b.use.Lock()
	defer b.use.Unlock()
	b.before = b.plan
	b.follow(p)
}

// Leave says that the owner's configuration has ended: if it is the present one, which then has failed or is the last, what was
// followed before is followed again, or nothing.
func (b *board) Leave(owner any) {
	b.use.Lock()
	defer b.use.Unlock()
	switch {
	case b.before != nil && b.before.owner == owner:
		b.before = nil
	case b.plan != nil && b.plan.owner == owner:
		p := b.before
		b.before = nil
		b.follow(p)
	}
}

// follow ends what is followed and begins with p; nil: nothing. b.use is held.
func (b *board) follow(p *plan) {
	if b.cancel != nil {
		b.cancel()
		b.done.Wait()
		b.cancel = nil
	}
	for _, c := range b.couriers {
		c.stop()
	}
	b.mu.Lock()
	for _, c := range b.couriers {
		receiverUp.DeleteLabelValues(c.name)
		if queue := c.waiting(); len(queue) > 0 {
			b.pending[c.name] = queue
		}
	}
	b.plan, b.couriers = p, nil
	if p != nil {
		b.watch.repeat, b.watch.off = p.repeat, p.off
		b.couriers = p.couriers()
		for _, c := range b.couriers {
			c.hear, c.gone = b.heard, b.took
			receiverUp.WithLabelValues(c.name).Set(1)
			c.queue = b.pending[c.name]
			delete(b.pending, c.name)
			c.start()
		}
	}
	b.save(time.Now(), nil)
	b.mu.Unlock()
	if p == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.done.Go(func() { b.run(ctx, p) })
}

func (b *board) run(ctx context.Context, p *plan) {
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	for {
		b.look(p, time.Now())
		select {
		case <-tick.C:
		case <-b.wake:
		case <-ctx.Done():
			return
		}
	}
}

// look takes a reading and tells what is news.
func (b *board) look(p *plan, now time.Time) {
	r := p.read()
	b.mu.Lock()
	news := b.watch.Observe(now, r)
	var notices []Notice
	due := map[string][]Notice{}
	for _, c := range news {
		n := newNotice(c, now, p.node, p.runbooks)
		notices = append(notices, n)
		for _, c := range b.couriers {
			if c.wants(n) {
				due[c.name] = append(due[c.name], n)
			}
		}
	}
	if len(news) > 0 || now.Sub(b.saved) >= saveEvery {
		b.save(now, due) // before anybody hears of it: after a crash it is the same notice, and no other
	}
	for _, c := range b.couriers {
		for _, n := range due[c.name] {
			c.put(n)
		}
	}
	b.mu.Unlock()
	for _, n := range notices {
		if n.Status != ongoing {
			b.publish(n.event())
		}
	}
}

// event is the notice for the log, log collectors and the audit log.
func (n *Notice) event() event.Event {
	e := event.Event{Time: n.At, Kind: event.AlertRaised, Detail: n.Summary, Attrs: []event.Attr{
		{Key: "alert", Value: n.Name}, {Key: "class", Value: n.Class}, {Key: "severity", Value: n.Severity}, {Key: "subject", Value: n.Subject},
		{Key: "since", Value: n.Since.Format(time.RFC3339)},
	}}
	if n.Status == resolved {
		e.Kind = event.AlertResolved
	}
	if n.Count > 0 {
		e.Attrs = append(e.Attrs, event.Attr{Key: "count", Value: strconv.Itoa(n.Count)})
	}
	return e
}

// heard tells what a courier reports: by metrics always, by an event when it is news.
func (b *board) heard(r report) {
	name := r.courier.name
	notices.WithLabelValues(name, r.outcome).Inc()
	e := event.Event{Time: time.Now(), Attrs: []event.Attr{{Key: "receiver", Value: name}}}
	switch {
	case r.down:
		receiverUp.WithLabelValues(name).Set(0)
		e.Kind, e.Detail = event.AlertUndelivered, event.Clip(r.err.Error(), 300)
	case r.up > 0:
		receiverUp.WithLabelValues(name).Set(1)
		e.Kind = event.AlertDelivered
		e.Attrs = append(e.Attrs, event.Attr{Key: "seconds", Value: strconv.Itoa(int(r.up.Seconds()))})
	case r.outcome == "given_up":
		e.Kind, e.Detail = event.AlertUndelivered, "given up: "+event.Clip(r.err.Error(), 300)
	default:
		return
	}
	b.publish(e)
}

// took is called when a receiver has a notice, or never will, and it waits no more: a restart must not tell it again.
func (b *board) took() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.save(time.Now(), nil)
}

// save writes the file, with what is due besides what waits. b.mu is held. What could not be written is learned anew after a restart.
func (b *board) save(now time.Time, due map[string][]Notice) {
	k := kept{Watch: b.watch, Pending: map[string][]Notice{}}
	for name, queue := range b.pending {
		k.Pending[name] = queue
	}
	for _, c := range b.couriers {
		if queue := append(c.waiting(), due[c.name]...); len(queue) > 0 {
			k.Pending[c.name] = queue
		}
	}
	b.saved = now
	if text, err := json.Marshal(k); err == nil {
		_ = wholefile.Replace(b.file, text) // see above
	}
}

// Try sends a test notice to the receiver of this name, or to all when it is "", at once, and says what came of it.
func (b *board) Try(ctx context.Context, name string) ([]Tried, error) {
	b.mu.Lock()
	p, couriers := b.plan, b.couriers
	b.mu.Unlock()
	if p == nil {
		return nil, errors.New("no alerts are followed")
	}
	n := newNotice(change{Status: trial, Alert: Alert{
		Name: "GatehouseTest", Class: availability, Severity: warning, Since: time.Now(), Summary: "This is a test. Nothing is wrong.",
	}}, time.Now(), p.node, p.runbooks)
	all := []Tried{}
	for _, c := range couriers {
		if name != "" && c.name != name {
			continue
		}
		t := Tried{Receiver: c.name}
		if err := c.try(ctx, n); err != nil {
			t.Error = err.Error()
			notices.WithLabelValues(c.name, "failed").Inc()
		}
		all = append(all, t)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no receiver %q", name)
	}
	return all, nil
}

// Tried is what came of a test.
type Tried struct {
	Receiver string `json:"receiver"`
	Error    string `json:"error,omitempty"` // empty: the receiver has taken it
}

// Status is what there is to see.
type Status struct {
	Alerts    []Alert    `json:"alerts"`
	Receivers []Receiver `json:"receivers"`
}

func (b *board) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{Alerts: b.watch.Alerts(), Receivers: []Receiver{}}
	for _, c := range b.couriers {
		s.Receivers = append(s.Receivers, c.status())
	}
	return s
}

// Destruct implements caddy.Destructor.
func (b *board) Destruct() error {
	b.use.Lock()
	defer b.use.Unlock()
	b.before = nil
	b.follow(nil)
	return nil
}
