package ratelimit

import "sync"

const shards = 64

// Running counts the requests that run, by key. The zero value is ready; it is safe for concurrent use. It holds no more
// keys than there are requests.
type Running struct {
	shards [shards]struct {
		mu sync.Mutex
		n  map[uint64]int // guarded by mu
	}
}

// Enter counts one more of the key, unless there are so many already. Who is let in must Leave.
func (r *Running) Enter(key uint64, most int) bool {
	s := &r.shards[key%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[key] >= most {
		return false
	}
	if s.n == nil {
		s.n = make(map[uint64]int)
	}
	s.n[key]++
	return true
}

// Leave counts one less.
func (r *Running) Leave(key uint64) {
	s := &r.shards[key%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[key]--; s.n[key] <= 0 {
		delete(s.n, key)
	}
}
