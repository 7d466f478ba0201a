package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	batchItems = 512     // requests in one commit
	batchBytes = 4 << 20 // their values
	healEvery  = time.Second
)

// request is one write on its way to the writer, which owns it from queue to done.
type request struct {
	ctx  context.Context
	size int
	fn   func(*writeTx) error
	err  error
	done chan error // capacity 1
}

// errClean rolls back a batch that changed nothing: no fsync for it.
var errClean = errors.New("store: nothing to commit")

// write is verbs.update: it queues fn for the next commit and waits until that is durable.
func (e *embedded) write(ctx context.Context, size int, fn func(*writeTx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.closed() {
		return ErrClosed
	}
	r := &request{ctx: ctx, size: size, fn: fn, done: make(chan error, 1)}
	select {
	case e.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.quit:
		return ErrClosed
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-e.stopped:
	}
	select {
	case err := <-r.done: // both were ready
		return err
	default:
		return ErrClosed
	}
}

// writeLoop is the only writer. While it waits for one fsync the next batch gathers in the queue.
func (e *embedded) writeLoop() {
	defer close(e.stopped)
	var healed time.Time
	for {
		select {
		case <-e.quit:
			e.finish()
			return
		case r := <-e.queue:
			batch := e.gather(r)
			if err := e.commit(batch); err != nil && time.Since(healed) >= healEvery {
				e.heal()
				healed = time.Now()
			}
			for _, r := range batch {
				r.done <- r.err
			}
		}
	}
}

// gather takes what waits, and lets those run who were just acknowledged and are about to queue their next write:
// without that every second commit would hold a single write.
func (e *embedded) gather(first *request) []*request {
	batch := append(make([]*request, 0, 1+len(e.queue)), first)
	yielded := false
	for size := first.size; len(batch) < batchItems && size < batchBytes; {
		select {
		case r := <-e.queue:
			batch = append(batch, r)
			size += r.size
			continue
		default:
		}
		if yielded {
			break
		}
		runtime.Gosched()
		yielded = true
	}
	return batch
}

// commit runs the batch in one transaction and feeds the watchers. It sets every member's err, and returns an error if the engine broke.
func (e *embedded) commit(batch []*request) error {
	events, err := e.attempt(batch)
	if err != nil {
		err = fmt.Errorf("%w: writing: %w", ErrDown, err)
		e.broken.Store(&err)
		for _, r := range batch {
			r.err = err
		}
		return err
	}
	e.broken.Store(nil)
	e.Publish(events)
	return nil
}

func (e *embedded) attempt(batch []*request) (events []Event, err error) {
	defer func() { // bbolt panics on some damage, and has rolled back then
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	db := e.db.Load()
	free := db.Stats()
	err = db.Update(func(tx *bolt.Tx) error {
		st, err := readState(tx)
		if err != nil {
			return err
		}
		t := newBoltTable(tx)
		w := &writeTx{t: t, seq: max(st.seq, e.seq)}
		defer func() { e.seq = w.seq }()
		w.now, w.lag = e.clock.read()
		w.full = tx.Size()-int64(free.FreePageN+free.PendingPageN)*int64(db.Info().PageSize) >= e.opts.MaxBytes
		for _, r := range batch {
			if r.err = r.ctx.Err(); r.err == nil {
				r.err = r.fn(w)
			}
			if t.err != nil {
				return t.err
			}
		}
		if !t.dirty && len(batch) > 0 && e.broken.Load() == nil {
			return errClean
		}
		events = w.events
		return state{seq: w.seq, clock: w.now}.write(tx)
	})
	if errors.Is(err, errClean) {
		err = nil
	}
	return events, err
}

// heal opens the file afresh after a commit broke: what bbolt then holds in memory, and what the disk holds, may differ.
// The broken batch may be there or not; watchers are told so. Until a heal works every call is ErrDown.
func (e *embedded) heal() {
	_ = e.db.Load().Close() // if it could not let go, opening it again is refused
	db, _, err := openBolt(e.path, e.opts)
	if err != nil {
		return
	}
	e.db.Store(db)
	e.Interrupt()
}

// finish refuses who still waits, records store time and closes the file.
func (e *embedded) finish() {
	for {
		select {
		case r := <-e.queue:
			r.done <- ErrClosed
			continue
		default:
		}
		break
	}
	_, err := e.attempt(nil)
	if err = errors.Join(err, e.db.Load().Close()); err != nil {
		e.closeErr = fmt.Errorf("closing store %q: %w", e.path, err)
	}
	e.Feed.Shut()
}
