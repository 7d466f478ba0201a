package literal

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"unicode"

	"gatehouse.internal/modules/waf/rx/rxtest"
	"gatehouse.internal/modules/waf/symbol"
)

// broken says what of a need a text lacks, or "". It searches naively.
func broken(n Need, text string) string {
	if len(text) < n.MinLen {
		return fmt.Sprintf("%d bytes, not %d", len(text), n.MinLen)
	}
	for _, set := range n.Sets {
		if !symbol.Of(text).Meets(set) {
			return fmt.Sprintf("no symbol of %b", set)
		}
	}
	if n.Any != nil && !Odd(text) && !naive(text, n.Any) {
		return fmt.Sprintf("none of %q", n.Any)
	}
	return ""
}

func parse(t testing.TB, expr string) *syntax.Regexp {
	t.Helper()
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	return re
}

func TestAnalyse(t *testing.T) {
	for _, c := range []struct {
		name, expr string
		any        []string
		least      int
	}{
		{"literal", `select`, []string{"select"}, 6},
		{"capitals are folded", `SELECT`, []string{"select"}, 6},
		{"folding", `(?i)kiss`, []string{"kiss"}, 4},
		{"alternatives", `foo|bar`, []string{"bar", "foo"}, 3},
		{"alternative that contains another", `foo|xfoox`, []string{"foo"}, 3},
		{"one alternative says nothing", `foo|\d`, nil, 1},
		{"empty alternative", `foo|`, nil, 0},
		{"small class multiplies", `<[ab]c`, []string{"<ac", "<bc"}, 3},
		{"class with a long s", `(?i)x[s]y`, []string{"xsy"}, 3},
		{"class beyond ASCII", `ee[é]xz`, []string{"xz"}, 6},
		{"negated class", `ab[^c]d`, []string{"ab"}, 4},
		{"negated class under folding", `(?i)[^k]`, nil, 1},
		{"repeat joins on both sides", `xab+cd`, []string{"bcd"}, 5},
		{"optional part", `xa?bz`, []string{"xabz", "xbz"}, 3},
		{"star breaks", `xz(?:ab)*ee`, []string{"xz"}, 4},
		{"captures do not matter", `(x)((y)z)`, []string{"xyz"}, 3},
		{"assertions take no byte", `^\bx\by$`, []string{"xy"}, 2},
		{"replacement rune may be one byte", "\ufffda", nil, 2},
		{"other runes count their bytes", `é€`, nil, 5},
		{"folding can shorten", `(?i)ⱥ`, nil, 2},
		{"matches nothing", `[^\x00-\x{10FFFF}]`, nil, 0},
		{"anything", `(?s).*`, nil, 0},
		{"counted", `(?:ab){3}`, []string{"ababab"}, 6},
		{"long", strings.Repeat("q", 40), nil, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := Analyse(parse(t, c.expr))
			if c.name == "long" {
				if len(n.Any) != 1 || len(n.Any[0]) < 10 {
					t.Errorf("any of %q", n.Any)
				}
			} else if got := slices.Sorted(slices.Values(n.Any)); !slices.Equal(got, c.any) {
				t.Errorf("any of %q, want %q", got, c.any)
			}
			if n.MinLen != c.least {
				t.Errorf("at least %d bytes, want %d", n.MinLen, c.least)
			}
		})
	}
}

func TestOddIsEveryLetterThatFoldsToASCII(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		folds := false
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			folds = folds || f < 0x80
		}
		if want := folds && r >= 0x80; Odd("\xe2"+string(r)+"x") != want {
			t.Errorf("%U: odd is %v", r, !want)
		}
	}
}

// A text that a rule's pattern matches has all that the pattern needs, and the scanner finds the same lists as a naive
// search.
func TestRules(t *testing.T) {
	needs, trees := ruleNeeds(t)
	all := lists(needs)
	scanner, err := NewScanner(all)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	matches, withAny := 0, 0
	for i, tree := range trees {
		re := regexp.MustCompile(tree.String())
		if needs[i].Any != nil {
			withAny++
		}
		for k := range 60 {
			text := rxtest.Mutate(rxtest.Sample(tree, r), r)
			if re.MatchString(text) {
				matches++
				if what := broken(needs[i], text); what != "" {
					t.Fatalf("%s matches %q, which has %s", tree, text, what)
				}
			}
			if k == 0 {
				compareScan(t, scanner, all, text)
			}
		}
	}
	if matches < 5000 || withAny < 200 {
		t.Errorf("%d matches, %d of %d with strings: the test has lost its substance", matches, withAny, len(trees))
	}
	t.Logf("%d matches; %d of %d patterns with strings", matches, withAny, len(trees))
}

// compareScan compares a scan with the naive search, list by list.
func compareScan(t *testing.T, s *Scanner, lists [][]string, text string) {
	t.Helper()
	if d := scanDisagreement(s, lists, text); d != "" {
		t.Fatal(d)
	}
}

func scanDisagreement(s *Scanner, lists [][]string, text string) string {
	var hits Hits
	s.Scan(text, &hits)
	for i, list := range lists {
		if want := naive(text, list); hits.Has(i) != want {
			return fmt.Sprintf("%q: list %d, %q: %v, want %v", text, i, list, hits.Has(i), want)
		}
	}
	return ""
}

// naive is a search byte by byte, since strings to search for need not be valid UTF-8.
func naive(text string, list []string) bool {
	text = fold(text)
	return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(text, fold(s)) })
}

func TestScanner(t *testing.T) {
	for _, c := range []struct {
		name  string
		lists [][]string
		text  string
		want  []int
	}{
		{"no lists", nil, "abc", nil},
		{"empty text", [][]string{{"ab"}}, "", nil},
		{"text shorter than a gram", [][]string{{"ab"}}, "a", nil},
		{"pair alone", [][]string{{"ab"}}, "AB", []int{0}},
		{"three alone", [][]string{{"abc"}, {"abd"}}, "aBc", []int{0}},
		{"four alone", [][]string{{"abcd"}, {"bcd"}, {"cd"}, {"abcde"}}, "abcd", []int{0, 1, 2}},
		{"folding beyond letters", [][]string{{"a@b"}, {"a`b"}, {"[["}, {"{{"}}, "a@b [[", []int{0, 2}},
		{"bytes beyond ASCII", [][]string{{"é\xff"}, {"É\xff"}}, "xé\xff", []int{0}},
		{"zeros behind the end", [][]string{{"ab\x00"}, {"b\x00\x00\x00"}, {"ab"}}, "ab", []int{2}},
		{"spaces behind the end", [][]string{{"ab  "}, {"b  "}}, "ab", nil},
		{"zeros, the text ends before", [][]string{{"\x00\x00"}, {"\x00\x00\x00"}, {"\x00\x00\x00\x00"}}, "\x00\x00", []int{0}},
		{"a pair like two zeros under folding", [][]string{{"  "}}, "0", nil},
		{"list with several", [][]string{{"xx", "yyyy"}, {"yyyy"}}, "YyyY", []int{0, 1}},
		{"empty list", [][]string{nil, {"ab"}}, "ab", []int{1}},
		{"around a block's end", [][]string{{"needle"}}, strings.Repeat(".", 61) + "Needle" + strings.Repeat(".", 80), []int{0}},
		{"around the last block", [][]string{{"needle"}}, strings.Repeat(".", 130) + "Needle", []int{0}},
		{"not quite", [][]string{{"needle"}}, strings.Repeat("needl.eedle ", 20), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := NewScanner(c.lists)
			if err != nil {
				t.Fatal(err)
			}
			var hits Hits
			s.Scan(c.text, &hits)
			for i := range MaxLists {
				if hits.Has(i) != slices.Contains(c.want, i) {
					t.Errorf("list %d: %v", i, hits.Has(i))
				}
			}
			if hits.Len() != len(c.want) {
				t.Errorf("%d hits", hits.Len())
			}
		})
	}
}

func TestScannerAtEveryPlace(t *testing.T) {
	lists := [][]string{{"qz"}, {"qzx"}, {"qzxj"}, {"qzxjv"}, {"zxjvbnmqwertyuiop"}}
	s, err := NewScanner(lists)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 150 {
		for _, list := range lists {
			for at := 0; at+len(list[0]) <= n; at++ {
				text := strings.Repeat("-", at) + strings.ToUpper(list[0]) + strings.Repeat("-", n-at-len(list[0]))
				compareScan(t, s, lists, text)
			}
		}
	}
}

func TestNewScannerRefuses(t *testing.T) {
	if _, err := NewScanner(make([][]string, MaxLists+1)); err == nil {
		t.Error("too many lists were accepted")
	}
	if _, err := NewScanner([][]string{{"a"}}); err == nil {
		t.Error("a string of one byte was accepted")
	}
	if _, err := NewScanner(make([][]string, MaxLists)); err != nil {
		t.Error(err)
	}
}

func TestHitsOutOfRange(t *testing.T) {
	h := Hits{^uint64(0)}
	if h.Has(-1) || h.Has(MaxLists) || h.Has(1<<40) || !h.Has(63) || h.Has(64) {
		t.Error("Has is wrong at its edges")
	}
}

// The checkers see a Need that is wrong in any one part, and a scanner whose tables lack any one bit.
func TestInjectedFaultsAreSeen(t *testing.T) {
	expr := `(?i)<scr[a-z]+t|javascript:\s*alert`
	tree, re := parse(t, expr), regexp.MustCompile(expr)
	r := rand.New(rand.NewPCG(3, 4))
	var matching []string
	for len(matching) < 200 {
		if s := rxtest.Sample(tree, r); re.MatchString(s) {
			matching = append(matching, s)
		}
	}
	sees := func(n Need) bool {
		return slices.ContainsFunc(matching, func(s string) bool { return broken(n, s) != "" })
	}
	sound := Analyse(tree)
	if sees(sound) || len(sound.Any) < 2 || len(sound.Sets) == 0 {
		t.Fatalf("%+v", sound)
	}
	for i := range sound.Any {
		n := sound
		if n.Any = slices.Delete(slices.Clone(n.Any), i, i+1); !sees(n) {
			t.Errorf("that %q is missing was not seen", sound.Any[i])
		}
	}
	for _, n := range []Need{{MinLen: sound.MinLen + 1}, {Sets: []symbol.Set{symbol.Digit}}, {Any: []string{"<script"}}} {
		if !sees(n) {
			t.Errorf("%+v was not seen to be wrong", n)
		}
	}
	lists := [][]string{{"qz"}, {"qzx"}, {"wvut"}}
	text := "qz qzx wvut"
	for fault, break_ := range map[string]func(*Scanner){
		"pairs": func(s *Scanner) { s.pairs = [len(s.pairs)]uint8{} },
		"grams": func(s *Scanner) { s.grams = [len(s.grams)]uint16{} },
		"index": func(s *Scanner) { clear(s.index[4]) },
		"place": func(s *Scanner) { s.files[len(s.files)-1].at++ },
		"owner": func(s *Scanner) { s.files[0].lists = []uint16{2} },
	} {
		s, err := NewScanner(lists)
		if err != nil || scanDisagreement(s, lists, text) != "" {
			t.Fatal(err)
		}
		if break_(s); scanDisagreement(s, lists, text) == "" && scanDisagreement(s, lists, "qz") == "" {
			t.Errorf("%s: not seen", fault)
		}
	}
}

func FuzzAnalyse(f *testing.F) {
	f.Add(`(?i)<scr[a-z]+t|java\s*s`, "<SCRipt")
	f.Add(`[^\x00-\x7f]x|(?i)ks{2,3}`, "\u212aſs")
	f.Add("\ufffd{2}(a|b)?c+d", "\xff\xffccd")
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 200 || len(text) > 1000 {
			t.Skip()
		}
		tree, err := syntax.Parse(expr, syntax.Perl)
		if err != nil {
			t.Skip()
		}
		re, err := regexp.Compile(expr)
		if err != nil {
			t.Skip()
		}
		need := Analyse(tree)
		r := rand.New(rand.NewPCG(uint64(len(text)), uint64(len(expr))))
		for _, s := range []string{text, rxtest.Sample(tree, r), rxtest.Mutate(rxtest.Sample(tree, r), r), text + rxtest.Sample(tree, r)} {
			if re.MatchString(s) {
				if what := broken(need, s); what != "" {
					t.Fatalf("%q matches %q, which has %s", expr, s, what)
				}
			}
			scanner, err := NewScanner([][]string{need.Any})
			if err != nil {
				t.Fatal(err)
			}
			compareScan(t, scanner, [][]string{need.Any}, s)
		}
	})
}

func FuzzScanner(f *testing.F) {
	f.Add("ab\nabc,é\xff\nneedle,x@y", "xNEEDLE ABC é\xff x`y")
	f.Fuzz(func(t *testing.T, spec, text string) {
		var lists [][]string
		for _, line := range strings.Split(spec, "\n") {
			var list []string
			for _, s := range strings.Split(line, ",") {
				if len(s) >= minString {
					list = append(list, s)
				}
			}
			lists = append(lists, list)
		}
		if len(lists) > MaxLists {
			t.Skip()
		}
		s, err := NewScanner(lists)
		if err != nil {
			t.Fatal(err)
		}
		pad := strings.Repeat("-", len(spec)%70)
		for _, text := range []string{text, pad + text, text + pad + spec} {
			compareScan(t, s, lists, text)
		}
	})
}
