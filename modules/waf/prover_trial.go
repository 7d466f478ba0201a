package waf

import (
	"fmt"
	"io"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"gatehouse.internal/modules/waf/automaton"
	"gatehouse.internal/modules/waf/processors"
	"gatehouse.internal/modules/waf/prove"
	"gatehouse.internal/modules/waf/rx"
)

// trial is how one request is judged with a prover. It begins with one transaction, in which Coraza only parses. Each
// phase is shown to that one first; while the prover shows that no rule can match, nothing else happens. At the first
// doubt a second transaction is made, of all rules, and what came before is repeated in it. From then on that one
// decides, and the first only tells which rules need not be tried.
//
// The zero value is a request without a prover: the rules judge each phase as it comes.
type trial struct {
	by     *innocence
	parser types.Transaction // nil: there is no prover, or everything is judged
	proof  *prove.Proof      // nil when nothing more can be shown
	asked  bool              // whether any phase was shown to the prover
	doubt  int               // once the rules judge: which of them may match; 0: the prover's bounds; or byParser
	turned bool              // the rules judge
	builds automaton.Budget  // what the rules' expressions may build
	fed    [5]feed           // by phase: what parser was shown, until turned

	chosen  bool     // chance wants it checked
	exhibit *exhibit // what the check needs; nil for most requests
}

// judgeStates is how many states of automata the rules may build for one request, after what the prover has built
// (prove.Options): about a millisecond's.
const judgeStates = 300

// byParser stands for a rule when the prover was not asked, because parsing itself was stopped or noticed something.
const byParser = -1

// begin makes the transaction that a request starts with.
func (i *Inspection) begin(id string) {
	p := i.engine.innocence
	i.trial.builds.States = judgeStates
	if p == nil || p.off.Load() != nil {
		i.tx = i.engine.waf.NewTransactionWithID(id)
		return
	}
	i.tx = p.parser.NewTransactionWithID(id)
	t := &i.trial
	t.by, t.parser, t.doubt = p, i.tx, byParser
	if p.checks.choose() {
		t.chosen = true
	}
	defer t.survive(new(bool))
	t.proof = p.prover.Begin(i.tx.(plugintypes.TransactionState)) // probe has made sure
}

// run judges one phase. Phases come in order; the second may be missing.
func (i *Inspection) run(n int, f feed) *types.Interruption {
	return i.meter.measured(func() *types.Interruption { return i.phase(n, f) })
}

func (i *Inspection) phase(n int, f feed) *types.Interruption {
	t := &i.trial
	if t.parser == nil {
		return i.rules(f)
	}
	if clean := t.ask(n, f); !t.turned {
		if clean {
			if t.chosen && t.exhibit == nil {
				t.exhibit = i.exhibit()
			}
			t.remember(n, f)
			return nil
		}
		if stop := i.turn(n); stop != nil {
			return stop
		}
	}
	t.lighten(n, i.tx)
	if n == 4 || n == 2 && (i.engine.cfg.ResponseLimit == 0 || size(f) > checkBody) {
		t.release() // before the rules' transaction takes as much: the budget counts one parsed body (bodyCost)
	}
	i.meter.watch(i.tx)
	return i.rules(f)
}

// rules shows the phase to the rules.
func (i *Inspection) rules(f feed) *types.Interruption {
	defer rx.Lend(i.tx.(plugintypes.TransactionState), &i.trial.builds)() // New has made sure
	return f.to(i.tx)
}

// ask shows the phase to Coraza's parser and then to the prover. It reports whether no rule can match.
func (t *trial) ask(n int, f feed) (clean bool) {
	if n > 1 && !t.asked && t.proof != nil {
		t.proof.End() // the head was not judged, so that the rules lack what their first phase sets: nothing is known
		t.proof = nil
	}
	if t.proof == nil {
		return false
	}
	if stop := t.parse(f); stop != nil || noticed(t.parser) {
		t.proof.End() // what follows a stop is not parsed
		t.proof = nil
		return false
	}
	t.asked = true
	if t.turned {
		return false
	}
	defer t.survive(&clean)
	if clean = t.proof.Phase(n); !clean {
		if ids := t.proof.Doubts(); len(ids) > 0 {
			t.doubt = ids[0]
		}
	}
	return clean
}

// parse shows the phase to Coraza's parser.
func (t *trial) parse(f feed) *types.Interruption {
	switch f := f.(type) {
	case head:
		return f.toParser(t)
	case requestBody:
		if len(f.data) > 0 {
			processors.Quick(variablesOf(t.parser))
		}
	}
	return f.to(t.parser)
}

// survive turns a panic of the prover into doubt, for this request and all that follow.
func (t *trial) survive(clean *bool) {
	if p := recover(); p != nil {
		t.by.distrust(fault{why: fmt.Sprintf("it panicked at %s (%T)", panicSite(), p)})
		t.proof, *clean = nil, false // the proof's state is unknown: it does not go back to its pool
	}
}

// remember keeps what the phase was fed, to repeat it, and for a check.
func (t *trial) remember(n int, f feed) {
	if t.exhibit != nil {
		t.exhibit.keep(n, f)
	}
	if n == 2 {
		f = stored{t.parser}
	}
	t.fed[n] = f
}

// stored is the feed of phase 2 once more. The body lies in the parser's transaction already; ours may have been
// decompressed, and its memory has been given back when it is needed again.
type stored struct{ parser types.Transaction }

func (s stored) to(tx types.Transaction) *types.Interruption { return s.body().to(tx) }

func (s stored) body() requestBody {
	r, err := s.parser.RequestBodyReader()
	if err != nil {
		panic(err) // guard makes it a verdict
	}
	data, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return requestBody{data, processorOf(s.parser)}
}

// turn puts the phases before n before the rules. What stops or is noticed there was shown to be impossible, and counts.
func (i *Inspection) turn(n int) *types.Interruption {
	t := &i.trial
	i.tx, t.turned = i.engine.waf.NewTransactionWithID(t.parser.ID()), true
	defer func() { t.fed = [5]feed{} }()
	i.meter.watch(i.tx)
	for k := 1; k < n; k++ {
		if t.fed[k] != nil {
			t.lighten(k, i.tx)
			stop := i.rules(t.fed[k])
			if stop != nil || noticed(i.tx) {
				i.contradicted(n, stop)
			}
			if stop != nil {
				return stop
			}
		}
		if k == 2 {
			i.answer.before = len(i.tx.MatchedRules())
		}
	}
	return nil
}

// contradicted says that the rules found something in a phase before n, all of which were shown to match nothing.
func (i *Inspection) contradicted(n int, stop *types.Interruption) {
	x := i.exhibit()
	for k, f := range i.trial.fed[:n] {
		switch f := f.(type) {
		case nil:
		case stored:
			x.keep(k, f.body())
		default:
			x.keep(k, f)
		}
	}
	if m := i.engine.mistake(x, i.tx, stop); m != nil {
		i.engine.mistaken(x, m)
	}
}

// lighten takes the rules out of tx that are shown to match nothing in the phase.
func (t *trial) lighten(n int, tx types.Transaction) {
	if t.proof == nil {
		return
	}
	defer t.survive(new(bool))
	if ids, ok := t.proof.Droppable(n); ok {
		rules := tx.(remover) // probe has made sure
		for _, id := range ids {
			rules.RemoveRuleByID(id)
		}
	}
}

// stands reports whether the prover has shown that no rule matches, as far as phases were judged.
func (t *trial) stands() bool { return t.asked && !t.turned }

// end gives back what the trial holds beside the Inspection's transaction, and has it checked.
func (i *Inspection) endTrial() {
	t := &i.trial
	if t.exhibit != nil && t.stands() {
		i.engine.check(t.exhibit)
	}
	t.release()
	t.fed, t.exhibit = [5]feed{}, nil
}

// release ends the proof and the parser's transaction, unless that is the Inspection's.
func (t *trial) release() {
	if t.proof != nil {
		t.proof.End()
	}
	if t.parser != nil && t.turned {
		_ = t.parser.Close() // fails only when a temporary file is gone already
	}
	t.proof, t.parser = nil, nil
}

// noticed reports whether a rule of the parsing engine matched that is more than a setting.
func noticed(tx types.Transaction) bool {
	for _, m := range tx.MatchedRules() {
		if wantsLog(m) {
			return true
		}
	}
	return false
}
