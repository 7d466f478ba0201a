package store

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"
)

// mute is a store that answers nothing until its caller gives up, nor after the first item of a scan.
type mute struct{ Store }

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (mute) Get(ctx context.Context, _ Key) (Item, error) { return Item{}, hang(ctx) }
func (mute) Put(ctx context.Context, _ Key, _ []byte, _ PutOptions) (uint64, error) {
	return 0, hang(ctx)
}
func (mute) Take(ctx context.Context, _ Key) (Item, error) { return Item{}, hang(ctx) }
func (mute) Delete(ctx context.Context, _ ...Key) error    { return hang(ctx) }
func (mute) DeleteIndexed(ctx context.Context, _ Bucket, _ string) ([]Key, error) {
	return nil, hang(ctx)
}
func (mute) Touch(ctx context.Context, _ map[Key]time.Time) error { return hang(ctx) }
func (mute) Health(ctx context.Context) error                     { return hang(ctx) }
func (mute) Incr(ctx context.Context, _ Key, _ int64, _ time.Duration) (int64, error) {
	return 0, hang(ctx)
}

func (mute) Lease(ctx context.Context, _ Key, _ Limit, _ int64) (int64, time.Duration, error) {
	return 0, 0, hang(ctx)
}

func (mute) Scan(ctx context.Context, _ Bucket, _ string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if yield(Item{}, nil) {
			yield(Item{}, hang(ctx))
		}
	}
}

func TestBounded(t *testing.T) {
	const read, write = time.Second, 5 * time.Second
	k := Key{Bucket: "b", ID: "i"}
	calls := map[string]struct {
		lasts time.Duration
		call  func(context.Context, Store) error
	}{
		"Get":    {read, func(ctx context.Context, s Store) error { _, err := s.Get(ctx, k); return err }},
		"Put":    {write, func(ctx context.Context, s Store) error { _, err := s.Put(ctx, k, nil, PutOptions{}); return err }},
		"Take":   {write, func(ctx context.Context, s Store) error { _, err := s.Take(ctx, k); return err }},
		"Delete": {write, func(ctx context.Context, s Store) error { return s.Delete(ctx, k) }},
		"DeleteIndexed": {write, func(ctx context.Context, s Store) error {
			_, err := s.DeleteIndexed(ctx, "b", "x")
			return err
		}},
		"Touch": {write, func(ctx context.Context, s Store) error { return s.Touch(ctx, nil) }},
		"Incr":  {write, func(ctx context.Context, s Store) error { _, err := s.Incr(ctx, k, 1, 0); return err }},
		"Lease": {write, func(ctx context.Context, s Store) error {
			_, _, err := s.Lease(ctx, k, Limit{Burst: 1, Every: time.Second}, 1)
			return err
		}},
		"Health": {read, func(ctx context.Context, s Store) error { return s.Health(ctx) }},
		// The caller may take its time with an item.
		"Scan": {2*read + read, func(ctx context.Context, s Store) (err error) {
			for _, err = range s.Scan(ctx, "b", "") {
				if err == nil {
					time.Sleep(2 * read)
				}
			}
			return err
		}},
	}
	for name, tt := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := tt.call(t.Context(), Bounded(mute{}, Bounds{read, write}))
				if took := time.Since(began); !errors.Is(err, ErrDown) || took != tt.lasts {
					t.Errorf("after %v: %v, want ErrDown after %v", took, err, tt.lasts)
				}
				// Who gives up first gets the error of their own context.
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := tt.call(ctx, Bounded(mute{}, Bounds{read, write})); !errors.Is(err, context.Canceled) || errors.Is(err, ErrDown) {
					t.Errorf("a caller who gave up: %v", err)
				}
			})
		})
	}
}
