package rx

import (
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"gatehouse.internal/modules/waf/automaton"
)

// One evaluation may build this many states, and one more for this many bytes of its value. A value for which they do
// not suffice is decided by the engine, having lost little: a state costs about what the engine needs for a hundred
// bytes. What was built stays, so that usual values soon need no new ones. See BenchmarkCold.
const (
	freeStates = 16
	everyBytes = 256
)

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
	p, err := shared(o)
	if err != nil {
		return nil, err
	}
	return operator{p}, nil
}

// NewStock makes an operator that works as Coraza's @rx does: the reference, and for sites without a prover.
func NewStock(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	p, err := shared(o)
	if err != nil {
		return nil, err
	}
	return stock{p}, nil
}

// shared compiles the argument once for all rules and engines that share a cache.
//
// Coraza keeps other things in it, in part under bare arguments of rules (@pm, regular expressions of keys, binary @rx),
// and takes what it finds for its own. So the key holds a space before a line feed: Coraza's parser trims each line
// before it joins any, so that no argument in a rule can have one.
func shared(o plugintypes.OperatorOptions) (*Pattern, error) {
	if o.Memoizer == nil {
		return Compile(o.Arguments)
	}
	v, err := o.Memoizer.Do("gatehouse rx \n"+o.Arguments, func() (any, error) { return Compile(o.Arguments) })
	if err != nil {
		return nil, err
	}
	p, ok := v.(*Pattern)
	if !ok {
		return nil, errType(v)
	}
	return p, nil
}

// Evaluate implements plugintypes.Operator.
func (o operator) Evaluate(tx plugintypes.TransactionState, value string) bool {
	budget := automaton.Budget{States: freeStates, Every: everyBytes}
	if !o.Match(value, &budget) {
		return false
	}
	return !tx.Capturing() || o.capture(tx, value)
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
