package waf

import (
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/corazawaf/coraza/v3"
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

// TestParsingAlone prints what of an exchange with a body is parsing: what Coraza takes to read and parse it with no rules at
// all, as it is shipped (with files, and its own limit of memory) and at its leanest (without files, all in memory, our
// readers of forms and JSON); what our reading and the engine that only parses take; and what all takes.
func TestParsingAlone(t *testing.T) {
	if !*ratios {
		t.Skip("only with -ratios (make bench)")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	shipped := withoutRules(t, "")
	lean := withoutRules(t, fmt.Sprint("SecRequestBodyInMemoryLimit ", benchBody))
	var table strings.Builder
	for _, kind := range []string{"multipart", "json2k", "form1k", "json64k"} {
		e, all := side(t, "gatehouse", 1, false), benchStream(kind)
		asShipped := &contender{name: "shipped", do: func(n int) {
			hasFiles = true
			defer func() { hasFiles = false }()
			parseWithoutRules(t, shipped, all[n%len(all)])
		}}
		atLeast := &contender{name: "lean", do: func(n int) { parseWithoutRules(t, lean, all[n%len(all)]) }}
		alone := &contender{name: "parsing", do: func(n int) { parseAlone(t, e, all[n%len(all)]) }}
		judged := &contender{name: "gatehouse", do: func(n int) { whole(t, e, kind, all[n%len(all)]) }}
		compete([]*contender{asShipped, atLeast, alone, judged}, 7, 300*time.Millisecond)
		fmt.Fprintf(&table, "%-10s %38v %38v %38v %38v  %.2f and %.2f times\n", kind, asShipped, atLeast, alone, judged,
			judged.median()/asShipped.median(), judged.median()/atLeast.median())
	}
	t.Logf("Coraza without rules as shipped, at its leanest; our parsing alone, all\n%s", table.String())
}

// hasFiles is Coraza's, which package processors switches off.
//
//go:linkname hasFiles github.com/corazawaf/coraza/v3/internal/environment.HasAccessToFS
var hasFiles bool

func withoutRules(t testing.TB, more string) coraza.WAF {
	t.Helper()
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(fmt.Sprintf(
		"SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit %d\n%s", benchBody, more)))
	if err != nil {
		t.Fatal(err)
	}
	return waf
}

func parseWithoutRules(t testing.TB, waf coraza.WAF, p *prepared) {
	p.body.Reset(p.exchange.body)
	tx := waf.NewTransactionWithID("parsed")
	defer func() { _ = tx.Close() }()
	requestHead{describe(p.r, testClient)}.to(tx)
	if strings.HasPrefix(p.r.Header.Get("Content-Type"), "application/json") {
		setProcessor(tx, "JSON")
	}
	if stop, _, err := tx.ReadRequestBodyFrom(struct{ io.Reader }{&p.body}); stop != nil || err != nil {
		t.Fatal(stop, err)
	}
	if stop, err := tx.ProcessRequestBody(); stop != nil || err != nil {
		t.Fatal(stop, err)
	}
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
