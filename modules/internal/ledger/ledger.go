package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// attempts bound how often an update is tried against others.
const attempts = 16

var (
	// ErrNotFound: there is no such record. Returned by Get, Update and Read.
	ErrNotFound = errors.New("no such record")
	// ErrExists: there is one already. Returned by Create.
	ErrExists = errors.New("there is one of this name already")
)

// Config says what a ledger holds. T is encoded as JSON.
type Config[T any] struct {
	Bucket store.Bucket
	Most   int                    // copies kept at hand
	Index  func(*T) []string      // what a record can be looked for by; may be nil
	TTL    func(*T) time.Duration // how long a record is kept from now on; zero: for ever; may be nil
	// Absent has Get remember, too, that there is no such record. Only where clients cannot make ids up: theirs would take
	// the place of the others.
	Absent bool
	// Whole has All end with keyring.ErrUnknownKey at a record that another gateway has sealed with a key that is not here yet, instead
	// of leaving it out.
	Whole bool
}

// Ledger is safe for concurrent use. Make one with [Open]; it must be closed before its store.
type Ledger[T any] struct {
	Config[T]
	store store.Store
	keys  *keyring.Ring

	mu      sync.RWMutex
	copies  map[string]*T // guarded by mu; nil: there is none
	changes uint64        // guarded by mu; grows with everything that may have changed a record

	stop context.CancelFunc
	done sync.WaitGroup
}

// Open follows the bucket from now on.
func Open[T any](st store.Store, keys *keyring.Ring, c Config[T]) (*Ledger[T], error) {
	ctx, cancel := context.WithCancel(context.Background())
	feed, err := st.Watch(ctx, c.Bucket)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watching %s: %w", c.Bucket, err)
	}
	l := &Ledger[T]{Config: c, store: st, keys: keys, copies: map[string]*T{}, stop: cancel}
	l.done.Go(func() { l.follow(feed) })
	return l, nil
}

// Destruct stops following.
func (l *Ledger[T]) Destruct() error {
	l.stop()
	l.done.Wait()
	return nil
}

func (l *Ledger[T]) follow(feed <-chan store.Event) {
	for ev := range feed {
		if ev.Kind == store.Resync {
			l.mu.Lock()
			clear(l.copies)
			l.changes++
			l.mu.Unlock()
			continue
		}
		l.forget(ev.Key.ID)
	}
}

func (l *Ledger[T]) forget(id string) {
	l.mu.Lock()
	delete(l.copies, id)
	l.changes++
	l.mu.Unlock()
}

// Get returns the record, or ErrNotFound. It is shared and must not be written.
func (l *Ledger[T]) Get(ctx context.Context, id string) (*T, error) {
	l.mu.RLock()
	rec, known := l.copies[id]
	before := l.changes
	l.mu.RUnlock()
	if known { // Fast path
		return found(rec)
	}
	rec, _, err := l.Read(ctx, id)
	if err != nil && !(l.Absent && errors.Is(err, ErrNotFound)) {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now, known := l.copies[id]; known {
		return found(now)
	}
	if l.changes == before { // otherwise this one may have changed since: it serves now, and is not remembered
		if len(l.copies) >= l.Most {
			for victim := range l.copies { // any one: it is read again when it is used
				delete(l.copies, victim)
				break
			}
		}
		l.copies[id] = rec
	}
	return found(rec)
}

func found[T any](rec *T) (*T, error) {
	if rec == nil {
		return nil, ErrNotFound
	}
	return rec, nil
}

// Read returns the record as the store has it, which is the caller's, and its version; or ErrNotFound.
func (l *Ledger[T]) Read(ctx context.Context, id string) (*T, uint64, error) {
	item, err := l.store.Get(ctx, l.key(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, ErrNotFound
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading %s: %w", l.Bucket, err)
	}
	rec, err := l.open(item)
	return rec, item.Version, err
}

// Create writes a record under an id that is free, or returns ErrExists.
func (l *Ledger[T]) Create(ctx context.Context, id string, rec *T) error {
	err := l.put(ctx, id, rec, store.PutOptions{Match: store.Absent})
	if errors.Is(err, store.ErrConflict) {
		return ErrExists
	}
	return err
}

// Update has change alter the record and stores it; change may be called more than once. When it returns an error, nothing
// is written and Update returns that.
func (l *Ledger[T]) Update(ctx context.Context, id string, change func(*T) error) (*T, error) {
	for range attempts {
		rec, version, err := l.Read(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := change(rec); err != nil {
			return nil, err
		}
		err = l.put(ctx, id, rec, store.PutOptions{Match: store.Version, Version: version})
		if !errors.Is(err, store.ErrConflict) {
			return rec, err
		}
	}
	return nil, fmt.Errorf("writing %s: %w", l.Bucket, store.ErrConflict)
}

// Put writes the record, whatever was there.
func (l *Ledger[T]) Put(ctx context.Context, id string, rec *T) error {
	return l.put(ctx, id, rec, store.PutOptions{})
}

// Delete removes the record and reports whether there was one.
func (l *Ledger[T]) Delete(ctx context.Context, id string) (bool, error) {
	_, _, err := l.Read(ctx, id)
	there := err == nil
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	if err := l.store.Delete(ctx, l.key(id)); err != nil {
		return false, fmt.Errorf("deleting from %s: %w", l.Bucket, err)
	}
	l.forget(id)
	return there, nil
}

// DeleteIndexed removes all records that carry the index, in one step, and returns their ids.
func (l *Ledger[T]) DeleteIndexed(ctx context.Context, index string) (gone []string, err error) {
	keys, err := l.store.DeleteIndexed(ctx, l.Bucket, index)
	if err != nil {
		return nil, fmt.Errorf("deleting from %s: %w", l.Bucket, err)
	}
	for _, k := range keys {
		l.forget(k.ID)
		gone = append(gone, k.ID)
	}
	return gone, nil
}

// Erase deletes the records that carry the index, or any if it is empty, and are meant, unless they are only counted. It returns
// their ids.
func (l *Ledger[T]) Erase(ctx context.Context, index string, meant func(*T) bool, count bool) (ids []string, err error) {
	for item, err := range l.store.Scan(ctx, l.Bucket, index) {
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", l.Bucket, err)
		}
		if rec, err := l.open(item); err == nil && meant(rec) {
			ids = append(ids, item.Key.ID)
		}
	}
	for _, id := range ids {
		if count {
			break
		}
		if err := l.store.Delete(ctx, l.key(id)); err != nil {
			return nil, fmt.Errorf("deleting from %s: %w", l.Bucket, err)
		}
		l.forget(id)
	}
	return ids, nil
}

// All walks the records that carry the index, or all if it is empty, in no order. An error is yielded last.
func (l *Ledger[T]) All(ctx context.Context, index string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for item, err := range l.store.Scan(ctx, l.Bucket, index) {
			if err != nil {
				yield(nil, fmt.Errorf("listing %s: %w", l.Bucket, err))
				return
			}
			rec, err := l.open(item)
			if l.Whole && errors.Is(err, keyring.ErrUnknownKey) {
				yield(nil, err)
				return
			}
			if err == nil && !yield(rec, nil) {
				return
			}
		}
	}
}

func (l *Ledger[T]) key(id string) store.Key { return store.Key{Bucket: l.Bucket, ID: id} }

func (l *Ledger[T]) purpose() string { return "ledger." + string(l.Bucket) }

func (l *Ledger[T]) put(ctx context.Context, id string, rec *T, o store.PutOptions) error {
	plain, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("encoding for %s: %w", l.Bucket, err)
	}
	if l.Index != nil {
		o.Index = l.Index(rec)
	}
	if l.TTL != nil {
		o.TTL = l.TTL(rec)
	}
	_, err = l.store.Put(ctx, l.key(id), l.keys.Seal(l.purpose(), plain, []byte(id)), o)
	l.forget(id)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("writing %s: %w", l.Bucket, err)
	}
	return err
}

// open returns the record in a stored item; or ErrNotFound, of one that is damaged; or keyring.ErrUnknownKey, of one that a gateway
// has sealed with a key that is not here yet: nobody can say what it says.
func (l *Ledger[T]) open(item store.Item) (*T, error) {
	plain, err := l.keys.OpenStored(l.purpose(), item.Value, []byte(item.Key.ID))
	if errors.Is(err, keyring.ErrUnknownKey) {
		return nil, fmt.Errorf("a record of %s: %w", l.Bucket, err)
	}
	if err != nil {
		return nil, ErrNotFound
	}
	rec := new(T)
	if err := json.Unmarshal(plain, rec); err != nil {
		return nil, ErrNotFound
	}
	return rec, nil
}
