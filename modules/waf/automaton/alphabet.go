package automaton

import (
	"encoding/binary"
	"errors"
	"math"
	mathbits "math/bits"
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
// them apart, so that one transition per class is exact. An automaton over some of the program's expressions has fewer
// classes: see merge.
type alphabet struct {
	bounds  []rune    // slot i covers bounds[i] to bounds[i+1]-1; the first is 0
	slots   []uint16  // slot -> class
	kindsOf []context // class -> the context after its runes
	sets    []bitset  // distinct set of runes -> the classes that it holds
	ascii   int       // the slots before this one are ASCII
	max     rune      // the last rune of the alphabet
}

// bitset is a set of small numbers.
type bitset []uint64

func newBitset(n int) bitset         { return make(bitset, (n+63)/64) }
func (b bitset) add(n uint32)        { b[n/64] |= 1 << (n % 64) }
func (b bitset) holds(n uint32) bool { return b[n/64]>>(n%64)&1 != 0 }

// each calls f with each member.
func (b bitset) each(f func(n int)) {
	for i, bits := range b {
		for ; bits != 0; bits &= bits - 1 {
			f(i*64 + mathbits.TrailingZeros64(bits))
		}
	}
}

// runeSets numbers sets of runes, as sorted inclusive pairs.
type runeSets struct {
	list  [][]rune
	known map[string]int32
	key   []byte
}

func (s *runeSets) number(set []rune) int32 {
	s.key = s.key[:0]
	for _, r := range set { // not string(set), in which a surrogate and U+FFFD are the same
		s.key = binary.LittleEndian.AppendUint32(s.key, uint32(r))
	}
	id, ok := s.known[string(s.key)]
	if !ok {
		id = int32(len(s.list))
		s.known[string(s.key)], s.list = id, append(s.list, set)
	}
	return id
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

// refine computes the coarsest classes, and which of them each set holds.
func (a *alphabet) refine(sets [][]rune) error {
	if len(a.bounds)+int(contexts) > math.MaxUint16 {
		return errors.New("the regular expressions tell too many runes apart")
	}
	of := newPartition(len(a.bounds), func(slot int) context { return contextOf(a.bounds[slot]) })
	for _, set := range sets {
		of.split(func(f func(int)) { a.each(set, f) })
	}
	a.slots = of.number()
	a.kindsOf = make([]context, slices.Max(a.slots)+1)
	for slot, r := range a.bounds {
		a.kindsOf[a.slots[slot]] = contextOf(r)
	}
	a.sets = make([]bitset, len(sets))
	for k, set := range sets {
		a.sets[k] = newBitset(len(a.kindsOf))
		a.each(set, func(slot int) { a.sets[k].add(uint32(a.slots[slot])) })
	}
	return nil
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

// slot returns r's slot, which is lo or a later one.
func (a *alphabet) slot(r rune, lo int) int {
	hi := len(a.bounds)
	for lo+1 < hi {
		if m := (lo + hi) / 2; a.bounds[m] <= r {
			lo = m
		} else {
			hi = m
		}
	}
	return lo
}

// partition sorts things into classes, by splitting.
type partition struct {
	of   []uint16 // thing -> class
	size []int    // class -> things

	hit  []int    // class -> things of the set at hand; 0 between splits
	into []uint16 // class -> what those become
	list []uint16 // classes with a thing in the set
}

// newPartition sorts n things, fewer than 1<<16 - contexts, by their contexts.
func newPartition(n int, kind func(int) context) *partition {
	p := &partition{of: make([]uint16, n), size: make([]int, contexts, n+int(contexts))}
	for i := range p.of {
		p.of[i] = uint16(kind(i))
		p.size[p.of[i]]++
	}
	p.hit, p.into = make([]int, cap(p.size)), make([]uint16, cap(p.size))
	return p
}

// split tells things in a set from those that are not: a class that has both becomes two. each calls its argument with
// each thing in the set, once; the same ones in every call.
func (p *partition) split(each func(func(int))) {
	p.list = p.list[:0]
	each(func(i int) {
		c := p.of[i]
		if p.hit[c]++; p.hit[c] == 1 {
			p.list = append(p.list, c)
		}
	})
	parted := false
	for _, c := range p.list {
		p.into[c] = c
		if n := p.hit[c]; n < p.size[c] {
			p.into[c] = uint16(len(p.size))
			p.size[c] -= n
			p.size = append(p.size, n)
			parted = true
		}
		p.hit[c] = 0
	}
	if parted {
		each(func(i int) { p.of[i] = p.into[p.of[i]] })
	}
}

// number returns the classes with the numbers from 0 on, by the first thing in each.
func (p *partition) number() []uint16 {
	known := make([]uint16, len(p.size))
	out, n := make([]uint16, len(p.of)), uint16(0)
	for i, c := range p.of {
		if known[c] == 0 {
			n++
			known[c] = n
		}
		out[i] = known[c] - 1
	}
	return out
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
