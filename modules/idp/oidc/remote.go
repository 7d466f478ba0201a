package oidc

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// How remote documents are kept.
const (
	maxAge   = time.Hour        // an older document is fetched anew behind whoever asks
	retry    = 5 * time.Second  // between attempts to fetch a document, when they fail
	fetchFor = 10 * time.Second // the most an attempt takes
)

// errSlow says that the provider was not waited for any longer.
var errSlow = errors.New("it takes too long to answer")

// remote is a document of the provider's, kept while it is of use: the last good one outlives any failure to get a
// newer. At most one fetch runs at a time, on a goroutine of its own that ends after fetchFor: one impatient caller must
// not end it for the others. It is safe for concurrent use.
type remote[T any] struct {
	fetch func(context.Context) (T, error)
	keep  func(T) // when not nil, gets each new value, after those who wait for it

	mu      sync.Mutex
	value   T             // guarded by mu; of use when loaded is set
	loaded  time.Time     // guarded by mu; when value came
	tried   time.Time     // guarded by mu; when the last fetch began
	err     error         // guarded by mu; of the last fetch
	running chan struct{} // guarded by mu; closed when the running fetch ends; nil when none runs
}

// seed gives the document a value from before the program started, unless it has one. It counts as old, so that whoever
// asks first gets it at once and causes a fetch.
func (d *remote[T]) seed(value T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.loaded.IsZero() {
		d.value, d.loaded = value, time.Now().Add(-maxAge)
	}
}

// get returns the document. It waits only when there is none yet, and then not for another attempt when the last one
// failed just now.
func (d *remote[T]) get(ctx context.Context) (T, error) {
	d.mu.Lock()
	due := time.Since(d.tried) >= retry
	if !d.loaded.IsZero() { // Fast path
		if due && time.Since(d.loaded) >= maxAge {
			d.start()
		}
		defer d.mu.Unlock()
		return d.value, nil
	}
	if d.running == nil && !due {
		defer d.mu.Unlock()
		return d.value, d.err
	}
	running := d.start()
	d.mu.Unlock()
	return d.wait(ctx, running)
}

// recent returns the document if it is younger than age, and else only if it can be had now, within patience: whoever
// asks wants to know that the provider is there. What failed just now is not tried again.
func (d *remote[T]) recent(ctx context.Context, age, patience time.Duration) (T, error) {
	d.mu.Lock()
	if !d.loaded.IsZero() && time.Since(d.loaded) < age { // Fast path
		defer d.mu.Unlock()
		return d.value, nil
	}
	if d.running == nil && d.err != nil && time.Since(d.tried) < retry {
		defer d.mu.Unlock()
		return d.value, d.err
	}
	running := d.start()
	d.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSlow)
	defer cancel()
	return d.wait(ctx, running)
}

// renew waits for a fetch that begins now, or for the one that is running, and returns what it brought.
func (d *remote[T]) renew(ctx context.Context) (T, error) {
	d.mu.Lock()
	running := d.start()
	d.mu.Unlock()
	return d.wait(ctx, running)
}

func (d *remote[T]) wait(ctx context.Context, running <-chan struct{}) (T, error) {
	select {
	case <-running:
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.value, d.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// start begins a fetch unless one is running, and returns what is closed at its end. The caller holds mu.
func (d *remote[T]) start() <-chan struct{} {
	if d.running != nil {
		return d.running
	}
	running := make(chan struct{})
	d.running, d.tried = running, time.Now()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchFor)
		defer cancel()
		value, err := d.fetch(ctx)
		d.mu.Lock()
		if d.err = err; err == nil {
			d.value, d.loaded = value, time.Now()
		}
		d.running = nil
		close(running)
		d.mu.Unlock()
		if err == nil && d.keep != nil {
			d.keep(value)
		}
	}()
	return running
}

// Run keeps metadata and keys young until ctx ends, so that logins need not wait and a rotated key is known before a
// token comes that it signed. report is told of the first attempt and then of each change: nil when the provider is there.
// The pauses are random by a quarter, or many gateways would ask at once.
func (c *Client) Run(ctx context.Context, report func(error)) {
	first, down := true, false
	for {
		_, err := c.meta.renew(ctx)
		if err == nil {
			_, err = c.keys.doc.renew(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if first || down != (err != nil) {
			report(err)
		}
		first, down = false, err != nil
		pause := maxAge
		if down {
			pause = 6 * retry
		}
		timer := time.NewTimer(pause - rand.N(pause/4))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
