package prove

import (
	"slices"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/seclang"
	"gatehouse.internal/modules/waf/transform"

	"github.com/corazawaf/coraza/v3/types/variables"
)

// rule is an obligation, compiled: its first condition, and the rest of its chain.
type rule struct {
	id, index, phase int
	pinned           bool

	op      operator
	chain   *transform.Chain
	multi   bool
	capture bool
	united  bool // unions answer for it
	blind   bool // what its transformations do is not known
	need    int  // which need of the scanner op.lits is; -1: none
	piece   int  // and which the pieces of op.lits are, if the rule decodes base64: see decoded.go
	gate    *gate

	targets                []target
	reads                  []obligation.Write // what else the rule may find in TX
	watches                []watch            // what others look for of what it writes
	witness                bool               // no obligation: here only because it is watched
	links                  []*link
	sets                   []assignment // what a match of the first condition leaves in TX
	usesSets, usesCaptures bool         // links look at what setvar wrote; links or setvar look at captures
	local                  bool         // whether the links match follows from the values that the first condition matched alone
	changes                bool         // a match may change what later phases parse, or which rules they run
	// contained: where no link is satisfied and nothing was told, the rule may be left out as if its first condition were
	// true of nothing (obligation.Obligation.Contained). Only of a local chain.
	contained bool
	wild      bool // its reads may be looked at in ways that nobody is told of
}

// gate is a rule before this one that skips this one unless one of its phrases occurs.
//
// "SecRule V "!@pm a b" skipAfter:end": with one value in V and neither phrase in it, what follows is not evaluated. So a
// rule behind it can match only when a phrase occurs. That the gate is always evaluated before the rule is obligation's
// promise; here it is used only for rules that look at the same single value.
type gate struct {
	source source
	chain  *transform.Chain
	lits   []string
	need   int
}

// unitable reports whether an automaton may answer for the rule together with others: they have one alphabet, that of
// runes.
func unitable(r *rule) bool {
	p := r.op.pattern
	return p != nil && !r.op.negated && !r.op.counts && !p.Binary() && p.Syntax() != nil
}

// rule compiles an obligation. Parts that are not understood make it match whatever they would have asked.
func (c *compiler) rule(o *obligation.Obligation) *rule {
	s := o.Rule
	r := &rule{id: s.ID, index: len(c.rules), phase: s.Phase, pinned: o.Pinned, need: -1, piece: -1, reads: o.Reads, multi: s.MultiMatch, capture: s.Capture}
	r.op = c.operator(s)
	if s.Op.Name == "" { // SecAction
		r.op = operator{}
	}
	var err error
	if r.chain, err = c.transformations(s.Transformations); err != nil {
		r.op, r.chain, r.multi, r.blind = operator{}, c.identity, false, true
	}
	var ok bool
	if r.targets, ok = readTargets(s.Targets); !ok || s.Op.Name == "" {
		r.op = operator{}
		r.targets = []target{{}} // one that is not understood
	}
	if r.op.withArg != nil { // a first condition against the transaction: judged with the links' means if at all
		r.op = operator{}
	}
	r.united = unitable(r)
	r.gate = c.gate(o)
	r.sets = readAssignments(s)
	r.changes = o.Reparses || changesParsing(s)
	c.links(r, s.Chain)
	r.contained = o.Contained && r.local
	r.wild = slices.ContainsFunc(r.links, func(l *link) bool { return l.maybe || l.argument.has(isVariable) })
	return r
}

// transformations compiles a chain of transformations once.
func (c *compiler) transformations(names []string) (*transform.Chain, error) {
	chain, err := transform.NewChain(names)
	if err != nil {
		return nil, err
	}
	if known := c.chains[chain.Key()]; known != nil {
		return known, nil
	}
	c.chains[chain.Key()] = chain
	return chain, nil
}

// gate reads an obligation's gate; nil if there is none that can be used.
func (c *compiler) gate(o *obligation.Obligation) *gate {
	g := o.Gate
	if g == nil || len(g.Targets) != 1 || g.Chain != nil || g.MultiMatch || !g.Op.Negated {
		return nil
	}
	t := g.Targets[0]
	_, from, ok := sourcesOf(t.Variable)
	if !ok || len(from) != 1 || !singles[from[0].variable] || from[0].names || t.Key != "" || t.Regex || t.Count || t.Negated {
		return nil
	}
	positive := *g
	positive.Op.Negated = false
	op := c.operator(&positive)
	chain, err := transform.NewChain(g.Transformations)
	if err != nil || !op.phrases {
		return nil
	}
	return &gate{source: from[0], chain: chain, lits: op.lits, need: -1}
}

// singles are variables that have exactly one value, of those that gates and exemptions are known to be about.
var singles = map[variables.RuleVariable]bool{
	variables.RequestMethod: true,
	variables.ResponseBody:  true, variables.RequestBody: true, variables.RequestURI: true, variables.RequestURIRaw: true,
	variables.RequestFilename: true, variables.QueryString: true,
}

// harmlessControls are the ctl: actions that change neither what later phases parse nor add anything to what they do.
var harmlessControls = []string{"ruleremove", "auditengine", "auditlogparts", "debugloglevel"}

// changesParsing reports whether some link has a ctl: action that a later phase may see.
func changesParsing(s *seclang.Rule) bool {
	for ; s != nil; s = s.Chain {
		for _, a := range s.Actions {
			if a.Name == "ctl" && !startsWithAny(a.Value, harmlessControls) {
				return true
			}
		}
	}
	return false
}
