// Package literal derives what every text that a regular expression matches must contain, and finds which of thousands
// of strings a text contains.
package literal

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse.internal/modules/waf/symbol"
)

const (
	maxStrings = 256     // in a product of lists
	maxAny     = 1000    // in a list of which one must occur
	maxLength  = 24      // bytes of a string
	maxSets    = 6       // of a Need
	maxMinLen  = 1 << 20 // more than this is not told apart, so that sums cannot overflow
)

// Need is what a text must have for a regular expression to match it. The zero value asks for nothing.
type Need struct {
	Sets   []symbol.Set // of each set, one symbol at least; the rarest in benign texts first
	Any    []string     // one of these strings, in any ASCII case, unless the text is Odd; lower case; nil: none known
	MinLen int          // bytes
}

// Odd reports whether the text holds a letter that is not ASCII but is equal to one of ASCII in another case: the long s
// and the Kelvin sign. Under (?i) these match s and k, so that no Need.Any can be believed of such a text. Neither
// sequence of bytes can be part of another rune, valid or not: it begins with a lead byte.
func Odd(text string) bool {
	return strings.Contains(text, "ſ") || strings.Contains(text, "\u212a")
}

// Analyse derives a Need of re, which is read only and for package regexp (not for binaryregexp).
func Analyse(re *syntax.Regexp) Need {
	f := analyse(re.Simplify())
	return Need{Sets: rarest(f.sets), Any: essential(f.any), MinLen: f.min}
}

// facts are what holds of every text that a node matches (the node's own part of the text, from its first byte to its
// last). All strings are folded to lower case, and are of the text folded likewise. Strings are believed only of texts
// that are not Odd: a rune that is not ASCII but folds to ASCII may therefore be left out of them, wherever it comes from.
type facts struct {
	exact  []string     // it is one of these; nil: not known
	prefix []string     // it begins with one of these; never empty: {""} is true of all
	suffix []string     // it ends with one of these; never empty
	any    []string     // it contains one of these; nil: not known
	sets   []symbol.Set // it has a symbol of each; these count runes that are left out above
	min    int          // it is this long at least
}

var nothing = []string{""}

// unknown is true of every text.
func unknown() facts { return facts{prefix: nothing, suffix: nothing} }

// exactly makes the facts of a text that is one of a few.
func exactly(all []string) facts {
	all = distinct(all)
	return facts{exact: all, prefix: all, suffix: all, any: usable(all)}
}

func analyse(re *syntax.Regexp) facts {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return exactly(nothing) // whatever they demand of the neighbourhood, they take no byte
	case syntax.OpLiteral:
		return literal(re)
	case syntax.OpCharClass:
		return class(re.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		f := unknown()
		f.min = 1
		return f
	case syntax.OpCapture:
		return analyse(re.Sub[0])
	case syntax.OpQuest:
		f := unknown()
		if sub := analyse(re.Sub[0]); sub.exact != nil && len(sub.exact) < maxStrings {
			f = exactly(append(slices.Clone(sub.exact), ""))
		}
		return f
	case syntax.OpPlus:
		// Begins with a match of the sub-expression, ends with one, contains one. It may be longer.
		f := analyse(re.Sub[0])
		f.exact = nil
		return f
	case syntax.OpConcat:
		f := exactly(nothing)
		for _, sub := range re.Sub {
			f = concat(f, analyse(sub))
		}
		return f
	case syntax.OpAlternate:
		return alternate(re.Sub)
	}
	// OpStar may match nothing; OpRepeat is simplified away; OpNoMatch matches no text, of which all is true.
	return unknown()
}

// literal: each rune of it stands in the text, under FoldCase in some case.
func literal(re *syntax.Regexp) facts {
	f := exactly(nothing)
	for _, r := range re.Rune {
		one := []rune{r, r}
		if re.Flags&syntax.FoldCase != 0 {
			for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
				one = append(one, o, o)
			}
		}
		f = concat(f, class(one))
	}
	return f
}

// class: one rune of the pairs stands in the text. U+FFFD also stands for an invalid byte, which is one byte long and,
// like all that is not ASCII, of the symbol High.
func class(pairs []rune) facts {
	f := unknown()
	if len(pairs) == 0 {
		return f // matches no text
	}
	var set symbol.Set
	var few []string
	complete := true
	f.min = utf8.UTFMax
	for i := 0; i+1 < len(pairs); i += 2 {
		lo, hi := pairs[i], pairs[i+1]
		f.min = min(f.min, width(lo, hi))
		for r := lo; r <= hi && r < utf8.RuneSelf; r++ {
			set |= symbol.Rune(r)
			few = append(few, string(lower(byte(r))))
		}
		if hi >= utf8.RuneSelf {
			set |= symbol.High
			complete = complete && lo == hi && (hi == 'ſ' || hi == '\u212a')
		}
	}
	f.sets = []symbol.Set{set}
	few = distinct(few)
	if !complete || len(few) == 0 || len(few) > 16 {
		return f
	}
	e := exactly(few)
	e.sets, e.min = f.sets, f.min
	return e
}

// width returns how few bytes a rune from lo to hi can be.
func width(lo, hi rune) int {
	if lo <= utf8.RuneError && utf8.RuneError <= hi {
		return 1
	}
	if n := utf8.RuneLen(lo); n > 0 {
		return n
	}
	return 1 // a surrogate half: in no text at all
}

// concat: the text is one of a, then one of b. Where they meet, an end of a is followed by a beginning of b.
func concat(a, b facts) facts {
	f := facts{
		prefix: a.prefix,
		suffix: b.suffix,
		sets:   rarest(append(slices.Clone(a.sets), b.sets...)),
		min:    min(maxMinLen, a.min+b.min),
		any:    better(better(a.any, b.any), usable(product(a.suffix, b.prefix))),
	}
	if a.exact != nil {
		if p := product(a.exact, b.prefix); p != nil {
			f.prefix = p
		}
	}
	if b.exact != nil {
		if p := product(a.suffix, b.exact); p != nil {
			f.suffix = p
		}
	}
	if a.exact != nil && b.exact != nil {
		f.exact = product(a.exact, b.exact)
	}
	return f
}

// alternate: the text is of one branch. So it has what all branches have, or one of what each has.
func alternate(branches []*syntax.Regexp) facts {
	var all []facts
	for _, re := range branches {
		if re.Op != syntax.OpNoMatch {
			all = append(all, analyse(re))
		}
	}
	if len(all) == 0 {
		return unknown()
	}
	f := facts{
		exact:  gather(all, maxStrings, func(f facts) []string { return f.exact }),
		prefix: gather(all, maxStrings, func(f facts) []string { return f.prefix }),
		suffix: gather(all, maxStrings, func(f facts) []string { return f.suffix }),
		any:    gather(all, maxAny, func(f facts) []string { return f.any }),
		min:    maxMinLen,
	}
	if f.prefix == nil {
		f.prefix = nothing
	}
	if f.suffix == nil {
		f.suffix = nothing
	}
	f.any = better(f.any, usable(f.exact))
	for _, b := range all {
		f.min = min(f.min, b.min)
	}
	f.sets = rarest(ranks(all))
	return f
}

// ranks unites the branches' rarest sets, then their second-rarest, and so on. Any pick of one set of each branch would do:
// the text has a symbol of the one picked of its branch.
func ranks(all []facts) (sets []symbol.Set) {
	for k := range maxSets {
		var union symbol.Set
		longest := 0
		for _, b := range all {
			if len(b.sets) == 0 {
				return nil
			}
			longest = max(longest, len(b.sets))
			union |= b.sets[min(k, len(b.sets)-1)]
		}
		if k >= longest {
			break
		}
		sets = append(sets, union)
	}
	return sets
}

// gather unites the branches' lists; nil if one is not known or they are more than limit.
func gather(all []facts, limit int, list func(facts) []string) (union []string) {
	for _, b := range all {
		part := list(b)
		if part == nil || len(union)+len(part) > 4*limit {
			return nil
		}
		union = append(union, part...)
	}
	if union = distinct(union); len(union) > limit {
		return nil
	}
	return union
}

// product returns every string of a followed by every one of b; nil if they are too many or too long.
func product(a, b []string) []string {
	if len(a)*len(b) > maxStrings {
		return nil
	}
	all := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			if len(x)+len(y) > maxLength {
				return nil
			}
			all = append(all, x+y)
		}
	}
	return distinct(all)
}

// distinct returns the strings sorted, each once.
func distinct(all []string) []string {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}

// lower folds an ASCII capital.
func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		b += 'a' - 'A'
	}
	return b
}
