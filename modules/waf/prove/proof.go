package prove

import (
	"slices"

	"gatehouse.internal/modules/waf/automaton"
	"gatehouse.internal/modules/waf/symbol"
	"gatehouse.internal/modules/waf/transform"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// phase is what has to be asked in one phase. Its classes may belong to rules of the next phase: see judgedIn.
type phase struct {
	reads      []reading
	conditions []condition
	told       []condition // those that depend on what other rules' matches leave in TX
	rounds     int         // how often told is asked: more than once if the rules of some leave there what others look for
	rules      []*rule     // the obligations of this phase
	closed     bool        // never provable
}

// reading is one collection, with the rules about its values and about its names.
type reading struct {
	variable      variables.RuleVariable
	values, names *class // nil: nobody asks
	cache         *nameCache
	spared        bool // of an exemption
}

// Proof is what is being shown about one transaction. It is used by one goroutine, between Begin and End.
type Proof struct {
	prover *Prover
	tx     plugintypes.TransactionState

	given   [2]listing
	known   []tell // what may have been left in TX
	hits    []hit  // chains that the values of their phase decide together
	doubts  []int
	failed  bool
	started []uint64 // rules whose first condition may be true of something, once swept
	spared  []uint64 // and those of which it may be of a value that an exemption takes away
	swept   int      // phases up to which started is complete

	budget    automaton.Budget // of the value at hand
	granted   int
	remaining int // states that this request may still build

	// scratch space
	found       found
	base, other text
	noise       noise
	kept        text // what is known of the last long value: see without
	left        []*rule
	list        []string
	room, spare []byte           // texts as transformed; other.s lives in room
	linkRoom    []byte           // and the one that links ask about:
	linkChain   *transform.Chain // what this makes
	linkFrom    string           // of this
	linkSymbols symbol.Set       // with these symbols
	pool        pool
	ids         []int
	name        named // the one at hand, where none is remembered
}

// listing is what a collection is said to hold, by who filled it. The zero value is about none.
type listing struct {
	variable variables.RuleVariable
	members  []member
}

type member struct{ name, value string }

// Give says that a collection holds a field, after Begin and before the phase that reads it. A collection of which anything
// was given is not listed when its values are asked about, which Coraza makes copies for: so what it holds must all have been
// given, in any order; less may be in it. Strings must stay as they are until End. Of a third collection nothing is kept.
func (pf *Proof) Give(v variables.RuleVariable, name, value string) {
	for i := range pf.given {
		g := &pf.given[i]
		if len(g.members) == 0 {
			g.variable = v
		}
		if g.variable == v {
			g.members = append(g.members, member{name, value})
			return
		}
	}
}

// members returns what was given of a collection; nil: it has to be read.
func (pf *Proof) members(v variables.RuleVariable) []member {
	for i := range pf.given {
		if g := &pf.given[i]; g.variable == v {
			return g.members
		}
	}
	return nil
}

// maxHits bounds the chains that wait for the end of a phase. Beyond, the answer is doubt.
const maxHits = 2048

// Begin starts a proof about a transaction. The collections are read when a phase is asked about.
func (p *Prover) Begin(tx plugintypes.TransactionState) *Proof {
	pf := p.pool.Get().(*Proof)
	pf.tx, pf.remaining = tx, p.options.RequestStates
	return pf
}

// End gives back what the proof holds. The proof, and what its methods returned, must not be used afterwards.
func (pf *Proof) End() {
	pf.tx = nil
	for i := range pf.given {
		g := &pf.given[i]
		clear(g.members)
		g.members = g.members[:0]
		if cap(g.members) > maxHits {
			g.members = nil
		}
	}
	clear(pf.hits)
	clear(pf.known)
	clear(pf.list)
	clear(pf.started)
	clear(pf.spared)
	pf.found.reset()
	pf.pool.reset(0)
	pf.base.s, pf.other.s = "", ""
	pf.noise.done, pf.noise.kept.s = false, ""
	pf.kept = text{}
	pf.linkChain, pf.linkFrom = nil, ""
	if cap(pf.hits) > maxHits || cap(pf.room)+cap(pf.spare)+cap(pf.linkRoom)+cap(pf.noise.raw) > 1<<20 { // not to keep what one request needed
		pf.hits, pf.room, pf.spare, pf.linkRoom, pf.noise = nil, nil, nil, nil, noise{}
	}
	pf.known = pf.known[:0]
	pf.hits, pf.doubts, pf.list, pf.room, pf.ids = pf.hits[:0], pf.doubts[:0], pf.list[:0], pf.room[:0], pf.ids[:0]
	pf.failed, pf.swept, pf.granted, pf.budget = false, 0, 0, automaton.Budget{}
	pf.prover.pool.Put(pf)
}

// allow sets the budget for a value of that length, after taking off what the last one used.
func (pf *Proof) allow(length int) {
	pf.remaining -= pf.granted - pf.budget.States
	pf.granted = max(0, min(pf.prover.options.ValueStates+length/32, pf.remaining))
	pf.budget.States = pf.granted
}

// Phase reports whether it is shown that no obligation of the phase, 1 to 4, can match. Phases are asked about in order,
// each once, after Coraza has parsed what it reads; after the first false all are false.
func (pf *Proof) Phase(n int) bool {
	if n < 1 || n > lastPhase {
		return pf.doubt(0)
	}
	ph := &pf.prover.phases[n]
	switch {
	case pf.failed:
		return false
	case ph.closed:
		return pf.doubt(0)
	}
	pf.run(ph, pf.accept)
	if pf.swept == n-1 { // accept has noted all that sweep would
		pf.swept = n
	}
	return !pf.failed && pf.chains(n)
}

// Doubts returns the ids of rules that may match, after Phase returned false: at least one, not all. 0 stands for a
// spent budget or a phase that is never provable. It is good until End.
func (pf *Proof) Doubts() []int { return pf.doubts }

func (pf *Proof) doubt(id int) bool {
	pf.failed = true
	if !slices.Contains(pf.doubts, id) {
		pf.doubts = append(pf.doubts, id)
	}
	return false
}

// run asks about everything that is judged in a phase, and hands what is found to take.
func (pf *Proof) run(ph *phase, take func(*plan, *found)) {
	for i := range ph.reads {
		pf.read(&ph.reads[i], take)
	}
	pf.checkAll(ph.conditions, take) // after all values and before told, since it may be told what they leave in TX
	for range ph.rounds {
		pf.checkAll(ph.told, take)
	}
}

// checkAll asks about conditions, and hands what is found to take.
func (pf *Proof) checkAll(conditions []condition, take func(*plan, *found)) {
	if len(conditions) == 0 {
		return
	}
	pf.found.reset()
	pf.allow(0)
	for i := range conditions {
		pf.check(&conditions[i])
	}
	take(nil, &pf.found)
}

// read asks about one collection.
func (pf *Proof) read(r *reading, take func(*plan, *found)) {
	if all := pf.members(r.variable); len(all) > 0 {
		for i := range all {
			pf.readMember(r, all[i].name, all[i].value, take)
		}
		return
	}
	p := pf.prover
	switch col := pf.tx.Collection(r.variable).(type) {
	case nil:
	case collection.Single:
		if r.values != nil {
			pl := r.values.plan(p, "")
			if f := pl.ask(pf, col.Get()); !f.empty() {
				take(pl, f)
				if r.spared {
					add(pf.spared, pl, f)
				}
			}
		}
	default:
		for _, m := range col.FindAll() {
			pf.readMember(r, m.Key(), m.Value(), take)
		}
	}
}

// readMember asks about one field of a collection.
func (pf *Proof) readMember(r *reading, name, value string, take func(*plan, *found)) {
	e := r.named(pf, name)
	if e.values != nil {
		if f := e.ask(r, pf, value); !f.empty() {
			take(e.values, f)
		}
	}
	if e.names == nil {
		return
	}
	f := e.found
	if f == nil {
		f = e.names.ask(pf, e.name)
	}
	if !f.empty() {
		take(e.names, f)
	}
}

// accept takes what is found about a value into the proof. Doubt does not end it: what the other values tell is asked for
// next, by Droppable.
func (pf *Proof) accept(p *plan, f *found) {
	for _, i := range f.bad {
		pf.doubt(pf.prover.rules[i].id)
	}
	if f.spent || len(pf.hits)+len(f.hits) > maxHits || len(pf.known)+len(f.tells) > maxHits {
		pf.doubt(0)
	}
	if !pf.failed {
		pf.hits = append(pf.hits, f.hits...)
	}
	pf.mark(p, f)
}

// chains judges the chains of a phase whose first conditions have matched.
func (pf *Proof) chains(n int) bool {
	for i, h := range pf.hits {
		if h.rule.phase != n || slices.ContainsFunc(pf.hits[:i], func(o hit) bool { return o.rule == h.rule }) {
			continue
		}
		pf.allow(linkAllowance)
		if pf.completes(h.rule, pf.hits[i:]) {
			return pf.doubt(h.rule.id)
		}
	}
	return true
}

// linkAllowance is the length of text that the links of one chain are given a budget for.
const linkAllowance = 16 << 10

// Droppable returns the ids of the phase's rules whose first condition is shown to be true of nothing, or of nothing that
// satisfies any link of a chain which nobody else would look at, so that removing them from a transaction of the full rules
// with the same collections changes nothing. Rules that must stay whatever
// they match are not among them. ok is false if that cannot be told: the phase, or one before it, may hold or do what is
// not understood. The collections must hold what phases up to n read. The ids are good until the next call.
func (pf *Proof) Droppable(n int) (ids []int, ok bool) {
	p := pf.prover
	if n < 1 || n > lastPhase {
		return nil, false
	}
	for i := 1; i <= n; i++ {
		if p.phases[i].closed {
			return nil, false
		}
		if i > pf.swept {
			pf.swept = i
			pf.sweep(&p.phases[i])
		}
		if i == n {
			break
		}
		for _, r := range p.phases[i].rules {
			if r.changes && r.in(pf.started) {
				return nil, false
			}
		}
	}
	pf.ids = pf.ids[:0]
	for _, r := range p.phases[n].rules {
		if !r.pinned && r.id != 0 && !r.in(pf.started) {
			pf.ids = append(pf.ids, r.id)
		}
	}
	for i := range p.exemptions {
		if e := &p.exemptions[i]; e.phase == n && !slices.ContainsFunc(e.rules, func(r *rule) bool { return r.in(pf.spared) }) {
			pf.ids = append(pf.ids, e.id)
		}
	}
	return pf.ids, true
}

// sweep notes every rule whose first condition may be true of something that is judged in the phase.
func (pf *Proof) sweep(ph *phase) { pf.run(ph, pf.mark) }

// mark notes the rules whose first condition may be true of a value.
func (pf *Proof) mark(p *plan, f *found) {
	pf.known = append(pf.known, f.tells...)
	add(pf.started, p, f)
}

// add notes the rules that are found to have started in a set of rules; all of the plan's if there are others.
func add(set []uint64, p *plan, f *found) {
	for _, i := range f.started {
		set[i/64] |= 1 << (i % 64)
	}
	if f.spent && p != nil {
		for _, r := range p.rules {
			set[r.index/64] |= 1 << (r.index % 64)
		}
	}
}

func (r *rule) in(set []uint64) bool { return set[r.index/64]&(1<<(r.index%64)) != 0 }
