package waf

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/waf/prove"
	"gatehouse.internal/modules/waf/rx"
)

// coldRequest is a request with one hostile value of a kind.
func coldRequest(t testing.TB, kind string, n int) *prepared {
	x := &exchange{method: "POST", target: "/", host: "portal.example.com", headers: newBrowser(newSeeded(1), 1).script()}
	x.carry("application/json", fmt.Sprintf(`{"q":%s}`, quoteJSON(hostileValues(t, kind, n+1)[n])))
	return ready(x)
}

// hardKinds are those of which no two values are alike, so that nothing learnt suffices.
var hardKinds = []string{"random bytes", "random text", "attacks in a row", "attacks cut short"}

var hostileKinds = append(sortedNames(hostileTexts), hardKinds...)

// forget lets go of what no engine needs any more: automata of rules are shared by all engines while one of them lives.
// It reports whether nothing that was learnt is left.
func forget() bool {
	for range 20 {
		runtime.GC() // Coraza's pools of transactions need a few
		if rx.Use().Automata == 0 {
			return true
		}
	}
	return false
}

// TestBuildingIsBounded: no single request has more built of automata than prover and rules may, whatever it holds, and
// nothing is compiled for it.
func TestBuildingIsBounded(t *testing.T) {
	e := proverEngine(t, Config{Paranoia: 2, Mode: Block, BodyLimit: benchBody})
	held := func() (states, compiled int) {
		p, r := e.ProverStats(), rx.Use()
		return p.States - p.Unions + r.States - r.Automata, r.Automata // each has a first state when it is made
	}
	many := "["
	for _, v := range hostileValues(t, "random text", 1) {
		for i := 0; i+100 < len(v); i += 100 {
			many += quoteJSON(v[i:i+100]) + ","
		}
	}
	manyShort := &exchange{method: "POST", target: "/", host: "portal.example.com"}
	manyShort.carry("application/json", many+"0]")
	requests := []*prepared{ready(manyShort)}
	for _, kind := range []string{"random text", "random bytes", "attacks in a row", "attacks cut short", "letters", "tags"} {
		requests = append(requests, coldRequest(t, kind, 0))
	}
	most, total, compiled := 0, 0, 0
	for n, p := range requests {
		before, made := held()
		i, _ := p.judge(e)
		after, now := held()
		built := after - before
		if total, most = total+built, max(most, built); built > prove.RequestStates+judgeStates {
			t.Errorf("request %d: %d states built", n, built)
		}
		if i.trial.builds.States < 0 || i.trial.builds.States > judgeStates {
			t.Errorf("request %d: the rules' expressions were charged %d of %d states", n, judgeStates-i.trial.builds.States, judgeStates)
		}
		if compiled = now; now != made {
			t.Errorf("request %d: %d automata made", n, now-made)
		}
	}
	if t.Logf("%d automata, %d states, at most %d for a request", compiled, total, most); most < 500 || compiled < 100 {
		t.Error("that is too little to have tried the bounds")
	}
}

// TestColdAutomata: a hostile value costs no more than hostileLimit times what the rules alone take when an engine has
// learnt nothing yet, by the median of some engines and values.
func TestColdAutomata(t *testing.T) {
	if !*ratios {
		t.Skip("only with -ratios (make bench)")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sides.Lock()
	clear(sides.engines)
	sides.Unlock()
	spend := func(e *Engine, p *prepared) time.Duration {
		begin := cpuClock()
		p.judge(e)
		return cpuClock() - begin
	}
	middle := func(all []float64) float64 { return slices.Sorted(slices.Values(all))[len(all)/2] }
	var table strings.Builder
	for _, kind := range hostileKinds {
		var alone, first, ratio, states []float64
		rounds := 1
		if slices.Contains(hardKinds, kind) {
			rounds = 7
		}
		for n := range rounds {
			if !forget() {
				t.Fatal("some automata are not cold")
			}
			e, p := proverEngine(t, Config{Paranoia: 1, Mode: Block, BodyLimit: benchBody}), coldRequest(t, kind, n)
			before := rx.Use()
			runtime.GC()
			first = append(first, float64(spend(e, p))/1e6)
			s, after := e.ProverStats(), rx.Use()
			states = append(states, float64(s.States-s.Unions+after.States-before.States))
			e = stockEngine(t, Config{Paranoia: 1, Mode: Block, BodyLimit: benchBody})
			spend(e, p)
			runtime.GC()
			alone = append(alone, float64(min(spend(e, p), spend(e, p)))/1e6)
			ratio = append(ratio, first[n]/alone[n])
			e = nil
		}
		costs := middle(ratio)
		fmt.Fprintf(&table, "%-26s alone %6.1f ms  first %6.1f ms  costs %.2f  %5.0f states built\n", kind, middle(alone), middle(first), costs, middle(states))
		if costs > hostileLimit {
			t.Errorf("%s: %.2f times the cost of the rules alone", kind, costs)
		}
	}
	t.Logf("8 KB in one JSON value, nothing learnt yet\n%s", table.String())
}
