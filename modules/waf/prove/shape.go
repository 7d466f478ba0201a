package prove

import (
	"regexp/syntax"
	"slices"

	"gatehouse.internal/modules/waf/symbol"
)

// What the shape of a pattern tells, beyond what each match must have (package literal).

// alternatives returns the branches of which each match of re is a match of one.
func alternatives(re *syntax.Regexp) []*syntax.Regexp {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op != syntax.OpAlternate {
		return []*syntax.Regexp{re}
	}
	return re.Sub
}

// whole returns what stands between \A and \z in a pattern that is all between them.
func whole(re *syntax.Regexp) (inner []*syntax.Regexp, ok bool) {
	if re.Op != syntax.OpConcat || len(re.Sub) < 2 {
		return nil, false
	}
	last := len(re.Sub) - 1
	if re.Sub[0].Op != syntax.OpBeginText || re.Sub[last].Op != syntax.OpEndText || re.Sub[last].Flags&syntax.WasDollar != 0 {
		return nil, false
	}
	return re.Sub[1:last], true
}

// onlyOf returns the symbols that texts which the pattern matches are made of, if it is about whole texts; else 0.
func onlyOf(re *syntax.Regexp) (set symbol.Set) {
	inner, ok := whole(re)
	if !ok {
		return 0
	}
	for _, sub := range inner {
		set |= symbolsOf(sub)
	}
	return set
}

// symbolsOf returns all symbols that a text which a node matches may have.
func symbolsOf(re *syntax.Regexp) (set symbol.Set) {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary, syntax.OpNoMatch:
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 {
				set |= symbol.Fold(r)
			} else {
				set |= symbol.Rune(r)
			}
		}
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= min(re.Rune[i+1], 0x80); r++ { // one beyond ASCII stands for all
				set |= symbol.Rune(r)
			}
			if re.Rune[i+1] > 0x7f {
				set |= symbol.High
			}
		}
	case syntax.OpCapture, syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat, syntax.OpConcat, syntax.OpAlternate:
		for _, sub := range re.Sub {
			set |= symbolsOf(sub)
		}
	default:
		return symbol.All
	}
	return set
}

// sure describes texts that a pattern matches for certain: all of these symbols, of a length from least to most. The zero
// value describes none.
type sure struct {
	of          symbol.Set
	least, most int
}

// sureOf reads \A[class]{least,most}…\z, where what follows the class may be empty. re must not be simplified.
func sureOf(re *syntax.Regexp) (s sure) {
	inner, ok := whole(re)
	if !ok || len(inner) == 0 || inner[0].Op != syntax.OpRepeat || inner[0].Max < 0 || inner[0].Sub[0].Op != syntax.OpCharClass {
		return sure{}
	}
	for _, sub := range inner[1:] {
		if sub.Op != syntax.OpStar && sub.Op != syntax.OpQuest && (sub.Op != syntax.OpRepeat || sub.Min > 0) {
			return sure{}
		}
	}
	s = sure{of: symbol.All &^ symbol.High, least: max(1, inner[0].Min), most: inner[0].Max}
	for c := rune(0); c < 0x80; c++ {
		if !slices.ContainsFunc(pairsOf(inner[0].Sub[0].Rune), func(p [2]rune) bool { return p[0] <= c && c <= p[1] }) {
			s.of &^= symbol.Rune(c)
		}
	}
	return s
}

func pairsOf(runes []rune) (pairs [][2]rune) {
	for i := 0; i+1 < len(runes); i += 2 {
		pairs = append(pairs, [2]rune{runes[i], runes[i+1]})
	}
	return pairs
}

// matches reports that a text with these symbols and of that length is matched for certain.
func (s *sure) matches(m symbol.Set, n int) bool {
	return s.of != 0 && s.least <= n && n <= s.most && s.of.Holds(m)
}
