package prove

import (
	"math"
	"slices"
	"sync/atomic"

	"gatehouse.internal/modules/waf/literal"
	"gatehouse.internal/modules/waf/symbol"
	"gatehouse.internal/modules/waf/transform"
)

// group are the rules of a plan that ask about the same transformation of a value.
type group struct {
	chain        *transform.Chain
	multi        bool
	walker       walker // of a chain with multiMatch
	rules        []*rule
	weak, strong *union // over rules without a literal to look for, and with
}

// work is what is left to do for all values that hold the same symbols. It depends on the symbols alone.
//
// A rule is dropped if no text of such symbols can match it: a match needs a symbol that the value, or all that the
// transformations can make of it, has not. A chain of transformations whose active symbols are absent returns the value
// itself, so that its rules ask about the value as it is.
type work struct {
	symbols symbol.Set
	own     []*rule      // that ask about the value as it is
	weak    []*rule      // of these, the ones without literals
	lits    literal.Hits // the literals of the others
	least   int          // and the shortest of their matches
	steps   []step
}

// left returns the rules that remain of own for a value, by its length and its strings: all with literals fall away at once
// when it has none of these. (A value with letters that fold to ASCII may match without: see look.)
func (w *work) left(t *text) []*rule {
	if len(w.weak) == len(w.own) || len(t.s) < w.least {
		return w.weak
	}
	if t.scan(); t.odd || t.hits.Meets(&w.lits) {
		return w.own
	}
	return w.weak
}

// step is a group whose transformations may change the value, with the rules that are left.
type step struct {
	group *group
	rules []*rule
	parts bool // every rule's operator has a part
}

// workSlots is how many kinds of values each plan remembers the work for.
const workSlots = 256

type workCache [workSlots]atomic.Pointer[work]

// workFor returns the work for a value with these symbols.
func (p *plan) workFor(m symbol.Set) *work {
	slot := &p.cache[uint64(m)*0x9E3779B97F4A7C15>>56]
	if w := slot.Load(); w != nil && w.symbols == m {
		return w
	}
	w := p.newWork(m)
	slot.Store(w)
	return w
}

// idle reports that the chain returns a value with these symbols, and all its stages, as it is.
func idle(c *transform.Chain, m symbol.Set) bool {
	return c.Active() != symbol.All && !c.Active().Meets(m)
}

func (p *plan) newWork(m symbol.Set) *work {
	w := &work{symbols: m}
	for _, g := range p.groups {
		if idle(g.chain, m) {
			for _, r := range possible(g.rules, m) {
				if r.op.fits(m) { // these are the value's symbols, not more
					w.own = append(w.own, r)
				}
			}
			continue
		}
		image := g.chain.Image
		if g.multi {
			image = g.chain.StagesImage
		}
		rules := g.rules
		if out, known := image(m); known {
			rules = possible(rules, out)
		}
		if len(rules) > 0 {
			parts := !slices.ContainsFunc(rules, func(r *rule) bool { return r.op.part == "" })
			w.steps = append(w.steps, step{g, rules, parts})
		}
	}
	w.least = math.MaxInt
	for _, r := range w.own {
		if r.need < 0 {
			w.weak = append(w.weak, r)
			continue
		}
		w.lits.Add(r.need)
		w.least = min(w.least, r.op.minLen)
	}
	return w
}

// possible returns the rules that some text with these symbols may match.
func possible(rules []*rule, m symbol.Set) (out []*rule) {
	for _, r := range rules {
		if r.op.wants(m, math.MaxInt) {
			out = append(out, r)
		}
	}
	return out
}
