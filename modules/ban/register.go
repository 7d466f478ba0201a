package ban

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/prefixset"
)

// Action says what becomes of whom a jail or a list has found.
type Action string

// The actions.
const (
	Refuse Action = ""        // no handshake, or a page that says until when
	Tarpit Action = "tarpit"  // the same, after having been kept waiting
	StepUp Action = "step_up" // only whoever proves a second factor after the ban began
	Score  Action = "score"   // each offence of theirs counts more; of lists alone
)

// readAction reads an operator's word.
func readAction(word string) (Action, bool) {
	switch a := Action(word); a {
	case "ban":
		return Refuse, true
	case Tarpit, StepUp, Score:
		return a, true
	}
	return Refuse, false
}

// word is the operator's.
func (a Action) word() string { return cmp.Or(string(a), "ban") }

// shuts reports whether nobody whom it hits gets in.
func (a Action) shuts() bool { return a == Refuse || a == Tarpit }

// register has the bans that are in force. The zero register is empty; it is safe for concurrent use.
type register struct {
	out, milder prefixset.Table[*Ban] // of networks; milder do not shut out: a narrower one must not hide a wider that does

	mu    sync.RWMutex
	names map[Whom]*Ban // guarded by mu
	some  atomic.Int64  // len(names)

	changes atomic.Int64 // how often it was changed
}

func (g *register) set(b *Ban) {
	defer g.changes.Add(1)
	switch {
	case b.Scope != ByClient:
		g.mu.Lock()
		if g.names == nil {
			g.names = map[Whom]*Ban{}
		}
		g.names[b.Whom] = b
		g.some.Store(int64(len(g.names)))
		g.mu.Unlock()
	case b.Action.shuts():
		g.out.Set(b.Network, b)
		g.milder.Delete(b.Network)
	default:
		g.milder.Set(b.Network, b)
		g.out.Delete(b.Network)
	}
}

// get returns the ban of exactly this one.
func (g *register) get(w Whom) (*Ban, bool) {
	if w.Scope != ByClient {
		g.mu.RLock()
		defer g.mu.RUnlock()
		b, ok := g.names[w]
		return b, ok
	}
	b, ok := g.out.Get(w.Network)
	if !ok {
		b, ok = g.milder.Get(w.Network)
	}
	return b, ok
}

func (g *register) delete(w Whom) {
	defer g.changes.Add(1)
	if w.Scope != ByClient {
		g.mu.Lock()
		delete(g.names, w)
		g.some.Store(int64(len(g.names)))
		g.mu.Unlock()
		return
	}
	g.out.Delete(w.Network)
	g.milder.Delete(w.Network)
}

// replace puts these in the place of all that are there.
func (g *register) replace(all map[Whom]*Ban) {
	defer g.changes.Add(1)
	out, milder, names := map[netip.Prefix]*Ban{}, map[netip.Prefix]*Ban{}, map[Whom]*Ban{}
	for w, b := range all {
		switch {
		case w.Scope != ByClient:
			names[w] = b
		case b.Action.shuts():
			out[w.Network] = b
		default:
			milder[w.Network] = b
		}
	}
	g.out.Replace(maps.All(out))
	g.milder.Replace(maps.All(milder))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.names = names
	g.some.Store(int64(len(names)))
}

func (g *register) len() int { return g.out.Len() + g.milder.Len() + int(g.some.Load()) }

// all walks the bans, in no promised order.
func (g *register) all() iter.Seq[*Ban] {
	return func(yield func(*Ban) bool) {
		for _, table := range []*prefixset.Table[*Ban]{&g.out, &g.milder} {
			for _, b := range table.All() {
				if !yield(b) {
					return
				}
			}
		}
		g.mu.RLock()
		names := maps.Clone(g.names)
		g.mu.RUnlock()
		for _, b := range names {
			if !yield(b) {
				return
			}
		}
	}
}

// client returns the ban that hits an address: one that shuts out before one that does not.
func (g *register) client(addr netip.Addr) (*Ban, bool) {
	if b, ok := g.out.Lookup(addr); ok && time.Now().Before(b.Until) { // the clock costs more than the lookup
		return b, true
	}
	if g.milder.Len() == 0 { // Fast path
		return nil, false
	}
	b, ok := g.milder.Lookup(addr)
	return b, ok && time.Now().Before(b.Until)
}

// person returns the ban that hits whoever was proven: one that shuts out before one that does not.
func (g *register) person(who identity.Proof) (found *Ban, ok bool) {
	if g.some.Load() == 0 || !who.Known() { // Fast path
		return nil, false
	}
	now := time.Now()
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, s := range named {
		w, is := s.of(who)
		if b := g.names[w]; is && b != nil && now.Before(b.Until) && (found == nil || b.Action.shuts()) {
			found = b
			if b.Action.shuts() {
				break
			}
		}
	}
	return found, found != nil
}
