package obligation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gatehouse.internal/modules/waf/seclang"
)

// walk is one pass over the rules.
type walk struct {
	program  *seclang.Program
	promoted map[int]bool // inert rules that are to be obligations
	blamed   map[int]bool // and those that ought to be, as this pass found

	tx      *state
	flow    *flow
	targets []targetRemoval // that may be in force
	writes  []Write
	early   map[int]bool // rules that act though they fail: promoting them helps nobody
	traces  bool         // some rule looks at RULE, where even a rule that fails leaves something

	obligations    []*Obligation
	parsing        []*seclang.Rule
	inert, decided map[int]bool
	never          map[int]bool          // the decided ones that are not even evaluated
	counted        map[int]bool          // those that a skip:N may count over
	groups         map[*seclang.Rule]int // of patterns that capture, once counted
	unprovable     map[int][]string
	ends           []*state           // of phases 1 to 5
	seen           map[string][]value // what obligations found under keys
}

func newWalk(p *seclang.Program, promoted map[int]bool) *walk {
	return &walk{
		program: p, promoted: promoted, blamed: map[int]bool{}, tx: newState(), flow: newFlow(), early: map[int]bool{},
		traces: looksAtRule(p), inert: map[int]bool{}, decided: map[int]bool{}, never: map[int]bool{}, counted: map[int]bool{}, groups: map[*seclang.Rule]int{}, unprovable: map[int][]string{},
		seen: map[string][]value{},
	}
}

// run walks the phases. 1 comes first, 4 only after 3; 2 may be left out, and 5 comes after any of them. Phases that are
// left out at the end leave nothing to be shown.
func (w *walk) run() {
	var flows []*flow
	for phase := 1; phase <= 5; phase++ {
		for earlier, end := range w.ends {
			if phase == 3 || phase == 5 {
				w.tx.join(end)
				w.flow.join(flows[earlier])
			}
		}
		for _, r := range w.program.Rules {
			if r.Phase == 0 || r.Phase == phase {
				w.step(r)
			}
		}
		w.flow.endPhase()
		w.ends = append(w.ends, w.tx.clone())
		flows = append(flows, w.flow.clone())
	}
}

// step comes to a rule of the phase, or a marker.
func (w *walk) step(r *seclang.Rule) {
	w.flow.begin(r)
	if r.Phase == 0 {
		w.flow.marker(r.Marker)
	} else {
		w.rule(r)
	}
	w.flow.end()
}

// rule walks over one rule.
func (w *walk) rule(r *seclang.Rule) {
	e := w.flow.execution(r)
	if w.flow.counts() {
		w.counted[r.ID] = true
	}
	if e.never {
		w.decided[r.ID] = true
		w.never[r.ID] = true
		return
	}
	links, before := r.Links(), w.tx.clone()
	for i, link := range links {
		result, times, needs := w.decide(r, link)
		switch result {
		case no:
			w.captures(link)
			w.decided[r.ID] = true
			w.partly(r, e, i)
			return
		case maybe:
			if i == len(links)-1 && (loud(r) || steers(r)) {
				w.blame(needs)
			}
			w.undecided(r, e, i, before)
			return
		}
		w.effects(r, i, e, times)
	}
	w.decided[r.ID] = true
	if loud(r) {
		w.fail(r, "it matches every transaction")
		return
	}
	w.parse(r, e)
	w.follow(r, true, nil)
}

// undecided walks over a rule of which configuration decides the links before the first'th, which match, and not that
// one. before is TX when the rule is reached.
func (w *walk) undecided(r *seclang.Rule, e execution, first int, before *state) {
	links := r.Links()
	isLoud := loud(r)
	isInert := !isLoud && !w.promoted[r.ID]
	gate := w.flow.gate(r)
	for i := first; i < len(links); i++ {
		if i > first {
			// The state covers what the links before may have done, and so a no is one.
			if result, _, _ := w.decide(r, links[i]); result == no {
				w.captures(links[i])
				w.early[r.ID] = true
				w.decided[r.ID] = true
				w.partly(r, e, i)
				return
			}
		}
		w.captures(links[i]) // the operator stores them; the actions see them already
		if i < len(links)-1 || isInert {
			w.mayAct(r, i)
		}
	}
	if len(links) > 1 && acts(links[:len(links)-1]) {
		w.early[r.ID] = true
	}
	if !isLoud {
		w.parse(r, e)
	}
	if isInert {
		w.inert[r.ID] = true
		w.follow(r, false, w.asGate(r, e))
		return
	}
	if isLoud {
		w.partly(r, e, len(links)-1)
	}
	w.oblige(r, before, gate)
}

// partly refuses or takes care of what the first n links do of consequence though the rule fails.
func (w *walk) partly(r *seclang.Rule, e execution, n int) {
	for _, link := range r.Links()[:n] {
		switch {
		case loudLink(link), parses(link) && loud(r):
			w.fail(r, "a link before its last acts by itself")
		case parses(link):
			w.parse(r, e)
			return
		}
	}
}

// acts reports whether links do something themselves.
func acts(links []*seclang.Rule) bool {
	return slices.ContainsFunc(links, func(l *seclang.Rule) bool { return l.Has("setvar") || l.Has("ctl") })
}

// steers reports whether a rule decides what is evaluated after it. A ctl that removes does not count: to judge all that
// it might remove costs nothing.
func steers(r *seclang.Rule) bool { return r.Has("skipafter") || r.Has("skip") || r.Has("allow") }

// follow notes where evaluation may go after a rule that matches.
func (w *walk) follow(r *seclang.Rule, sure bool, gate *seclang.Rule) {
	if r.Has("allow") {
		w.flow.maybe = append(w.flow.maybe, r.ID)
	}
	if text, ok := r.Value("skip"); ok {
		if n, err := strconv.Atoi(text); err == nil && n > 0 && !r.Has("skipafter") {
			w.flow.skip(r, n, sure)
		} else {
			w.flow.maybe = append(w.flow.maybe, r.ID) // both together are not worth modelling
		}
	}
	if label, ok := r.Value("skipafter"); ok {
		w.flow.skipAfter(r, trimQuotes(label), sure, gate)
	}
}

// trimQuotes removes one pair of quotes, as Coraza's skipAfter does once more than its parser.
func trimQuotes(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// asGate returns the rule if it is one that skips where phrases are missing: a lone negated phrase list that nothing
// can keep from being evaluated, unless it takes the rules behind it out too (flow.skipAfter keeps count of those).
func (w *walk) asGate(r *seclang.Rule, e execution) *seclang.Rule {
	phrases := r.Op.Name == "pm" || r.Op.Name == "pmf" || r.Op.Name == "pmfromfile" || r.Op.Name == "pmfromdataset"
	if !phrases || !r.Op.Negated || r.Chain != nil || r.MultiMatch || r.Has("skip") || r.Has("allow") || len(w.flow.maybe) > 0 {
		return nil
	}
	for _, t := range r.Targets {
		if t.Count || t.Variable == "TX" || !shared(t.Variable, 0) || w.targetMayVanish(r, t) {
			return nil
		}
	}
	return r
}

// targetMayVanish reports whether a ctl may take values of the target away from the rule.
func (w *walk) targetMayVanish(r *seclang.Rule, t seclang.Target) bool {
	return slices.ContainsFunc(w.targets, func(x targetRemoval) bool { return x.rules(r) && x.touches(t) })
}

// blame promotes the inert rules behind writes, where that helps.
func (w *walk) blame(writes []int) {
	for _, i := range writes {
		w.promote(w.writes[i].By)
	}
}

// promote asks for an inert rule to become an obligation. It reports whether that is possible.
func (w *walk) promote(id int) bool {
	if !w.inert[id] || w.early[id] {
		return false
	}
	w.blamed[id] = true
	return true
}

// fail makes the rule's phase unprovable, and all later ones: what the rule does is not known.
func (w *walk) fail(r *seclang.Rule, format string, args ...any) {
	reason := fmt.Sprintf("rule %d (%s): ", r.ID, r.At) + fmt.Sprintf(format, args...)
	for phase := r.Phase; phase <= 5; phase++ {
		if !slices.Contains(w.unprovable[phase], reason) {
			w.unprovable[phase] = append(w.unprovable[phase], reason)
		}
	}
}

// result sums up.
func (w *walk) result() *Set {
	s := &Set{
		Rules: w.obligations, Parsing: w.parsing, Constants: map[string]string{}, Inert: sortedIDs(w.inert),
		Decided: sortedIDs(w.decided), Unprovable: w.unprovable,
	}
	after := w.aftermath()
	pinned, reparses := w.countsUnsurely(), after.reparses()
	for _, o := range s.Rules {
		o.Pinned = o.Pinned || pinned || w.pins(o, after)
		o.Reparses = reparses
		o.Contained = w.contained(o, after)
	}
	s.Exemptions = w.exemptions(after)
	for key, v := range w.ends[0].keys {
		if strings.Trim(key, "0123456789") == "" {
			continue // captures
		}
		same := func(o value) bool { return o.known == constant && o.text == v.text }
		if !slices.ContainsFunc(w.ends, func(end *state) bool { return !same(end.get(key)) }) &&
			!slices.ContainsFunc(w.seen[key], func(o value) bool { return !same(o) }) {
			s.Constants[key] = v.text
		}
	}
	return s
}
