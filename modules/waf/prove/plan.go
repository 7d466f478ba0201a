package prove

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

// plan is what has to be asked about one kind of value: a set of rules. Sources that are looked at by the same rules share
// it, so that what is remembered about a value serves all of them.
type plan struct {
	salt         uint64
	source       source // of value, where some rule has a gate; otherwise meaningless
	rules        []*rule
	groups       []*group
	weak, strong *union // of all groups: for rules that ask about the value as it is
	search       *search
	gated        bool
	cache        workCache
}

// plans are all plans there are, by their rules. They are bounded: patterns over names that clients choose can select
// endless sets of rules.
type plans struct {
	mu     sync.Mutex
	known  map[string]*plan
	unions *unions
	// for the two kinds of phases: what only rules about responses look for need not be looked for in requests
	request, response *search
	room              int // how many plans may still be made
}

// maxLaterPlans bounds the plans that requests bring about.
const maxLaterPlans = 256

// of returns the plan for a set of rules; nil if there is no room for another.
func (ps *plans) of(set map[*rule]bool, from source) *plan {
	rules := make([]*rule, 0, len(set))
	for r := range set {
		rules = append(rules, r)
	}
	slices.SortFunc(rules, func(a, b *rule) int { return a.index - b.index })
	gated := slices.ContainsFunc(rules, func(r *rule) bool { return r.gate != nil && r.gate.need >= 0 && r.gate.source == from })
	var key strings.Builder
	for _, r := range rules {
		key.WriteString(strconv.Itoa(r.index))
		key.WriteByte(',')
	}
	if gated {
		key.WriteString(strconv.Itoa(int(from.variable)))
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.known[key.String()]; p != nil {
		return p
	}
	if ps.room == 0 {
		return nil
	}
	ps.room--
	return ps.make(key.String(), rules, from, gated)
}

func (ps *plans) make(key string, rules []*rule, from source, gated bool) *plan {
	p := &plan{source: from, rules: rules, gated: gated, search: ps.request}
	p.salt = (uint64(len(ps.known)) + 1) * 0x9E3779B97F4A7C15
	if len(rules) > 0 {
		p.search = ps.searchOf(rules[0])
	}
	groups := map[string]*group{}
	for _, r := range rules {
		k := r.chain.Key()
		if r.multi {
			k += "*"
		}
		g := groups[k]
		if g == nil {
			g = &group{chain: r.chain, multi: r.multi}
			if r.multi {
				g.walker = newWalker(r.chain)
			}
			groups[k] = g
			p.groups = append(p.groups, g)
		}
		g.rules = append(g.rules, r)
	}
	for _, g := range p.groups {
		g.weak, g.strong = ps.unions.unite(g.rules, (*rule).weak), ps.unions.unite(g.rules, (*rule).strong)
	}
	p.weak, p.strong = ps.unions.unite(rules, (*rule).weak), ps.unions.unite(rules, (*rule).strong)
	ps.known[key] = p
	return p
}

// searchOf is what looks for a rule's literals; nil if there is none.
func (ps *plans) searchOf(r *rule) *search {
	if kindOf(r) == 1 {
		return ps.response
	}
	return ps.request
}

// weak reports whether only an automaton can say no, strong whether the absence of a literal can.
func (r *rule) weak() bool   { return r.need < 0 }
func (r *rule) strong() bool { return r.need >= 0 }
