package store

import (
	"context"
	"fmt"
	"sync"
)

// Feed hands committed events to watchers: the Watch of every engine. It never blocks, and has no goroutine. It is safe for
// concurrent use.
type Feed struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{} // guarded by mu
	closed   bool                  // guarded by mu
}

// watcher is one feed. The Feed alone sends on ch, under Feed.mu, and never when ch is full:
// events use the first WatchBuffer places, and one place for each bucket is kept for its Resync.
type watcher struct {
	ch     chan Event
	sent   uint64            // guarded by Feed.mu: events ever sent on ch
	resync map[Bucket]uint64 // guarded by Feed.mu: value of sent right after the bucket's last Resync; every watched bucket has an entry
}

// NewFeed returns a feed without watchers.
func NewFeed() *Feed { return &Feed{watchers: map[*watcher]struct{}{}} }

// Watch is the Store method.
func (h *Feed) Watch(ctx context.Context, buckets ...Bucket) (<-chan Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(buckets) == 0 {
		return nil, fmt.Errorf("%w: watch of no bucket", ErrInvalid)
	}
	w := &watcher{resync: map[Bucket]uint64{}}
	for _, b := range buckets {
		if err := b.Check(); err != nil {
			return nil, err
		}
		w.resync[b] = 0
	}
	w.ch = make(chan Event, WatchBuffer+len(w.resync))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	h.watchers[w] = struct{}{}
	context.AfterFunc(ctx, func() { h.remove(w) })
	return w.ch, nil
}

func (h *Feed) remove(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.watchers[w]; ok {
		delete(h.watchers, w)
		close(w.ch)
	}
}

// Publish must be called after the change is visible to readers, in the order of commits.
func (h *Feed) Publish(events []Event) {
	if len(events) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		for _, ev := range events {
			w.send(ev)
		}
	}
}

// Interrupt tells every watcher that changes may have happened unseen.
func (h *Feed) Interrupt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		for b := range w.resync {
			w.interrupt(b)
		}
	}
}

// Shut ends all feeds, and refuses new ones with ErrClosed.
func (h *Feed) Shut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for w := range h.watchers {
		delete(h.watchers, w)
		close(w.ch)
	}
}

// pending: a Resync of b waits unread in ch. Events of b may then be dropped: the watcher will read the bucket
// after it has read the Resync, and so after this moment, and the change is visible already.
func (w *watcher) pending(b Bucket) bool {
	return w.resync[b] > w.sent-uint64(len(w.ch))
}

func (w *watcher) send(ev Event) {
	b := ev.Key.Bucket
	if _, ok := w.resync[b]; !ok || w.pending(b) {
		return
	}
	if len(w.ch) >= WatchBuffer {
		w.interrupt(b)
		return
	}
	w.ch <- ev
	w.sent++
}

func (w *watcher) interrupt(b Bucket) {
	if w.pending(b) {
		return
	}
	w.ch <- Event{Kind: Resync, Key: Key{Bucket: b}}
	w.sent++
	w.resync[b] = w.sent
}
