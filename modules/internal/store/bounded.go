package store

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Bounds are how long a [Bounded] store may keep its callers waiting. Both must be positive.
type Bounds struct {
	Read  time.Duration // for an answer to Get and Health, and for each next item of a Scan
	Write time.Duration // for everything that changes something
}

// Bounded returns a store that gives up on one that does not answer: the call then fails with [ErrDown], as if the
// engine had said so, and a write's outcome is unknown. Nobody who asks the store can be kept for longer than that, be it
// a person's request or a goroutine in the background. Watch and Snapshot are passed on as they are.
//
// It relies on the engine's keeping to the contract that a call ends with its context.
func Bounded(st Store, b Bounds) Store { return &bounded{Store: st, bounds: b} }

type bounded struct {
	Store
	bounds Bounds
}

// errSlow is the cause of a context that the bound ended. It is an ErrDown.
var errSlow = fmt.Errorf("%w: it does not answer", ErrDown)

// within runs one call. An error that comes from the bound, not from the caller's own context, is errSlow.
func within(ctx context.Context, d time.Duration, call func(context.Context) error) error {
	inner, cancel := context.WithTimeoutCause(ctx, d, errSlow)
	defer cancel()
	err := call(inner)
	if err != nil && inner.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w within %v", errSlow, d)
	}
	return err
}

func (s *bounded) Get(ctx context.Context, k Key) (item Item, err error) {
	err = within(ctx, s.bounds.Read, func(ctx context.Context) (err error) {
		item, err = s.Store.Get(ctx, k)
		return err
	})
	return item, err
}

func (s *bounded) Put(ctx context.Context, k Key, value []byte, o PutOptions) (version uint64, err error) {
	err = within(ctx, s.bounds.Write, func(ctx context.Context) (err error) {
		version, err = s.Store.Put(ctx, k, value, o)
		return err
	})
	return version, err
}

func (s *bounded) Take(ctx context.Context, k Key) (item Item, err error) {
	err = within(ctx, s.bounds.Write, func(ctx context.Context) (err error) {
		item, err = s.Store.Take(ctx, k)
		return err
	})
	return item, err
}

func (s *bounded) Delete(ctx context.Context, keys ...Key) error {
	return within(ctx, s.bounds.Write, func(ctx context.Context) error { return s.Store.Delete(ctx, keys...) })
}

func (s *bounded) DeleteIndexed(ctx context.Context, b Bucket, index string) (gone []Key, err error) {
	err = within(ctx, s.bounds.Write, func(ctx context.Context) (err error) {
		gone, err = s.Store.DeleteIndexed(ctx, b, index)
		return err
	})
	return gone, err
}

func (s *bounded) Touch(ctx context.Context, to map[Key]time.Time) error {
	return within(ctx, s.bounds.Write, func(ctx context.Context) error { return s.Store.Touch(ctx, to) })
}

func (s *bounded) Incr(ctx context.Context, k Key, n int64, ttl time.Duration) (sum int64, err error) {
	err = within(ctx, s.bounds.Write, func(ctx context.Context) (err error) {
		sum, err = s.Store.Incr(ctx, k, n, ttl)
		return err
	})
	return sum, err
}

func (s *bounded) Lease(ctx context.Context, k Key, l Limit, want int64) (got int64, retry time.Duration, err error) {
	err = within(ctx, s.bounds.Write, func(ctx context.Context) (err error) {
		got, retry, err = s.Store.Lease(ctx, k, l, want)
		return err
	})
	return got, retry, err
}

func (s *bounded) Health(ctx context.Context) error {
	return within(ctx, s.bounds.Read, s.Store.Health)
}

// Scan bounds the wait for each item; the time that the caller takes between them is its own.
func (s *bounded) Scan(ctx context.Context, b Bucket, index string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		inner, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		slow := time.AfterFunc(s.bounds.Read, func() { cancel(errSlow) })
		defer slow.Stop()
		for item, err := range s.Store.Scan(inner, b, index) {
			slow.Stop()
			if err != nil && inner.Err() != nil && ctx.Err() == nil {
				err = fmt.Errorf("%w within %v", errSlow, s.bounds.Read)
			}
			if !yield(item, err) {
				return
			}
			slow.Reset(s.bounds.Read)
		}
	}
}
