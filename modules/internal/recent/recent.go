package recent

import (
	"crypto/sha256"
	"sync"
	"time"
	"unsafe"
)

// Key is the sum of a credential.
type Key [sha256.Size]byte

// KeyOf returns the sum of text, which is not copied.
func KeyOf(text string) Key {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text))) // read only
}

const shards = 16

// Map is safe for concurrent use. Make one with [New].
type Map[V any] struct {
	most   int // in a shard
	shards [shards]shard[V]
}

type shard[V any] struct {
	mu     sync.RWMutex
	values map[Key]value[V] // guarded by mu
}

type value[V any] struct {
	v     V
	until int64 // Unix nanoseconds
}

// New returns a map of at most about that many values, and at least 16.
func New[V any](most int) *Map[V] {
	m := &Map[V]{most: max(most/shards, 1)}
	for i := range m.shards {
		m.shards[i].values = map[Key]value[V]{}
	}
	return m
}

// Get returns the value if it counts now.
func (m *Map[V]) Get(k Key, now time.Time) (v V, ok bool) {
	s := &m.shards[k[0]%shards]
	s.mu.RLock()
	at, ok := s.values[k]
	s.mu.RUnlock()
	if !ok || now.UnixNano() >= at.until {
		return v, false
	}
	return at.v, true
}

// Put remembers the value until that time.
func (m *Map[V]) Put(k Key, v V, now, until time.Time) {
	if !until.After(now) {
		return
	}
	s := &m.shards[k[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.values[k]; !there && len(s.values) >= m.most {
		s.makeRoom(now.UnixNano())
	}
	s.values[k] = value[V]{v, until.UnixNano()}
}

// makeRoom looks at some values, and drops those whose time is over, or else one of them. The caller holds mu.
func (s *shard[V]) makeRoom(now int64) {
	const looks = 16
	n, dropped := 0, false
	for k, at := range s.values {
		if now >= at.until {
			delete(s.values, k)
			dropped = true
		}
		if n++; n >= looks {
			if !dropped {
				delete(s.values, k)
			}
			return
		}
	}
	if !dropped {
		for k := range s.values {
			delete(s.values, k)
			return
		}
	}
}

// Len counts the values, whether their time is over or not.
func (m *Map[V]) Len() (n int) {
	for i := range m.shards {
		m.shards[i].mu.RLock()
		n += len(m.shards[i].values)
		m.shards[i].mu.RUnlock()
	}
	return n
}
