package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const lookEach = 250 * time.Millisecond // for records whose time is over

// ErrUnsure is that a store did not answer: the record may be written, and then it comes into force.
var ErrUnsure = errors.New("the store has not said whether it is written")

// ErrEnded is what Lapse.End returns of a record whose end was noted before.
var ErrEnded = errors.New("it has ended already")

// Lapse says how long records are in force, and what follows. All but KeptFor, Adjust, Order and Told must be there.
type Lapse[T any] struct {
	KeptFor time.Duration // how long a record stays in the store after its time, to be listed

	ID    func(*T) string
	Until func(*T) time.Time
	// Stands reports whether the record is in force until its time is over.
	Stands func(*T) bool
	// Ended reports whether the record's end is noted, and End notes that its time was over then, or returns ErrEnded.
	Ended func(*T) bool
	End   func(rec *T, now time.Time) error

	// Adjust brings a record that was read into the form in which it counts here; was is the one at hand, nil: none.
	Adjust func(rec, was *T, now time.Time)
	Order  func(x, y *T) int
	// Changed is told of the records in force whenever they are others than before. It must not block, nor ask the store.
	Changed func([]*T)
	// Told is told of each that has ended by itself, on one node, once that is written.
	Told func(T)
}

// Lapsing is a ledger whose records are in force for a while, all of which are at hand. They come into force on every node of the
// store as soon as its feed has told of them, and end by this node's clock, whether the store answers or not: then that they have
// ended is written when it does. Make one with [OpenLapsing].
type Lapsing[T any] struct {
	*Ledger[T]
	lapse Lapse[T]

	loading sync.Mutex // one reads them at a time
	unread  atomic.Bool

	mu      sync.Mutex           // held shortly, never while the store is asked
	table   atomic.Pointer[[]*T] // those in force; written under mu; nil: none; never written once stored
	overdue []*T                 // guarded by mu; over, which is not written yet

	stop context.CancelFunc
	done sync.WaitGroup

	// What was written as the end of records while the store did not say whether it is, by id. Only noteEnds uses it.
	unsure map[string][]byte
}

// OpenLapsing reads the records in force, and follows them from now on. Of the configuration it sets Most and TTL itself.
func OpenLapsing[T any](st store.Store, keys *keyring.Ring, c Config[T], lapse Lapse[T]) (*Lapsing[T], error) {
	c.Most, c.TTL = 1, func(rec *T) time.Duration { return max(time.Until(lapse.Until(rec))+lapse.KeptFor, time.Minute) }
	l, err := Open(st, keys, c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Lapsing[T]{Ledger: l, lapse: lapse, stop: cancel, unsure: map[string][]byte{}}
	feed, err := st.Watch(ctx, c.Bucket)
	if err == nil {
		err = s.Load(ctx)
	}
	if err != nil {
		cancel()
		return nil, errors.Join(err, l.Destruct())
	}
	due := make(chan struct{}, 1)
	s.done.Go(func() { s.watch(ctx, feed, due) })
	s.done.Go(func() { s.write(ctx, due) })
	return s, nil
}

// Destruct stops following.
func (s *Lapsing[T]) Destruct() error {
	s.stop()
	s.done.Wait()
	return s.Ledger.Destruct()
}

// watch has records end in time. It never asks the store, which may take long to answer.
func (s *Lapsing[T]) watch(ctx context.Context, feed <-chan store.Event, due chan<- struct{}) {
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-feed:
			if !open {
				return
			}
			s.unread.Store(true)
		case <-tick.C:
		}
		s.drop(time.Now())
		select {
		case due <- struct{}{}:
		default:
		}
	}
}

// write reads what has changed, and writes what has ended. What the store does not do now is tried again at the next tick.
func (s *Lapsing[T]) write(ctx context.Context, due <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-due:
		}
		if s.unread.Swap(false) {
			_ = s.Load(ctx)
		}
		s.noteEnds(ctx)
	}
}

// Load reads the records in force. What cannot be read is read again soon.
func (s *Lapsing[T]) Load(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	var all []*T
	for rec, err := range s.All(ctx, "") {
		if err != nil {
			s.unread.Store(true)
			return err
		}
		all = append(all, rec)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var table []*T
	s.overdue = nil
	now, before := time.Now(), s.AtHand()
	for _, rec := range all {
		switch {
		case s.counts(rec, now):
			if s.lapse.Adjust != nil {
				s.lapse.Adjust(rec, s.find(before, s.lapse.ID(rec)), now)
			}
			table = append(table, rec)
		case !s.lapse.Ended(rec):
			s.overdue = append(s.overdue, rec)
		}
	}
	if s.lapse.Order != nil {
		slices.SortFunc(table, s.lapse.Order)
	}
	if !slices.EqualFunc(before, table, func(x, y *T) bool { return s.lapse.ID(x) == s.lapse.ID(y) }) {
		s.use(table)
	}
	return nil
}

func (s *Lapsing[T]) find(all []*T, id string) *T {
	if i := slices.IndexFunc(all, func(rec *T) bool { return s.lapse.ID(rec) == id }); i >= 0 {
		return all[i]
	}
	return nil
}

func (s *Lapsing[T]) counts(rec *T, now time.Time) bool {
	return s.lapse.Stands(rec) && now.Before(s.lapse.Until(rec))
}

// use puts the table in force. s.mu is held.
func (s *Lapsing[T]) use(table []*T) {
	if len(table) == 0 {
		s.table.Store(nil)
	} else {
		s.table.Store(&table)
	}
	s.lapse.Changed(table)
}

// drop takes what is over out of force.
func (s *Lapsing[T]) drop(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.AtHand()
	table := s.InForce(now)
	if len(table) == len(all) { // Fast path
		return
	}
	for _, rec := range all {
		if !s.counts(rec, now) && !s.lapse.Ended(rec) {
			s.overdue = append(s.overdue, rec)
		}
	}
	s.use(table)
}

// noteEnds writes that what is over has ended.
func (s *Lapsing[T]) noteEnds(ctx context.Context) {
	ids := slices.Collect(maps.Keys(s.unsure)) // of which the store may have told meanwhile that they have ended
	s.mu.Lock()
	for _, rec := range s.overdue {
		if id := s.lapse.ID(rec); s.unsure[id] == nil {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	for _, id := range ids {
		now := time.Now()
		var own *T       // as this node wrote it
		var wrote []byte // what it was about to write
		_, err := s.Update(ctx, id, func(rec *T) error {
			own = nil
			text, err := json.Marshal(rec)
			if err == nil && bytes.Equal(text, s.unsure[id]) {
				own = rec
				return ErrEnded
			}
			if err := errors.Join(err, s.lapse.End(rec, now)); err != nil {
				return err
			}
			own = rec
			wrote, err = json.Marshal(rec)
			return err
		})
		if err != nil && !errors.Is(err, ErrEnded) && !errors.Is(err, ErrNotFound) {
			if wrote != nil {
				s.unsure[id] = wrote // it may be written all the same
			}
			return // it does not answer, or takes nothing: nor will it for the next one
		}
		delete(s.unsure, id)
		s.mu.Lock()
		s.overdue = slices.DeleteFunc(s.overdue, func(o *T) bool { return s.lapse.ID(o) == id })
		s.mu.Unlock()
		if own != nil && !errors.Is(err, ErrNotFound) && s.lapse.Told != nil {
			s.lapse.Told(*own)
		}
	}
}

// AtHand returns the records that were in force a moment ago, in order; the time of some may be over. Neither the slice nor what it
// holds may be written.
func (s *Lapsing[T]) AtHand() []*T {
	table := s.table.Load()
	if table == nil {
		return nil
	}
	return *table
}

// InForce returns those of AtHand that are in force.
func (s *Lapsing[T]) InForce(now time.Time) []*T {
	all := s.AtHand()
	over := func(rec *T) bool { return !s.counts(rec, now) }
	if !slices.ContainsFunc(all, over) { // Fast path
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), over)
}

// Add writes a record under an id that is free, as Create does, and puts it in force. Where the store does not say whether it is
// written it is asked once more; when it does not answer then, the error is ErrUnsure.
func (s *Lapsing[T]) Add(ctx context.Context, id string, rec *T) error {
	err := s.Create(ctx, id, rec)
	if errors.Is(err, store.ErrDown) { // it may be written all the same
		if _, _, again := s.Read(ctx, id); again == nil {
			err = nil
		} else if !errors.Is(again, ErrNotFound) {
			return fmt.Errorf("%w: %w", ErrUnsure, err)
		}
	}
	if err != nil {
		return err
	}
	if err := s.Load(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsure, err)
	}
	return nil
}

// End ends a record before its time, as note says, which may be called more than once. mine recognises what note has noted, where the
// store does not say whether it is written. Once it has ended, it is out of force here and is returned, whether the others can be read or
// not.
func (s *Lapsing[T]) End(ctx context.Context, id string, note func(*T) error, mine func(*T) bool) (*T, error) {
	rec, err := s.Update(ctx, id, note)
	if errors.Is(err, store.ErrDown) {
		if is, _, again := s.Read(ctx, id); again == nil && mine(is) {
			rec, err = is, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return rec, s.without(ctx, id)
}

// without takes records out of force that are no more, at once, and reads the others.
func (s *Lapsing[T]) without(ctx context.Context, ids ...string) error {
	s.take(ids)
	err := s.Load(ctx)
	if err != nil {
		s.take(ids) // who read before has put them back
		return fmt.Errorf("it is done, and the others could not be read: %w", err)
	}
	return nil
}

func (s *Lapsing[T]) take(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.AtHand()
	table := slices.DeleteFunc(slices.Clone(all), func(rec *T) bool { return slices.Contains(ids, s.lapse.ID(rec)) })
	if len(table) < len(all) {
		s.use(table)
	}
}

// EraseMeant is Erase of all records, which takes those that were in force out of it.
func (s *Lapsing[T]) EraseMeant(ctx context.Context, meant func(*T) bool, count bool) (int, error) {
	ids, err := s.Erase(ctx, "", meant, count)
	if err != nil || count || len(ids) == 0 {
		return len(ids), err
	}
	return len(ids), s.without(ctx, ids...)
}
