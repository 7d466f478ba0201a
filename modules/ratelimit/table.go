package ratelimit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

const (
	ways  = 8    // slots of a set: where a key can be
	locks = 1024 // sets share them
)

// Limit is a token bucket: burst tokens at the most, one more each every. Both are positive, their product is below a century.
type Limit struct {
	every, burst int64 // every in nanoseconds
}

// NewLimit returns the limit of n events in each per, with burst at once.
func NewLimit(n int, per time.Duration, burst int) Limit {
	return Limit{every: max(int64(per)/int64(n), 1), burst: int64(burst)}
}

// times returns the limit of so many clients together.
func (l Limit) times(n int64) Limit {
	return Limit{every: max(l.every/n, 1), burst: l.burst * n}
}

func (l Limit) horizon() int64 { return l.every * l.burst }

// Decision is what a bucket says: whether there was a token, how many are left, when it is full again, and when there
// is the next one.
type Decision struct {
	OK          bool
	Left        int64
	Full, Retry time.Duration
}

// Table holds the buckets of any number of keys in memory of fixed size. Make one with [NewTable]; it is safe for
// concurrent use.
type Table struct {
	seed    maphash.Seed
	epoch   time.Time
	mask    uint64
	evicted atomic.Uint64
	mu      [locks]sync.Mutex
	slots   []slot // guarded by mu[set%locks]
}

// slot is one key's bucket: when it will be full again (the theoretical arrival time). The zero slot is free.
type slot struct {
	key uint64
	tat int64
}

// NewTable returns a table of 2^bits slots of 16 bytes; bits is at least 3.
func NewTable(bits int) *Table {
	return &Table{
		seed: maphash.MakeSeed(), epoch: time.Now(), mask: 1<<(bits-3) - 1, slots: make([]slot, 1<<bits),
	}
}

// Evicted counts the buckets that were given up before they were full again.
func (t *Table) Evicted() uint64 { return t.evicted.Load() }

func (t *Table) now() int64 { return int64(time.Since(t.epoch)) }

// set locks the key's set and returns it; unlock it.
func (t *Table) set(key uint64) ([]slot, *sync.Mutex) {
	i := key & t.mask
	mu := &t.mu[i%locks]
	mu.Lock()
	return t.slots[i*ways : i*ways+ways : i*ways+ways], mu
}

// Take takes a token from the key's bucket, if there is one. A limit that was lowered applies at once.
func (t *Table) Take(key uint64, l Limit) Decision {
	key = max(key, 1) // 0 is a free slot
	set, mu := t.set(key)
	defer mu.Unlock()
	now := t.now()
	at := place(set, key)
	tat := now
	if at.key == key {
		tat = min(max(at.tat, now), now+l.horizon())
	}
	if ahead := tat + l.every - now - l.horizon(); ahead > 0 {
		return Decision{Full: time.Duration(tat - now), Retry: time.Duration(ahead)}
	}
	if at.key != key && at.tat > now {
		t.evicted.Add(1)
	}
	*at = slot{key: key, tat: tat + l.every}
	return Decision{OK: true, Left: (now + l.horizon() - at.tat) / l.every, Full: time.Duration(at.tat - now)}
}

// GiveBack returns a token that was taken under the limit, for a request that is refused after all.
func (t *Table) GiveBack(key uint64, l Limit) {
	key = max(key, 1)
	set, mu := t.set(key)
	defer mu.Unlock()
	for i := range set {
		if set[i].key == key {
			set[i].tat -= l.every
		}
	}
}
