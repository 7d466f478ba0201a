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

// goals are the ratios that are aimed at, by paranoia level and kind of exchange.
var goals = map[int]map[string]float64{
	1: {"get": 350, "json2k": 260, "form1k": 240, "json64k": 300, "multipart": 15, "html8k": 120, "sqli": 20, "xss": 20, "cold_get": 120},
	2: {"get": 500, "json2k": 300, "form1k": 350},
}

// goal says which ratio is aimed at and whether it is reached; "" where there is none.
func goal(paranoia int, kind string, ratio float64) string {
	switch want, ok := goals[paranoia][kind]; {
	case !ok:
		return ""
	case ratio >= want:
		return fmt.Sprintf("≥ %.0f× met", want)
	default:
		return fmt.Sprintf("≥ %.0f× missed", want)
	}
}

// TestRatios prints by how much the prover is cheaper than the rules: CPU time on one processor, medians of seven
// interleaved rounds; and beside it what is aimed at.
func TestRatios(t *testing.T) {
	if !*ratios {
		t.Skip("only with -ratios (make bench)")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var table strings.Builder
	for _, paranoia := range []int{1, 2} {
		fmt.Fprintf(&table, "\nparanoia %d\n%-10s %38s %38s %8s  goal\n", paranoia, "", "stock", "gatehouse", "ratio")
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
			ratio := float64(pair[0].median()) / float64(pair[1].median())
			fmt.Fprintf(&table, "%-10s %38v %38v %7.1f×  %s\n", kind, pair[0], pair[1], ratio, goal(paranoia, kind, ratio))
		}
	}
	t.Log(table.String())
}

// TestParsingAlone prints what Coraza's parsing takes of what an exchange with a body takes: reading the body and showing
// head and body to the engine that only parses, without anything judged.
func TestParsingAlone(t *testing.T) {
	if !*ratios {
		t.Skip("only with -ratios (make bench)")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var table strings.Builder
	for _, kind := range []string{"multipart", "json2k", "form1k", "json64k"} {
		e, all := side(t, "gatehouse", 1, false), benchStream(kind)
		alone := &contender{name: "parsing", do: func(n int) { parseAlone(t, e, all[n%len(all)]) }}
		judged := &contender{name: "gatehouse", do: func(n int) { whole(t, e, kind, all[n%len(all)]) }}
		compete([]*contender{alone, judged}, 7, 300*time.Millisecond)
		fmt.Fprintf(&table, "%-10s %38v %38v  %.2f times\n", kind, alone, judged, judged.median()/alone.median())
	}
	t.Logf("parsing alone, gatehouse\n%s", table.String())
}

func parseAlone(t testing.TB, e *Engine, p *prepared) {
	p.body.Reset(p.exchange.body)
	data, charged, err := slurp(&p.body, p.r.ContentLength, e.cfg.BodyLimit, e.budget)
	e.budget.give(charged)
	if err != nil {
		t.Fatal(err)
	}
	tx := e.innocence.parser.NewTransactionWithID("parsed")
	defer func() { _ = tx.Close() }()
	requestHead{describe(p.r, testClient)}.to(tx)
	requestBody{data, processorOf(tx)}.to(tx)
}
