package backoff

import (
	"container/list"
	"crypto/sha256"
	"io"
	"sync"
	"time"
)

// forgetAfter is how long without an attempt a streak is remembered.
const forgetAfter = 24 * time.Hour

// Table counts failures in a row, in bounded memory. Make one with [New]; it is safe for concurrent use.
type Table struct {
	most    int
	longest time.Duration

	mu    sync.Mutex
	order *list.List            // guarded by mu; of *streak, the last used first
	byKey map[Key]*list.Element // guarded by mu
}

// Key says whose attempts are counted together. It is a hash, so that every entry takes the same memory whatever was typed.
type Key [16]byte

type streak struct {
	key      Key
	failures int
	until    time.Time // no attempt before
}

// New returns a table of so many streaks at the most, of which the one unused for longest goes first; no pause is longer
// than longest. To push a streak out takes as many other attempts as the table has entries.
func New(most int, longest time.Duration) *Table {
	return &Table{most: most, longest: longest, order: list.New(), byKey: map[Key]*list.Element{}}
}

// KeyOf names what the attempts have in common, such as a provider, a user name and a network.
func KeyOf(parts ...string) Key {
	h := sha256.New()
	for _, part := range parts {
		_, _ = io.WriteString(h, part) // never fails (hash.Hash)
		_, _ = h.Write([]byte{0})
	}
	return Key(h.Sum(nil)[:16])
}

// Begin counts an attempt as failed in advance, so that attempts made at the same time cannot all be the first one. It
// returns how long to wait instead when it is too early; then nothing is counted.
func (t *Table) Begin(key Key) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	e := t.byKey[key]
	if e == nil {
		if t.order.Len() >= t.most {
			oldest := t.order.Back()
			delete(t.byKey, oldest.Value.(*streak).key)
			t.order.Remove(oldest)
		}
		e = t.order.PushFront(&streak{key: key})
		t.byKey[key] = e
	}
	t.order.MoveToFront(e)
	s := e.Value.(*streak)
	if wait := s.until.Sub(now); wait > 0 {
		return wait
	}
	if s.failures > 0 && now.Sub(s.until) >= forgetAfter {
		s.failures = 0
	}
	s.failures++
	s.until = now.Add(t.pause(s.failures))
	return 0
}

// Pause returns how long the next attempt has to wait.
func (t *Table) Pause(key Key) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byKey[key]; e != nil {
		return max(time.Until(e.Value.(*streak).until), 0)
	}
	return 0
}

// pause is how long to wait after so many failures.
func (t *Table) pause(failures int) time.Duration {
	if failures > 20 { // more than any longest
		return t.longest
	}
	return min(time.Second<<(failures-1), t.longest)
}

// Succeeded ends the streak.
func (t *Table) Succeeded(key Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byKey[key]; e != nil {
		t.order.Remove(e)
		delete(t.byKey, key)
	}
}

// Undo takes back a Begin whose attempt was not judged.
func (t *Table) Undo(key Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byKey[key]; e != nil {
		s := e.Value.(*streak)
		s.failures = max(s.failures-1, 0)
		s.until = time.Now()
	}
}
