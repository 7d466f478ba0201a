package prove

import (
	"testing"

	"gatehouse.internal/modules/waf/obligation/obligationtest"
	"gatehouse.internal/modules/waf/seclang"
)

// TestPrunedProgramsJudgeAlike proves things about small programs in which everything depends on everything, and leaves out
// what Droppable names: what is proven must not match, and what is left must match and interrupt as all of it does.
func TestPrunedProgramsJudgeAlike(t *testing.T) {
	programs := uint64(soak(4000))
	dropped, judged, clean := 0, 0, 0
	for seed := range programs {
		text, made := obligationtest.Program(seed)
		e, err := assemble([]seclang.Source{{Text: text}})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		p := e.prover(t, Options{})
		for _, m := range made {
			x := &exchange{method: m.Method, uri: m.URI, status: max(m.Status, 200), reply: "x", replyHeaders: [][2]string{{"Content-Type", "text/html"}}}
			var all, some verdict
			n, ok := 0, false
			for range 30 { // Coraza's maps have no order, and what comes last may decide
				all = e.verdictOf(x, nil)
				some, n = e.prunedVerdict(p, x)
				if ok = equalVerdicts(all, some); ok {
					break
				}
			}
			if !ok {
				t.Fatalf("seed %d, %s %s: with all rules %v, without droppable ones %v\n%s", seed, x.method, x.uri, all, some, text)
			}
			proven, _ := e.proofOf(p, x)
			if bad := e.contradictions(x, proven, all); len(bad) > 0 {
				t.Fatalf("seed %d, %s %s: proven up to phase %d, but %v matched\n%s", seed, x.method, x.uri, proven, bad, text)
			}
			clean += proven
			dropped, judged = dropped+n, judged+1
		}
	}
	t.Logf("%d rules left out in %d exchanges, of which %d phases were proven", dropped, judged, clean)
	if dropped*10 < judged || clean < judged {
		t.Errorf("%d rules left out in %d exchanges, %d phases proven: too few for the test to mean anything", dropped, judged, clean)
	}
}
