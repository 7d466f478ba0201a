// Package containment keeps the switches that an operator throws in an incident: what is locked, what may only be read, who has to
// prove who they are anew, and how strictly requests are judged, for a while.
//
// # What
//
// A [Switch] says what, where, until when and why. The [Board] has those in force at hand, and the requests that run, so that a
// switch reaches what was let in before it. Switches are kept in the store's bucket containment, sealed, and for [KeptFor] after
// they have ended.
//
// # Invariants
//
// A switch takes effect on every node that shares the store as soon as the store's feed has told of it, and ends by itself, by this
// node's clock, whether the store can be reached or not. Nothing is in force that is not written. [CutAfter] a switch was thrown,
// what it would refuse now is cut.
//
// # Cost
//
// One atomic load for a request while no switch is in force, and one short lock at its beginning and end, of one shard in 32.
package containment

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/store"
)

const (
	bucket store.Bucket = "containment"

	// MaxLife is the longest that a switch may last.
	MaxLife = 7 * 24 * time.Hour
	// KeptFor is how long a switch can be listed after its end; the audit log knows of it for as long as it keeps anything.
	KeptFor = 90 * 24 * time.Hour

	most     = 100 // in force
	maxSaid  = 400 // bytes of a reason or note
	lookEach = 250 * time.Millisecond
)

// Board has a house's switches. Make one with [Open]; it is safe for concurrent use and must be closed before the store.
type Board struct {
	ledger *ledger.Ledger[Switch]
	tell   func(Switch) // of one that has ended by itself

	throwing sync.Mutex // one at a time: what is made ready for one is not thrown away for another

	loading sync.Mutex
	table   atomic.Pointer[[]*Switch] // those in force; nil: none; never written once stored
	overdue []*Switch                 // guarded by loading; over, which is not written yet
	unread  atomic.Bool               // what is stored may be other than the table
	runs    runs

	mu       sync.Mutex
	hears    map[*func()]struct{}              // guarded by mu
	prepares map[*func(*Switch) error]struct{} // guarded by mu

	kick chan struct{} // capacity 1: the table changed
	stop context.CancelFunc
	done sync.WaitGroup
}

// Open reads the switches, and follows them from now on. expired is told of each that ends by itself, on one node.
func Open(st store.Store, keys *keyring.Ring, expired func(Switch)) (*Board, error) {
	l, err := ledger.Open(st, keys, ledger.Config[Switch]{
		Bucket: bucket, Most: 1, Whole: true, TTL: func(s *Switch) time.Duration { return max(time.Until(s.Until)+KeptFor, time.Minute) },
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &Board{ledger: l, tell: expired, hears: map[*func()]struct{}{}, prepares: map[*func(*Switch) error]struct{}{}, kick: make(chan struct{}, 1), stop: cancel}
	b.runs.init()
	feed, err := st.Watch(ctx, bucket)
	if err == nil {
		err = b.load(ctx)
	}
	if err != nil {
		cancel()
		return nil, errors.Join(err, l.Destruct())
	}
	b.done.Go(func() { b.follow(ctx, feed) })
	return b, nil
}

// Destruct stops following.
func (b *Board) Destruct() error {
	b.stop()
	b.done.Wait()
	return b.ledger.Destruct()
}

// follow reads the switches again when one changes, ends those whose time is over, and cuts what they refuse.
func (b *Board) follow(ctx context.Context, feed <-chan store.Event) {
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	var cut <-chan time.Time
	for {
		select {
		case _, open := <-feed:
			if !open {
				return
			}
			b.unread.Store(true)
		case <-b.kick:
			cut = time.After(CutAfter)
		case <-cut:
			b.cut(time.Now())
		case <-tick.C:
		}
		if b.unread.Swap(false) {
			_ = b.load(ctx) // those at hand still count, and end
		}
		b.expire(ctx)
	}
}

// load reads the switches in force. One that cannot be read is read again at the next tick.
func (b *Board) load(ctx context.Context) error {
	b.loading.Lock()
	defer b.loading.Unlock()
	var table, overdue []*Switch
	now := time.Now()
	for rec, err := range b.ledger.All(ctx, "") {
		switch {
		case err != nil:
			b.unread.Store(true)
			return err
		case rec.inForce(now):
			table = append(table, rec)
		case rec.Ended.IsZero():
			overdue = append(overdue, rec)
		}
	}
	b.overdue = overdue
	slices.SortFunc(table, func(x, y *Switch) int { // what refuses most, then the latest, which asks for the freshest proof
		if i, j := slices.Index(Kinds, x.Kind), slices.Index(Kinds, y.Kind); i != j {
			return i - j
		}
		return y.Since.Compare(x.Since)
	})
	if !slices.EqualFunc(b.all(), table, func(x, y *Switch) bool { return x.ID == y.ID }) {
		b.use(table)
	}
	return nil
}

// use puts the table in force. b.loading is held.
func (b *Board) use(table []*Switch) {
	if len(table) == 0 {
		b.table.Store(nil)
	} else {
		b.table.Store(&table)
	}
	b.changed()
}

// changed tells whoever wants to know.
func (b *Board) changed() {
	select {
	case b.kick <- struct{}{}:
	default:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for f := range b.hears {
		(*f)()
	}
}

// OnChange has f called whenever other switches are in force than before, until stop is. f must not block.
func (b *Board) OnChange(f func()) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hears[&f] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.hears, &f)
	}
}

// OnPrepare has f make ready for a switch before it is thrown at this node, until stop is called: whatever takes long is done by the
// time it takes effect, and an error refuses it. If it is not thrown after all, OnChange tells of that.
func (b *Board) OnPrepare(f func(*Switch) error) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prepares[&f] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.prepares, &f)
	}
}

func (b *Board) prepare(s *Switch) error {
	b.mu.Lock()
	all := slices.Collect(maps.Keys(b.prepares))
	b.mu.Unlock()
	for _, f := range all {
		if err := (*f)(s); err != nil {
			return err
		}
	}
	return nil
}

// expire takes what is over out of force, and then writes that it is. What cannot be written now the next tick tries again.
func (b *Board) expire(ctx context.Context) {
	now := time.Now()
	b.loading.Lock()
	if table := b.Active(now); len(table) < len(b.all()) {
		for _, s := range b.all() {
			if !now.Before(s.Until) && s.Ended.IsZero() {
				b.overdue = append(b.overdue, s)
			}
		}
		b.use(table)
	}
	overdue := slices.Clone(b.overdue)
	b.loading.Unlock()
	for _, s := range overdue {
		ended, err := b.end(ctx, s.ID, Expired, "", now)
		if err != nil && !errors.Is(err, errEnded) && !errors.Is(err, ledger.ErrNotFound) {
			return // it does not answer, or takes nothing: nor will it for the next one
		}
		b.loading.Lock()
		b.overdue = slices.DeleteFunc(b.overdue, func(o *Switch) bool { return o.ID == s.ID })
		b.loading.Unlock()
		if err == nil && b.tell != nil {
			b.tell(*ended)
		}
	}
}

func (b *Board) all() []*Switch {
	table := b.table.Load()
	if table == nil {
		return nil
	}
	return *table
}

// Active returns the switches in force, those that refuse most first. The slice and what it holds must not be written.
func (b *Board) Active(now time.Time) []*Switch {
	all := b.all()
	if !slices.ContainsFunc(all, func(s *Switch) bool { return !now.Before(s.Until) }) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(s *Switch) bool { return !now.Before(s.Until) })
}

// Level is the level to which the WAF is raised at a place; 0: to none.
func (b *Board) Level(p Place, now time.Time) (level int) {
	for _, s := range b.all() {
		if s.Kind == Paranoia && now.Before(s.Until) && s.Covers(p) {
			level = max(level, s.Level)
		}
	}
	return level
}

// ErrUnsure is that a store did not answer: the switch may be written, and then it comes into force.
var ErrUnsure = errors.New("the store has not said whether the switch is in force: `gatehouse contain list` shows it, if it is")

// Throw puts a switch in force as the draft says, once record has put it on record: nothing is done when that fails. When the
// switch cannot be kept after all, it returns an error, and the draft has an id; or it is not known whether it is: ErrUnsure.
func (b *Board) Throw(ctx context.Context, draft *Switch, record func(*Switch) error) error {
	b.throwing.Lock()
	defer b.throwing.Unlock()
	now := time.Now().UTC()
	draft.ID, draft.Ended, draft.EndedBy, draft.Note = "", time.Time{}, "", ""
	if err := draft.Check(now); err != nil {
		return err
	}
	if n := len(b.Active(now)); n >= most {
		return fmt.Errorf("there are %d switches in force already", n)
	}
	if err := b.prepare(draft); err != nil {
		b.changed()
		return err
	}
	err := b.throw(ctx, draft, record)
	if err != nil {
		b.changed()
	}
	return err
}

func (b *Board) throw(ctx context.Context, draft *Switch, record func(*Switch) error) error {
	now := time.Now().UTC() // making ready may have taken long
	id := strings.ToLower(rand.Text()[:10])
	draft.Since, draft.Until = now, draft.Until.UTC()
	said := *draft
	said.ID = id
	if err := record(&said); err != nil {
		return err
	}
	draft.ID = id
	err := b.ledger.Create(ctx, id, draft)
	if errors.Is(err, store.ErrDown) { // it may be written all the same
		if _, _, errRead := b.ledger.Read(ctx, id); errRead == nil {
			err = nil
		} else if !errors.Is(errRead, ledger.ErrNotFound) {
			return fmt.Errorf("switch %s: %w: %w", id, ErrUnsure, err)
		}
	}
	if err != nil {
		return err
	}
	if err := b.load(ctx); err != nil {
		return fmt.Errorf("switch %s: %w: %w", id, ErrUnsure, err)
	}
	return nil
}

// Lift ends a switch before its time.
func (b *Board) Lift(ctx context.Context, id, by, note string) (*Switch, error) {
	if len(note) > maxSaid {
		return nil, fmt.Errorf("the note has more than %d bytes", maxSaid)
	}
	now := time.Now()
	rec, err := b.end(ctx, id, by, note, now)
	if errors.Is(err, store.ErrDown) { // it may be written all the same
		if is, _, errRead := b.ledger.Read(ctx, id); errRead == nil && is.EndedBy == by && is.Ended.Equal(now) {
			rec, err = is, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return rec, b.load(ctx)
}

func (b *Board) end(ctx context.Context, id, by, note string, now time.Time) (*Switch, error) {
	return b.ledger.Update(ctx, id, func(rec *Switch) error {
		if !rec.Ended.IsZero() {
			return errEnded
		}
		rec.Ended, rec.EndedBy, rec.Note = now.UTC(), by, note
		return nil
	})
}

// Erase deletes the switches that are meant, unless they are only counted, and returns how many there are.
func (b *Board) Erase(ctx context.Context, meant func(*Switch) bool, count bool) (int, error) {
	ids, err := b.ledger.Erase(ctx, "", meant, count)
	if err != nil || count || len(ids) == 0 {
		return len(ids), err
	}
	return len(ids), b.load(ctx)
}

// List returns the switches, the newest first; those that have ended, too, where all are wanted.
func (b *Board) List(ctx context.Context, all bool) (list []*Switch, err error) {
	now := time.Now()
	for rec, err := range b.ledger.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		if all || rec.inForce(now) {
			list = append(list, rec)
		}
	}
	slices.SortFunc(list, func(x, y *Switch) int { return y.Since.Compare(x.Since) })
	return list, nil
}
