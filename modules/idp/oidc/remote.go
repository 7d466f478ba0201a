package oidc

import (
	"context"
	"sync"
	"time"
)

// How remote documents are kept.
const (
	maxAge   = time.Hour        // an older document is fetched anew behind whoever asks
	retry    = 5 * time.Second  // between attempts to fetch a document, when they fail
	fetchFor = 10 * time.Second // the most an attempt takes
)

// remote is a document of the provider's, kept while it is of use: the last good one outlives any failure to get a
// newer. At most one fetch runs at a time, on a goroutine of its own that ends after fetchFor: one impatient caller must
// not end it for the others. It is safe for concurrent use.
type remote[T any] struct {
	fetch func(context.Context) (T, error)

	mu      sync.Mutex
	value   T             // guarded by mu; of use when loaded is set
	loaded  time.Time     // guarded by mu; when value came
	tried   time.Time     // guarded by mu; when the last fetch began
	err     error         // guarded by mu; of the last fetch
	running chan struct{} // guarded by mu; closed when the running fetch ends; nil when none runs
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
		defer d.mu.Unlock()
		if d.err = err; err == nil {
			d.value, d.loaded = value, time.Now()
		}
		d.running = nil
		close(running)
	}()
	return running
}
