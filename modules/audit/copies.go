package audit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
)

// copyEvery is how often copies are brought up to date: what is not in one yet, whoever steals the present key can rewrite.
const copyEvery = time.Minute

// copier keeps copies of the record in other directories.
type copier struct {
	dir     string   // of the record
	places  []string // directories
	publish func(event.Event)
	show    func() // has the record's present checkpoint published

	mu   sync.Mutex
	last map[string]copied // guarded by mu; by place
}

// copied is how a copy is.
type copied struct {
	at    time.Time // when it was last brought up to date
	size  int64     // records that are in it
	err   error     // why not
	since time.Time // of err
}

// copying is that of the configuration that started last.
var copying atomic.Pointer[copier]

func newCopier(dir string, places []string, publish func(event.Event), show func()) *copier {
	copyUp.Reset()
	copySize.Reset()
	return &copier{dir: dir, places: places, publish: publish, show: show, last: map[string]copied{}}
}

// copies is held while files are copied: two configurations may have the same place for a moment.
var copies sync.Mutex

// run copies now and again until ctx ends.
func (c *copier) run(ctx context.Context) {
	if len(c.places) == 0 {
		return
	}
	tick := time.NewTicker(copyEvery)
	defer tick.Stop()
	for {
		c.show()
		for _, place := range c.places {
			c.copy(place, time.Now())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// copy brings the copy at the place up to date, and tells when that begins to fail, or works again.
func (c *copier) copy(place string, now time.Time) {
	copies.Lock()
	size, err := chain.Copy(c.dir, place, now)
	copies.Unlock()
	c.mu.Lock()
	was := c.last[place]
	is := copied{at: now, size: size}
	if err != nil {
		is = copied{was.at, was.size, err, was.since}
		if was.err == nil {
			is.since = now
		}
	}
	c.last[place] = is
	c.mu.Unlock()
	e := event.Event{Time: now, Attrs: []event.Attr{{Key: "copy", Value: place}}}
	switch {
	case err != nil && was.err == nil:
		copyUp.WithLabelValues(place).Set(0)
		e.Kind, e.Detail = event.AuditCopyFailed, event.Clip(err.Error(), 300)
		c.publish(e)
	case err == nil:
		copyUp.WithLabelValues(place).Set(1)
		copySize.WithLabelValues(place).Set(float64(size))
		if was.err != nil {
			e.Kind, e.Detail = event.AuditCopied, fmt.Sprintf("it had failed since %s", was.since.UTC().Format(time.RFC3339))
			c.publish(e)
		}
	}
}

// copyStatus is what there is of a copy.
type copyStatus struct {
	Place string    `json:"place"`
	Size  int64     `json:"size"`
	At    time.Time `json:"at,omitzero"`
	Error string    `json:"error,omitempty"`
}

func (c *copier) status() (all []copyStatus) {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, place := range c.places {
		last := c.last[place]
		s := copyStatus{Place: place, Size: last.size, At: last.at}
		if last.err != nil {
			s.Error = last.err.Error()
		}
		all = append(all, s)
	}
	return all
}
