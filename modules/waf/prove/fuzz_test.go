package prove

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"gatehouse.internal/modules/waf/symbol"
)

// FuzzValue compares what every plan finds about a value with plain evaluation.
func FuzzValue(f *testing.F) {
	for _, a := range attacks {
		f.Add(a)
	}
	f.Add("ſelect K \xff%u0027&#x3c;\\u003c")
	e := build(f, 2, "")
	p := e.prover(f, unbounded)
	pl := e.plain(f, p)
	f.Fuzz(func(t *testing.T, v string) {
		if len(v) > 2000 {
			return
		}
		pf := p.Begin(nil)
		defer pf.End()
		if _, err := pl.disagreement(p, pf, v, true); err != nil {
			t.Fatal(err)
		}
	})
}

// TestWalkersShowCorazasStages compares walkers with the stages that transform computes.
func TestWalkersShowCorazasStages(t *testing.T) {
	t.Parallel()
	e := build(t, 2, selecting)
	p := e.prover(t, unbounded)
	pf := p.Begin(nil)
	defer pf.End()
	g := &values{r: rand.New(rand.NewPCG(8, 8)), rules: p.rules}
	seen := map[string]bool{}
	jumped := 0
	any := []*rule{{}} // one that any text may match, so that no walk ends early
	for _, one := range p.plans.known {
		for _, gr := range one.groups {
			if !gr.multi || seen[gr.chain.Key()] {
				continue
			}
			seen[gr.chain.Key()] = true
			if len(gr.walker.stages) == 0 {
				t.Errorf("%s has no walker", gr.chain.Key())
				continue
			}
			for range soak(3000) {
				v := g.next()
				var have []string
				pf.walk(&gr.walker, v, symbol.Of(v), any, func(s string, _ symbol.Set) bool {
					have = append(have, string([]byte(s)))
					return true
				})
				want := slices.Compact(gr.chain.Stages(v, nil))[1:]
				if !slices.Equal(have, want) {
					t.Fatalf("%s of %q: stages %q, want %q", gr.chain.Key(), v, have, want)
				}
				var wanted []string
				for _, s := range want {
					if anyWants(gr.rules, symbol.Of(s)) {
						wanted = append(wanted, s)
					}
				}
				have = have[:0]
				pf.walk(&gr.walker, v, symbol.Of(v), gr.rules, func(s string, _ symbol.Set) bool {
					have = append(have, string([]byte(s)))
					return true
				})
				if !slices.Equal(have, wanted) {
					t.Fatalf("%s of %q: stages %q, want %q", gr.chain.Key(), v, have, wanted)
				}
				if gr.walker.jumps(symbol.Of(v), gr.rules) {
					jumped++
				}
			}
		}
	}
	if len(seen) < 5 || jumped < 100 {
		t.Errorf("only %d chains with multiMatch, %d jumps", len(seen), jumped)
	}
}

// TestConcurrentProofs shares one prover among goroutines that prove the same exchanges; all must come to what one comes
// to alone, and contradict the full rules as little.
func TestConcurrentProofs(t *testing.T) {
	t.Parallel()
	e := build(t, 1, selecting)
	alone := e.prover(t, unbounded)
	r := rand.New(rand.NewPCG(6, 6))
	var all []*exchange
	var want []bool
	for range 60 {
		x := anyExchange(r)
		proven, _ := e.proofOf(alone, x)
		all, want = append(all, x), append(want, proven == lastPhase)
	}
	p := e.prover(t, Options{ValueStates: 1 << 20, RequestStates: 1 << 30, MemoEntries: 64, MemoBytes: 8 << 10})
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i := range all {
				i = (i*7 + n*13) % len(all)
				if proven, _ := e.proofOf(p, all[i]); (proven == lastPhase) != want[i] {
					t.Errorf("exchange %d: proven up to %d, alone %v", i, proven, want[i])
				}
				tx := e.parse.NewTransaction()
				pf := p.Begin(tx.(plugintypes.TransactionState))
				pf.Droppable(1)
				pf.End()
				_ = tx.Close()
			}
			p.Stats()
		})
	}
	wg.Wait()
	if b := p.memo.bytes.Load(); b < 0 || b > 8<<10 {
		t.Errorf("the memo holds %d bytes", b)
	}
}
