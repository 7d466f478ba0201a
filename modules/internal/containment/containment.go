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

	most    = 100 // in force
	maxSaid = 400 // bytes of a reason or note
)

// Board has a house's switches. Make one with [Open]; it is safe for concurrent use and must be closed before the store.
type Board struct {
	switches *ledger.Lapsing[Switch]

	throwing sync.Mutex // one at a time: what is made ready for one is not thrown away for another

	runs runs

	mu       sync.Mutex
	hears    map[*func()]struct{}              // guarded by mu
	prepares map[*func(*Switch) error]struct{} // guarded by mu

	kick chan struct{} // capacity 1: the table changed
	stop context.CancelFunc
	done sync.WaitGroup
}

// Open reads the switches, and follows them from now on. expired is told of each that ends by itself, on one node.
func Open(st store.Store, keys *keyring.Ring, expired func(Switch)) (*Board, error) {
	ctx, cancel := context.WithCancel(context.Background())
	b := &Board{hears: map[*func()]struct{}{}, prepares: map[*func(*Switch) error]struct{}{}, kick: make(chan struct{}, 1), stop: cancel}
	b.runs.init()
	var err error
	b.switches, err = ledger.OpenLapsing(st, keys, ledger.Config[Switch]{Bucket: bucket, Whole: true}, ledger.Lapse[Switch]{
		KeptFor: KeptFor,
		ID:      func(s *Switch) string { return s.ID },
		Until:   func(s *Switch) time.Time { return s.Until },
		Stands:  (*Switch).stands,
		Ended:   func(s *Switch) bool { return !s.Ended.IsZero() },
		End:     func(s *Switch, now time.Time) error { return s.end(Expired, "", now) },
		Adjust:  (*Switch).adjust,
		Order:   (*Switch).compare,
		Changed: func([]*Switch) { b.changed() },
		Told:    expired,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	b.done.Go(func() { b.follow(ctx) })
	return b, nil
}

// Destruct stops following.
func (b *Board) Destruct() error {
	b.stop()
	b.done.Wait()
	return b.switches.Destruct()
}

// follow cuts what switches refuse, a while after they were thrown.
func (b *Board) follow(ctx context.Context) {
	var cut <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.kick:
			cut = time.After(CutAfter)
		case <-cut:
			b.cut(time.Now())
		}
	}
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

// Active returns the switches in force, those that refuse most first. The slice and what it holds must not be written.
func (b *Board) Active(now time.Time) []*Switch { return b.switches.InForce(now) }

// Level is the level to which the WAF is raised at a place; 0: to none.
func (b *Board) Level(p Place, now time.Time) (level int) {
	for _, s := range b.switches.AtHand() {
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
	err := b.switches.Add(ctx, id, draft)
	if errors.Is(err, ledger.ErrUnsure) {
		return fmt.Errorf("switch %s: %w: %w", id, ErrUnsure, err)
	}
	return err
}

// Lift ends a switch before its time.
func (b *Board) Lift(ctx context.Context, id, by, note string) (*Switch, error) {
	if len(note) > maxSaid {
		return nil, fmt.Errorf("the note has more than %d bytes", maxSaid)
	}
	now := time.Now()
	return b.switches.End(ctx, id, func(s *Switch) error { return s.end(by, note, now) },
		func(s *Switch) bool { return s.EndedBy == by && s.Ended.Equal(now) })
}

// Erase deletes the switches that are meant, unless they are only counted, and returns how many there are.
func (b *Board) Erase(ctx context.Context, meant func(*Switch) bool, count bool) (int, error) {
	return b.switches.EraseMeant(ctx, meant, count)
}

// List returns the switches, the newest first; those that have ended, too, where all are wanted.
func (b *Board) List(ctx context.Context, all bool) (list []*Switch, err error) {
	now := time.Now()
	for rec, err := range b.switches.All(ctx, "") {
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
