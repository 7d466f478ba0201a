package obligation_test

import (
	"testing"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/obligation/obligationtest"
	"gatehouse.internal/modules/waf/seclang"
)

// program is a generated program with exchanges for it.
func program(seed uint64) (string, []exchange) {
	text, made := obligationtest.Program(seed)
	var xs []exchange
	for _, x := range made {
		xs = append(xs, exchange{method: x.Method, uri: x.URI, noBody: x.NoBody, status: x.Status, answer: "x"})
	}
	return text, xs
}

// TestGeneratedProgramsKeepTheClaims is the soundness test: whatever the rules, if no obligation matches, nothing of
// consequence happens and constants are constant.
func TestGeneratedProgramsKeepTheClaims(t *testing.T) {
	programs := uint64(4000)
	if testing.Short() {
		programs = 400
	}
	clean, unclean, constants := 0, 0, 0
	for seed := range programs {
		text, xs := program(seed)
		j := newJudge(t, texts{}, []seclang.Source{{Text: text}})
		constants += len(j.set.Constants)
		for _, x := range xs {
			o := check(j.waf, j.set, x)
			if o.violation != nil {
				t.Fatalf("seed %d, %s: %v\nmatched %v\n%s\n%s", seed, x.uri, o.violation, o.matched, summary(j.set), text)
			}
			if o.clean {
				clean++
			} else {
				unclean++
			}
		}
	}
	t.Logf("%d clean, %d not, %d constants", clean, unclean, constants)
	if clean*5 < unclean || constants == 0 {
		t.Errorf("%d clean, %d not, %d constants: too little is claimed for the test to mean anything", clean, unclean, constants)
	}
}

func FuzzWalk(f *testing.F) {
	for seed := range uint64(40) {
		text, _ := program(seed)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := seclang.Parse(texts{}, []seclang.Source{{Text: text}})
		if err != nil {
			return
		}
		if set, err := obligation.Read(p); err == nil {
			_ = summary(set)
		}
	})
}
