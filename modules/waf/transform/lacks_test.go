package transform

import (
	"strings"
	"testing"

	"gatehouse.internal/modules/waf/symbol"
)

func TestLacks(t *testing.T) {
	for name, row := range map[string]struct {
		chain, s, part string
		want           bool
	}{
		"absent":                          {"removewhitespace,lowercase", "<p>some text</p>", "<title>shell</title>", true},
		"there":                           {"removewhitespace,lowercase", "a <title>shell</title>", "<title>shell</title>", false},
		"there, in pieces":                {"removewhitespace,lowercase", "<TI tle>\n\tsh\vell</ title>", "<title>shell</title>", false},
		"begins with a letter, in pieces": {"lowercase,removewhitespace", "xx S h e l l", "shell", false},
		"begins, and begins again":        {"removewhitespace", "<t<ti<tit le", "<title", false},
		"cut off":                         {"removewhitespace", "<titl", "<title", true},
		"a NUL between":                   {"removenulls", "she\x00ll", "shell", false},
		"not ASCII":                       {"lowercase", "\u212aelvin", "kelvin", false},
		"a part with white space":         {"removewhitespace", "xyz", "a b", false},
		"no part":                         {"removewhitespace", "xyz", "", false},
		"another transformation":          {"urldecode", "xyz", "shell", false},
	} {
		c, err := NewChain(strings.Split(row.chain, ","))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Lacks(row.s, symbol.Of(row.s), row.part); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (&Chain{}).Lacks("x", symbol.Of("x"), "y") {
		t.Error("the zero value promises something")
	}
}

// FuzzLacks: what a chain is said to lack is not in its result, nor would it be in another case.
func FuzzLacks(f *testing.F) {
	f.Add("<TI tle>\n\tsh\vell</ title>", "<title>shell")
	f.Add("s \x00hEll", "shell")
	f.Add("plain", "x")
	f.Add("\u212a \u0130 \u00a0k", "k")
	f.Add("a b", "a b")
	var all []*Chain
	for _, one := range names {
		for _, two := range names {
			if c, err := NewChain([]string{one, two}); err == nil && c.squeezes {
				all = append(all, c)
			}
		}
	}
	f.Fuzz(func(t *testing.T, s, part string) {
		for _, c := range all {
			if out := c.Apply(s); c.Lacks(s, symbol.Of(s), part) && strings.Contains(strings.ToLower(out), strings.ToLower(part)) {
				t.Errorf("%s of %q is %q, said to lack %q", c.Key(), s, out, part)
			}
		}
	})
}
