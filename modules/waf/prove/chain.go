package prove

import (
	"slices"
	"strings"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/rx"
	"gatehouse.internal/modules/waf/seclang"
	"gatehouse.internal/modules/waf/transform"

	"github.com/corazawaf/coraza/v3/types/variables"
)

// link is a later rule of a chain.
type link struct {
	maybe    bool // not understood: it may match
	op       operator
	argument template // of op.withArg
	need     int      // which need of the scanner op.lits is, if the link asks about values as they are; -1: none
	chain    *transform.Chain
	ways     []way            // of a link that decodes base64 (decoded.go); else none
	least    int              // the shortest match by any of the ways
	rest     *transform.Chain // what follows the decoding
	spoils   spoils           // what the decoded must not have for ways to be asked
	multi    bool
	capture  bool
	asks     []question
	sets     []assignment
	feeds    bool // a later link may look at what this one matched
}

// question is a target of a link.
type question struct {
	kind      questionKind
	target    target   // ofRequest
	capture   int      // ofCapture
	assigned  []int    // ofAssigned: which of the chain's assignments may be meant
	told      bool     // ofAssigned: other rules may put more there
	constants []string // ofAssigned: values that configuration may have put there
}

type questionKind uint8

const (
	ofRequest  questionKind = iota // a variable that the request alone determines
	ofMatched                      // MATCHED_VAR, MATCHED_VARS
	ofCapture                      // TX:0 to TX:8
	ofAssigned                     // other TX variables, which earlier links or configuration set
)

// links compiles the rest of a rule's chain.
//
// Coraza evaluates a link after all values of the links before it. What it can see of them is: the values they matched
// (MATCHED_VARS are all of this rule's, MATCHED_VAR is one of them), the captures of one match, and what setvar wrote at
// one match. So the question "can this link match" is asked of everything that any of the matches could have left, which
// only ever admits more. Every link has to match for the rule to match.
func (c *compiler) links(r *rule, s *seclang.Rule) {
	st := &chainState{compiler: c, rule: r, assignments: r.sets}
	st.captures(r.op, r.capture)
	for ; s != nil; s = s.Chain {
		r.links = append(r.links, st.link(s))
	}
	r.local = len(r.links) > 0 && !r.blind
	for i, l := range r.links {
		r.local = r.local && l.local(i == 0 && len(r.links) == 1)
		l.feeds = i+1 < len(r.links)
		for _, q := range l.asks {
			r.usesSets = r.usesSets || q.kind == ofAssigned
			r.usesCaptures = r.usesCaptures || q.kind == ofCapture || q.kind == ofAssigned
		}
		r.usesCaptures = r.usesCaptures || l.argument.has(isCapture)
	}
}

// chainState is what is known at one link of what the links before it leave behind.
type chainState struct {
	*compiler
	rule        *rule
	assignments []assignment // of all links so far
	known       int          // TX:0 to TX:known-1 are set by each match of the links before; the rest may be anybody's
}

// captures notes what a link's match captures. Only @rx is modelled: it writes its groups, and those that took no part
// as "", whenever it matches.
func (st *chainState) captures(op operator, capture bool) {
	switch {
	case !capture:
	case op.pattern == nil || op.negated:
		st.known = 0
	default:
		st.known = max(st.known, groupsOf(op.pattern))
	}
}

// groupsOf returns how many captures each match of a pattern writes, or fewer.
func groupsOf(p *rx.Pattern) int {
	if p.Syntax() == nil {
		return 0
	}
	return min(p.Syntax().MaxCap()+1, len(pool{}.captures))
}

func (st *chainState) link(s *seclang.Rule) *link {
	l := &link{op: st.operator(s), need: -1, multi: s.MultiMatch, capture: s.Capture}
	chain, err := st.transformations(s.Transformations)
	l.chain = chain
	targets, ok := readTargets(s.Targets)
	l.maybe = err != nil || !ok || s.Op.Name == ""
	if err != nil {
		l.chain = st.identity
	}
	if l.op.withArg != nil {
		l.argument = readTemplate(s.Op.Argument)
		l.maybe = l.maybe || !l.argument.known || st.unsettled(l.argument)
	}
	for i := range targets {
		q, ok := st.question(&targets[i])
		l.maybe = l.maybe || !ok
		l.asks = append(l.asks, q)
	}
	l.decodes()
	l.sets = readAssignments(s)
	st.assignments = append(st.assignments[:len(st.assignments):len(st.assignments)], l.sets...)
	if l.maybe && l.capture {
		st.known = 0
	}
	st.captures(l.op, l.capture)
	return l
}

// unsettled reports whether a template reads a capture that some other rule may have left.
func (st *chainState) unsettled(t template) bool {
	for _, p := range t.parts {
		if p.kind == isCapture && p.capture >= st.known {
			return true
		}
	}
	return false
}

// question reads a target; false if it may be anything.
func (st *chainState) question(t *target) (question, bool) {
	switch t.variable {
	case variables.MatchedVar, variables.MatchedVars:
		return question{kind: ofMatched}, t.key == "" && t.rx == nil && !t.count && len(t.except) == 0
	case variables.TX:
		if t.count || len(t.except) > 0 {
			return question{}, false
		}
		return st.txQuestion(t)
	}
	return question{kind: ofRequest, target: *t}, t.from != nil
}

func (st *chainState) txQuestion(t *target) (question, bool) {
	if n, ok := captureNumber(t.key); ok && t.rx == nil {
		return question{kind: ofCapture, capture: n}, n < st.known
	}
	if t.mayBeCapture() {
		return question{}, false
	}
	var meant []int
	sure := false // this chain itself has set the variable, so that nobody else's value is in it
	for i, a := range st.assignments {
		constant, fixed := a.key.constant()
		switch {
		case fixed && !t.names(constant), !fixed && !t.mayName(a.key):
			continue
		case !a.plain || !a.value.known || st.unsettled(a.value):
			return question{}, false
		}
		meant = append(meant, i)
		sure = sure || fixed && t.rx == nil
	}
	q := question{kind: ofAssigned, assigned: meant}
	if sure {
		return q, true
	}
	var ok bool
	q.constants, q.told, ok = st.inTX(st.rule, []*target{t})
	return q, ok
}

// inTX returns what rules of others may find in TX where the targets look: the values that configuration put there, and
// whether other rules may put more there, which then is told. False if it may be anything. What is not among the reads is
// not there.
func (c *compiler) inTX(r *rule, targets []*target) (values []string, told, ok bool) {
	for _, w := range r.reads {
		key := readTemplate(w.Key)
		constant, fixed := key.constant()
		if !w.Any && !slices.ContainsFunc(targets, func(t *target) bool {
			return fixed && t.names(constant) || !fixed && t.mayName(key)
		}) {
			continue
		}
		switch {
		case w.Any:
			return nil, false, false
		case w.By == 0:
			values = append(values, w.Value)
		default:
			told = true
			c.pending = append(c.pending, pendingWatch{r, w, targets})
		}
	}
	return values, told, true
}

// names reports whether a selector selects that key of TX.
func (t *target) names(key string) bool {
	if t.rx != nil {
		return t.rx.MatchString(key)
	}
	return t.key == "" || strings.ToLower(t.key) == key
}

// mayName reports whether a selector may select a key that is only known when it is set.
func (t *target) mayName(key template) bool {
	if len(key.parts) == 0 || key.parts[0].kind != isConstant {
		return true
	}
	prefix := strings.ToLower(key.parts[0].text)
	if t.rx != nil {
		a := obligation.Anchor(t.rx.String())
		return strings.HasPrefix(a, prefix) || strings.HasPrefix(prefix, a)
	}
	return t.key == "" || strings.HasPrefix(strings.ToLower(t.key), prefix)
}

// asksMatched reports whether the link asks about the matched values and nothing else.
func (l *link) asksMatched() bool { return len(l.asks) == 1 && l.asks[0].kind == ofMatched }

// local reports whether the link can match follows from one match of the first condition, taken by itself. Two
// captures come from one match if nothing else captured in between, which alone makes the only link's argument local.
func (l *link) local(only bool) bool {
	if l.maybe {
		return true
	}
	if l.op.withArg != nil && (!only || l.argument.has(isVariable) || l.argument.has(isMatched)) {
		return false
	}
	for _, q := range l.asks {
		if q.kind == ofRequest || q.told || l.op.withArg != nil && q.kind != ofCapture {
			return false
		}
	}
	return true
}
