package rx

import (
	"math/rand/v2"
	"testing"

	"gatehouse.internal/modules/waf/automaton"
	"gatehouse.internal/modules/waf/rx/rxtest"
)

// What all automata of CRS's patterns against XSS and SQLi hold together stays bounded, whatever is sent.
func TestSizeUnderHostileValues(t *testing.T) {
	all, r := patterns(t), rand.New(rand.NewPCG(1, 2))
	sum := func() (states, bytes int) {
		for _, p := range all {
			states, bytes = states+p.fast.States(), bytes+p.fast.Size()
		}
		return states, bytes
	}
	_, empty := sum()
	for i := range 40 {
		for _, p := range all {
			p.Match(rxtest.Random(2000, i%2 == 0, r), &automaton.Budget{States: 200})
			p.Match(rxtest.Mutate(rxtest.Sample(p.tree, r), r), &automaton.Budget{States: 200})
		}
	}
	states, bytes := sum()
	t.Logf("%d automata: %d KiB empty, %d states in %d KiB after hostile values", len(all), empty>>10, states, bytes>>10)
	if states > len(all)*maxStates || bytes > len(all)<<20 {
		t.Errorf("%d states, %d bytes in %d automata", states, bytes, len(all))
	}
}
