package valkey

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	driver "github.com/valkey-io/valkey-go"

	"gatehouse.internal/modules/internal/store"
)

// Who moves a store has it to themselves: the scripts, which know of P..moving, let nobody else write. A source is claimed for
// half a minute, again with each beat, and is marked as moved at the end; a target stays claimed until everything has arrived,
// whatever becomes of who fills it.

// mover is how nodes begin that move a store; prelude.lua knows it.
const mover = "mover-"

// look is to claim nothing, and to say whether one could.
const look store.Role = "look"

// OpenToMove opens the store to move it. dry says that nothing is to be moved.
func OpenToMove(ctx context.Context, o Options, as store.Role, dry bool) (store.Moving, error) {
	o.Node, o.mover = "", true
	soon, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	st, err := Open(soon, o)
	if err != nil {
		return store.Moving{}, err
	}
	s := st.(*remote)
	stale, err := s.claim(soon, as, !dry)
	if err == nil && as == store.MoveInto && stale != "" && !dry {
		err = s.clear(ctx)
	}
	if err != nil {
		return store.Moving{}, errors.Join(err, s.Close())
	}
	if dry {
		return store.Moving{Movable: overwritten{s, stale != ""}, End: func(bool) error { return s.Close() }}, nil
	}
	return store.Moving{Movable: s, End: func(done bool) error {
		ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
		defer cancel()
		left, err := "", error(nil)
		if as == store.MoveFrom && done {
			left = "moved"
		}
		if as == store.MoveFrom || done {
			err = s.release(ctx, left)
		}
		return errors.Join(err, s.Close())
	}}, nil
}

// overwritten is a store whose content would be overwritten if it were moved into.
type overwritten struct {
	*remote
	stale bool
}

// Records implements store.Movable.
func (o overwritten) Records(ctx context.Context) iter.Seq2[store.Record, error] {
	if o.stale {
		return func(func(store.Record, error) bool) {}
	}
	return o.remote.Records(ctx)
}

// claim keeps all others from writing, if take says so. stale is what an earlier claim left behind: "into" what did not arrive whole,
// "moved" what was moved away.
func (s *remote) claim(ctx context.Context, as store.Role, take bool) (stale string, err error) {
	flag := "0"
	if take {
		flag = "1"
	}
	answer, err := s.run(ctx, claimScript, string(as), micros(silent), flag)
	if err != nil {
		return "", err
	}
	said, err1 := answer[0].ToString()
	what, err2 := answer[1].ToString()
	if err := errors.Join(err1, err2); err != nil {
		return "", fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	switch said {
	case "ok":
		return what, nil
	case "used":
		return "", fmt.Errorf("%w: the gateway %q uses it; stop all gateways, and wait ten seconds", store.ErrInUse, what)
	case "moving":
		return "", fmt.Errorf("%w: somebody else moves it; if they are gone, wait half a minute", store.ErrInUse)
	case "half":
		return "", fmt.Errorf("%w: not all has arrived that was to be moved into it: move it there again", store.ErrMoving)
	}
	return "", fmt.Errorf("%w: what it holds was moved away", store.ErrMoving)
}

// release ends a claim, with a mark or with nothing.
func (s *remote) release(ctx context.Context, left string) error {
	answer, err := s.run(ctx, releaseScript, left)
	if err != nil {
		return err
	}
	if n, err := number(answer[0]); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("%w: the claim was lost", store.ErrInUse), err)
	}
	return nil
}

// clear removes all that is kept.
func (s *remote) clear(ctx context.Context) error {
	if err := s.keys(ctx, "[ibclx]", true, nil); err != nil {
		return err
	}
	return s.failure(ctx, s.client.Do(ctx, s.client.B().Del().Key(s.prefix[0]+"e").Build()).Error())
}

// keys calls found with the names of all keys of those kinds, without the prefix; some come twice. Or it removes them.
func (s *remote) keys(ctx context.Context, kinds string, remove bool, found func(name string)) error {
	flag := "0"
	if remove {
		flag = "1"
	}
	pattern := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`).Replace(s.prefix[0])
	for cursor := "0"; ; {
		answer, err := s.run(ctx, keysScript, cursor, kinds, pattern, flag)
		if err != nil {
			return err
		}
		names, err1 := answer[1].AsStrSlice()
		next, err2 := answer[0].ToString()
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
		}
		for _, name := range names {
			found(name)
		}
		if cursor = next; cursor == "0" {
			return nil
		}
	}
}

// Records implements store.Movable. It holds the names of all counters.
func (s *remote) Records(ctx context.Context) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		buckets, counters := map[store.Bucket]struct{}{}, map[string]struct{}{}
		err := s.keys(ctx, "[bc]", false, func(name string) {
			if b, ok := strings.CutPrefix(name, "b:"); ok {
				buckets[store.Bucket(b)] = struct{}{}
			} else {
				counters[name[len("c:"):]] = struct{}{}
			}
		})
		if err != nil {
			yield(store.Record{}, err)
			return
		}
		for _, b := range slices.Sorted(maps.Keys(buckets)) {
			if !s.recordsIn(ctx, b, yield) {
				return
			}
		}
		for part := range slices.Chunk(slices.Collect(maps.Keys(counters)), pageItems) {
			records, _, err := s.counters(ctx, part)
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
			if err != nil {
				yield(store.Record{}, err)
				return
			}
		}
	}
}

// recordsIn yields the items of a bucket, and says whether to go on.
func (s *remote) recordsIn(ctx context.Context, b store.Bucket, yield func(store.Record, error) bool) bool {
	for after, more := "", true; more; {
		var items []listed
		var err error
		items, after, more, err = s.page(ctx, b, "", after)
		for _, it := range items {
			r := store.Record{Key: it.Key, Value: it.Value, Expires: it.Expires}
			if r.Index, err = s.sealer.openIndexes(b, it.name, it.sealed); err == nil && s.sealer.indexes(b, r.Index) != it.indexes {
				err = fmt.Errorf("%w in bucket %q: an item whose indexes are not what they are called", store.ErrCorrupt, b)
			}
			if err != nil {
				yield(store.Record{}, err)
				return false
			}
			if !yield(r, nil) {
				return false
			}
		}
		if err != nil {
			yield(store.Record{}, err)
			return false
		}
	}
	return true
}

// counters reads counters, and how many of each bucket do not say what they are called.
func (s *remote) counters(ctx context.Context, names []string) (all []store.Record, nameless map[store.Bucket]int, err error) {
	var args []string
	for _, name := range names {
		b, h, _ := strings.Cut(name, ":")
		args = append(args, b, h)
	}
	answer, err := s.run(ctx, countersScript, args...)
	if err != nil {
		return nil, nil, err
	}
	list, err := answer[0].ToArray()
	if err != nil || len(list) != len(names) {
		return nil, nil, fmt.Errorf("%w: counters", store.ErrCorrupt)
	}
	nameless = map[store.Bucket]int{}
	for i, m := range list {
		b, h := store.Bucket(args[2*i]), args[2*i+1]
		if empty, err := m.AsStrSlice(); err == nil && len(empty) == 0 {
			continue // it has expired
		}
		r, err := s.counter(b, h, m)
		if errors.Is(err, errNameless) {
			nameless[b]++
			continue
		}
		if err != nil {
			return all, nameless, err
		}
		all = append(all, r)
	}
	return all, nameless, nil
}

var errNameless = errors.New("a counter that does not say what it is called")

func (s *remote) counter(b store.Bucket, name string, m driver.ValkeyMessage) (r store.Record, err error) {
	fields, err := texts(m, 3)
	if err != nil {
		return r, err
	}
	if fields[2] == "" {
		return r, errNameless
	}
	k, err := s.sealer.id(b, fields[2])
	if err != nil || s.sealer.key(k) != name {
		return r, errors.Join(fmt.Errorf("%w in bucket %q: a counter", store.ErrCorrupt, b), err)
	}
	n, err1 := strconv.ParseInt(fields[0], 10, 64)
	e, err2 := strconv.ParseInt(fields[1], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return r, fmt.Errorf("%w in bucket %q: %w", store.ErrCorrupt, b, err)
	}
	return store.Record{Key: k, Counter: true, Count: n, Expires: s.clock.wall(e)}, nil
}

// Unmoved implements store.Movable: leases, and counters of programs that did not keep what they are called.
func (s *remote) Unmoved(ctx context.Context) (map[store.Bucket]int, error) {
	all, seen, counters := map[store.Bucket]int{}, map[string]struct{}{}, []string(nil)
	err := s.keys(ctx, "[cl]", false, func(name string) {
		if _, twice := seen[name]; twice {
			return
		}
		seen[name] = struct{}{}
		kind, rest, _ := strings.Cut(name, ":")
		if b, _, _ := strings.Cut(rest, ":"); kind == "l" {
			all[store.Bucket(b)]++
			return
		}
		counters = append(counters, rest)
	})
	if err != nil {
		return nil, err
	}
	for part := range slices.Chunk(counters, pageItems) {
		_, nameless, err := s.counters(ctx, part)
		if err != nil {
			return nil, err
		}
		for b, n := range nameless {
			all[b] += n
		}
	}
	return all, nil
}

// Restore implements store.Movable.
func (s *remote) Restore(ctx context.Context, records []store.Record) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	args := make([]string, 0, 8*len(records))
	for _, r := range records {
		if err := r.Check(); err != nil {
			return err
		}
		expires := int64(0)
		if !r.Expires.IsZero() {
			var ok bool
			if expires, ok = s.clock.stored(r.Expires.Add(time.Microsecond - 1)); !ok {
				return fmt.Errorf("%w: expiry in bucket %q", store.ErrInvalid, r.Key.Bucket)
			}
		}
		b, name := r.Key.Bucket, s.sealer.key(r.Key)
		kind, value := "i", ""
		if r.Counter {
			kind, value = "c", strconv.FormatInt(r.Count, 10)
		} else {
			value = s.sealer.seal('v', b, name, r.Value)
		}
		args = append(args, kind, string(b), name, s.sealer.seal('i', b, "", []byte(r.Key.ID)), value,
			strconv.FormatInt(expires, 10), s.sealer.indexes(b, r.Index), s.sealer.sealIndexes(b, name, r.Index))
	}
	if len(args) == 0 {
		return nil
	}
	_, err = s.run(ctx, restoreScript, args...)
	return err
}

var _ store.Movable = (*remote)(nil)
