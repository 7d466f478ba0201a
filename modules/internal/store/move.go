package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

var (
	// ErrInUse: somebody else uses the store, so that it cannot be moved. Returned by who opens a store to move it.
	ErrInUse = errors.New("store: it is in use")
	// ErrNotEmpty: the store to move into holds state of its own.
	ErrNotEmpty = errors.New("store: it holds state already")
	// ErrMoving: the store is being moved, or was moved away. It is an ErrDown too.
	ErrMoving = fmt.Errorf("%w: it is being moved, or was moved away", ErrDown)
	// ErrDiffers: what arrived is not what was there. Returned by Move.
	ErrDiffers = errors.New("store: what arrived differs from what was there")
)

// Record is an item or a counter on its way from one store to another. Versions stay behind: the other store gives its own.
type Record struct {
	Key     Key
	Counter bool
	Value   []byte    // of an item
	Count   int64     // of a counter
	Index   []string  // of an item: sorted, each once
	Expires time.Time // by this node's wall clock; zero: never
}

// Movable is implemented by engines whose state can be moved. Nobody else may use the store meanwhile: see [Role].
type Movable interface {
	Store
	// Records walks all that is live, each once, in no promised order. An error is yielded last.
	Records(ctx context.Context) iter.Seq2[Record, error]
	// Restore writes records in one step, in the place of what is there. What has expired is left out.
	Restore(ctx context.Context, records []Record) error
	// Unmoved counts what Records leaves out, by bucket: leases, which are full again soon, and what cannot be listed.
	Unmoved(ctx context.Context) (map[Bucket]int, error)
}

// Role is what a store is opened for by who moves it.
type Role string

// The roles.
const (
	MoveFrom Role = "from"
	MoveInto Role = "into"
)

// Moving is a store that is open to be moved, and that nobody else uses until End.
type Moving struct {
	Movable
	// End closes it. done says that all has arrived: then a source is put away so that no gateway goes on with it, and a target is
	// given free. Otherwise a source is as it was, and a target is no store for anybody until it is moved into anew.
	End func(done bool) error
}

// restoreItems and restoreBytes bound one step of a Move.
const (
	restoreItems = 256
	restoreBytes = 1 << 20
)

// drift is by how much expiries may differ on both sides, on average: clocks of store and node differ by less where nothing is said.
const drift = 2 * time.Second

// Tally is what a bucket holds.
type Tally struct {
	Items, Counters int
	// Sum is a hash of names, values, counts and indexes that does not depend on their order.
	Sum Sum
	// Soon are those of both that expire while they are counted, for all one knows: they are in no other field.
	Soon int

	lasts float64 // seconds: the sum of expiries
}

// Sum adds up SHA-256 hashes, in lanes of 64 bits. It tells whether two sets are the same when nobody tries to have them look so.
type Sum [4]uint64

// String is the first half, in hexadecimal.
func (s Sum) String() string {
	var b []byte
	for _, lane := range s[:2] {
		b = binary.BigEndian.AppendUint64(b, lane)
	}
	return hex.EncodeToString(b)
}

func (t *Tally) add(r Record, until time.Time) {
	if !r.Expires.IsZero() && r.Expires.Before(until) {
		t.Soon++
		return
	}
	h := sha256.New()
	text := func(s []byte) {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s)))) // never fails
		_, _ = h.Write(s)
	}
	text([]byte(r.Key.ID))
	text(r.Value)
	for _, ix := range r.Index {
		text([]byte(ix))
	}
	text(binary.BigEndian.AppendUint64(nil, uint64(r.Count)))
	forever := byte(0)
	if r.Expires.IsZero() {
		forever = 1
	} else {
		t.lasts += float64(r.Expires.UnixMilli()) / 1e3
	}
	if r.Counter {
		t.Counters++
		forever |= 2
	} else {
		t.Items++
	}
	text([]byte{forever})
	for i, sum := 0, h.Sum(nil); i < len(t.Sum); i++ {
		t.Sum[i] += binary.BigEndian.Uint64(sum[8*i:])
	}
}

// Count tallies what the store holds that lasts until then, by bucket.
func Count(ctx context.Context, st Movable, until time.Time) (map[Bucket]Tally, error) {
	all := map[Bucket]Tally{}
	for r, err := range st.Records(ctx) {
		if err != nil {
			return nil, err
		}
		t := all[r.Key.Bucket]
		t.add(r, until)
		all[r.Key.Bucket] = t
	}
	return all, nil
}

// Empty reports whether the store holds nothing that could be moved.
func Empty(ctx context.Context, st Movable) (bool, error) {
	for _, err := range st.Records(ctx) {
		return false, err
	}
	return true, nil
}

// Move copies all of from into to, which must be empty, and compares both, by counts and hashes for each bucket. moved is told how many
// were copied, every so often; it may be nil. What it returns was the same on both sides. Nothing is changed in from.
func Move(ctx context.Context, from, to Movable, moved func(n int)) (map[Bucket]Tally, error) {
	if empty, err := Empty(ctx, to); err != nil {
		return nil, fmt.Errorf("looking into the target: %w", err)
	} else if !empty {
		return nil, ErrNotEmpty
	}
	begun := time.Now()
	n, size := 0, 0
	var batch []Record
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := to.Restore(ctx, batch); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		n += len(batch)
		batch, size = batch[:0], 0
		if moved != nil {
			moved(n)
		}
		return nil
	}
	for r, err := range from.Records(ctx) {
		if err != nil {
			return nil, fmt.Errorf("reading: %w", err)
		}
		batch = append(batch, r)
		if size += len(r.Value); len(batch) >= restoreItems || size >= restoreBytes {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return compare(ctx, from, to, max(10*time.Second, 4*time.Since(begun)))
}

// compare counts both sides. What expires before both are counted is not compared: if that took longer than ahead, it is done again.
func compare(ctx context.Context, from, to Movable, ahead time.Duration) (map[Bucket]Tally, error) {
	for {
		until := time.Now().Add(ahead)
		there, err := Count(ctx, from, until)
		if err != nil {
			return nil, fmt.Errorf("comparing: %w", err)
		}
		here, err := Count(ctx, to, until)
		if err != nil {
			return nil, fmt.Errorf("comparing: %w", err)
		}
		if time.Now().After(until.Add(-drift)) {
			ahead *= 2
			continue
		}
		buckets := maps.Clone(there)
		maps.Copy(buckets, here)
		for _, b := range slices.Sorted(maps.Keys(buckets)) {
			if err := differ(there[b], here[b]); err != nil {
				return nil, fmt.Errorf("%w in bucket %q: %w", ErrDiffers, b, err)
			}
		}
		return there, nil
	}
}

func differ(there, here Tally) error {
	late := time.Duration((here.lasts - there.lasts) * float64(time.Second))
	switch {
	case there.Items != here.Items || there.Counters != here.Counters:
		return fmt.Errorf("%d items and %d counters became %d and %d", there.Items, there.Counters, here.Items, here.Counters)
	case there.Sum != here.Sum:
		return fmt.Errorf("their hash %v became %v", there.Sum, here.Sum)
	case late.Abs() > drift*time.Duration(there.Items+there.Counters):
		return fmt.Errorf("they expire %v later, all together", late)
	}
	return nil
}

// restore writes a record as it was.
func (w *writeTx) restore(r Record) error {
	kind := byte(kindItem)
	if r.Counter {
		kind = kindCounter
	}
	key := rawKey(kind, r.Key)
	expires := int64(0)
	if !r.Expires.IsZero() {
		var ok bool
		if expires, ok = toStore(r.Expires, w.lag); !ok {
			return fmt.Errorf("%w: expiry in bucket %q", ErrInvalid, r.Key.Bucket)
		}
		if expires <= w.now {
			return nil
		}
	}
	old, replace, err := w.live(key)
	if err != nil {
		return err
	}
	if w.full {
		return ErrFull
	}
	if r.Counter {
		w.save(key, old, replace, record{expires: expires, value: numberValue(r.Count)})
		return nil
	}
	w.seq++
	w.save(key, old, replace, record{version: w.seq, expires: expires, index: r.Index, value: slices.Clone(r.Value)})
	w.emit(Set, key)
	return nil
}

// Restore implements Movable.
func (v verbs) Restore(ctx context.Context, records []Record) error {
	size := 0
	for _, r := range records {
		if err := r.Check(); err != nil {
			return err
		}
		size += len(r.Value)
	}
	records = slices.Clone(records)
	return v.update(ctx, size, func(w *writeTx) error {
		for _, r := range records {
			if err := w.restore(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// Check returns ErrInvalid or ErrTooLarge for what no engine takes.
func (r Record) Check() error {
	if err := r.Key.Check(); err != nil {
		return err
	}
	if len(r.Value) > MaxValue {
		return fmt.Errorf("%w: value of %d bytes in bucket %q", ErrTooLarge, len(r.Value), r.Key.Bucket)
	}
	if !slices.IsSorted(r.Index) {
		return fmt.Errorf("%w: indexes that are not sorted", ErrInvalid)
	}
	return PutOptions{Index: r.Index}.Check()
}

// moved makes a Record of what an engine holds; ok is false for a lease.
func (r record) moved(raw string, lag int64) (out Record, ok bool, err error) {
	kind, k, known := parseRawKey(raw)
	out = Record{Key: k, Expires: toWall(r.expires, lag)}
	switch {
	case !known || k.Check() != nil:
		return out, false, fmt.Errorf("%w: a record of no bucket", ErrCorrupt)
	case kind == kindItem:
		out.Value, out.Index = slices.Clone(r.value), slices.Clone(r.index)
		return out, true, nil
	case kind == kindCounter && len(r.value) == 8:
		out.Counter, out.Count = true, int64(binary.BigEndian.Uint64(r.value))
		return out, true, nil
	case kind == kindLease:
		return out, false, nil
	}
	return out, false, fmt.Errorf("%w in bucket %q", ErrCorrupt, k.Bucket)
}
