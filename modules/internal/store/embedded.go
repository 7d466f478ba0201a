package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	defaultSweep    = time.Second
	defaultMaxBytes = 4 << 30
	queueLen        = 1024 // writers waiting beyond a batch; more of them wait to queue
)

// EmbeddedOptions tunes OpenEmbedded. The zero value is right for production.
type EmbeddedOptions struct {
	// Sweep is how often expired records are looked for; zero: one second. Expiry itself does not wait for it.
	Sweep time.Duration
	// MaxBytes bounds the data in the file; zero: 4 GiB. Above it Put, Incr and Lease return ErrFull. It may be passed by one batch.
	MaxBytes int64

	// For tests.
	noSync   bool
	openFile func(string, int, os.FileMode) (*os.File, error)
}

// embedded keeps the store in one bbolt file. Two goroutines: the writer (commit.go) owns every write and the file's
// life after OpenEmbedded, the sweeper (sweep.go) only asks it. Readers read on their own.
type embedded struct {
	verbs
	*Feed
	path  string
	opts  EmbeddedOptions
	clock *clock

	db     atomic.Pointer[bolt.DB] // replaced by the writer when a commit broke
	broken atomic.Pointer[error]   // the last commit's error; nil: it went well

	queue   chan *request
	kick    chan struct{} // capacity 1: a reader met an expired record
	quit    chan struct{} // closed by Close: no new calls
	swept   chan struct{} // closed when the sweeper has ended
	stopped chan struct{} // closed when the writer has ended and closed the file

	seq      uint64 // the writer's: last version given, also in a batch that broke, so that no version is given twice
	closing  sync.Once
	closeErr error // written by the writer before stopped is closed
}

// OpenEmbedded opens the store in the file, and creates it (0600) and its directory (0700) if need be.
//
// It returns ErrLocked when another process has it open, ErrSchema when the file is not one this program can read,
// and an error that names the fix when others than the owner may read it.
func OpenEmbedded(path string, o EmbeddedOptions) (Store, error) {
	if o.Sweep <= 0 {
		o.Sweep = defaultSweep
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	e := &embedded{
		Feed: NewFeed(), path: path, opts: o,
		queue:   make(chan *request, queueLen),
		kick:    make(chan struct{}, 1),
		quit:    make(chan struct{}),
		swept:   make(chan struct{}),
		stopped: make(chan struct{}),
	}
	if err := prepareFile(path); err != nil {
		return nil, fmt.Errorf("opening store %q: %w", path, err)
	}
	db, st, err := openBolt(path, o)
	if err != nil {
		return nil, fmt.Errorf("opening store %q: %w", path, err)
	}
	e.db.Store(db)
	e.clock = newClock(st.clock)
	e.verbs = verbs{e.write}
	go e.writeLoop()
	go e.sweepLoop()
	return e, nil
}

// prepareFile makes the directory and an empty file, both durable, and refuses a file others may read or write.
func prepareFile(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return errors.New("not a regular file")
		}
		if info.Mode().Perm()&0o077 != 0 {
			return fmt.Errorf("mode %04o lets others in; run: chmod 600 %s", info.Mode().Perm(), path)
		}
		return nil
	case err != nil:
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syncDir(dir)
}

func (e *embedded) closed() bool {
	select {
	case <-e.quit:
		return true
	default:
		return false
	}
}

// view runs fn in a reading transaction of the file as of the last commit.
func (e *embedded) view(ctx context.Context, fn func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.closed() {
		return ErrClosed
	}
	tx, err := e.db.Load().Begin(false)
	if err != nil {
		if e.closed() {
			return ErrClosed
		}
		return fmt.Errorf("%w: reading: %w", ErrDown, err)
	}
	defer tx.Rollback() //nolint:errcheck // a reading transaction has nothing to lose
	return fn(tx)
}

func (e *embedded) Get(ctx context.Context, k Key) (Item, error) {
	if err := k.Check(); err != nil {
		return Item{}, err
	}
	key := rawKey(kindItem, k)
	var it Item
	err := e.view(ctx, func(tx *bolt.Tx) error {
		b := tx.Bucket(recordsBucket).Get([]byte(key))
		if b == nil {
			return ErrNotFound
		}
		r, err := decodeRecord(b)
		if err != nil {
			return fmt.Errorf("reading bucket %q: %w", k.Bucket, err)
		}
		now, lag := e.clock.read()
		if r.expired(now) {
			e.hurrySweep()
			return ErrNotFound
		}
		it = r.item(k, lag)
		return nil
	})
	return it, err
}

// A page bounds how long a Scan keeps a reading transaction open.
const (
	pageItems = 256
	pageBytes = 1 << 20
)

func (e *embedded) Scan(ctx context.Context, b Bucket, index string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if err := b.Check(); err != nil {
			yield(Item{}, err)
			return
		}
		var items []Item
		for after, more := "", true; more; {
			err := e.view(ctx, func(tx *bolt.Tx) (err error) {
				items, after, more, err = e.page(tx, b, index, after)
				return err
			})
			for _, it := range items {
				if !yield(it, nil) {
					return
				}
			}
			if err != nil {
				yield(Item{}, err)
				return
			}
			items = nil // not yielded twice when the next view fails
		}
	}
}

// page reads the live items after the raw key, and says which raw key it read last and whether there may be more.
func (e *embedded) page(tx *bolt.Tx, b Bucket, index, after string) (items []Item, last string, more bool, err error) {
	now, lag := e.clock.read()
	records := tx.Bucket(recordsBucket)
	size, seen := 0, 0
	for key, value := range walk(tx, b, index, after) {
		if seen == pageItems || size >= pageBytes {
			return items, last, true, nil
		}
		seen++
		last = key
		if value == nil { // an index entry: the record may be gone, or no longer carry the index
			if value = records.Get([]byte(key)); value == nil {
				continue
			}
		}
		r, err := decodeRecord(value)
		if err != nil {
			return items, last, false, fmt.Errorf("scanning bucket %q: %w", b, err)
		}
		_, k, _ := parseRawKey(key)
		if r.expired(now) {
			e.hurrySweep()
			continue
		}
		if index != "" && !carries(r, index) {
			continue
		}
		it := r.item(k, lag)
		size += len(it.Value)
		items = append(items, it)
	}
	return items, last, false, nil
}

func (e *embedded) Snapshot(ctx context.Context, w io.Writer) error {
	return e.view(ctx, func(tx *bolt.Tx) error {
		if _, err := tx.WriteTo(contextWriter{ctx, w}); err != nil {
			return fmt.Errorf("writing store snapshot: %w", err)
		}
		return nil
	})
}

type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

func (e *embedded) Health(ctx context.Context) error {
	if err := e.view(ctx, func(*bolt.Tx) error { return nil }); err != nil {
		return err
	}
	if p := e.broken.Load(); p != nil {
		return *p
	}
	return e.clock.health()
}

func (e *embedded) Close() error {
	e.closing.Do(func() { close(e.quit) })
	<-e.swept
	<-e.stopped
	return e.closeErr
}
