package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// table is what an engine offers inside one writing transaction. Keys are raw keys.
//
// save, drop and due do not fail: an engine that breaks there remembers it and fails the whole transaction.
type table interface {
	// load returns the record, expired or not. Its value is valid until the next save or drop.
	load(key string) (r record, ok bool, err error)
	// save writes r in the place of old, which is nil when there is none.
	save(key string, old *record, r record)
	drop(key string, old record)
	// indexed returns the item keys of the bucket carrying the index, sorted.
	indexed(b Bucket, index string) []string
	// due returns up to n keys whose records have expired.
	due(now int64, n int) []string
}

// writeTx is one writing transaction: what every engine's writes mean.
// A method that returns an error has changed nothing but dropped expired records: it cannot poison its neighbours in the batch.
type writeTx struct {
	t      table
	now    int64  // store time
	lag    int64  // see clock
	seq    uint64 // last version given
	full   bool   // refuse what grows the store
	events []Event
}

func (w *writeTx) emit(kind EventKind, key string) {
	if of, k, ok := parseRawKey(key); ok && of == kindItem {
		w.events = append(w.events, Event{Kind: kind, Key: k})
	}
}

// live loads a record, and drops it if it has expired.
func (w *writeTx) live(key string) (record, bool, error) {
	r, ok, err := w.t.load(key)
	if err != nil || !ok {
		return record{}, false, err
	}
	if r.expired(w.now) {
		w.t.drop(key, r)
		w.emit(Gone, key)
		return record{}, false, nil
	}
	return r, true, nil
}

func (w *writeTx) save(key string, old record, replace bool, r record) {
	if replace {
		w.t.save(key, &old, r)
		return
	}
	w.t.save(key, nil, r)
}

func (w *writeTx) put(key string, value []byte, o PutOptions) (uint64, error) {
	if w.full {
		return 0, ErrFull
	}
	old, ok, err := w.live(key)
	if err != nil {
		return 0, err
	}
	if o.Match == Absent && ok || o.Match == Version && (!ok || old.version != o.Version) {
		return 0, ErrConflict
	}
	w.seq++
	w.save(key, old, ok, record{version: w.seq, expires: after(w.now, o.TTL), index: o.Index, value: value})
	w.emit(Set, key)
	return w.seq, nil
}

func (w *writeTx) take(k Key) (Item, error) {
	key := rawKey(kindItem, k)
	r, ok, err := w.live(key)
	if err != nil {
		return Item{}, err
	}
	if !ok {
		return Item{}, ErrNotFound
	}
	it := r.item(k, w.lag)
	w.t.drop(key, r)
	w.emit(Gone, key)
	return it, nil
}

// remove deletes whatever is there, readable or not.
func (w *writeTx) remove(key string) (wasLive bool) {
	r, ok, err := w.t.load(key)
	if err == nil && !ok {
		return false
	}
	w.t.drop(key, r)
	w.emit(Gone, key)
	return err == nil && !r.expired(w.now)
}

func (w *writeTx) deleteIndexed(b Bucket, index string) []Key {
	var gone []Key
	for _, key := range w.t.indexed(b, index) {
		if _, k, ok := parseRawKey(key); w.remove(key) && ok {
			gone = append(gone, k)
		}
	}
	return gone
}

func (w *writeTx) touch(key string, to time.Time) {
	r, ok, err := w.live(key)
	expires, valid := toStore(to, w.lag)
	if err != nil || !ok || !valid || r.expires == 0 || expires <= r.expires {
		return
	}
	old := r
	r.expires = expires
	r.value = slices.Clone(r.value)
	w.t.save(key, &old, r)
}

// number loads a counter or lease: eight bytes.
func (w *writeTx) number(key string) (r record, n int64, ok bool, err error) {
	if r, ok, err = w.live(key); err != nil || !ok {
		return record{}, 0, false, err
	}
	if len(r.value) != 8 {
		return record{}, 0, false, fmt.Errorf("%w: number", ErrCorrupt)
	}
	return r, int64(binary.BigEndian.Uint64(r.value)), true, nil
}

func numberValue(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func (w *writeTx) incr(key string, n int64, ttl time.Duration) (int64, error) {
	old, sum, ok, err := w.number(key)
	if err != nil || n == 0 {
		return sum, err
	}
	if w.full {
		return 0, ErrFull
	}
	expires := after(w.now, ttl)
	if ok {
		expires = old.expires
	}
	sum = addSaturated(sum, n)
	w.save(key, old, ok, record{expires: expires, value: numberValue(sum)})
	return sum, nil
}

func (w *writeTx) lease(key string, l Limit, want int64) (int64, time.Duration, error) {
	old, tat, ok, err := w.number(key)
	if err != nil {
		return 0, 0, err
	}
	next, got, retry := gcra(tat, w.now, l, want)
	if got == 0 && next >= tat {
		return 0, retry, nil // nothing taken, nothing to write: a flood of refusals costs no fsync
	}
	if w.full && !ok {
		return 0, 0, ErrFull
	}
	// Full again at next: from then on no record says the same.
	w.save(key, old, ok, record{expires: next, value: numberValue(next)})
	return got, retry, nil
}

// sweep removes up to n expired records and says how many it removed.
func (w *writeTx) sweep(n int) int {
	keys := w.t.due(w.now, n)
	for _, key := range keys {
		w.remove(key)
	}
	return len(keys)
}

// verbs is the writing half of Store. Each engine brings update, which runs fn in a writing transaction and returns when it is durable.
//
// fn may still run after update has returned ctx's error, so fn must not touch memory the caller gets back,
// and its results count only when update returns nil. size is about how many bytes fn writes.
type verbs struct {
	update func(ctx context.Context, size int, fn func(*writeTx) error) error
}

func (v verbs) Put(ctx context.Context, k Key, value []byte, o PutOptions) (uint64, error) {
	if err := k.Check(); err != nil {
		return 0, err
	}
	if len(value) > MaxValue {
		return 0, fmt.Errorf("%w: value of %d bytes in bucket %q", ErrTooLarge, len(value), k.Bucket)
	}
	if err := o.Check(); err != nil {
		return 0, err
	}
	value = slices.Clone(value)
	o.Index = slices.Compact(slices.Sorted(slices.Values(o.Index)))
	key := rawKey(kindItem, k)
	var version uint64
	err := v.update(ctx, len(key)+len(value), func(w *writeTx) (err error) {
		version, err = w.put(key, value, o)
		return err
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

func (v verbs) Take(ctx context.Context, k Key) (Item, error) {
	if err := k.Check(); err != nil {
		return Item{}, err
	}
	var it Item
	err := v.update(ctx, 0, func(w *writeTx) (err error) {
		it, err = w.take(k)
		return err
	})
	if err != nil {
		return Item{}, err
	}
	return it, nil
}

func (v verbs) Delete(ctx context.Context, keys ...Key) error {
	for _, k := range keys {
		if err := k.Check(); err != nil {
			return err
		}
	}
	keys = slices.Clone(keys)
	return v.update(ctx, 0, func(w *writeTx) error {
		for _, k := range keys {
			for _, kind := range []byte{kindItem, kindCounter, kindLease} {
				w.remove(rawKey(kind, k))
			}
		}
		return nil
	})
}

func (v verbs) DeleteIndexed(ctx context.Context, b Bucket, index string) ([]Key, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	if err := CheckIndex(index); err != nil {
		return nil, err
	}
	var gone []Key
	err := v.update(ctx, 0, func(w *writeTx) error {
		gone = w.deleteIndexed(b, index)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// touchStep bounds how long one Touch keeps other writers waiting.
const touchStep = 256

func (v verbs) Touch(ctx context.Context, to map[Key]time.Time) error {
	type step struct {
		key string
		to  time.Time
	}
	steps := make([]step, 0, len(to))
	for k, t := range to {
		if err := k.Check(); err != nil {
			return err
		}
		steps = append(steps, step{rawKey(kindItem, k), t})
	}
	if len(steps) == 0 {
		return v.update(ctx, 0, func(*writeTx) error { return nil })
	}
	slices.SortFunc(steps, func(a, b step) int { return strings.Compare(a.key, b.key) }) // neighbours share pages
	for part := range slices.Chunk(steps, touchStep) {
		err := v.update(ctx, 0, func(w *writeTx) error {
			for _, s := range part {
				w.touch(s.key, s.to)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (v verbs) Incr(ctx context.Context, k Key, n int64, ttl time.Duration) (int64, error) {
	if err := k.Check(); err != nil {
		return 0, err
	}
	if ttl < 0 {
		return 0, fmt.Errorf("%w: counter with TTL %v", ErrInvalid, ttl)
	}
	var sum int64
	err := v.update(ctx, 0, func(w *writeTx) (err error) {
		sum, err = w.incr(rawKey(kindCounter, k), n, ttl)
		return err
	})
	if err != nil {
		return 0, err
	}
	return sum, nil
}

func (v verbs) Lease(ctx context.Context, k Key, l Limit, want int64) (int64, time.Duration, error) {
	if err := k.Check(); err != nil {
		return 0, 0, err
	}
	if err := l.Check(); err != nil {
		return 0, 0, err
	}
	if want < 0 {
		return 0, 0, fmt.Errorf("%w: lease of %d tokens", ErrInvalid, want)
	}
	var got int64
	var retry time.Duration
	err := v.update(ctx, 0, func(w *writeTx) (err error) {
		got, retry, err = w.lease(rawKey(kindLease, k), l, want)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	return got, retry, nil
}
