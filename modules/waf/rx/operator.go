package rx

import (
	"math"
	"sync"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"gatehouse.internal/modules/waf/automaton"
)

// One evaluation may build this many states, and one more for this many bytes of its value, as long as what its
// transaction was lent suffices (Lend). A value for which they do not is decided by the engine, having lost little: a
// state costs about what the engine needs for a hundred bytes. What was built stays, so that usual values soon need no
// new ones. See BenchmarkCold.
const (
	freeStates = 16
	everyBytes = 256
)

// lent are the budgets of transactions that are judged now: plugintypes.TransactionState to *automaton.Budget.
var lent sync.Map

// Lend has the operators that judge tx build no more than b together, until they are called that it returns. Without it
// only each evaluation is bounded. The caller's goroutine is the one that judges.
func Lend(tx plugintypes.TransactionState, b *automaton.Budget) (end func()) {
	lent.Store(tx, b)
	return func() { lent.Delete(tx) }
}

// operator is @rx with an automaton before it.
type operator struct{ *Pattern }

// stock is @rx as Coraza has it, with SecRxPreFilter off.
type stock struct{ *Pattern }

var (
	_ plugintypes.Operator = operator{}
	_ plugintypes.Operator = stock{}
)

// NewOperator makes an operator with the verdicts and captures of Coraza's @rx.
func NewOperator(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	p, err := Shared(o.Arguments)
	if err != nil {
		return nil, err
	}
	p.Prepare()
	return operator{p}, nil
}

// NewStock makes an operator that works as Coraza's @rx does: the reference, and for sites without a prover.
func NewStock(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	p, err := Shared(o.Arguments)
	if err != nil {
		return nil, err
	}
	return stock{p}, nil
}

// Evaluate implements plugintypes.Operator.
func (o operator) Evaluate(tx plugintypes.TransactionState, value string) bool {
	var nothing automaton.Budget
	answer := o.quick(value, &nothing)
	if answer == automaton.Unknown {
		answer = o.learn(tx, value)
	}
	switch {
	case answer == automaton.Unknown:
		return stock{o.Pattern}.Evaluate(tx, value)
	case answer == automaton.No:
		return false
	}
	return !tx.Capturing() || o.capture(tx, value)
}

// learn is quick, and builds what is missing as far as tx may.
func (o operator) learn(tx plugintypes.TransactionState, value string) automaton.Answer {
	b := &automaton.Budget{States: math.MaxInt}
	if v, ok := lent.Load(tx); ok {
		b = v.(*automaton.Budget)
	}
	b.Each = freeStates + len(value)/everyBytes
	return o.quick(value, b)
}

// Evaluate implements plugintypes.Operator.
func (o stock) Evaluate(tx plugintypes.TransactionState, value string) bool {
	if tx.Capturing() {
		return o.capture(tx, value)
	}
	return o.engine.MatchString(value)
}

// capture stores the groups of the first match. It is Groups without the slice.
func (p *Pattern) capture(tx plugintypes.TransactionState, value string) bool {
	at := p.engine.FindStringSubmatchIndex(value)
	if at == nil {
		return false
	}
	for i := range min(len(at)/2, maxGroups) {
		group := ""
		if at[2*i] >= 0 {
			group = value[at[2*i]:at[2*i+1]]
		}
		tx.CaptureField(i, group)
	}
	return true
}
