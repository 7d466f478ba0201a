package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// movingSuffix ends the name of a file that is being filled.
const movingSuffix = ".migrating"

// EmbeddedToMove opens the store in the file to move it. Its lock keeps gateways away: ErrLocked when one has it.
//
// A source that was moved is renamed, so that no gateway goes on with it by mistake, which would let in whoever was logged out since. A
// target is another file until everything has arrived, and must not be there: ErrNotEmpty.
func EmbeddedToMove(path string, as Role) (Moving, error) {
	if as == MoveInto {
		return embeddedTarget(path)
	}
	if _, err := os.Stat(path); err != nil {
		return Moving{}, fmt.Errorf("the store to move: %w", err)
	}
	st, err := OpenEmbedded(path, EmbeddedOptions{})
	if err != nil {
		return Moving{}, err
	}
	return Moving{Movable: st.(*embedded), End: func(done bool) error {
		if err := st.Close(); err != nil || !done {
			return err
		}
		if err := os.Rename(path, path+time.Now().UTC().Format(".moved-20060102T150405Z")); err != nil {
			return err
		}
		return syncDir(filepath.Dir(path))
	}}, nil
}

func embeddedTarget(path string) (Moving, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return Moving{}, fmt.Errorf("%w: %s (stop the gateway that uses it, and move it away)", errors.Join(ErrNotEmpty, err), path)
	}
	half := path + movingSuffix
	st, err := OpenEmbedded(half, EmbeddedOptions{})
	if err != nil {
		return Moving{}, err
	}
	if empty, err := Empty(context.Background(), st.(*embedded)); err != nil || !empty { // one that did not end
		if err := errors.Join(st.Close(), os.Remove(half)); err != nil {
			return Moving{}, err
		}
		if st, err = OpenEmbedded(half, EmbeddedOptions{}); err != nil {
			return Moving{}, err
		}
	}
	return Moving{Movable: st.(*embedded), End: func(done bool) error {
		err := st.Close()
		if err == nil && done {
			err = os.Link(half, path) // never over a file that came meanwhile
		}
		return errors.Join(err, os.Remove(half), syncDir(filepath.Dir(path)))
	}}, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Records implements Movable.
func (e *embedded) Records(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for after, more := "", true; more; {
			var records []Record
			err := e.view(ctx, func(tx *bolt.Tx) (err error) {
				records, after, more, err = e.movePage(tx, after)
				return err
			})
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
		}
	}
}

// movePage reads live records after the raw key, as page does.
func (e *embedded) movePage(tx *bolt.Tx, after string) (records []Record, last string, more bool, err error) {
	now, lag := e.clock.read()
	c := tx.Bucket(recordsBucket).Cursor()
	size, seen := 0, 0
	for k, v := c.Seek([]byte(after)); k != nil; k, v = c.Next() {
		if after != "" && bytes.Equal(k, []byte(after)) {
			continue
		}
		if seen == pageItems || size >= pageBytes {
			return records, last, true, nil
		}
		seen++
		last = string(k)
		r, err := decodeRecord(v)
		if err != nil {
			return records, last, false, err
		}
		out, ok, err := r.moved(last, lag)
		if err != nil {
			return records, last, false, err
		}
		if ok && !r.expired(now) {
			size += len(out.Value)
			records = append(records, out)
		}
	}
	return records, last, false, nil
}

// Unmoved implements Movable.
func (e *embedded) Unmoved(ctx context.Context) (map[Bucket]int, error) {
	all := map[Bucket]int{}
	err := e.view(ctx, func(tx *bolt.Tx) error {
		now, _ := e.clock.read()
		c := tx.Bucket(recordsBucket).Cursor()
		for k, v := c.Seek([]byte{kindLease}); len(k) > 0 && k[0] == kindLease; k, v = c.Next() {
			r, err := decodeRecord(v)
			if err != nil {
				return err
			}
			if _, key, ok := parseRawKey(string(k)); ok && !r.expired(now) {
				all[key.Bucket]++
			}
		}
		return nil
	})
	return all, err
}

// Records implements Movable.
func (m *memory) Records(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		records, err := m.records(ctx)
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(Record{}, err)
		}
	}
}

func (m *memory) records(ctx context.Context) (all []Record, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, ErrClosed
	}
	now, lag := m.clock.read()
	for raw, r := range m.t.records {
		if r.expired(now) {
			continue
		}
		out, ok, err := r.moved(raw, lag)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, out)
		}
	}
	return all, nil
}

// Unmoved implements Movable.
func (m *memory) Unmoved(ctx context.Context) (map[Bucket]int, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, ErrClosed
	}
	now, _ := m.clock.read()
	all := map[Bucket]int{}
	for raw, r := range m.t.records {
		if kind, k, ok := parseRawKey(raw); ok && kind == kindLease && !r.expired(now) {
			all[k.Bucket]++
		}
	}
	return all, nil
}

var (
	_ Movable = (*embedded)(nil)
	_ Movable = (*memory)(nil)
)
