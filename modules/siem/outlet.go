package siem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/retain"
	"gatehouse.internal/modules/siem/format"
)

const (
	batchRecords = 500
	batchBytes   = 1 << 20
	sendFor      = 30 * time.Second
	firstPause   = time.Second
	longestPause = time.Minute
	downAfter    = 3               // failures in a row
	settleFor    = 5 * time.Second // so long after sending a receiver that never answers is believed to have taken it
)

// receiver takes entries to a collector. One goroutine uses it.
type receiver interface {
	// send returns when the collector has the entries. errRejected: it will never take one of them.
	send(ctx context.Context, entries []entry) error
	io.Closer
}

// unconfirmed is implemented by receivers whose send returns before anybody has said that the entries have arrived.
type unconfirmed interface {
	// broken reports whether the connection over which they were sent last is known to be gone.
	broken() bool
}

// errRejected: the collector says that it will not take a record, now or later.
var errRejected = errors.New("the collector rejects a record")

// outlet brings records to one place: at once, or by way of a spool.
type outlet struct {
	name    string
	key     string // what it was made of
	streams map[string]bool
	encode  format.Encoder
	publish func(event.Event)

	direct func(line []byte) error // writes a line; nil: there is a spool
	file   io.Closer               // of direct; nil: nothing to close
	family retain.Family           // of file, which remove keeps young
	roll   func(time.Time) error   // begins another file when it is time
	remove retain.Keeper

	spool    *spool
	receiver receiver
	cancel   context.CancelFunc
	done     sync.WaitGroup

	pending []entry // of collect, until flush
	arena   []byte

	mu       sync.Mutex
	sent     int64     // guarded by mu
	lost     int64     // guarded by mu
	fails    int       // guarded by mu; in a row
	downFrom time.Time // guarded by mu; of the first of them
	last     string    // guarded by mu; the last error, while it lasts
	lossTold time.Time // guarded by mu
	untold   int64     // guarded by mu; losses not told of
}

// wants reports whether the record is of a stream that is asked for. A request that the WAF refused is of two.
func (o *outlet) wants(r *format.Record, request bool) bool {
	return o.streams[r.Stream] || request && o.streams[string(event.Access)]
}

// collect encodes a record.
func (o *outlet) collect(r *format.Record) {
	if o.direct != nil {
		o.arena = append(o.encode(o.arena[:0], r), '\n')
		if err := o.direct(o.arena); err != nil {
			o.lose(1, "write_failed", err.Error())
		} else {
			o.delivered(1)
		}
		return
	}
	begin := len(o.arena)
	o.arena = o.encode(o.arena, r)
	o.pending = append(o.pending, entry{at: r.Time.UnixNano(), stream: r.Stream, id: r.ID, text: o.arena[begin:len(o.arena):len(o.arena)]})
}

// flush writes what was collected to the spool.
func (o *outlet) flush() {
	if len(o.pending) == 0 {
		return
	}
	dropped, err := o.spool.put(o.pending)
	if err != nil {
		o.lose(int64(len(o.pending)), "spool_failed", err.Error())
	}
	if dropped > 0 {
		o.lose(dropped, "spool_full", "the spool is full, or its records too old")
	}
	clear(o.pending)
	o.pending, o.arena = o.pending[:0], o.arena[:0]
	if cap(o.arena) > batchBytes {
		o.arena = nil
	}
}

// lose counts records that will not arrive, and tells of it, though not of each.
func (o *outlet) lose(n int64, why, detail string) {
	lostRecords.WithLabelValues(o.name, why).Add(float64(n))
	o.mu.Lock()
	o.lost, o.untold, o.last = o.lost+n, o.untold+n, detail
	n = 0
	if time.Since(o.lossTold) >= lossEvery {
		n, o.untold, o.lossTold = o.untold, 0, time.Now()
	}
	o.mu.Unlock()
	if n > 0 {
		e := lossOf(o.name, why, n)
		e.Detail = detail
		o.publish(e)
	}
}

func (o *outlet) delivered(n int) {
	sentRecords.WithLabelValues(o.name).Add(float64(n))
	o.mu.Lock()
	o.sent += int64(n)
	fails, since := o.fails, o.downFrom
	o.fails, o.last = 0, ""
	o.mu.Unlock()
	if fails >= downAfter {
		up.WithLabelValues(o.name).Set(1)
		o.publish(event.Event{Time: time.Now(), Kind: event.SIEMResumed, Attrs: []event.Attr{
			{Key: "sink", Value: o.name}, {Key: "seconds", Value: strconv.Itoa(int(time.Since(since).Seconds()))},
		}})
	}
}

// failed counts a failure and returns how long to wait.
func (o *outlet) failed(err error) time.Duration {
	o.mu.Lock()
	if o.fails++; o.fails == 1 {
		o.downFrom = time.Now()
	}
	o.last = err.Error()
	fails := o.fails
	o.mu.Unlock()
	if fails == downAfter {
		up.WithLabelValues(o.name).Set(0)
		o.publish(event.Event{Time: time.Now(), Kind: event.SIEMDown, Detail: event.Clip(err.Error(), 300), Attrs: []event.Attr{{Key: "sink", Value: o.name}}})
	}
	pause := min(firstPause<<min(fails-1, 10), longestPause)
	return pause/2 + rand.N(pause/2)
}

// start begins to serve the outlet.
func (o *outlet) start() {
	up.WithLabelValues(o.name).Set(1)
	ctx, cancel := context.WithCancel(context.Background())
	o.cancel = cancel
	if o.file != nil {
		o.done.Go(func() { o.keepYoung(ctx) })
	}
	if o.spool == nil {
		return
	}
	o.done.Add(2)
	go func() { defer o.done.Done(); o.ship(ctx) }()
	go func() { defer o.done.Done(); o.syncs(ctx) }()
}

// keepYoung rolls the file every day, and has what it was rolled into removed in time.
func (o *outlet) keepYoung(ctx context.Context) {
	for ctx.Err() == nil {
		now := time.Now()
		if err := errors.Join(o.roll(now), o.remove.Sweep(o.family, now)); err != nil {
			o.trouble(err)
		}
		sleep(ctx, retain.Every)
	}
}

// trouble has the status say what is wrong, though nothing is lost.
func (o *outlet) trouble(err error) {
	o.mu.Lock()
	o.last = err.Error()
	o.mu.Unlock()
}

func (o *outlet) syncs(ctx context.Context) {
	for ctx.Err() == nil {
		sleep(ctx, syncEvery)
		if err := o.spool.sync(); err != nil {
			o.lose(0, "spool_failed", err.Error())
		}
		dropped, err := o.spool.expire()
		if err != nil {
			o.trouble(err)
		}
		if dropped > 0 {
			o.lose(dropped, "spool_full", "the records waited for too long")
		}
		size, _ := o.spool.waiting()
		spoolBytes.WithLabelValues(o.name).Set(float64(size))
	}
}

// stop ends it. What has not been taken stays in the spool.
func (o *outlet) stop() {
	o.cancel()
	o.done.Wait()
	if o.spool != nil {
		_ = o.spool.close()
	}
	if o.receiver != nil {
		_ = o.receiver.Close()
	}
	if o.file != nil {
		_ = o.file.Close()
	}
}

// mark is a place in the spool up to which entries were sent, and when.
type mark struct {
	behind position
	at     time.Time
}

// ship takes entries from the spool to the receiver until ctx ends.
func (o *outlet) ship(ctx context.Context) {
	silent, _ := o.receiver.(unconfirmed)
	var marks []mark // not confirmed yet
	for ctx.Err() == nil {
		entries, behind, err := o.spool.take(batchRecords, batchBytes)
		switch {
		case err != nil:
			err = fmt.Errorf("reading the spool: %w", err)
		case silent != nil && len(marks) > 0 && silent.broken():
			err = errors.New("the collector closed the connection")
		case len(entries) > 0:
			err = o.deliver(ctx, entries)
		}
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			marks = nil
			sleep(ctx, o.failed(err))
			o.spool.rewind()
			continue
		}
		if len(entries) > 0 {
			marks = append(marks, mark{behind, time.Now()})
		}
		for len(marks) > 0 && (silent == nil || time.Since(marks[0].at) >= settleFor) {
			if err := o.spool.ack(marks[0].behind); err != nil {
				o.failed(err)
			}
			marks = marks[1:]
		}
		if len(entries) == 0 {
			o.wait(ctx, len(marks) > 0)
		}
	}
}

// wait returns when there may be something new, or something to confirm.
func (o *outlet) wait(ctx context.Context, soon bool) {
	var tick <-chan time.Time
	if soon {
		t := time.NewTimer(settleFor / 10)
		defer t.Stop()
		tick = t.C
	}
	select {
	case <-o.spool.more:
	case <-tick:
	case <-ctx.Done():
	}
}

// deliver sends entries. Those that the collector rejects are found by halves, counted and left out.
func (o *outlet) deliver(ctx context.Context, entries []entry) error {
	limited, cancel := context.WithTimeout(ctx, sendFor)
	defer cancel()
	err := o.receiver.send(limited, entries)
	if !errors.Is(err, errRejected) {
		if err == nil {
			o.delivered(len(entries))
		}
		return err
	}
	if len(entries) == 1 {
		o.lose(1, "rejected", err.Error())
		return nil
	}
	half := len(entries) / 2
	if err := o.deliver(ctx, entries[:half]); err != nil {
		return err
	}
	return o.deliver(ctx, entries[half:])
}

// outletStatus is what an outlet says of itself.
type outletStatus struct {
	Name    string    `json:"name"`
	Sent    int64     `json:"sent"`
	Lost    int64     `json:"lost"`
	Waiting int64     `json:"waiting_bytes"`
	Since   time.Time `json:"waiting_since,omitzero"`
	Down    time.Time `json:"down_since,omitzero"`
	Error   string    `json:"error,omitempty"`
}

func (o *outlet) status() outletStatus {
	o.mu.Lock()
	s := outletStatus{Name: o.name, Sent: o.sent, Lost: o.lost, Error: o.last}
	if o.fails >= downAfter {
		s.Down = o.downFrom
	}
	o.mu.Unlock()
	if o.spool != nil {
		s.Waiting, s.Since = o.spool.waiting()
	}
	return s
}
