package waf

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

var ratios = flag.Bool("ratios", false, "TestRatios and TestHostileCost measure at length and print tables")

// TestRatios prints by how much the prover is cheaper than the rules: CPU time on one processor, medians of seven
// interleaved rounds.
func TestRatios(t *testing.T) {
	if !*ratios {
		t.Skip("only with -ratios (make bench)")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var table strings.Builder
	for _, paranoia := range []int{1, 2} {
		fmt.Fprintf(&table, "\nparanoia %d\n%-10s %38s %38s %8s\n", paranoia, "", "stock", "gatehouse", "ratio")
		for _, kind := range streamKinds {
			all, pair := benchStream(kind), []*contender(nil)
			for _, name := range sideNames {
				e := side(t, name, paranoia, strings.HasPrefix(kind, "html"))
				pair = append(pair, &contender{name: name, do: func(n int) { whole(t, e, kind, all[n%len(all)]) }})
			}
			if paranoia > 1 && attacked(kind) { // a score of 5 may come earlier at a higher level
				continue
			}
			compete(pair, 7, 300*time.Millisecond)
			fmt.Fprintf(&table, "%-10s %38v %38v %7.1f×\n", kind, pair[0], pair[1], pair[0].median()/pair[1].median())
		}
	}
	t.Log(table.String())
}
