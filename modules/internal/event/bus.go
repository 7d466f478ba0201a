package event

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
)

// Bus carries events from publishers to subscribers. Make one with [NewBus]; it is safe for concurrent use.
type Bus struct {
	mu     sync.RWMutex
	subs   map[*Subscription]struct{} // guarded by mu
	taps   map[*func(Event)]struct{}  // guarded by mu
	keeper Keeper                     // guarded by mu
	closed bool                       // guarded by mu
	run    uint64                     // random
	last   atomic.Uint64              // event
}

// Keeper keeps events beyond the process. It is safe for concurrent use.
type Keeper interface {
	// Keep takes the event over and returns at once.
	Keep(Event)
	// Record returns when the event, and every one kept before it, is durable; or says why it is not and will not be.
	Record(Event) error
}

// NewBus returns a bus without subscribers.
func NewBus() *Bus {
	var run [8]byte
	_, _ = rand.Read(run[:]) // never fails: it ends the program instead
	return &Bus{
		subs: make(map[*Subscription]struct{}), taps: make(map[*func(Event)]struct{}),
		run: binary.BigEndian.Uint64(run[:]) | 1,
	}
}

// Subscription is one reader of the bus.
type Subscription struct {
	name string
	lost atomic.Uint64
	bus  *Bus
	done chan struct{}

	mu    sync.Mutex
	wake  *sync.Cond
	ring  []Event // guarded by mu
	first int     // guarded by mu; index of the oldest unread event
	count int     // guarded by mu
	ended bool    // guarded by mu
}

// Subscribe calls handle for each event published from now on, one at a time, in order, on a goroutine of the
// subscription's own. At most size events wait; when one more arrives the oldest is dropped and counted as lost.
// handle must not call Close on its own subscription. size below 1 means 1. On a closed bus nothing is ever handled.
func (b *Bus) Subscribe(name string, size int, handle func(Event)) *Subscription {
	s := &Subscription{name: name, bus: b, ring: make([]Event, max(size, 1)), done: make(chan struct{})}
	s.wake = sync.NewCond(&s.mu)
	b.mu.Lock()
	if b.closed {
		s.ended = true
	} else {
		b.subs[s] = struct{}{}
	}
	b.mu.Unlock()
	go s.run(handle)
	return s
}

// Tap calls f with each event from now on, on the publisher's goroutine and before Publish returns: for what must have
// been noted before whoever caused the event has an answer. f must neither block nor publish, and may be called by several
// goroutines at once. stop ends it: f is not called any more when it returns.
func (b *Bus) Tap(f func(Event)) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taps[&f] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.taps, &f)
	}
}

// KeepWith has k keep each event from now on; nil: nobody.
func (b *Bus) KeepWith(k Keeper) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keeper = k
}

// Publish gives the event an id, unless it has one, and hands it to the keeper and every tap and subscriber. It never blocks
// on any of them.
func (b *Bus) Publish(e Event) {
	e.ID = b.id(e)
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return
	}
	if b.keeper != nil {
		b.keeper.Keep(e)
	}
	b.hand(e)
}

// Record is Publish for what must be on record before it counts: it returns when the keeper has made the event durable, and
// then the others are told. When it returns an error, nobody was, and what the event tells of must not be done.
func (b *Bus) Record(e Event) error {
	e.ID = b.id(e)
	b.mu.RLock()
	k, closed := b.keeper, b.closed
	b.mu.RUnlock()
	if closed {
		return ErrClosed
	}
	if k != nil {
		if err := k.Record(e); err != nil {
			return err
		}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	b.hand(e)
	return nil
}

// ErrClosed: nothing is recorded any more.
var ErrClosed = errors.New("the record of events is closed")

func (b *Bus) id(e Event) ID {
	if e.ID == (ID{}) {
		return ID{b.run, b.last.Add(1)}
	}
	return e.ID
}

// hand tells taps and subscribers. b.mu is held.
func (b *Bus) hand(e Event) {
	for f := range b.taps {
		(*f)(e)
	}
	for s := range b.subs {
		s.put(e)
	}
}

// Close ends every subscription and waits until what was queued has been handled. Later events go nowhere.
func (b *Bus) Close() {
	b.mu.Lock()
	b.closed = true
	subs := b.subs
	b.subs = nil
	b.mu.Unlock()
	for s := range subs {
		s.end()
	}
}

// Close stops the subscription and waits until what was queued has been handled. It may be called more than once.
func (s *Subscription) Close() {
	s.bus.mu.Lock()
	delete(s.bus.subs, s)
	s.bus.mu.Unlock()
	s.end()
}

// Lost counts the events dropped because the subscriber was slow.
func (s *Subscription) Lost() uint64 { return s.lost.Load() }

// Name is what the subscriber called itself.
func (s *Subscription) Name() string { return s.name }

func (s *Subscription) put(e Event) {
	s.mu.Lock()
	if s.count == len(s.ring) {
		s.first = (s.first + 1) % len(s.ring)
		s.count--
		s.lost.Add(1)
	}
	s.ring[(s.first+s.count)%len(s.ring)] = e
	s.count++
	s.mu.Unlock()
	s.wake.Signal()
}

func (s *Subscription) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.wake.Signal()
	<-s.done
}

func (s *Subscription) run(handle func(Event)) {
	defer close(s.done)
	for {
		s.mu.Lock()
		for s.count == 0 && !s.ended {
			s.wake.Wait()
		}
		if s.count == 0 {
			s.mu.Unlock()
			return
		}
		e := s.ring[s.first]
		s.ring[s.first] = Event{} // let go of what it points to
		s.first = (s.first + 1) % len(s.ring)
		s.count--
		s.mu.Unlock()
		handle(e)
	}
}
