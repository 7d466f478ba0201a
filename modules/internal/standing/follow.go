package standing

import (
	"context"
	"errors"
	"maps"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// follow takes note of what every node writes, until the feed ends.
func (b *Book) follow(ctx context.Context, feed <-chan store.Event) {
	again := time.NewTicker(retryEvery)
	defer again.Stop()
	broken := false // everything has to be read again
	for {
		select {
		case ev, open := <-feed:
			if !open {
				return
			}
			if ev.Kind == store.Resync {
				broken = b.read(ctx) != nil
			} else if i, ok := idIn(ev.Key.ID); ok {
				b.reread(ctx, i)
			}
		case <-again.C:
			if broken {
				broken = b.read(ctx) != nil
			}
			for _, i := range b.unread() {
				b.reread(ctx, i)
			}
		}
	}
}

// read reads every record.
func (b *Book) read(ctx context.Context) error {
	b.reading.Lock()
	defer b.reading.Unlock()
	b.mu.RLock()
	gone := maps.Clone(b.marks)
	b.mu.RUnlock()
	for item, err := range b.store.Scan(ctx, bucket, "") {
		if err != nil {
			return err
		}
		if i, ok := idIn(item.Key.ID); ok {
			delete(gone, i)
			b.note(i, item)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range gone { // one that has come back meanwhile is in the feed
		b.setLocked(i, mark{})
	}
	return nil
}

// reread reads a record and tells of it. What cannot be read allows nothing until it can.
func (b *Book) reread(ctx context.Context, i id) {
	b.reading.Lock()
	item, err := b.store.Get(ctx, i.key())
	var who Person
	switch {
	case err == nil:
		who = b.note(i, item)
	default:
		b.mu.Lock()
		if errors.Is(err, store.ErrNotFound) {
			b.setLocked(i, mark{})
		} else {
			b.setLocked(i, mark{barred: true, who: b.marks[i].who})
			b.due[i] = struct{}{}
		}
		b.mu.Unlock()
	}
	b.reading.Unlock()
	if who == (Person{}) {
		return
	}
	for _, f := range b.hearers() {
		f(who)
	}
}

// note takes over what a record says, and returns whose it is.
func (b *Book) note(i id, item store.Item) Person {
	r, err := b.open(item)
	m := mark{barred: err != nil || !r.State.Allows(), notBefore: r.NotBefore, who: r.Person}
	if !m.barred && m.notBefore.IsZero() {
		m = mark{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setLocked(i, m)
	if errors.Is(err, keyring.ErrUnknownKey) { // another gateway's, which is here soon
		b.due[i] = struct{}{}
	}
	return r.Person
}

// setLocked remembers the mark of somebody whose record was read, if there is anything to remember.
func (b *Book) setLocked(i id, m mark) {
	delete(b.due, i)
	delete(b.names, b.marks[i].who)
	if m == (mark{}) {
		delete(b.marks, i)
	} else {
		b.marks[i] = m
	}
	if m.who != (Person{}) {
		b.names[m.who] = m
	}
	b.marked.Store(int64(len(b.marks)))
}

func (b *Book) unread() (ids []id) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for i := range b.due {
		ids = append(ids, i)
	}
	return ids
}

func (b *Book) hearers() (all []func(Person)) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for f := range b.hears {
		all = append(all, *f)
	}
	return all
}
