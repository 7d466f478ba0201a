package prove

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/rx"
	"gatehouse.internal/modules/waf/seclang"
	"gatehouse.internal/modules/waf/transform"
)

// lastPhase is the last phase that anything is shown about. Rules of the logging phase can no longer refuse anything.
const lastPhase = 4

// RequestStates is the default of that option.
const RequestStates = 1500

// Options bound what a Prover holds. A zero field means its default.
type Options struct {
	MemoEntries   int   // values remembered; default 16384
	MemoBytes     int64 // their bytes together; default 8 MiB
	ValueStates   int   // states of automata that one value may build, and one more for 32 bytes; default 400
	RequestStates int   // and one request; default RequestStates
	UnionStates   int   // states that an automaton over several rules may hold; default 1500
	NoMemo        bool  // remember nothing

	// Program is what the obligations were read from. Without it, rules that look at what inert rules write (CRS has one,
	// in phase 2) may always match, and nothing is ever proven in their phase.
	Program *seclang.Program
}

func (o *Options) defaults() {
	for _, d := range []struct {
		field *int
		value int
	}{{&o.MemoEntries, 16384}, {&o.ValueStates, 400}, {&o.RequestStates, RequestStates}, {&o.UnionStates, 1500}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if o.MemoBytes <= 0 {
		o.MemoBytes = 8 << 20
	}
}

// Prover is the compiled proof for one set of rules. It is safe for concurrent use.
type Prover struct {
	options    Options
	rules      []*rule
	phases     [lastPhase + 1]phase
	exemptions []exemption
	plans      plans
	memo       *memo // nil: none
	pool       sync.Pool
}

// Stats are figures about a Prover, gathered by walking it: not for the request path.
type Stats struct {
	Rules, Plans   int
	Unions, States int // automata over several rules that are built, and their states
	AutomataBytes  int
	MemoEntries    int
	MemoBytes      int64
}

// compiler is what compiling needs.
type compiler struct {
	set      *obligation.Set
	files    fs.FS
	identity *transform.Chain
	rules    []*rule
	plans    *plans
	byID     map[int]*rule
	patterns map[string]*rx.Pattern
	chains   map[string]*transform.Chain
	program  map[int]*seclang.Rule
	pending  []pendingWatch
}

// pendingWatch is a write that is looked for, until all rules are compiled.
type pendingWatch struct {
	reader  *rule
	write   obligation.Write
	targets []*target
}

// New compiles the obligations. files is where operators find their files. Rules that are not understood may match; an
// error means that the set itself makes no sense.
func New(set *obligation.Set, files fs.FS, o Options) (*Prover, error) {
	if set == nil || files == nil {
		return nil, errors.New("a prover needs obligations and the files of their operators")
	}
	o.defaults()
	p := &Prover{options: o}
	identity, err := transform.NewChain(nil)
	if err != nil {
		return nil, fmt.Errorf("an empty chain of transformations: %w", err)
	}
	c := &compiler{set: set, files: files, identity: identity, plans: &p.plans, byID: map[int]*rule{},
		program: map[int]*seclang.Rule{}, patterns: map[string]*rx.Pattern{}, chains: map[string]*transform.Chain{}}
	if o.Program != nil {
		for _, r := range o.Program.Rules {
			c.program[r.ID] = r
		}
	}
	for n, reasons := range set.Unprovable {
		if n < 1 || n > lastPhase {
			continue
		}
		p.phases[n].closed = len(reasons) > 0
	}
	for _, ob := range set.Rules {
		if n := ob.Rule.Phase; n < 1 || n > 5 {
			return nil, fmt.Errorf("rule %d: no such phase as %d", ob.Rule.ID, n)
		} else if n <= lastPhase {
			r := c.rule(ob)
			c.rules = append(c.rules, r)
			c.byID[r.id] = r
		}
	}
	if len(c.rules) > 1<<16 {
		return nil, fmt.Errorf("%d rules are too many", len(c.rules))
	}
	c.conditions(p)
	c.watchAll(p)
	for i := range p.phases {
		p.phases[i].rounds = rounds(p.phases[i].told)
	}
	p.rules = c.rules
	c.number(p)
	p.plans.known, p.plans.room = map[string]*plan{}, 1<<20
	p.plans.unions = newUnions(p.rules, o.UnionStates)
	c.place(p)
	c.exempt(p)
	p.plans.room = maxLaterPlans
	if !o.NoMemo {
		p.memo = newMemo(o.MemoEntries, o.MemoBytes)
	}
	p.pool.New = func() any {
		return &Proof{prover: p, started: make([]uint64, len(p.rules)/64+1), spared: make([]uint64, len(p.rules)/64+1)}
	}
	return p, nil
}

// kindOf is 0 for rules about requests and 1 for rules about answers.
func kindOf(r *rule) int {
	if r.phase > 2 {
		return 1
	}
	return 0
}

// conditions puts each rule into its phase, with the conditions that are not asked value by value.
func (c *compiler) conditions(p *Prover) {
	for _, r := range c.rules {
		ph := &p.phases[r.phase]
		ph.rules = append(ph.rules, r)
		for i := range r.targets {
			if t := &r.targets[i]; t.from == nil || t.count {
				switch cond, ok := c.condition(r, t); {
				case !ok:
				case cond.told:
					ph.told = append(ph.told, cond)
				default:
					ph.conditions = append(ph.conditions, cond)
				}
			}
		}
	}
}

// watchAll has the writers watched whose writes are looked for. A reader of one that cannot be watched may find anything.
func (c *compiler) watchAll(p *Prover) {
	done := len(c.rules)
	for i := 0; i < len(c.pending); i++ {
		w := c.pending[i]
		if !c.watch(w.reader, w.write, w.targets) {
			p.phases[w.reader.phase].conditions = append(p.phases[w.reader.phase].conditions, condition{rule: w.reader, target: &target{}})
			w.reader.wild = true
		}
	}
	for _, r := range c.rules[:done] {
		for _, w := range r.reads {
			if writer := c.byID[w.By]; r.wild && writer != nil {
				writer.contained = false // r may look at what it is not told of
			}
		}
	}
	for _, r := range c.rules[done:] { // that were made to be watched: what they are not asked value by value
		for i := range r.targets {
			if t := &r.targets[i]; t.from == nil || t.count {
				p.phases[r.phase].conditions = append(p.phases[r.phase].conditions, condition{rule: r, target: &target{}})
			}
		}
	}
}

// exemption is a rule that takes a single value away from rules: see obligation.Exemption.
type exemption struct {
	id, phase int
	rules     []*rule
}

// exempt reads the exemptions that can be used: of values that have been asked about when the phase of the rule is over.
func (c *compiler) exempt(p *Prover) {
	for _, e := range c.set.Exemptions {
		v, _, ok := sourcesOf(e.Variable)
		if !ok || !singles[v] || e.Phase > lastPhase {
			continue
		}
		made := exemption{id: e.By, phase: e.Phase}
		for _, id := range e.Rules {
			r := c.byID[id]
			if ok = ok && r != nil && judgedIn(r.phase, v) <= e.Phase; ok {
				made.rules = append(made.rules, r)
			}
		}
		if !ok {
			continue
		}
		for _, r := range made.rules {
			r.contained = false // a link that a value does not satisfy may still see it in place of another
		}
		p.exemptions = append(p.exemptions, made)
		for n := range p.phases {
			for i := range p.phases[n].reads {
				p.phases[n].reads[i].spared = p.phases[n].reads[i].spared || p.phases[n].reads[i].variable == v
			}
		}
	}
}

// rounds returns how often conditions have to be asked until each was told all: once, unless rules among them tell others, and
// then once for each, since each rule tells its readers once.
func rounds(told []condition) int {
	if slices.ContainsFunc(told, func(c condition) bool { return len(c.rule.watches) > 0 }) {
		return len(told)
	}
	return min(len(told), 1)
}

// place puts each rule where its values are read.
func (c *compiler) place(p *Prover) {
	classes := map[int]map[source]*class{}
	for _, r := range c.rules {
		for i := range r.targets {
			t := &r.targets[i]
			if t.from == nil || t.count {
				continue
			}
			for _, s := range t.from {
				n := judgedIn(r.phase, s.variable)
				if classes[n] == nil {
					classes[n] = map[source]*class{}
				}
				if classes[n][s] == nil {
					classes[n][s] = &class{source: s}
				}
				classes[n][s].add(r, t)
			}
		}
	}
	for n, of := range classes {
		for s, cl := range of {
			cl.finish(c)
			ph := &p.phases[n]
			i := slices.IndexFunc(ph.reads, func(r reading) bool { return r.variable == s.variable })
			if i < 0 {
				i = len(ph.reads)
				ph.reads = append(ph.reads, reading{variable: s.variable, cache: new(nameCache)})
			}
			if s.names {
				ph.reads[i].names = cl
			} else {
				ph.reads[i].values = cl
			}
		}
		slices.SortFunc(p.phases[n].reads, func(a, b reading) int { return int(a.variable) - int(b.variable) })
	}
}

// Stats returns figures about the prover as it is now.
func (p *Prover) Stats() Stats {
	s := Stats{Rules: len(p.rules)}
	p.plans.mu.Lock()
	s.Plans = len(p.plans.known)
	p.plans.mu.Unlock()
	u := p.plans.unions
	if u.program != nil {
		s.AutomataBytes += u.program.Size()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, one := range u.of {
		if a := one.built.Load(); a != nil {
			s.Unions++
			s.States += a.States()
			s.AutomataBytes += a.Size()
		}
	}
	if p.memo != nil {
		s.MemoEntries, s.MemoBytes = p.memo.entries(), p.memo.bytes.Load()
	}
	return s
}
