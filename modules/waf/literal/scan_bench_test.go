package literal

import (
	"regexp/syntax"
	"strings"
	"testing"

	"gatehouse.internal/modules/waf/rx/rxtest"
)

// ruleNeeds are the needs of all rules' patterns, and the patterns, side by side.
func ruleNeeds(t testing.TB) (needs []Need, trees []*syntax.Regexp) {
	t.Helper()
	for _, arg := range rxtest.Arguments(t) {
		re, err := syntax.Parse("(?sm)"+arg, syntax.Perl)
		if err != nil {
			continue // for binaryregexp, or a repeat beyond its limit
		}
		needs, trees = append(needs, Analyse(re)), append(trees, re)
	}
	return needs, trees
}

func lists(needs []Need) (all [][]string) {
	for _, n := range needs {
		all = append(all, n.Any)
	}
	return all
}

func BenchmarkScan(b *testing.B) {
	needs, _ := ruleNeeds(b)
	all := lists(needs)
	long := make([][]string, len(all))
	for i, list := range all {
		for _, s := range list {
			if len(s) > 2 {
				long[i] = append(long[i], s)
			}
		}
	}
	for _, of := range []struct {
		name  string
		lists [][]string
	}{{"all", all}, {"without pairs", long}, {"nothing", make([][]string, 9)}} {
		s, err := NewScanner(of.lists)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(of.name, func(b *testing.B) {
			b.ReportAllocs()
			text := rxtest.Benign[:1024]
			var hits Hits
			rxtest.Best(b, len(text), func() {
				hits = Hits{}
				s.Scan(text, &hits)
			})
			b.ReportMetric(float64(hits.Len()), "lists-hit")
			b.ReportMetric(float64(len(s.files)), "strings")
		})
	}
}

// BenchmarkScanHostile scans what makes the most work: of every string all but its last byte.
func BenchmarkScanHostile(b *testing.B) {
	needs, _ := ruleNeeds(b)
	s, err := NewScanner(lists(needs))
	if err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	crowd, most := 0, 0
	for _, f := range s.files {
		if crowd++; f.last {
			most, crowd = max(most, crowd), 0
		}
		text.WriteString(f.text[:len(f.text)-1])
	}
	rxtest.Best(b, text.Len(), func() {
		var hits Hits
		s.Scan(text.String(), &hits)
	})
	b.ReportMetric(float64(most), "strings-under-one-gram")
}

func BenchmarkAnalyse(b *testing.B) {
	_, trees := ruleNeeds(b)
	for b.Loop() {
		for _, re := range trees {
			Analyse(re)
		}
	}
}
