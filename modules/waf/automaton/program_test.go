package automaton

import (
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse.internal/modules/waf/rx/rxtest"
)

// An automaton over some expressions of a program matches what package regexp says of their alternation, whatever else the
// program holds.
func TestUnionsOfOneProgram(t *testing.T) {
	args := quiet(t, rxtest.Arguments941942(t))
	trees := union(t, args)
	p, err := Compile(trees, false)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(21, 22))
	matched := 0
	for range 30 {
		var members []int
		var some []string
		for range 1 + r.IntN(6) {
			m := r.IntN(len(args))
			members, some = append(members, m), append(some, args[m])
		}
		a, err := p.Union(members, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.kinds) > len(p.kindsOf) {
			t.Errorf("%d classes of a program's %d", len(a.kinds), len(p.kindsOf))
		}
		want := regexp.MustCompile("(?sm)(?:" + strings.Join(some, ")|(?:") + ")").MatchString
		for _, m := range append(members, r.IntN(len(args)), r.IntN(len(args))) {
			for _, s := range texts(trees[m], 8, r) {
				if d := disagreement(a, want, s, nil); d != "" {
					t.Fatalf("%q: %s", some, d)
				}
				if want(s) {
					matched++
				}
			}
		}
	}
	if matched < 100 {
		t.Errorf("only %d texts matched", matched)
	}
	if _, err := p.Union(nil, 0); err == nil {
		t.Error("an automaton over nothing")
	}
	if _, err := Compile(nil, false); err == nil {
		t.Error("a program of nothing")
	}
}

// Sets of runes that differ in surrogates and U+FFFD alone, which are one and the same in a string, are not one set.
func TestSetsWithSurrogates(t *testing.T) {
	wide, narrow := `[\x{D800}-\x{FFFF}]`, `[\x{FFFD}-\x{FFFF}]`
	for _, args := range [][]string{{wide + "a", narrow + "b"}, {narrow + "b", wide + "a"}} {
		a, err := New(union(t, args), Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := regexp.MustCompile("(?sm)" + strings.Join(args, "|")).MatchString
		for _, s := range []string{"\ue000a", "\ue000b", "\ufffda", "\ufffdb", "\xffa", "\xffb", "\uffffb"} {
			if d := disagreement(a, want, s, nil); d != "" {
				t.Errorf("%q: %s", args, d)
			}
		}
	}
}

// What is charged bounds the work: no text has more instructions looked at than its budget's states stand for, but for
// one step more.
func TestWorkIsCharged(t *testing.T) {
	p, err := Compile(union(t, quiet(t, rxtest.Arguments941942(t))), false)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]int, len(p.starts))
	for i := range all {
		all[i] = i
	}
	a, err := p.Union(all, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(23, 24))
	for n := range 20 {
		text, b := rxtest.Random(500, n%2 == 0, r), &Budget{States: 1000}
		held := a.States()
		a.Match(text, b)
		if built := a.States() - held; 1000-b.States < built {
			t.Errorf("%d states were charged as %d", built, 1000-b.States)
		}
	}
	b := &Budget{States: 10}
	if b.charge(stateWork - 1); b.States != 10 {
		t.Errorf("%d left after less than a state's work", b.States)
	}
	if b.charge(stateWork + 1); b.States != 8 {
		t.Errorf("%d left after two states' work", b.States)
	}
	if b.charge(stateWork * 100); b.States != 0 || b.affords(0) {
		t.Errorf("%d left after more work than there was", b.States)
	}
}

// Classes are the coarsest: runes that no expression tells apart share one.
func TestClassesAreCoarse(t *testing.T) {
	trees := []*syntax.Regexp{}
	for _, s := range []string{`[a-f]x`, `[0-9]+y`, `(?i)k`} {
		re, err := syntax.Parse(s, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, re)
	}
	p, err := Compile(trees, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		members []int
		classes int // line feed, other; words; and what the members tell apart
	}{{[]int{0}, 5}, {[]int{1}, 5}, {[]int{2}, 5}, {[]int{0, 1}, 7}, {[]int{0, 1, 2}, 9}} {
		a, err := p.Union(c.members, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.kinds) != c.classes {
			t.Errorf("%v: %d classes, want %d", c.members, len(a.kinds), c.classes)
		}
		for _, s := range []rune{0, 'a', 'g', 'k', 'K', '\u212a', utf8.MaxRune} {
			if got := p.alphabet.slot(s, 0); p.bounds[got] > s || got+1 < len(p.bounds) && p.bounds[got+1] <= s {
				t.Errorf("%U is in slot %d", s, got)
			}
		}
	}
}
