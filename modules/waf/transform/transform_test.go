package transform

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"gatehouse.internal/modules/waf/symbol"
)

// checkAll holds a value against Coraza and against all promises.
func checkAll(t *testing.T, o *oracle, chains []*Chain, value string) {
	t.Helper()
	if err := checkOracle(t, o, value); err != nil {
		t.Fatal(err)
	}
	for _, tr := range table {
		if err := checkPromises(tr, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range chains {
		if err := checkChain(c, value); err != nil {
			t.Fatal(err)
		}
	}
}

// everything is an oracle for all transformations and all chains, and our side of it.
func everything(tb testing.TB) (*oracle, []*Chain) {
	tb.Helper()
	all := slices.Concat(singles(), realChains(tb), madeUp)
	var chains []*Chain
	for _, names := range all {
		chains = append(chains, chainOf(tb, names...))
	}
	return newOracle(tb, all), chains
}

func TestNastyValuesAgainstCoraza(t *testing.T) {
	o, chains := everything(t)
	for _, value := range nasty {
		checkAll(t, o, chains, value)
		checkAll(t, o, chains, "x"+value+"Y")
	}
	t.Logf("%d values of %d rules compared", o.count, len(o.chains))
}

func TestRandomValuesAgainstCoraza(t *testing.T) {
	o, chains := everything(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	rounds := 3000
	if raced {
		rounds = 300
	}
	for range rounds {
		checkAll(t, o, chains, random(rnd))
	}
	t.Logf("%d values of %d rules compared", o.count, len(o.chains))
}

// Every pair of bytes, alone and after what gives it a meaning, through what looks at more than one byte.
func TestPairsAgainstCoraza(t *testing.T) {
	var tricky [][]string
	for name := range strings.FieldsSeq("urlDecode urlDecodeUni htmlEntityDecode jsDecode escapeSeqDecode cssDecode cmdLine " +
		"compressWhitespace removeWhitespace removeComments removeCommentsChar replaceComments normalizePath " +
		"normalizePathWin base64Decode base64DecodeExt hexDecode utf8toUnicode trim") {
		tricky = append(tricky, []string{name})
	}
	o := newOracle(t, tricky)
	step := 1
	if testing.Short() || raced {
		step = 61
	}
	for n := 0; n < 1<<16; n += step {
		pair := string([]byte{byte(n >> 8), byte(n)})
		for _, value := range []string{pair + "1A", `\` + pair + " /a", "&#%" + pair} {
			if err := checkOracle(t, o, value); err != nil {
				t.Fatal(err)
			}
			for _, tr := range table {
				if err := checkPromises(tr, value); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Logf("%d values compared", o.count)
}

// Every %uXXXX that can differ, and every character, where a table or Unicode's case decides.
func TestCharactersAgainstCoraza(t *testing.T) {
	o := newOracle(t, [][]string{{"urlDecodeUni"}, {"lowercase"}, {"uppercase"}, {"removeWhitespace"}, {"compressWhitespace"}, {"utf8toUnicode"}})
	unicodeChain, uni := chainOf(t, "utf8toUnicode"), chainOf(t, "utf8toUnicode", "urlDecodeUni")
	var value []byte
	last := rune(utf8.MaxRune)
	if raced {
		last = 0x3000 // nearly all that a table or a case decides
	}
	for r := rune(0x80); r <= last; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		c := string(r)
		for _, name := range []string{"lowercase", "uppercase", "removewhitespace", "compresswhitespace"} {
			if err := checkPromises(byName[name], c); err != nil {
				t.Fatal(err)
			}
		}
		if err := checkChain(uni, c); err != nil {
			t.Fatal(err)
		}
		// Many at once are as good as each alone: they do not depend on their neighbours.
		if value = append(value, c...); len(value) > 4000 || r == last {
			for _, v := range []string{string(value), unicodeChain.Apply(string(value))} {
				if err := checkOracle(t, o, v); err != nil {
					t.Fatal(err)
				}
			}
			value = value[:0]
		}
	}
}

func TestZeroChainIsTheIdentity(t *testing.T) {
	var c Chain
	if got := c.Apply("A+%41"); got != "A+%41" || c.Active() != 0 || !c.FoldsOnly("A", symbol.Upper) {
		t.Errorf("the zero chain gives %q, active %x", got, c.Active())
	}
	if err := checkChain(&c, "A+%41"); err != nil {
		t.Error(err)
	}
}

func TestFoldsOnlySeesFolding(t *testing.T) {
	for _, row := range []struct {
		chain []string
		value string
		want  bool
	}{
		{[]string{"lowercase"}, "AbC", true},
		{[]string{"lowercase"}, "École é", false},
		{[]string{"lowercase"}, "é Ab", true},
		{[]string{"urlDecodeUni", "lowercase"}, "100% Ab", true},
		{[]string{"urlDecodeUni", "lowercase"}, "Ab%41", false},
		{[]string{"cmdLine"}, "Ab cd /", false},
		{[]string{"cmdLine"}, "Ab cd", true},
		{[]string{"lowercase", "htmlEntityDecode"}, "A&b", false}, // case decides about names
		{[]string{"htmlEntityDecode", "lowercase"}, "A&b", true},
		{[]string{"length"}, "", false},
		{[]string{"removeNulls", "compressWhitespace"}, "a b c", true},
	} {
		if got := chainOf(t, row.chain...).FoldsOnly(row.value, symbol.Of(row.value)); got != row.want {
			t.Errorf("%v of %q: %v", row.chain, row.value, got)
		}
	}
}

func TestNothingIsAllocatedWhenNothingChanges(t *testing.T) {
	const value = "a=1&b=2 50% of É (it's \"fine\")"
	c := chainOf(t, "utf8toUnicode", "urlDecodeUni", "htmlEntityDecode", "jsDecode", "cssDecode", "removeNulls", "replaceComments")
	ascii := value[:len("a=1&b=2 50% of ")]
	if n := testing.AllocsPerRun(100, func() { _ = c.Apply(ascii) }); n != 0 {
		t.Errorf("Apply of what does not change: %v allocations", n)
	}
	lower := chainOf(t, "urlDecodeUni", "htmlEntityDecode", "jsDecode", "lowercase", "removeWhitespace", "cmdLine")
	scratch := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { scratch, _ = lower.AppendTo(scratch[:0], value) }); n != 0 {
		t.Errorf("AppendTo with room: %v allocations", n)
	}
}

// Chains and their parts are shared by all requests.
func TestChainsAreSharedSafely(t *testing.T) {
	c := chainOf(t, "utf8toUnicode", "urlDecodeUni", "htmlEntityDecode", "jsDecode", "lowercase", "normalizePathWin", "cmdLine")
	var want []string
	for _, value := range nasty {
		want = append(want, c.Apply(value))
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			var scratch []byte
			for i, value := range nasty {
				scratch, _ = c.AppendTo(scratch[:0], value)
				if string(scratch) != want[i] || c.Apply(value) != want[i] {
					t.Errorf("%q differs when others work too", value)
				}
			}
		})
	}
	group.Wait()
}

func TestAppendBase64(t *testing.T) {
	remove, decode := chainOf(t, "removeWhitespace"), chainOf(t, "base64Decode")
	r := rand.New(rand.NewPCG(3, 3))
	const bytes = "ABab019+/= \t\n\r\v\f.-_%\x00~"
	for range 200_000 {
		b := make([]byte, r.IntN(24))
		for i := range b {
			b[i] = bytes[r.IntN(len(bytes))]
		}
		s := string(b)
		if got, want := string(AppendBase64(nil, s, false)), decode.Apply(s); got != want {
			t.Fatalf("%q: %q, want %q", s, got, want)
		}
		if got, want := string(AppendBase64(nil, s, true)), decode.Apply(remove.Apply(s)); got != want {
			t.Fatalf("%q without white space: %q, want %q", s, got, want)
		}
	}
}
