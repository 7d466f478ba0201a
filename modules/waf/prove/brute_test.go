package prove

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/libinjection-go"

	"gatehouse.internal/modules/waf/rx"
)

// silent is a transaction that captures nothing, for operators that ask.
type silent struct{ plugintypes.TransactionState }

func (silent) Capturing() bool { return false }

// plain answers for a rule's first condition as simply as can be: every transformation, then the operator on package
// regexp, libinjection or a loop over the phrases.
type plain struct {
	stock map[int]plugintypes.Operator // by rule id
}

// plain returns it, the same for all provers of e, for patterns take long to compile; p is one of them.
func (e *engines) plain(t testing.TB, p *Prover) *plain {
	for _, r := range p.rules {
		r.contained = false // every first condition is to be reported: what containment leaves out, exchanges show
	}
	e.plainOnce.Do(func() {
		arguments := map[int]string{}
		for _, o := range e.set.Rules {
			arguments[o.Rule.ID] = o.Rule.Op.Argument
		}
		e.plainly.stock = map[int]plugintypes.Operator{}
		for _, r := range p.rules {
			if r.op.pattern == nil {
				continue
			}
			op, err := rx.NewStock(plugintypes.OperatorOptions{Arguments: arguments[r.id]})
			if err != nil {
				t.Error(err)
			}
			e.plainly.stock[r.id] = op
		}
	})
	return &e.plainly
}

func (pl *plain) operator(r *rule, s string) bool {
	switch {
	case r.op.holds == nil:
		return true
	case pl.stock[r.id] != nil:
		return pl.stock[r.id].Evaluate(silent{}, s) != r.op.negated
	case r.op.phrases:
		s = asciiLower(s)
		return slices.ContainsFunc(r.op.lits, func(l string) bool { return strings.Contains(s, l) }) != r.op.negated
	case sqlRules[r.id]:
		is, _ := libinjection.IsSQLi(s)
		return is
	}
	return r.op.may(s, nil)
}

// sqlRules are those of CRS that ask libinjection.
var sqlRules = map[int]bool{942100: true, 942101: true}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func (pl *plain) matches(r *rule, v string) bool {
	if !r.multi {
		return pl.operator(r, r.chain.Apply(v))
	}
	return slices.ContainsFunc(r.chain.Stages(v, nil), func(s string) bool { return pl.operator(r, s) })
}

// open reports whether the rule's gate lets it be evaluated on a value of its source.
func (pl *plain) open(r *rule, p *plan, v string) bool {
	g := r.gate
	if g == nil || g.source != p.source {
		return true
	}
	s := asciiLower(g.chain.Apply(v))
	return slices.ContainsFunc(g.lits, func(l string) bool { return strings.Contains(s, l) })
}

// disagreement compares what every plan finds about a value with the plain answer. n counts plain evaluations.
func (pl *plain) disagreement(p *Prover, pf *Proof, v string, sharp bool) (n int, err error) {
	want := make([]int8, len(p.rules)) // 1: no, 2: yes
	for _, one := range sortedPlans(p) {
		f := one.ask(pf, v)
		pf.remaining = 1 << 30
		for _, r := range one.rules {
			if want[r.index] == 0 {
				n++
				want[r.index] = 1
				if pl.matches(r, v) {
					want[r.index] = 2
				}
			}
			if r.witness {
				continue // never reported
			}
			matches := want[r.index] == 2
			found := slices.Contains(f.started, uint16(r.index))
			switch {
			case matches && !found && pl.open(r, one, v):
				return n, fmt.Errorf("rule %d matches %q, and the prover says that it does not", r.id, v)
			case found && !matches && sharp:
				return n, fmt.Errorf("rule %d does not match %q, and the prover doubts it", r.id, v)
			case found && len(r.links) == 0 && !slices.Contains(f.bad, uint16(r.index)):
				return n, fmt.Errorf("rule %d matches %q and is not among the bad", r.id, v)
			}
		}
		if f.spent {
			return n, fmt.Errorf("the budget is spent on %q", v)
		}
	}
	return n, nil
}

func sortedPlans(p *Prover) (all []*plan) {
	for _, one := range p.plans.known {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b *plan) int { return int(a.salt>>1) - int(b.salt>>1) })
	return all
}

// unbounded lets proofs build what they like.
var unbounded = Options{ValueStates: 1 << 20, RequestStates: 1 << 30}

// TestPlansAgreeWithPlainEvaluation asks every plan about values drawn from the rules' own patterns and phrases, encoded
// and damaged, and compares with plain evaluation, in both directions.
func TestPlansAgreeWithPlainEvaluation(t *testing.T) {
	for _, paranoia := range []int{1, 2, 4} {
		t.Run(fmt.Sprint("paranoia ", paranoia), func(t *testing.T) {
			t.Parallel()
			e := build(t, paranoia, selecting)
			p := e.prover(t, unbounded)
			pl := e.plain(t, p)
			pf := p.Begin(nil)
			g := &values{r: rand.New(rand.NewPCG(11, uint64(paranoia))), rules: p.rules}
			last, total := "", 0
			for i := range soak(1100) {
				v := g.next()
				if i%5 == 4 {
					v = last // what is remembered must be as good
				}
				last = v
				n, err := pl.disagreement(p, pf, v, true)
				if total += n; err != nil {
					t.Fatalf("value %d: %v", i, err)
				}
			}
			t.Logf("%d evaluations, %+v", total, p.Stats())
			pf.End()
		})
	}
}
