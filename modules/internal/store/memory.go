package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"
)

// memory is the engine of tests and throw-away nodes. Nothing survives Close.
type memory struct {
	verbs
	*Feed
	clock   *clock
	quit    chan struct{} // closed by Close
	stopped chan struct{} // closed when the sweeper has ended

	mu     sync.RWMutex
	t      memoryTable // guarded by mu
	seq    uint64      // guarded by mu
	closed bool        // guarded by mu
}

// NewMemory returns an empty store that lives in the process. It runs one goroutine until Close.
// Snapshot is unsupported.
func NewMemory() Store {
	m := &memory{
		Feed:    NewFeed(),
		clock:   newClock(0),
		quit:    make(chan struct{}),
		stopped: make(chan struct{}),
		t:       memoryTable{records: map[string]record{}, index: map[string]map[string]struct{}{}},
	}
	m.verbs = verbs{m.write}
	go m.sweepLoop()
	return m
}

func (m *memory) write(ctx context.Context, _ int, fn func(*writeTx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	now, lag := m.clock.read()
	w := &writeTx{t: &m.t, now: now, lag: lag, seq: m.seq}
	err := fn(w)
	m.seq = w.seq
	m.Publish(w.events)
	return err
}

func (m *memory) Get(ctx context.Context, k Key) (Item, error) {
	if err := ctx.Err(); err != nil {
		return Item{}, err
	}
	if err := k.Check(); err != nil {
		return Item{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return Item{}, ErrClosed
	}
	now, lag := m.clock.read()
	r, ok := m.t.records[rawKey(kindItem, k)]
	if !ok || r.expired(now) {
		return Item{}, ErrNotFound
	}
	return r.item(k, lag), nil
}

func (m *memory) Scan(ctx context.Context, b Bucket, index string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		items, err := m.items(ctx, b, index)
		for _, it := range items {
			if err = ctx.Err(); err != nil {
				break
			}
			if !yield(it, nil) {
				return
			}
		}
		if err != nil {
			yield(Item{}, err)
		}
	}
}

func (m *memory) items(ctx context.Context, b Bucket, index string) ([]Item, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, ErrClosed
	}
	now, lag := m.clock.read()
	var items []Item
	for key, r := range m.t.records {
		kind, k, _ := parseRawKey(key)
		if kind != kindItem || k.Bucket != b || r.expired(now) || index != "" && !slices.Contains(r.index, index) {
			continue
		}
		items = append(items, r.item(k, lag))
	}
	return items, nil
}

func (m *memory) Snapshot(ctx context.Context, _ io.Writer) error {
	if err := m.Health(ctx); err != nil && !errors.Is(err, ErrClock) {
		return err
	}
	return fmt.Errorf("store: snapshot of memory: %w", errors.ErrUnsupported)
}

func (m *memory) Health(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return ErrClosed
	}
	return m.clock.health()
}

func (m *memory) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		<-m.stopped
		return nil
	}
	m.closed = true
	m.t = memoryTable{}
	m.mu.Unlock()
	close(m.quit)
	<-m.stopped
	m.Feed.Shut()
	return nil
}

func (m *memory) sweepLoop() {
	defer close(m.stopped)
	tick := time.NewTicker(defaultSweep)
	defer tick.Stop()
	for {
		select {
		case <-m.quit:
			return
		case <-tick.C:
			// An error means Close has begun; quit follows.
			_ = m.write(context.Background(), 0, func(w *writeTx) error {
				w.sweep(len(m.t.records))
				return nil
			})
		}
	}
}

// memoryTable implements table; memory.mu guards it.
type memoryTable struct {
	records map[string]record
	index   map[string]map[string]struct{} // indexKey to raw keys
	soonest int64                          // no record expires before; zero: none expires
}

func indexKey(b Bucket, index string) string { return string(b) + "\x00" + index }

func (t *memoryTable) load(key string) (record, bool, error) {
	r, ok := t.records[key]
	return r, ok, nil
}

func (t *memoryTable) save(key string, old *record, r record) {
	if old != nil {
		t.drop(key, *old)
	}
	t.records[key] = r
	t.hasten(r)
	_, k, _ := parseRawKey(key)
	for _, ix := range r.index {
		at := indexKey(k.Bucket, ix)
		if t.index[at] == nil {
			t.index[at] = map[string]struct{}{}
		}
		t.index[at][key] = struct{}{}
	}
}

func (t *memoryTable) hasten(r record) {
	if r.expires != 0 && (t.soonest == 0 || r.expires < t.soonest) {
		t.soonest = r.expires
	}
}

func (t *memoryTable) drop(key string, old record) {
	delete(t.records, key)
	_, k, _ := parseRawKey(key)
	for _, ix := range old.index {
		at := indexKey(k.Bucket, ix)
		delete(t.index[at], key)
		if len(t.index[at]) == 0 {
			delete(t.index, at)
		}
	}
}

func (t *memoryTable) indexed(b Bucket, index string) []string {
	var keys []string
	for key := range t.index[indexKey(b, index)] {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (t *memoryTable) due(now int64, n int) []string {
	if t.soonest == 0 || t.soonest > now {
		return nil
	}
	t.soonest = 0
	var keys []string
	for key, r := range t.records {
		if r.expired(now) && len(keys) < n {
			keys = append(keys, key)
		} else {
			t.hasten(r)
		}
	}
	return keys
}
