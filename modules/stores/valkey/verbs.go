package valkey

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	driver "github.com/valkey-io/valkey-go"

	"gatehouse.internal/modules/internal/store"
)

// Get asks once, and once more when the connection was found dead: the first question after a server came back meets that.
func (s *remote) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if err := k.Check(); err != nil {
		return store.Item{}, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Item{}, err
	}
	defer leave()
	name := s.sealer.key(k)
	ask := s.client.B().Hmget().Key(s.prefix[0]+"i:"+string(k.Bucket)+":"+name).Field("v", "d", "e").Build().Pin()
	values, err := s.client.Do(ctx, ask).ToArray()
	if err != nil && ctx.Err() == nil {
		values, err = s.client.Do(ctx, ask).ToArray()
	}
	if err != nil {
		return store.Item{}, s.failure(ctx, err)
	}
	if len(values) != 3 || values[0].IsNil() {
		return store.Item{}, store.ErrNotFound
	}
	fields := make([]string, 3)
	for i, v := range values {
		if fields[i], err = v.ToString(); err != nil {
			return store.Item{}, fmt.Errorf("%w in bucket %q", store.ErrCorrupt, k.Bucket)
		}
	}
	it, expires, err := s.item(k, name, fields[0], fields[1], fields[2])
	if err == nil && expires != 0 && expires <= s.clock.now() {
		s.hurrySweep()
		return store.Item{}, store.ErrNotFound
	}
	return it, err
}

// item makes an item of what is stored.
func (s *remote) item(k store.Key, name, version, sealed, expires string) (store.Item, int64, error) {
	v, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return store.Item{}, 0, fmt.Errorf("%w in bucket %q: version", store.ErrCorrupt, k.Bucket)
	}
	e, err := strconv.ParseInt(expires, 10, 64)
	if err != nil {
		return store.Item{}, 0, fmt.Errorf("%w in bucket %q: expiry", store.ErrCorrupt, k.Bucket)
	}
	value, err := s.sealer.open('v', k.Bucket, name, sealed)
	if err != nil {
		return store.Item{}, 0, err
	}
	return store.Item{Key: k, Value: value, Version: v, Expires: s.clock.wall(e)}, e, nil
}

// Put implements store.Store.
func (s *remote) Put(ctx context.Context, k store.Key, value []byte, o store.PutOptions) (uint64, error) {
	if err := k.Check(); err != nil {
		return 0, err
	}
	if len(value) > store.MaxValue {
		return 0, fmt.Errorf("%w: value of %d bytes in bucket %q", store.ErrTooLarge, len(value), k.Bucket)
	}
	if err := o.Check(); err != nil {
		return 0, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	name := s.sealer.key(k)
	match := [...]string{store.Always: "a", store.Absent: "n", store.Version: "v"}[o.Match]
	script := putScript
	if o.Soft {
		script = softPutScript
	}
	answer, err := s.run(ctx, script, string(k.Bucket), name, s.sealer.seal('i', k.Bucket, "", []byte(k.ID)),
		s.sealer.seal('v', k.Bucket, name, value), micros(o.TTL), match, strconv.FormatUint(o.Version, 10), s.sealer.indexes(k.Bucket, o.Index),
		s.sealer.sealIndexes(k.Bucket, name, o.Index))
	if len(answer) > 0 && answer[0].IsNil() { // it changed nothing, which needs no replicas
		return 0, store.ErrConflict
	}
	if err != nil {
		return 0, err
	}
	v, err := number(answer[0])
	return uint64(v), err
}

// micros is a length of time in whole microseconds, rounded up, so that no length but zero is zero.
func micros(d time.Duration) string {
	n := d.Microseconds()
	if time.Duration(n)*time.Microsecond < d {
		n++
	}
	return strconv.FormatInt(n, 10)
}

// Take implements store.Store.
func (s *remote) Take(ctx context.Context, k store.Key) (store.Item, error) {
	if err := k.Check(); err != nil {
		return store.Item{}, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Item{}, err
	}
	defer leave()
	name := s.sealer.key(k)
	answer, err := s.run(ctx, takeScript, string(k.Bucket), name)
	if len(answer) > 0 && answer[0].IsNil() { // it changed nothing, which needs no replicas
		return store.Item{}, store.ErrNotFound
	}
	if err != nil {
		return store.Item{}, err
	}
	fields, err := texts(answer[0], 5) // v, n, d, e, x
	if err != nil {
		return store.Item{}, err
	}
	it, _, err := s.item(k, name, fields[0], fields[2], fields[3])
	return it, err
}

// Delete implements store.Store.
func (s *remote) Delete(ctx context.Context, keys ...store.Key) error {
	args := make([]string, 0, 2*len(keys))
	for _, k := range keys {
		if err := k.Check(); err != nil {
			return err
		}
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, k := range keys {
		args = append(args, string(k.Bucket), s.sealer.key(k))
	}
	if len(keys) == 0 {
		return nil
	}
	_, err = s.run(ctx, deleteScript, args...)
	return err
}

// DeleteIndexed implements store.Store.
func (s *remote) DeleteIndexed(ctx context.Context, b store.Bucket, index string) ([]store.Key, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	if err := store.CheckIndex(index); err != nil {
		return nil, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	answer, err := s.run(ctx, deleteIndexedScript, string(b), s.sealer.name('x', b, index))
	if err != nil {
		return nil, err
	}
	sealed, err := answer[0].AsStrSlice()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	var gone []store.Key
	for _, id := range sealed {
		k, err := s.sealer.id(b, id)
		if err != nil {
			return gone, err
		}
		gone = append(gone, k)
	}
	return gone, nil
}

// touchStep bounds how long one script keeps the server from other work.
const touchStep = 256

// Touch implements store.Store.
func (s *remote) Touch(ctx context.Context, to map[store.Key]time.Time) error {
	for k := range to {
		if err := k.Check(); err != nil {
			return err
		}
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var args []string
	for k, t := range to {
		if e, ok := s.clock.stored(t); ok {
			args = append(args, string(k.Bucket), s.sealer.key(k), strconv.FormatInt(e, 10))
		}
	}
	for part := range slices.Chunk(args, 3*touchStep) {
		if _, err := s.run(ctx, touchScript, part...); err != nil {
			return err
		}
	}
	return nil
}

// Incr implements store.Store.
func (s *remote) Incr(ctx context.Context, k store.Key, n int64, ttl time.Duration) (int64, error) {
	if err := k.Check(); err != nil {
		return 0, err
	}
	if ttl < 0 {
		return 0, fmt.Errorf("%w: counter with TTL %v", store.ErrInvalid, ttl)
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	answer, err := s.run(ctx, incrScript, string(k.Bucket), s.sealer.key(k), strconv.FormatInt(n, 10), micros(ttl),
		s.sealer.seal('i', k.Bucket, "", []byte(k.ID)))
	if err != nil {
		return 0, err
	}
	return number(answer[0])
}

// Lease implements store.Store. The pace is rounded up to whole microseconds.
func (s *remote) Lease(ctx context.Context, k store.Key, l store.Limit, want int64) (int64, time.Duration, error) {
	if err := k.Check(); err != nil {
		return 0, 0, err
	}
	if err := l.Check(); err != nil {
		return 0, 0, err
	}
	if want < 0 {
		return 0, 0, fmt.Errorf("%w: lease of %d tokens", store.ErrInvalid, want)
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer leave()
	answer, err := s.run(ctx, leaseScript, string(k.Bucket), s.sealer.key(k), strconv.FormatInt(l.Burst, 10), micros(l.Every), strconv.FormatInt(want, 10))
	if err != nil {
		return 0, 0, err
	}
	got, err := number(answer[0])
	if err != nil {
		return 0, 0, err
	}
	retry, err := number(answer[1])
	return got, time.Duration(retry) * time.Microsecond, err
}

// A page bounds what one step of a Scan keeps the server from other work, and holds.
const (
	pageItems = 256
	pageBytes = 1 << 20
)

// Scan implements store.Store.
func (s *remote) Scan(ctx context.Context, b store.Bucket, index string) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		if err := b.Check(); err != nil {
			yield(store.Item{}, err)
			return
		}
		for after, more := "", true; more; {
			var items []listed
			var err error
			items, after, more, err = s.page(ctx, b, index, after)
			for _, it := range items {
				if !yield(it.Item, nil) {
					return
				}
			}
			if err != nil {
				yield(store.Item{}, err)
				return
			}
		}
	}
}

func (s *remote) page(ctx context.Context, b store.Bucket, index, after string) (items []listed, last string, more bool, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, "", false, err
	}
	defer leave()
	if index != "" {
		index = s.sealer.name('x', b, index)
	}
	answer, err := s.run(ctx, pageScript, string(b), index, after, strconv.Itoa(pageItems), strconv.Itoa(pageBytes))
	if err != nil {
		return nil, "", false, err
	}
	last, err1 := answer[0].ToString()
	mark, err2 := answer[1].ToString()
	list, err3 := answer[2].ToArray()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, "", false, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	for _, m := range list {
		it, err := s.list(b, m)
		if err != nil {
			return items, last, false, err
		}
		items = append(items, it)
	}
	return items, last, mark == "1", nil
}

// listed is one item of a page.
type listed struct {
	store.Item
	name    string
	indexes string // their names in the store
	sealed  string // what they are called; nothing if it was not kept
}

// list reads one item of a page: its name, and v, n, d, e, x, s.
func (s *remote) list(b store.Bucket, m driver.ValkeyMessage) (it listed, err error) {
	pair, err := m.ToArray()
	if err != nil || len(pair) != 2 {
		return it, fmt.Errorf("%w in bucket %q", store.ErrCorrupt, b)
	}
	if it.name, err = pair[0].ToString(); err != nil {
		return it, fmt.Errorf("%w in bucket %q", store.ErrCorrupt, b)
	}
	values, err := pair[1].ToArray()
	if err != nil || len(values) != 6 {
		return it, fmt.Errorf("%w in bucket %q", store.ErrCorrupt, b)
	}
	var fields [6]string
	for i, v := range values {
		if fields[i], err = v.ToString(); err != nil && i < 5 {
			return it, fmt.Errorf("%w in bucket %q", store.ErrCorrupt, b)
		}
	}
	it.indexes, it.sealed = fields[4], fields[5]
	k, err := s.sealer.id(b, fields[1])
	if err != nil {
		return it, err
	}
	if s.sealer.key(k) != it.name { // an ID that was put in the place of another
		return it, fmt.Errorf("%w in bucket %q: an ID of another item", store.ErrCorrupt, b)
	}
	it.Item, _, err = s.item(k, it.name, fields[0], fields[2], fields[3])
	return it, err
}
