package transform

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// oracle is Coraza, asked what its rules hand to their operators.
type oracle struct {
	mu     sync.Mutex
	waf    coraza.WAF
	seen   [][]string // what the operator of rule i got, in order
	count  int
	chains []oracleChain
}

// oracleChain is one rule of the oracle: a chain, without multiMatch and with.
type oracleChain struct {
	names []string
	multi bool
}

// probes are the oracles whose rules are being compiled or evaluated, by number.
var probes struct {
	sync.Mutex
	registered bool
	oracles    []*oracle
}

// probe is an operator that remembers what it is given and matches nothing.
type probe struct {
	o *oracle
	i int
}

func (p probe) Evaluate(_ plugintypes.TransactionState, value string) bool {
	p.o.seen[p.i] = append(p.o.seen[p.i], value)
	return false
}

func newProbe(options plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	var number, i int
	if _, err := fmt.Sscanf(options.Arguments, "%d/%d", &number, &i); err != nil {
		return nil, err
	}
	probes.Lock()
	defer probes.Unlock()
	return probe{probes.oracles[number], i}, nil
}

// newOracle compiles two rules per chain.
func newOracle(tb testing.TB, chains [][]string) *oracle {
	tb.Helper()
	o := new(oracle)
	probes.Lock()
	if !probes.registered {
		plugins.RegisterOperator("transformProbe", newProbe)
		probes.registered = true
	}
	number := len(probes.oracles)
	probes.oracles = append(probes.oracles, o)
	probes.Unlock()

	var text strings.Builder
	text.WriteString("SecRuleEngine On\n")
	for _, names := range chains {
		for _, multi := range []bool{false, true} {
			i := len(o.chains)
			o.chains = append(o.chains, oracleChain{names, multi})
			fmt.Fprintf(&text, `SecRule ARGS_GET:v "@transformProbe %d/%d" "id:%d,phase:1,pass,nolog`, number, i, i+1)
			for _, name := range names {
				text.WriteString(",t:" + name)
			}
			if multi {
				text.WriteString(",multiMatch")
			}
			text.WriteString("\"\n")
		}
	}
	o.seen = make([][]string, len(o.chains))
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(text.String()))
	if err != nil {
		tb.Fatal(err)
	}
	o.waf = waf
	return o
}

// ask evaluates all rules on the value. The answer is valid until the next question; callers hold o.mu.
func (o *oracle) ask(tb testing.TB, value string) [][]string {
	tb.Helper()
	for i := range o.seen {
		o.seen[i] = o.seen[i][:0]
	}
	tx := o.waf.NewTransactionWithID(strconv.Itoa(o.count))
	tx.AddGetRequestArgument("v", value)
	tx.ProcessRequestHeaders()
	if err := tx.Close(); err != nil {
		tb.Fatal(err)
	}
	for i, seen := range o.seen {
		if len(seen) == 0 {
			tb.Fatalf("rule %d, %v, was not evaluated", i+1, o.chains[i])
		}
		o.count += len(seen)
	}
	return o.seen
}

// singles are all names as chains of one.
func singles() (chains [][]string) {
	for _, name := range Names() {
		chains = append(chains, []string{name})
	}
	return chains
}

// chainOf is NewChain of names that must be known.
func chainOf(tb testing.TB, names ...string) *Chain {
	tb.Helper()
	c, err := NewChain(names)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
