package local

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// How guessing is slowed down: after the nth failure in a row the next attempt must wait 2^(n-1) seconds.
const (
	maxPause   = 15 * time.Minute
	streakEnds = 24 * time.Hour // without an attempt, a streak is forgotten
	maxStreaks = 1 << 16        // of user and network; the one unused for longest goes first
)

// streaks counts failures in a row by user and client network, in bounded memory. To push a streak out an attacker needs
// 65,536 other attempts, each at the price of a hash. It is safe for concurrent use.
type streaks struct {
	mu    sync.Mutex
	most  int
	order *list.List                  // guarded by mu; of *streak, the last used first
	byKey map[streakKey]*list.Element // guarded by mu
}

// streakKey is a hash, so that every entry takes the same memory whatever was typed.
type streakKey [16]byte

type streak struct {
	key      streakKey
	failures int
	until    time.Time // no attempt before
}

func newStreaks(most int) *streaks {
	return &streaks{most: most, order: list.New(), byKey: map[streakKey]*list.Element{}}
}

// keyOf is of a user from somewhere: a network, or a known device.
func keyOf(provider, name, from string) streakKey {
	sum := sha256.Sum256([]byte(provider + "\x00" + name + "\x00" + from))
	return streakKey(sum[:16])
}

// begin counts an attempt as failed in advance, so that attempts made at the same time cannot all be the first one. It
// returns how long to wait instead when it is too early; then nothing is counted.
func (t *streaks) begin(key streakKey) (wait time.Duration) {
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
	if s.failures > 0 && now.Sub(s.until) >= streakEnds {
		s.failures = 0
	}
	s.failures++
	s.until = now.Add(pause(s.failures))
	return 0
}

// pause returns how long the next attempt has to wait.
func (t *streaks) pause(key streakKey) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byKey[key]; e != nil {
		return max(time.Until(e.Value.(*streak).until), 0)
	}
	return 0
}

func pause(failures int) time.Duration {
	if failures > 10 { // 2^10 s is more than maxPause
		return maxPause
	}
	return min(time.Second<<(failures-1), maxPause)
}

// succeeded ends the streak.
func (t *streaks) succeeded(key streakKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byKey[key]; e != nil {
		t.order.Remove(e)
		delete(t.byKey, key)
	}
}

// undo takes back a begin whose attempt was not judged.
func (t *streaks) undo(key streakKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byKey[key]; e != nil {
		s := e.Value.(*streak)
		s.failures = max(s.failures-1, 0)
		s.until = time.Now()
	}
}
