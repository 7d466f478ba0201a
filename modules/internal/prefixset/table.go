package prefixset

import (
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/gaissmai/bart"

	"gatehouse.internal/modules/internal/clientip"
)

// Table gives values to prefixes. Readers need no lock and see every change whole; writers copy the few nodes that they
// change. The zero Table is empty. Safe for concurrent use; must not be copied.
type Table[V any] struct {
	mu  sync.Mutex // held by writers
	now atomic.Pointer[content[V]]
}

// content is what readers see. The table never changes; the sieve, nil for small tables, may already know what is in the next.
type content[V any] struct {
	table *bart.Table[V]
	sieve *sieve
}

// Lookup returns the value of the longest prefix that holds addr. IPv4-mapped addresses are IPv4, zones are ignored.
func (t *Table[V]) Lookup(addr netip.Addr) (v V, ok bool) {
	c := t.now.Load()
	if c == nil {
		return v, false
	}
	if addr = clientip.Canonical(addr); !c.sieve.perhaps(addr) { // Fast path
		return v, false
	}
	return c.table.Lookup(addr)
}

// Get returns the value of exactly this prefix, which must be valid and masked.
func (t *Table[V]) Get(p netip.Prefix) (v V, ok bool) {
	c := t.now.Load()
	if c == nil {
		return v, false
	}
	return c.table.Get(p)
}

// Set gives the prefix a value; it must be valid and masked.
func (t *Table[V]) Set(p netip.Prefix, v V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.now.Load()
	if before == nil {
		before = &content[V]{table: new(bart.Table[V])}
	}
	if before.sieve != nil {
		before.sieve.add(p)
	}
	t.store(before.table.InsertPersist(p, v), before.sieve)
}

// Delete takes the prefix out.
func (t *Table[V]) Delete(p netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if before := t.now.Load(); before != nil {
		t.store(before.table.DeletePersist(p), before.sieve)
	}
}

// Replace puts all of these in the place of what is there, in one step. It is much quicker than Set for each.
func (t *Table[V]) Replace(all iter.Seq2[netip.Prefix, V]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	table := new(bart.Table[V])
	for p, v := range all {
		table.Insert(p, v)
	}
	t.store(table, nil)
}

// store shows the table to readers, with a sieve if it is large. The caller holds mu.
func (t *Table[V]) store(table *bart.Table[V], s *sieve) {
	if s == nil && table.Size() >= sieveFrom {
		s = new(sieve)
		for p := range table.All() {
			s.add(p)
		}
	}
	t.now.Store(&content[V]{table, s})
}

// All walks a consistent copy, in no promised order.
func (t *Table[V]) All() iter.Seq2[netip.Prefix, V] {
	c := t.now.Load()
	if c == nil {
		return func(func(netip.Prefix, V) bool) {}
	}
	return c.table.All()
}

// Len returns the number of prefixes.
func (t *Table[V]) Len() int {
	c := t.now.Load()
	if c == nil {
		return 0
	}
	return c.table.Size()
}
