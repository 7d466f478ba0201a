package automaton

import (
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"testing"

	"gatehouse.internal/modules/waf/rx/rxtest"
)

// union parses the arguments that package regexp's syntax can read, as Coraza does.
func union(t testing.TB, args []string) (all []*syntax.Regexp) {
	t.Helper()
	for _, arg := range args {
		re, err := syntax.Parse("(?sm)"+arg, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, re)
	}
	return all
}

// quiet leaves out the arguments that match the benign text: nothing is measured after a match.
func quiet(t testing.TB, args []string) (rest []string) {
	t.Helper()
	for _, arg := range args {
		if !regexp.MustCompile("(?sm)" + arg).MatchString(rxtest.Benign) {
			rest = append(rest, arg)
		}
	}
	return rest
}

func BenchmarkUnion(b *testing.B) {
	all := quiet(b, rxtest.Arguments941942(b))
	for _, n := range []int{1, 8, 20, len(all)} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			a, err := New(union(b, all[:n]), Options{})
			if err != nil {
				b.Fatal(err)
			}
			text := rxtest.Benign[:1024]
			if answer := a.Match(text, nil); answer != No {
				b.Fatal(answer)
			}
			rxtest.Best(b, len(text), func() { a.Match(text, nil) })
			b.ReportMetric(float64(a.States()), "states")
			b.ReportMetric(float64(a.Size()), "B-held")
		})
	}
}

func BenchmarkCyrillic(b *testing.B) {
	a, err := New(union(b, quiet(b, rxtest.Arguments941942(b))[:20]), Options{})
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Repeat("Добрый день, я заказал два синих стула. ", 14)
	if answer := a.Match(text, nil); answer != No {
		b.Fatal(answer)
	}
	rxtest.Best(b, len(text), func() { a.Match(text, nil) })
}

// BenchmarkBuild is the price of states: every one of a fresh automaton over one benign text.
func BenchmarkBuild(b *testing.B) {
	all := union(b, quiet(b, rxtest.Arguments941942(b)))
	states := 0
	for b.Loop() {
		b.StopTimer()
		a, err := New(all, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		a.Match(rxtest.Benign, nil)
		states += a.States()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(states), "ns/state")
}
