package automaton

import (
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"
)

// context is what the text to the left of a position means for assertions.
type context uint8

const (
	begin   context = iota // the beginning of the text
	newline                // after a line feed
	word                   // after a letter, a digit or _ of ASCII
	other                  // after anything else
	contexts
)

// contextOf returns the context after r.
func contextOf(r rune) context {
	switch {
	case r == '\n':
		return newline
	case syntax.IsWordChar(r):
		return word
	}
	return other
}

// alphabet sorts runes into classes. Two runes share a class only if no instruction of the program and no assertion tells
// them apart, so that one transition per class is exact.
type alphabet struct {
	bounds  []rune    // slot i covers bounds[i] to bounds[i+1]-1; the first is 0
	slots   []uint32  // slot -> class
	kinds   []context // class -> the context after its runes
	accepts [][]bool  // distinct rune set -> class -> whether the set holds it
	setOf   []int32   // instruction -> its rune set in accepts; -1: consumes nothing
	ascii   int       // the slots before this one are ASCII
	max     rune      // the last rune of the alphabet
}

// newAlphabet computes the coarsest classes by refinement: each rune set splits the classes that it cuts.
func newAlphabet(prog *syntax.Prog, max rune) *alphabet {
	a := &alphabet{max: max, setOf: make([]int32, len(prog.Inst))}
	known := map[string]int32{}
	var sets [][]rune
	for pc := range prog.Inst {
		a.setOf[pc] = -1
		set := runesOf(&prog.Inst[pc])
		if set == nil {
			continue
		}
		key := string(set)
		id, ok := known[key]
		if !ok {
			id = int32(len(sets))
			known[key], sets = id, append(sets, set)
		}
		a.setOf[pc] = id
	}
	a.cut(sets)
	a.refine(sets)
	return a
}

// cut finds the bounds at which a rune set, a context or the ASCII range begins or ends.
func (a *alphabet) cut(sets [][]rune) {
	at := []rune{0, '\n', '\n' + 1, '0', '9' + 1, 'A', 'Z' + 1, '_', '_' + 1, 'a', 'z' + 1, utf8.RuneSelf}
	for _, set := range sets {
		for i := 0; i < len(set); i += 2 {
			at = append(at, set[i], set[i+1]+1)
		}
	}
	slices.Sort(at)
	for _, r := range slices.Compact(at) {
		if r >= 0 && r <= a.max {
			a.bounds = append(a.bounds, r)
		}
	}
	a.ascii, _ = slices.BinarySearch(a.bounds, utf8.RuneSelf) // it is there: see above
}

// refine numbers the classes and fills accepts. A set splits each class that it cuts: those of its slots that are in the
// set get a number of their own. Numbers that are left without a slot are dropped in the end.
func (a *alphabet) refine(sets [][]rune) {
	n := len(a.bounds)
	a.slots = make([]uint32, n)
	for i, r := range a.bounds {
		a.slots[i] = uint32(contextOf(r))
	}
	next := uint32(contexts)
	var into []uint32 // class -> what it becomes within the set at hand
	for _, set := range sets {
		into = append(into[:0], make([]uint32, next)...)
		a.each(set, func(i int) {
			c := a.slots[i]
			if into[c] == 0 {
				into[c] = next
				next++
			}
			a.slots[i] = into[c]
		})
	}
	number := make([]uint32, next)
	for i, r := range a.bounds {
		c := a.slots[i]
		if number[c] == 0 {
			a.kinds = append(a.kinds, contextOf(r))
			number[c] = uint32(len(a.kinds))
		}
		a.slots[i] = number[c] - 1
	}
	a.accepts = make([][]bool, len(sets))
	for k, set := range sets {
		a.accepts[k] = make([]bool, len(a.kinds))
		a.each(set, func(i int) { a.accepts[k][a.slots[i]] = true })
	}
}

// each calls f with each slot that lies in the set, which begins and ends at bounds.
func (a *alphabet) each(set []rune, f func(slot int)) {
	for k := 0; k+1 < len(set); k += 2 {
		i, _ := slices.BinarySearch(a.bounds, set[k])
		for ; i < len(a.bounds) && a.bounds[i] <= set[k+1]; i++ {
			f(i)
		}
	}
}

// class returns r's class.
func (a *alphabet) class(r rune) uint32 { return a.search(r, 0) }

// wide is class for runes that are not ASCII.
func (a *alphabet) wide(r rune) uint32 { return a.search(r, a.ascii) }

// search returns r's class; r lies in slot lo or a later one.
func (a *alphabet) search(r rune, lo int) uint32 {
	hi := len(a.bounds)
	for lo+1 < hi {
		if m := (lo + hi) / 2; a.bounds[m] <= r {
			lo = m
		} else {
			hi = m
		}
	}
	return a.slots[lo]
}

// runesOf lists what an instruction consumes, as sorted inclusive pairs; nil: it consumes nothing. It agrees with
// syntax.Inst.MatchRunePos, which treats a single rune as a literal that may fold.
func runesOf(in *syntax.Inst) []rune {
	switch in.Op {
	case syntax.InstRuneAny:
		return []rune{0, unicode.MaxRune}
	case syntax.InstRuneAnyNotNL:
		return []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune}
	case syntax.InstRune, syntax.InstRune1:
	default:
		return nil
	}
	if len(in.Rune) != 1 {
		return append([]rune{}, in.Rune...) // never nil, even if empty: it consumes, but no rune
	}
	r := in.Rune[0]
	all := []rune{r}
	if syntax.Flags(in.Arg)&syntax.FoldCase != 0 {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			all = append(all, f)
		}
		slices.Sort(all)
	}
	pairs := make([]rune, 0, 2*len(all))
	for _, r := range all {
		pairs = append(pairs, r, r)
	}
	return pairs
}

// holds reports whether r lies in one of the sorted inclusive pairs.
func holds(pairs []rune, r rune) bool {
	for i := 0; i+1 < len(pairs); i += 2 {
		if r <= pairs[i+1] {
			return r >= pairs[i]
		}
	}
	return false
}
