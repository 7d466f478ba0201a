package prove

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// nameCache remembers, for a collection, what its names come to: which plans ask about the values of a name and about the
// name itself, and what the latter found out.
//
// All three depend on the name alone, and an entry is believed only for the very same name. Only names whose answer the
// memo remembers, which it does at their second sight, get a place, and one that is taken is seldom given to another: so
// names that never repeat cost nothing but the look-up. It is bounded by places, and by names of at most maxCachedName
// bytes.
type nameCache struct {
	places [nameSlots]atomic.Pointer[named]
	misses atomic.Uint32
}

const (
	nameSlots     = 1024
	maxCachedName = 64
	// stay is how many names that find a place taken it takes until one of them gets it.
	stay = 64
)

// named is what a name comes to. It is never changed, but for usual.
type named struct {
	name          string
	values, names *plan                  // nil: nobody asks
	found         *found                 // what names makes of it; nil: not remembered
	usual         atomic.Pointer[memory] // of a short value that it had, in the memo's words: most headers have but one
}

// maxUsual is the longest value, in bytes, that is kept with its name: it stays when the memo forgets it.
const maxUsual = 128

// ask answers what the values' plan makes of a value.
func (e *named) ask(r *reading, pf *Proof, value string) *found {
	if e == &pf.name || len(value) > maxUsual || len(e.values.rules) == 0 {
		return e.values.ask(pf, value)
	}
	u := e.usual.Load()
	if u != nil && u.value == value {
		return u.found
	}
	m, h := pf.prover.memo.get(e.values, value) // there is one: otherwise no name is remembered
	if m == nil {
		return e.values.learn(pf, value, h)
	}
	if u == nil || r.cache.misses.Add(1)%stay == 0 {
		e.usual.Store(m)
	}
	return m.found
}

// named returns what a name comes to; what is not remembered is good until the next call.
func (r *reading) named(pf *Proof, name string) *named {
	p := pf.prover
	cached := r.names != nil && p.memo != nil && len(name) <= maxCachedName
	var place *atomic.Pointer[named]
	if cached {
		place = &r.cache.places[maphash.String(p.memo.seed, name)%nameSlots]
		if e := place.Load(); e != nil && e.name == name {
			return e
		}
	}
	room := &pf.name
	*room = named{name: name}
	if r.values != nil {
		room.values = r.values.plan(p, name)
	}
	if r.names != nil {
		room.names = r.names.plan(p, name)
	}
	if cached {
		if f := room.names.remembered(pf, name); f != nil && (place.Load() == nil || r.cache.misses.Add(1)%stay == 0) {
			place.Store(&named{name: strings.Clone(name), values: room.values, names: room.names, found: f})
		}
	}
	return room
}

// remembered returns what the memo has of a value; nil if that is nothing. What it returns is never changed.
func (p *plan) remembered(pf *Proof, value string) *found {
	if len(p.rules) == 0 {
		return &nothing
	}
	if e, _ := pf.prover.memo.get(p, value); e != nil {
		return e.found
	}
	return nil
}
