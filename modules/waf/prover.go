package waf

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/prove"
	"gatehouse.internal/modules/waf/rx"
	"gatehouse.internal/modules/waf/seclang"
)

// Before the rules stands a prover (decisions/0008): Coraza parses a request in an engine that holds only the rules that
// parsing needs, and when the prover shows that no rule can match, that is the end of it. Otherwise the request is put
// before the rules as if there were no prover.

// Switch is on unless it says off.
type Switch string

// The positions.
const (
	On  Switch = "on"
	Off Switch = "off"
)

// innocence is the prover of one engine, with the engine that parses for it.
type innocence struct {
	parser   coraza.WAF
	prover   *prove.Prover
	folds    bool                  // the case of headers' names does not matter: see names
	ofBodies bool                  // without a body and a word about one, what the parser's rules do cannot be seen
	off      atomic.Pointer[fault] // nil: it is asked
	told     atomic.Bool           // whether a panic was told
	checks   checks
}

// fault is why a prover is not asked any more.
type fault struct {
	why     string
	mistake bool // which is told by who finds it; a panic is by whoever judges next
}

// distrust stops the prover from being asked, for as long as the engine lives. The first reason stays.
func (p *innocence) distrust(f fault) (first bool) { return p.off.CompareAndSwap(nil, &f) }

// The states of a prover, as a metric names them.
const (
	proverOn    = "on"
	proverOff   = "off"   // prover off
	proverNone  = "none"  // nothing can be proven about these rules
	proverWrong = "wrong" // it was on, and wrong
)

// proverState is one of the states.
func (e *Engine) proverState() string {
	switch {
	case e.innocence == nil && e.cfg.Prover == Off:
		return proverOff
	case e.innocence == nil:
		return proverNone
	case e.innocence.off.Load() != nil:
		return proverWrong
	}
	return proverOn
}

// Prover reports whether requests are first shown to a prover and, if not, why.
func (e *Engine) Prover() (on bool, why string) {
	if e.innocence == nil {
		return false, e.unproven
	}
	if off := e.innocence.off.Load(); off != nil {
		return false, off.why
	}
	return true, ""
}

// ProverStats are figures about the prover: not for the request path. The zero value means that there is none.
func (e *Engine) ProverStats() (s prove.Stats) {
	if e.innocence != nil {
		s = e.innocence.prover.Stats()
	}
	return s
}

// remover is what Coraza's transactions can do beyond what types.Transaction promises.
type remover interface{ RemoveRuleByID(id int) }

// compileRules compiles the rules of cfg, and the prover unless it is switched off. Without a prover, why says the
// reason: that is never an error, since the rules alone decide as well.
func (cfg Config) compileRules() (judge coraza.WAF, p *innocence, why string, err error) {
	texts, err := cfg.texts()
	if err != nil {
		return nil, nil, "", err
	}
	var observed []seclang.Observed
	config := experimental.WAFConfigWithRuleObserver(cfg.assemble(texts), func(m types.RuleMetadata) {
		observed = append(observed, seclang.Observed{
			ID: m.ID(), Phase: int(m.Phase()), Line: m.Line(), Marker: m.SecMark(), File: m.File(), Raw: m.Raw(), Tags: len(m.Tags()),
		})
	})
	if judge, err = coraza.NewWAF(config); err != nil {
		return nil, nil, "", fmt.Errorf("compiling the rules: %w", err)
	}
	if cfg.Prover == Off || cfg.aliased { // aliased rules contradict themselves: there is nothing to prove
		return judge, nil, "it is switched off", nil
	}
	if p, err = cfg.compileProver(texts, judge, observed); err != nil {
		return judge, nil, err.Error(), nil
	}
	return judge, p, "", nil
}

// compileProver makes the prover for what Coraza has compiled from the texts.
func (cfg Config) compileProver(texts []seclang.Source, judge coraza.WAF, observed []seclang.Observed) (*innocence, error) {
	counter, ok := judge.(experimental.WAFWithRules)
	if !ok {
		return nil, errors.New("this version of Coraza does not say how many rules it has")
	}
	program, err := seclang.Parse(sources{site: cfg.Rules}, texts)
	if err != nil {
		return nil, fmt.Errorf("reading the rules: %w", err)
	}
	if err := program.Check(observed, counter.RulesCount()); err != nil {
		return nil, err
	}
	set, err := obligation.Read(program)
	if err != nil {
		return nil, err
	}
	for _, phase := range []int{1, 2} {
		if reasons := set.Unprovable[phase]; len(reasons) > 0 {
			return nil, fmt.Errorf("phase %d: %s", phase, reasons[0])
		}
	}
	if late := set.Of(5); len(late) > 0 { // which no Proof is about
		return nil, fmt.Errorf("rule %d logs in phase 5", late[0].Rule.ID)
	}
	p := new(innocence)
	if p.prover, err = prove.New(set, sources{site: cfg.Rules}, prove.Options{Program: program}); err != nil {
		return nil, err
	}
	if p.parser, err = cfg.compileParser(program, set); err != nil {
		return nil, fmt.Errorf("compiling what parsing needs: %w", err)
	}
	p.ofBodies = ofBodies(set.Parsing)
	p.folds = p.prover.HeaderNamesFold() && plainNames(set.Parsing)
	return p, probe(p.parser, judge)
}

// probe makes sure that transactions can do what is asked of them beyond what Coraza promises.
func probe(parser, judge coraza.WAF) error {
	p, j := parser.NewTransaction(), judge.NewTransaction()
	defer func() { _, _ = p.Close(), j.Close() }()
	if _, ok := p.(plugintypes.TransactionState); !ok {
		return errors.New("this version of Coraza does not show a transaction's variables")
	}
	if _, ok := j.(remover); !ok {
		return errors.New("this version of Coraza cannot take rules out of a transaction")
	}
	return nil
}

func init() { plugins.RegisterOperator("rx", newRx) }

// newRx makes @rx for all engines: faster where there is a prover, and as Coraza has it where there is none, so that what
// is measured and compared against is the original.
func newRx(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	stock, err := rx.NewStock(o)
	if s, ok := o.Root.(sources); !ok || !s.fast || err != nil {
		return stock, err // no time is measured without a prover
	}
	fast, err := rx.NewOperator(o)
	return checkable{fast, stock}, err
}

// checkable is @rx in the judge's rules. In a transaction that checks a proof it works as Coraza's own does, so that what
// prover and judge have in common is not believed by both. The two share one compiled expression, so that the second way
// costs sixteen bytes and no time to compile.
type checkable struct{ fast, stock plugintypes.Operator }

// checkMark begins the ids of transactions that check. No request has such an id: admit makes them, of letters.
const checkMark = "\x00check "

// Evaluate implements plugintypes.Operator.
func (o checkable) Evaluate(tx plugintypes.TransactionState, value string) bool {
	if strings.HasPrefix(tx.ID(), checkMark) {
		return o.stock.Evaluate(tx, value)
	}
	spend(tx, len(value))
	return o.fast.Evaluate(tx, value)
}

var _ fs.FS = sources{}
