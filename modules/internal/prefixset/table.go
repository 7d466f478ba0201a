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
	mu    sync.Mutex // held by writers
	table atomic.Pointer[bart.Table[V]]
}

// Lookup returns the value of the longest prefix that holds addr. IPv4-mapped addresses are IPv4, zones are ignored.
func (t *Table[V]) Lookup(addr netip.Addr) (v V, ok bool) {
	table := t.table.Load()
	if table == nil {
		return v, false
	}
	return table.Lookup(clientip.Canonical(addr))
}

// Get returns the value of exactly this prefix, which must be valid and masked.
func (t *Table[V]) Get(p netip.Prefix) (v V, ok bool) {
	table := t.table.Load()
	if table == nil {
		return v, false
	}
	return table.Get(p)
}

// Set gives the prefix a value; it must be valid and masked.
func (t *Table[V]) Set(p netip.Prefix, v V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	table := t.table.Load()
	if table == nil {
		table = new(bart.Table[V])
	}
	t.table.Store(table.InsertPersist(p, v))
}

// Delete takes the prefix out.
func (t *Table[V]) Delete(p netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if table := t.table.Load(); table != nil {
		t.table.Store(table.DeletePersist(p))
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
	t.table.Store(table)
}

// All walks a consistent copy, in no promised order.
func (t *Table[V]) All() iter.Seq2[netip.Prefix, V] {
	table := t.table.Load()
	if table == nil {
		return func(func(netip.Prefix, V) bool) {}
	}
	return table.All()
}

// Len returns the number of prefixes.
func (t *Table[V]) Len() int {
	table := t.table.Load()
	if table == nil {
		return 0
	}
	return table.Size()
}
