package prove

import (
	"slices"
	"strings"
	"unsafe"

	"gatehouse.internal/modules/waf/literal"
	"gatehouse.internal/modules/waf/symbol"
)

// found is what is known about one value: the rules of a plan that may match it. The zero value says that none can.
type found struct {
	started []uint16 // rules whose first condition may be true of it
	bad     []uint16 // rules that may match in full, by this value alone
	hits    []hit    // of rules whose chains have yet to be judged, over all values together
	tells   []tell   // what the matches leave behind for other rules
	spent   bool     // the budget ended first: nothing is known of the rules that are not named
}

// hit is a value of which the first condition of a chain may be true, as the operator saw it.
type hit struct {
	rule    *rule
	value   string
	unknown bool // value is not what the operator saw
}

func (f *found) reset() {
	clear(f.hits)
	clear(f.tells)
	f.started, f.bad, f.hits, f.tells, f.spent = f.started[:0], f.bad[:0], f.hits[:0], f.tells[:0], false
}

// empty reports that no rule can match.
func (f *found) empty() bool {
	return f == &nothing || len(f.started)+len(f.bad)+len(f.hits)+len(f.tells) == 0 && !f.spent
}

// kept is a copy that can be remembered.
func (f *found) kept() *found {
	if f.empty() {
		return &nothing
	}
	return &found{started: slices.Clone(f.started), bad: slices.Clone(f.bad), hits: slices.Clone(f.hits),
		tells: slices.Clone(f.tells), spent: f.spent}
}

// text is a text that operators are asked about, with what is known about it.
type text struct {
	s       string
	symbols symbol.Set
	search  *search
	scanned bool
	odd     bool // literals prove nothing: see literal.Odd
	hits    literal.Hits
	asked   bool // detectSQLi was, and said
	sql     bool // so: see Proof.may
}

func (t *text) set(s string, m symbol.Set, in *search) {
	t.s, t.symbols, t.search, t.scanned, t.odd, t.asked = s, m, in, false, false, false
}

// scan looks for all literals at once, when first needed.
func (t *text) scan() {
	if !t.scanned {
		t.scanned, t.hits = true, literal.Hits{}
		t.search.scan(t.s, t.symbols, &t.hits)
		t.odd = t.symbols.Meets(symbol.High) && literal.Odd(t.s)
	}
}

// ask answers what the plan's rules make of a value, from memory if it can.
func (p *plan) ask(pf *Proof, value string) *found {
	if len(p.rules) == 0 {
		return &nothing
	}
	m := pf.prover.memo
	if m == nil || len(value) > maxRemembered {
		return p.judge(pf, value)
	}
	e, h := m.get(p, value)
	if e != nil {
		return e.found
	}
	return p.learn(pf, value, h)
}

// learn finds out what the plan's rules make of a value that hashes to h, and remembers it.
func (p *plan) learn(pf *Proof, value string, h uint64) *found {
	f := p.judge(pf, value)
	if !f.spent {
		pf.prover.memo.put(p, value, h, f)
	}
	return f
}

var nothing found

// judge asks all rules of the plan about a value. The result is good until the next call.
func (p *plan) judge(pf *Proof, value string) *found {
	f := &pf.found
	f.reset()
	m := symbol.Of(value)
	w := p.workFor(m)
	if len(w.own) == 0 && len(w.steps) == 0 {
		return f
	}
	pf.allow(len(value))
	pf.base.set(value, m, p.search)
	pf.noise.done = false
	if own := w.left(&pf.base); len(own) > 0 {
		pf.look(p, &pf.base, own, p.weak, p.strong)
	}
	for i := range w.steps {
		if f.spent {
			break
		}
		pf.step(p, &w.steps[i])
	}
	if len(value) >= keepFrom && pf.base.scanned {
		pf.kept = pf.base
	}
	return f
}

// keepFrom is the length from which on it pays to keep which literals a value has, for links of chains that ask about the
// same value afterwards.
const keepFrom = 1024

// without reports that s, as it is, lacks the literals of a link, without looking: s is the very string that was scanned
// last of those worth keeping (kept keeps it alive, and strings do not change). The zero text has no search.
func (pf *Proof) without(s string, l *link, r *rule) bool {
	k := &pf.kept
	if l.need < 0 || len(s) != len(k.s) || unsafe.StringData(s) != unsafe.StringData(k.s) || k.search != pf.prover.plans.searchOf(r) {
		return false
	}
	return k.scanned && !k.hits.Has(l.need) && (l.op.phrases || !k.odd)
}

// step asks the rules of one group about what its transformations make of the value.
func (pf *Proof) step(p *plan, st *step) {
	g := st.group
	if g.multi {
		pf.stages(p, st)
		return
	}
	if st.parts && !slices.ContainsFunc(st.rules, func(r *rule) bool { return !g.chain.Lacks(pf.base.s, pf.base.symbols, r.op.part) }) {
		return // the result has no text of which one of the operators is true
	}
	folds := g.chain.FoldsOnly(pf.base.s, pf.base.symbols)
	if folds && !pf.base.mayHave(st.rules) {
		return
	}
	out, _ := g.chain.AppendTo(pf.room[:0], pf.base.s)
	pf.room = out
	s := unsafe.String(unsafe.SliceData(out), len(out)) // read before the next step writes to room
	t := &pf.other
	t.set(s, symbol.Of(s), p.search)
	if folds && pf.base.scanned { // the same literals are in both, since they are searched for without regard to case
		t.scanned, t.hits, t.odd = true, pf.base.hits, pf.base.odd
	}
	pf.look(p, t, st.rules, g.weak, g.strong)
}

// mayHave reports whether any of the rules may match the text or the text in another case, as far as literals tell.
func (t *text) mayHave(rules []*rule) bool {
	for _, r := range rules {
		if r.need < 0 {
			return true
		}
	}
	t.scan()
	for _, r := range rules {
		if t.hits.Has(r.need) || t.odd && !r.op.phrases {
			return true
		}
	}
	return false
}

// look asks rules about one text, cheapest question first, and notes those that may match.
func (pf *Proof) look(p *plan, t *text, rules []*rule, weak, strong *union) {
	pf.linkChain = nil // t.s may live where another text has lived
	left := pf.left[:0]
	nWeak, nStrong := 0, 0
	for _, r := range rules {
		if !r.op.wants(t.symbols, len(t.s)) || !r.op.fits(t.symbols) || p.gated && pf.shut(p, r) {
			continue
		}
		if r.need >= 0 {
			t.scan()
			// A match holds one of the literals, ASCII case aside; only in odd texts may it hold another letter that
			// folds to one of them, which phrases do not.
			if !t.hits.Has(r.need) && (r.op.phrases || !t.odd) {
				continue
			}
			if r.op.phrases {
				pf.note(r, t.s)
				continue
			}
		}
		if r.united {
			if r.need < 0 {
				nWeak++
			} else {
				nStrong++
			}
		}
		left = append(left, r)
	}
	pf.left = left
	if len(left) == 0 {
		return
	}
	noWeak := weak != nil && nWeak > 1 && weak.clean(t.s, &pf.budget)
	noStrong := strong != nil && nStrong > 1 && strong.clean(t.s, &pf.budget)
	var last *operator // of the rule before, with the same operator: rules come in twins
	twin := false
	for _, r := range left {
		if r.united && (r.need < 0 && noWeak || r.need >= 0 && noStrong) {
			continue
		}
		if pf.budget.States <= 0 && r.op.pattern != nil { // not to pay for package regexp on a text that has cost enough
			pf.found.spent = true
			return
		}
		if last == nil || r.op.pattern == nil || r.op.pattern != last.pattern || r.op.negated != last.negated {
			last, twin = &r.op, r.op.sure.matches(t.symbols, len(t.s)) || pf.may(&r.op, t.s)
		}
		if twin {
			pf.note(r, t.s)
		}
	}
}

// may asks an operator about a text. detectSQLi is asked about the value at hand by several rules, and answers once.
func (pf *Proof) may(o *operator, s string) bool {
	t := &pf.base
	if !o.sql || len(s) == 0 || len(s) != len(t.s) || unsafe.StringData(s) != unsafe.StringData(t.s) {
		return o.may(s, &pf.budget)
	}
	if !t.asked {
		t.asked, t.sql = true, o.holds(s, nil)
	}
	return t.sql != o.negated
}

// shut reports whether the rule's gate keeps it from being evaluated.
func (pf *Proof) shut(p *plan, r *rule) bool {
	g := r.gate
	if g == nil || g.need < 0 || g.source != p.source || !idle(g.chain, pf.base.symbols) {
		return false
	}
	pf.base.scan()
	return !pf.base.hits.Has(g.need)
}

// note records that the first condition of a rule may be true of a text.
func (pf *Proof) note(r *rule, s string) {
	f, i, told := &pf.found, uint16(r.index), false
	if len(r.watches) > 0 {
		before := len(f.tells)
		pf.tells(r, s, !r.blind)
		told = len(f.tells) > before
	}
	if r.witness {
		return
	}
	switch {
	case len(r.links) > 0:
		if !pf.begin(r, s) && r.contained && !told {
			return // as if it were true of nothing
		}
	case !slices.Contains(f.bad, i):
		f.bad = append(f.bad, i)
	}
	if !slices.Contains(f.started, i) {
		f.started = append(f.started, i)
	}
}

// begin notes a match of the first condition of a chain, and judges the chain if the match alone decides it, so that
// this too is remembered. It reports whether the match may help to satisfy the chain.
//
// Where no link asks about anything but what this rule's matches left behind, each match can be taken by itself: one
// that satisfies every link makes the rule match, one that satisfies none adds nothing, whatever the others are. The
// rest waits for the other values.
func (pf *Proof) begin(r *rule, s string) bool {
	f, i := &pf.found, uint16(r.index)
	h := hit{r, s, r.blind}
	if r.local {
		if len(r.links) == 1 && r.links[0].asksMatched() && pf.dismisses(r.links[0], s, r) {
			return false
		}
		switch pf.satisfied(h) {
		case 0:
			return false
		case len(r.links):
			if !slices.Contains(f.bad, i) {
				f.bad = append(f.bad, i)
			}
			return true
		}
	}
	h.value = strings.Clone(s)
	f.hits = append(f.hits, h)
	return true
}
