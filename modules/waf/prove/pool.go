package prove

import (
	"strings"
	"unsafe"

	"gatehouse.internal/modules/waf/rx"
	"gatehouse.internal/modules/waf/symbol"
	"gatehouse.internal/modules/waf/transform"
)

// pool is what the links of a chain can see of the links before them.
type pool struct {
	values   []string    // that were matched, as the operators saw them
	captures [9][]string // by number
	assigned [][]string  // by assignment of the chain: the values that it may have written
	unknown  bool        // it may hold anything
	rule     *rule
}

func (p *pool) reset(assignments int) {
	clear(p.values)
	p.values, p.unknown = p.values[:0], false
	for i := range p.captures {
		p.captures[i] = p.captures[i][:0]
	}
	for len(p.assigned) < assignments {
		p.assigned = append(p.assigned, nil)
	}
	for i := range p.assigned {
		p.assigned[i] = p.assigned[i][:0]
	}
}

// take adds what one match leaves behind; from is the number of the first of its assignments.
func (pf *Proof) take(p *pool, value string, pattern *rx.Pattern, capture bool, sets []assignment, from int) {
	p.values = append(p.values, value)
	var groups []string
	if capture && pattern != nil && p.rule.usesCaptures {
		groups = pattern.Groups(value)
		for i, g := range groups {
			p.captures[i] = append(p.captures[i], g)
		}
	}
	for i := range sets {
		if !p.rule.usesSets {
			break
		}
		if a := &sets[i]; a.plain && a.value.known {
			p.assigned[from+i] = append(p.assigned[from+i], pf.expansions(p, &a.value, value, groups)...)
		}
	}
}

// expansions returns what a template may come to at the match of a value: its captures are that match's, or if it has
// none, any earlier ones.
func (pf *Proof) expansions(p *pool, t *template, value string, groups []string) []string {
	out := []string{""}
	for i := range t.parts {
		part := &t.parts[i]
		var choices []string
		switch part.kind {
		case isConstant:
			choices = []string{part.text}
		case isMatched:
			choices = []string{value}
		case isVariable:
			choices = []string{pf.variableText(part)}
		case isCapture:
			switch n := part.capture; {
			case n < len(groups):
				choices = groups[n : n+1]
			case n < len(p.captures):
				choices = p.captures[n]
			}
		}
		next := make([]string, 0, len(out)*len(choices))
		for _, head := range out {
			for _, tail := range choices {
				next = append(next, head+tail)
			}
		}
		out = next
	}
	return out
}

// maxPool bounds the values that links are asked about. A chain with more of them may match.
const maxPool = 512

// fill puts the matches of the first condition into the pool.
func (pf *Proof) fill(p *pool, r *rule, hits []hit) {
	p.reset(r.assignments())
	p.rule = r
	for i := range hits {
		if hits[i].rule != r {
			continue
		}
		if hits[i].unknown || len(p.values) >= maxPool {
			p.unknown = true
			continue
		}
		pf.take(p, hits[i].value, r.op.pattern, r.capture, r.sets, 0)
	}
}

func (r *rule) assignments() int {
	n := len(r.sets)
	for _, l := range r.links {
		n += len(l.sets)
	}
	return n
}

// completes reports whether the links of a rule may all match, given the matches of its first condition.
func (pf *Proof) completes(r *rule, hits []hit) bool {
	p := &pf.pool
	pf.fill(p, r, hits)
	from := len(r.sets)
	for _, l := range r.links {
		if !pf.linkMay(p, l, from) {
			return false
		}
		from += len(l.sets)
	}
	return true
}

// satisfied counts the links that may match given one match of the first condition.
func (pf *Proof) satisfied(h hit) (n int) {
	p := &pf.pool
	one := [1]hit{h}
	pf.fill(p, h.rule, one[:])
	from := len(h.rule.sets)
	for _, l := range h.rule.links {
		if pf.linkMay(p, l, from) {
			n++
		}
		from += len(l.sets)
	}
	return n
}

// linkMay reports whether a link may match, and adds what it leaves behind to the pool.
func (pf *Proof) linkMay(p *pool, l *link, from int) bool {
	if l.maybe {
		p.unknown = p.unknown || l.feeds
		return true
	}
	may := false
	for i := range l.asks {
		q := &l.asks[i]
		if q.kind != ofRequest && p.unknown {
			return true
		}
		switch q.kind {
		case ofMatched:
			may = pf.linkTestAll(p, l, p.values, from) || may
		case ofCapture:
			may = pf.linkTestAll(p, l, p.captures[q.capture], from) || may
		case ofAssigned:
			may = pf.linkTestAll(p, l, q.constants, from) || may
			for _, n := range q.assigned {
				may = pf.linkTestAll(p, l, p.assigned[n], from) || may
			}
			if q.told && pf.told(p.rule, func(v string) { may = pf.linkTest(p, l, v, from) || may }) {
				p.unknown = true
				return true
			}
		case ofRequest:
			may = pf.linkRequest(p, l, &q.target, from) || may
		}
		if may && !l.feeds {
			return true
		}
	}
	return may
}

func (pf *Proof) linkTestAll(p *pool, l *link, values []string, from int) (may bool) {
	for _, v := range values[:len(values):len(values)] { // the pool may grow meanwhile
		if len(p.values) >= maxPool {
			p.unknown = true
			return true
		}
		if pf.linkTest(p, l, v, from) {
			may = true
		}
	}
	return may
}

func (pf *Proof) linkRequest(p *pool, l *link, t *target, from int) (may bool) {
	pf.field(t, func(v string) bool {
		if pf.linkTest(p, l, v, from) {
			may = true
		}
		if len(p.values) >= maxPool {
			p.unknown = true
			may = true
		}
		return !may || l.feeds && !p.unknown
	})
	return may
}

// linkTest asks a link's operator about one value.
func (pf *Proof) linkTest(p *pool, l *link, v string, from int) (may bool) {
	if pf.dismisses(l, v, p.rule) {
		return false
	}
	if !l.multi {
		if l.chain.Active() == 0 {
			if pf.without(v, l, p.rule) {
				return false
			}
			return pf.linkSees(p, l, v, symbol.Of(v), from)
		}
		s := pf.linkText(l.chain, v)
		return pf.linkSees(p, l, s, pf.linkSymbols, from)
	}
	for _, s := range l.chain.Stages(v, nil) {
		if pf.linkSees(p, l, s, symbol.Of(s), from) {
			may = true
		}
	}
	return may
}

// linkText is what the transformations make of v. It is good until the next call, which does not transform the very
// same string by the same chain again: several rules send one value through one. That the same place in memory holds the
// same string is so because linkFrom keeps it alive, and because look forgets it when scratch space is written anew.
func (pf *Proof) linkText(c *transform.Chain, v string) string {
	if pf.linkChain != c || len(pf.linkFrom) != len(v) || unsafe.StringData(pf.linkFrom) != unsafe.StringData(v) {
		pf.linkChain, pf.linkFrom = c, v
		pf.linkRoom, _ = c.AppendTo(pf.linkRoom[:0], v)
		pf.linkSymbols = symbol.Of(unsafe.String(unsafe.SliceData(pf.linkRoom), len(pf.linkRoom)))
	}
	return unsafe.String(unsafe.SliceData(pf.linkRoom), len(pf.linkRoom))
}

func (pf *Proof) linkSees(p *pool, l *link, s string, m symbol.Set, from int) bool {
	may := false
	if l.op.pattern != nil && pf.budget.States <= 0 { // as in look
		pf.found.spent, p.unknown = true, true
		return true
	}
	if l.op.withArg == nil {
		may = l.op.wants(m, len(s)) && l.op.fits(m) && pf.may(&l.op, s)
	} else {
		if p.unknown && (l.argument.has(isCapture) || l.argument.has(isMatched)) {
			return true
		}
		for _, arg := range pf.arguments(p, &l.argument) {
			may = may || l.op.mayWith(s, arg)
		}
	}
	if may && l.feeds {
		pf.take(p, strings.Clone(s), l.op.pattern, l.capture, l.sets, from)
	}
	return may
}

// arguments returns what a link's argument may come to.
func (pf *Proof) arguments(p *pool, t *template) []string {
	if len(t.parts) == 1 && t.parts[0].kind == isCapture {
		return p.captures[t.parts[0].capture]
	}
	if !t.has(isMatched) {
		return pf.expansions(p, t, "", nil)
	}
	var out []string
	for _, v := range p.values {
		out = append(out, pf.expansions(p, t, v, nil)...)
	}
	return out
}
