package prove

import (
	"math"
	"slices"
	"unsafe"

	"gatehouse.internal/modules/waf/symbol"
	"gatehouse.internal/modules/waf/transform"
)

// walker goes through what multiMatch shows an operator, without a string for each: the value, then each result that
// Coraza reports as a change, from which the next transformation starts. It has an entry for every transformation of
// its chain, or the chain is left to Chain.Stages.
type walker struct {
	stages []stage // empty: there is none
	base64 base64Stage
}

type stage struct {
	chain   *transform.Chain // of this transformation alone
	rest    *transform.Chain // of this one and all that follow
	active  symbol.Set
	reports func(in, out string) bool
	before  func(in string) bool // reports, where that does not depend on out; or nil
}

// reported says when Coraza reports a change, of the transformations that chains with multiMatch are made of.
var reported = map[string]func(in, out string) bool{
	"urldecodeuni":     differs,
	"jsdecode":         differs,
	"utf8tounicode":    differs,
	"removenulls":      differs,
	"replacecomments":  differs,
	"cmdline":          differs,
	"lowercase":        differs,
	"base64decode":     func(_, _ string) bool { return true },
	"removewhitespace": func(in, _ string) bool { return hasSpace(in) },
}

func differs(in, out string) bool { return in != out }

// newWalker returns the chain's walker; without stages if it has none.
func newWalker(c *transform.Chain) (w walker) {
	names := c.Names()
	w.base64 = base64In(names)
	for i, name := range names {
		reports := reported[name]
		one, err := transform.NewChain([]string{name})
		rest, errRest := transform.NewChain(names[i:])
		if reports == nil || err != nil || errRest != nil {
			return walker{}
		}
		st := stage{chain: one, rest: rest, active: one.Active(), reports: reports}
		if name == "removewhitespace" {
			st.before = hasSpace
		}
		w.stages = append(w.stages, st)
	}
	return w
}

// walk calls visit with each stage after the first, the value itself, that differs from the one before and that some rule
// may match as far as its symbols tell, until it returns false. What visit is given is overwritten afterwards. It ends early when no stage to come can have the symbols that a
// match of some rule needs, which is what most decodings of what was no base64 lack.
func (pf *Proof) walk(w *walker, value string, m symbol.Set, rules []*rule, visit func(s string, m symbol.Set) bool) {
	from, to := pf.room[:0], pf.spare[:0]
	s, changed, first := value, false, 0
	if w.jumps(m, rules) {
		first = w.base64.at + 1
		from = w.jump(from, value)
		if out := unsafe.String(unsafe.SliceData(from), len(from)); out != s {
			s, m, changed = out, symbol.Of(out), true
			if anyWants(rules, m) && !visit(s, m) {
				first = len(w.stages)
			}
		}
	}
	for _, st := range w.stages[first:] {
		if changed {
			if out, known := st.rest.StagesImage(m); known && !anyWants(rules, out) {
				break
			}
			changed = false
		}
		if st.active != symbol.All && !st.active.Meets(m) || st.before != nil && !st.before(s) {
			continue
		}
		to, _ = st.chain.AppendTo(to[:0], s)
		out := unsafe.String(unsafe.SliceData(to), len(to))
		if out == s || !st.reports(s, out) {
			continue
		}
		s, from, to = out, to, from // s lives in from; what to held is read no more
		m, changed = symbol.Of(s), true
		if anyWants(rules, m) && !visit(s, m) {
			break
		}
	}
	pf.room, pf.spare = from, to
}

// anyWants reports whether some rule may match a text with these symbols.
func anyWants(rules []*rule, m symbol.Set) bool {
	return slices.ContainsFunc(rules, func(r *rule) bool { return r.op.wants(m, math.MaxInt) })
}

// stages asks a group's rules about the value and each change on the way.
func (pf *Proof) stages(p *plan, st *step) {
	g := st.group
	pf.look(p, &pf.base, st.rules, g.weak, g.strong)
	if pf.onlyNoise(&g.walker, st.rules, p.search) {
		return
	}
	if len(g.walker.stages) > 0 {
		pf.walk(&g.walker, pf.base.s, pf.base.symbols, st.rules, func(s string, m symbol.Set) bool {
			pf.other.set(s, m, p.search)
			pf.look(p, &pf.other, st.rules, g.weak, g.strong)
			return !pf.found.spent
		})
		return
	}
	pf.list = g.chain.Stages(pf.base.s, pf.list[:0])
	for i := 1; i < len(pf.list) && !pf.found.spent; i++ {
		if s := pf.list[i]; s != pf.list[i-1] {
			pf.other.set(s, symbol.Of(s), p.search)
			pf.look(p, &pf.other, st.rules, g.weak, g.strong)
		}
	}
}
