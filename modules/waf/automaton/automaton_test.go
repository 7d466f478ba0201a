package automaton

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"rsc.io/binaryregexp"

	"gatehouse.internal/modules/waf/rx/rxtest"
)

// oracle decides as the package does whose semantics an automaton promises.
type oracle func(string) bool

// pattern compiles an expression both ways. ok is false where one of the sides cannot read it.
func pattern(expr string, o Options) (a *Automaton, want oracle, ok bool) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, nil, false
	}
	if o.Bytes {
		re, err := binaryregexp.Compile(expr)
		if err != nil {
			return nil, nil, false
		}
		want = re.MatchString
	} else {
		want = regexp.MustCompile(expr).MatchString
	}
	a, err = New([]*syntax.Regexp{tree}, o)
	return a, want, err == nil
}

// disagreement says how an automaton contradicts the oracle about a text, or "". Unknown contradicts nothing.
func disagreement(a *Automaton, want oracle, text string, b *Budget) string {
	answer := a.Match(text, b)
	if again := a.MatchBytes([]byte(text), nil); again != Unknown && answer != Unknown && again != answer {
		return fmt.Sprintf("%q: %v as a string, %v as bytes", text, answer, again)
	}
	if answer != Unknown && (answer == Yes) != want(text) {
		return fmt.Sprintf("%q: %v, want %v", text, answer, want(text))
	}
	return ""
}

// texts are near to a match of the tree, or random.
func texts(tree *syntax.Regexp, n int, r *rand.Rand) (all []string) {
	all = []string{"", "\n", "a", "\xff", rxtest.Benign}
	for i := range n {
		all = append(all, rxtest.Sample(tree, r), rxtest.Mutate(rxtest.Sample(tree, r), r))
		if i%4 == 0 {
			all = append(all, rxtest.Random(r.IntN(60), i%8 == 0, r))
		}
	}
	return all
}

func TestAssertions(t *testing.T) {
	alphabet := []string{"", "a", "\n", "_", " ", "é", "\xff", "\x80", "\ufffd", "\u212a", "b"}
	var all []string
	for _, x := range alphabet {
		for _, y := range alphabet {
			for _, z := range alphabet {
				all = append(all, x+y+z)
			}
		}
	}
	for _, expr := range []string{
		``, `^`, `$`, `^$`, `(?m)^`, `(?m)$`, `(?m)^$`, `\A`, `\z`, `\b`, `\B`, `\ba`, `a\b`, `\Ba`, `a\B`, `\b\B`, `\b$`, `^\b`, `(?m)^\b`,
		`(?m)$\n^`, `(?m)a$\n^b`, `\A\z`, `a*\b`, `(\b|a)*b`, `(a|\b)+$`, `(?m:^)a`, `\Aa`, `a\z`, `(?m)\Aa|^b$`, `(?i)k`, `(?i)[k]`, `(?i)[^k]`,
		`[^a]`, `.`, `(?s).`, `.\z`, `(?s)^.{2}$`, `\x{fffd}`, `[\x{80}-\x{10ffff}]{2}`, `é`, `(?i)É`, `[^\x00-\x{10FFFF}]`, `a{0}`, `(?:)|a`,
		`\W\w\W`, `(?m)^\W+$`, `\b\w+\b.\b`, `_\b`, `(?s)\A.*\b\z`,
	} {
		for _, o := range []Options{{}, {Bytes: true}, {MaxStates: 3}} {
			t.Run(fmt.Sprintf("%s %+v", expr, o), func(t *testing.T) {
				a, want, ok := pattern(expr, o)
				if !ok {
					t.Fatal("not compiled")
				}
				for _, text := range all {
					if d := disagreement(a, want, text, nil); d != "" {
						t.Error(d)
					}
					if o.MaxStates == 0 && a.Match(text, nil) == Unknown {
						t.Errorf("%q: no answer, without any bound", text)
					}
				}
			})
		}
	}
}

func TestRulesAgainstRegexp(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	read, judged, matched := 0, 0, 0
	for _, arg := range rxtest.Arguments(t) {
		for _, o := range []Options{{}, {MaxStates: 20}, {Bytes: true}} {
			a, want, ok := pattern("(?sm)"+arg, o)
			if !ok {
				continue
			}
			read++
			tree := a.tree(t, arg)
			for _, text := range texts(tree, 25, r) {
				if d := disagreement(a, want, text, nil); d != "" {
					t.Fatalf("%s\n%s", arg, d)
				}
				if judged++; want(text) {
					matched++
				}
			}
			if a.States() > a.max {
				t.Errorf("%s: %d states", arg, a.States())
			}
		}
	}
	if read < 600 || matched < judged/4 {
		t.Errorf("%d automata, %d texts, %d matches: the test has lost its substance", read, judged, matched)
	}
	t.Logf("%d automata, %d texts, %d matches", read, judged, matched)
}

// tree parses the argument again, for samples.
func (a *Automaton) tree(t *testing.T, arg string) *syntax.Regexp {
	t.Helper()
	return union(t, []string{arg})[0]
}

func TestUnions(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var args []string
	for _, arg := range rxtest.Arguments(t) {
		if _, err := syntax.Parse("(?sm)"+arg, syntax.Perl); err == nil {
			args = append(args, arg)
		}
	}
	quiet := quiet(t, args)
	for _, n := range []int{2, 3, 5, 10, 20, 40, 60} {
		for range 4 {
			r.Shuffle(len(quiet), func(i, j int) { quiet[i], quiet[j] = quiet[j], quiet[i] })
			trees := union(t, quiet[:n])
			a, err := New(trees, Options{})
			if err != nil {
				t.Fatal(err)
			}
			var all []*regexp.Regexp
			for _, arg := range quiet[:n] {
				all = append(all, regexp.MustCompile("(?sm)"+arg))
			}
			want := func(s string) bool {
				for _, re := range all {
					if re.MatchString(s) {
						return true
					}
				}
				return false
			}
			for _, tree := range trees {
				for _, text := range texts(tree, 4, r) {
					if d := disagreement(a, want, text, nil); d != "" {
						t.Fatalf("union of %d: %s", n, d)
					}
				}
			}
		}
	}
}

func TestNeedsAnAlternative(t *testing.T) {
	if _, err := New(nil, Options{}); err == nil {
		t.Error("an automaton of nothing was made")
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	if _, err := New(union(t, []string{"a"}), Options{MaxStates: 1 << 30}); err == nil {
		t.Error("a thousand million states were accepted")
	}
}

func TestBudget(t *testing.T) {
	expr := `(?:a|b)*a(?:a|b){12}c` // every combination of the last 13 letters is a state
	r := rand.New(rand.NewPCG(5, 6))
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "ab"[r.IntN(2)]
		}
		return string(b)
	}
	a, want, _ := pattern(expr, Options{})
	t.Run("what is spent is not exceeded", func(t *testing.T) {
		for range 50 {
			before, b := a.States(), &Budget{States: 7}
			if answer := a.Match(text(500), b); answer != Unknown || a.States()-before > 7 || b.States != 0 {
				t.Fatalf("%v, %d states built, %d left of 7", answer, a.States()-before, b.States)
			}
		}
	})
	t.Run("nor what one text may have", func(t *testing.T) {
		a, _, _ := pattern(expr, Options{})
		b := &Budget{States: 100, Each: 30}
		for want := range 3 {
			if a.Match(text(500), b); b.States > 100-30*(want+1) || b.States < 100-30*(want+1)-2 {
				t.Errorf("%d left of 100 after %d texts that may have 30 each", b.States, want+1)
			}
		}
		if a.Match(text(500), b); b.States != 0 || a.States() > 101 {
			t.Errorf("%d states built, %d left of 100", a.States(), b.States)
		}
	})
	t.Run("bounded and never wrong", func(t *testing.T) {
		a, want, _ := pattern(expr, Options{MaxStates: 100})
		unknown, largest := 0, 0
		for range 3000 {
			s := text(r.IntN(40)) + "c"
			switch a.Match(s, nil) {
			case Unknown:
				unknown++
			case Yes:
				if !want(s) {
					t.Fatalf("%q: yes", s)
				}
			case No:
				if want(s) {
					t.Fatalf("%q: no", s)
				}
			}
			if a.States() > 100 {
				t.Fatalf("%d states", a.States())
			}
			largest = max(largest, a.Size())
		}
		if unknown == 0 || largest > 100*(keyBytes+int(a.stride)*8)+20000 {
			t.Errorf("%d unknown of 3000, %d bytes", unknown, largest)
		}
	})
	_ = want
}

func TestFullTableRecoversButDoesNotThrash(t *testing.T) {
	a, _, _ := pattern(`(?:a|b)*a(?:a|b){9}c`, Options{MaxStates: 50})
	r := rand.New(rand.NewPCG(7, 8))
	tables, bytes := 0, 0
	last := a.table.Load()
	for range 2000 {
		s := rxtest.Random(40, true, r)
		s = strings.Map(func(c rune) rune { return 'a' + c&1 }, s)
		if a.Match(s, nil) == Unknown {
			bytes += len(s)
		}
		if now := a.table.Load(); now != last {
			tables, last = tables+1, now
		}
	}
	if want := bytes / (patience * 50); tables == 0 || tables > want {
		t.Errorf("%d fresh tables after %d bytes without an answer, want 1 to %d", tables, bytes, want)
	}
}

func TestConcurrentUse(t *testing.T) {
	args := quiet(t, rxtest.Arguments941942(t))[:12]
	trees := union(t, args)
	a, err := New(trees, Options{MaxStates: 300}) // small: tables are replaced meanwhile
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile("(?sm)(?:" + strings.Join(args, ")|(?:") + ")").MatchString
	var all []string
	r := rand.New(rand.NewPCG(9, 10))
	for _, tree := range trees {
		all = append(all, texts(tree, 6, r)...)
	}
	truth := make([]bool, len(all))
	for i, s := range all {
		truth[i] = want(s)
	}
	var group sync.WaitGroup
	var answered atomic.Int64
	for g := range 8 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(11, uint64(g)))
			for range 1500 {
				i := r.IntN(len(all))
				answer := a.Match(all[i], &Budget{States: 40})
				if answer == Unknown {
					continue
				}
				if answered.Add(1); (answer == Yes) != truth[i] {
					t.Errorf("%q: %v", all[i], answer)
				}
			}
			_, _ = a.States(), a.Size()
		})
	}
	group.Wait()
	if answered.Load() == 0 {
		t.Error("no answer at all")
	}
}

// The checker sees an automaton in which any one transition leads to a wrong verdict.
func TestAFlippedTransitionIsSeen(t *testing.T) {
	expr := `(?i)<script\b[^>]*>|on(?:load|error)\s*=`
	a, want, _ := pattern(expr, Options{})
	tree := union(t, []string{expr})[0]
	r := rand.New(rand.NewPCG(12, 13))
	all := texts(tree, 300, r)
	for _, s := range all {
		if d := disagreement(a, want, s, nil); d != "" {
			t.Fatal(d)
		}
	}
	rows := *a.table.Load().rows.Load()
	seen, flipped := 0, 0
	for i := specials * a.stride; i < uint32(len(rows)); i++ {
		old := rows[i]
		wrong := map[uint32]uint32{matchRow * a.stride: deadRow * a.stride, deadRow * a.stride: matchRow * a.stride}[old]
		if wrong == 0 {
			continue
		}
		flipped++
		rows[i] = wrong
		for _, s := range all {
			if disagreement(a, want, s, nil) != "" {
				seen++
				break
			}
		}
		rows[i] = old
	}
	if flipped < 10 || seen < flipped*3/4 {
		t.Errorf("%d of %d flipped transitions were seen", seen, flipped)
	}
	t.Logf("%d of %d flipped transitions were seen", seen, flipped)
}

func FuzzAutomaton(f *testing.F) {
	f.Add(`(?i)\bk+$`, "a\u212a\n\xff", false, 0, uint8(3))
	f.Add(`(?sm)^a.*?\bb$`, "a\nb\n", true, 2, uint8(0))
	f.Add(`[^\x80-\xff]{2,}|\B_`, "\xe9\xff_", true, 5, uint8(40))
	f.Fuzz(func(t *testing.T, expr, text string, bytes bool, states int, budget uint8) {
		if len(expr) > 200 || len(text) > 2000 {
			t.Skip()
		}
		a, want, ok := pattern(expr, Options{MaxStates: min(states, 500), Bytes: bytes})
		if !ok || strings.ContainsFunc(expr, func(r rune) bool { return bytes && r >= 0x80 }) {
			t.Skip() // binaryregexp reads such an expression otherwise; rx has trees of its own for that
		}
		for _, s := range []string{text, text + text, text[len(text)/2:], ""} {
			if d := disagreement(a, want, s, &Budget{States: int(budget)}); d != "" {
				t.Fatalf("%q: %s", expr, d)
			}
			if d := disagreement(a, want, s, nil); d != "" {
				t.Fatalf("%q: %s", expr, d)
			}
		}
		if a.States() > a.max {
			t.Fatalf("%q: %d states of %d", expr, a.States(), a.max)
		}
	})
}
