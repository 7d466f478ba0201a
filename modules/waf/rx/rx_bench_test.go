package rx

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"gatehouse.internal/modules/waf/rx/rxtest"
)

// patterns compiles the arguments of CRS's rules against XSS and SQL injection, none used yet.
func patterns(b testing.TB) (all []*Pattern) {
	b.Helper()
	for _, arg := range rxtest.Arguments941942(b) {
		p, err := Compile(arg)
		if err != nil {
			b.Fatal(err)
		}
		p.automaton()
		all = append(all, p)
	}
	return all
}

// hostile values of 8 KB: what costs an engine much, and what makes an automaton build much.
func hostile() map[string]string {
	r := rand.New(rand.NewPCG(1, 2))
	const n = 8 << 10
	near := ""
	for len(near) < n {
		near += []string{"sele", "on", "<scr", " ", "(", "'", "unio", "\"", "/*", "0x", "ja", "--", ";", "a=", "\n"}[r.IntN(15)]
	}
	return map[string]string{
		"random bytes": rxtest.Random(n, false, r),
		"printable":    rxtest.Random(n, true, r),
		"near misses":  near[:n],
		"one letter":   strings.Repeat("a", n),
	}
}

func transaction(b testing.TB) plugintypes.TransactionState {
	b.Helper()
	waf, err := coraza.NewWAF(coraza.NewWAFConfig())
	if err != nil {
		b.Fatal(err)
	}
	return waf.NewTransaction().(plugintypes.TransactionState)
}

// BenchmarkOperator evaluates every pattern once: a benign kilobyte and a benign short value, automata built.
func BenchmarkOperator(b *testing.B) {
	tx, all := transaction(b), patterns(b)
	for name, value := range map[string]string{"1KB": rxtest.Benign[:1024], "short": "blue chairs, order 4711"} {
		b.Run("stock/"+name, func(b *testing.B) {
			for b.Loop() {
				for _, p := range all {
					stock{p}.Evaluate(tx, value)
				}
			}
		})
		for range 2000 {
			for _, p := range all {
				operator{p}.Evaluate(tx, value)
			}
		}
		b.Run("fast/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, p := range all {
					operator{p}.Evaluate(tx, value)
				}
			}
		})
	}
}

// BenchmarkCold evaluates every pattern once with an automaton that has no states yet, and as Coraza does, on hostile
// values. cold/stock is the ratio of the sums, worst the largest ratio among the patterns that cost stock 0.1 ms or more;
// of each pattern the fastest run counts. (Patterns that stock dismisses in a microsecond, being anchored, cost one state
// more each of the first times, some microseconds.)
func BenchmarkCold(b *testing.B) {
	tx := transaction(b)
	for name, value := range hostile() {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			fast, slow := map[int]time.Duration{}, map[int]time.Duration{}
			least := func(of map[int]time.Duration, i int, evaluate func()) {
				start := time.Now()
				evaluate()
				if took := time.Since(start); of[i] == 0 || took < of[i] {
					of[i] = took
				}
			}
			for b.Loop() {
				for i, p := range patterns(b) {
					least(fast, i, func() { operator{p}.Evaluate(tx, value) })
					least(slow, i, func() { stock{p}.Evaluate(tx, value) })
				}
			}
			var sums [2]time.Duration
			worst := 0.0
			for i := range fast {
				sums[0], sums[1] = sums[0]+fast[i], sums[1]+slow[i]
				if slow[i] > 100*time.Microsecond {
					worst = max(worst, float64(fast[i])/float64(slow[i]))
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(sums[0])/float64(sums[1]), "cold/stock")
			b.ReportMetric(float64(sums[1])/1e6, "stock-ms")
			b.ReportMetric(worst, "worst")
		})
	}
}
