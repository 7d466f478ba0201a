package apikey

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/store"
)

const (
	usedEvery = 30 * time.Second // a key's use is written at most so often
	usedFor   = 400 * 24 * time.Hour
)

// uses writes down when keys were last used: in batches, since nothing but lists depends on it.
type uses struct {
	store store.Store

	mu    sync.Mutex
	dirty map[string]int64 // guarded by mu; by the key's id, Unix seconds

	cancel context.CancelFunc
	done   sync.WaitGroup
}

func (u *uses) start(st store.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	u.store, u.dirty, u.cancel = st, map[string]int64{}, cancel
	u.done.Go(func() {
		tick := time.NewTicker(usedEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = u.flush(ctx) // the next use queues it again
			}
		}
	})
}

// stop writes what is not written yet.
func (u *uses) stop() error {
	u.cancel()
	u.done.Wait()
	return u.flush(context.Background())
}

// note says that the key is used now.
func (u *uses) note(k *Key, now time.Time) {
	at, before := now.Unix(), k.used.Load()
	if at-before < int64(usedEvery/time.Second) || !k.used.CompareAndSwap(before, at) { // Fast path
		return
	}
	u.mu.Lock()
	if len(u.dirty) < copies {
		u.dirty[k.ID] = at
	}
	u.mu.Unlock()
}

func (u *uses) flush(ctx context.Context) error {
	u.mu.Lock()
	due := u.dirty
	u.dirty = map[string]int64{}
	u.mu.Unlock()
	var errs []error
	for id, at := range due {
		_, err := u.store.Put(ctx, usedKey(id), binary.BigEndian.AppendUint64(nil, uint64(at)), store.PutOptions{TTL: usedFor})
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("writing the use of keys: %w", err)
	}
	return nil
}

// last returns when the key was last used; zero: never, or so long ago that nobody remembers.
func (u *uses) last(ctx context.Context, id string) (time.Time, error) {
	u.mu.Lock()
	at, ok := u.dirty[id]
	u.mu.Unlock()
	if ok {
		return time.Unix(at, 0).UTC(), nil
	}
	item, err := u.store.Get(ctx, usedKey(id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("reading the use of a key: %w", err)
	case len(item.Value) != 8:
		return time.Time{}, nil
	}
	return time.Unix(int64(binary.BigEndian.Uint64(item.Value)), 0).UTC(), nil
}

func usedKey(id string) store.Key { return store.Key{Bucket: usedBucket, ID: id} }
