package prove

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
)

// proofOf runs an exchange through the parsing engine and returns up to which phase it is proven, and the proof.
func (e *engines) proofOf(p *Prover, x *exchange) (proven int, doubts []int) {
	tx := e.parse.NewTransaction()
	defer func() { _ = tx.Close() }()
	pf := p.Begin(tx.(plugintypes.TransactionState))
	defer pf.End()
	x.give(pf)
	x.drive(tx, nil, func(phase int) bool {
		if pf.Phase(phase) {
			proven = phase
			return true
		}
		return false
	})
	return proven, slices.Clone(pf.Doubts())
}

// verdict is what the full rules say.
type verdict struct {
	matched     map[int]bool
	interrupted int // in this phase; 0: not
}

func (e *engines) verdictOf(x *exchange, before func(tx types.Transaction, phase int)) verdict {
	tx := e.judge.NewTransaction()
	defer func() { _ = tx.Close() }()
	v := verdict{matched: map[int]bool{}}
	phase := 0
	it := x.drive(tx, func(n int) {
		phase = n
		if before != nil {
			before(tx, n)
		}
	}, func(int) bool { return true })
	if it != nil {
		v.interrupted = phase
	}
	for _, m := range tx.MatchedRules() {
		v.matched[m.Rule().ID()] = true
	}
	for _, x := range e.set.Exemptions { // have no consequence but the one that does not matter where they are left out
		delete(v.matched, x.By)
	}
	return v
}

// contradictions returns the obligations of proven phases that matched all the same.
func (e *engines) contradictions(x *exchange, proven int, v verdict) (ids []int) {
	if v.interrupted != 0 && v.interrupted <= proven {
		ids = append(ids, -v.interrupted)
	}
	for _, o := range e.set.Rules {
		if o.Rule.Phase <= proven && v.matched[o.Rule.ID] {
			ids = append(ids, o.Rule.ID)
		}
	}
	return ids
}

// TestProvenIsClean compares proofs with the verdicts of Coraza and CRS over exchanges of all sorts: what is proven must
// match no obligation and be refused by nothing. Dropping what Droppable names must change nothing.
func TestProvenIsClean(t *testing.T) {
	for _, paranoia := range []int{1, 2} {
		t.Run(fmt.Sprint("paranoia ", paranoia), func(t *testing.T) {
			t.Parallel()
			e := build(t, paranoia, selecting)
			p := e.prover(t, Options{})
			r := rand.New(rand.NewPCG(7, uint64(paranoia)))
			n, clean, dropped, doubts := soak(1000), 0, 0, map[int]int{}
			for i := range n {
				x := anyExchange(r)
				proven, why := e.proofOf(p, x)
				for _, id := range why {
					doubts[id]++
				}
				v := e.verdictOf(x, nil)
				if bad := e.contradictions(x, proven, v); len(bad) > 0 {
					t.Fatalf("exchange %d: proven up to phase %d, but %v matched\n%+v", i, proven, bad, x)
				}
				if proven == lastPhase {
					clean++
					continue
				}
				if pruned, n := e.prunedVerdict(p, x); !equalVerdicts(pruned, v) {
					t.Fatalf("exchange %d: without droppable rules %v, with them %v\n%+v", i, pruned, v, x)
				} else {
					dropped += n
				}
			}
			t.Logf("%d of %d proven, %d rules dropped from each of the rest, doubts %v", clean, n, dropped/max(1, n-clean), doubts)
			if clean < n/4 {
				t.Errorf("only %d of %d are proven", clean, n)
			}
		})
	}
}

// tuned are directives as an operator writes them.
const tuned = `SecRuleUpdateTargetById 942100 "!ARGS:filter"
SecRuleUpdateTargetByTag "attack-xss" "!ARGS:Comment"
SecRuleUpdateTargetById 941100-941400 "!REQUEST_COOKIES:/^theme/"
SecRuleUpdateTargetById 932160 "!ARGS:/^Note/"`

func equalVerdicts(a, b verdict) bool {
	if a.interrupted != b.interrupted || len(a.matched) != len(b.matched) {
		return false
	}
	for id := range a.matched {
		if !b.matched[id] {
			return false
		}
	}
	return true
}

// prunedVerdict is the full rules' verdict without what Droppable names, phase by phase.
func (e *engines) prunedVerdict(p *Prover, x *exchange) (v verdict, dropped int) {
	fast := e.parse.NewTransaction()
	defer func() { _ = fast.Close() }()
	pf := p.Begin(fast.(plugintypes.TransactionState))
	defer pf.End()
	drop := map[int][]int{}
	x.drive(fast, nil, func(phase int) bool {
		pf.Phase(phase)
		if ids, ok := pf.Droppable(phase); ok {
			drop[phase] = slices.Clone(ids)
			dropped += len(ids)
		}
		return true
	})
	return e.verdictOf(x, func(tx types.Transaction, phase int) {
		for _, id := range drop[phase] {
			tx.(interface{ RemoveRuleByID(int) }).RemoveRuleByID(id)
		}
	}), dropped
}
