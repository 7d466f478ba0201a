package prove

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// memo remembers, across requests, what a plan found out about a value.
//
// What is found out depends on the plan and the value alone, and an entry is believed only if both are the same, the
// value compared whole. So a hit equals asking again. Lookups take no lock and allocate nothing.
//
// It is bounded in places and in bytes, and a value gets a place only when it is seen a second time before another one
// takes its mark: values that never repeat, an attacker's or a session's, cannot push out what does.
type memo struct {
	seed   maphash.Seed
	places []place
	mask   uint64
	bytes  atomic.Int64
	limit  int64
	hand   atomic.Uint64 // where the search for something to forget goes on
}

// place is where one entry may be. All that a lookup reads before it believes something, a neighbour's included, lies in
// one line of the processor's cache.
type place struct {
	tag  atomic.Uint32 // a part of the entry's hash, so that a value that is not there costs no look at one that is
	mark atomic.Uint32 // of the value that was seen last
	at   atomic.Pointer[memory]
}

// memory is one entry. It is never changed. That nothing was found is said by nothing's address, which is in the cache.
type memory struct {
	plan  *plan
	value string
	found *found
}

// maxRemembered is the longest value that is remembered, in bytes: longer ones seldom come twice.
const maxRemembered = 4096

// overhead is about what an entry takes beside its value.
const overhead = 160

// newMemo makes room for at least that many entries and values of that many bytes together.
func newMemo(places int, limit int64) *memo {
	n := 1
	for n < places {
		n *= 2
	}
	return &memo{seed: maphash.MakeSeed(), places: make([]place, n), mask: uint64(n - 1), limit: limit}
}

// get returns what is remembered, or nil, and the hash for put.
func (m *memo) get(p *plan, value string) (*memory, uint64) {
	h := maphash.String(m.seed, value) ^ p.salt
	tag, i := tagOf(h), h&m.mask
	for range 2 {
		if at := &m.places[i]; at.tag.Load() == tag {
			if e := at.at.Load(); e != nil && e.plan == p && e.value == value {
				return e, h
			}
		}
		i ^= 1
	}
	return nil, h
}

// tagOf is the part of a hash that its place is tagged with. A place and its tag are written one after the other: who reads
// them in between misses what is there, or compares in vain.
func tagOf(h uint64) uint32 { return uint32(h>>32) | 1 }

// put remembers what was found out, if the value was seen before.
func (m *memo) put(p *plan, value string, h uint64, f *found) {
	mark, at := tagOf(h), h&m.mask
	if m.places[at].mark.Swap(mark) != mark {
		return
	}
	e := &memory{plan: p, value: strings.Clone(value), found: f.kept()}
	if m.places[at].at.Load() != nil && h>>63 == 1 {
		at ^= 1
	}
	size := e.size()
	for range 64 { // the hand passes empty places too; if it finds nothing, the value is not remembered
		if m.bytes.Load()+size <= m.limit {
			break
		}
		m.forget(m.hand.Add(1) & m.mask)
	}
	if m.bytes.Add(size) > m.limit {
		m.bytes.Add(-size)
		return
	}
	if old := m.places[at].at.Swap(e); old != nil {
		m.bytes.Add(-old.size())
	}
	m.places[at].tag.Store(mark)
}

func (m *memo) forget(i uint64) {
	if old := m.places[i].at.Swap(nil); old != nil {
		m.bytes.Add(-old.size())
	}
}

func (e *memory) size() int64 {
	n := overhead + len(e.value) + 2*len(e.found.started) + 2*len(e.found.bad)
	for _, h := range e.found.hits {
		n += 32 + len(h.value)
	}
	for _, t := range e.found.tells {
		n += 32 + len(t.value)
	}
	return int64(n)
}

// entries counts what is remembered.
func (m *memo) entries() (n int) {
	for i := range m.places {
		if m.places[i].at.Load() != nil {
			n++
		}
	}
	return n
}
