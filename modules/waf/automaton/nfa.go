package automaton

import (
	"regexp/syntax"
	"slices"
)

// leftOnly are the assertions that the text to the left decides alone.
const leftOnly = syntax.EmptyBeginLine | syntax.EmptyBeginText

// leftOf returns the assertions of leftOnly that hold in a context.
func leftOf(c context) syntax.EmptyOp {
	switch c {
	case begin:
		return syntax.EmptyBeginText | syntax.EmptyBeginLine
	case newline:
		return syntax.EmptyBeginLine
	}
	return 0
}

// assertions returns what holds between a context and a rune of a class (or the end of the text): what
// syntax.EmptyOpContext says of the two runes.
func (a *Automaton) assertions(left context, column uint32) syntax.EmptyOp {
	flags, right := leftOf(left), other
	if column == a.eof {
		flags |= syntax.EmptyEndText | syntax.EmptyEndLine
	} else if right = a.kinds[column]; right == newline {
		flags |= syntax.EmptyEndLine
	}
	if (left == word) != (right == word) {
		return flags | syntax.EmptyWordBoundary
	}
	return flags | syntax.EmptyNoWordBoundary
}

// scratch is the workspace of building for automata over one program. One goroutine uses it.
type scratch struct {
	mark  []uint32 // instruction -> the generation in which it was seen
	gen   uint32
	stack []uint32
	set   []uint32 // instructions that consume a rune, and unresolved assertions
	from  []uint32
	pcs   []uint32
	key   []byte
	work  int // instructions that were looked at, for Budget.charge
}

// reset empties the set.
func (w *scratch) reset() {
	w.set = w.set[:0]
	if w.gen++; w.gen == 0 { // wrapped round: old marks could be taken for new ones
		clear(w.mark)
		w.gen = 1
	}
}

// add puts one instruction into the set.
func (w *scratch) add(pc uint32) {
	if w.mark[pc] != w.gen {
		w.mark[pc] = w.gen
		w.set = append(w.set, pc)
	}
}

// follow puts into the set what can be reached from pc without consuming a rune, and reports whether a match can.
// It crosses assertions that flags satisfy. Unless all is known (resolve), those that are not of leftOnly stay in the set.
func (w *scratch) follow(p *Program, pc uint32, flags syntax.EmptyOp, resolve bool) (match bool) {
	w.stack = append(w.stack[:0], pc)
	for len(w.stack) > 0 {
		pc := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		w.work++
		if w.mark[pc] == w.gen {
			continue
		}
		w.mark[pc] = w.gen
		in := &p.insts[pc]
		switch in.op {
		case syntax.InstAlt, syntax.InstAltMatch:
			w.stack = append(w.stack, in.arg, in.out)
		case syntax.InstCapture, syntax.InstNop:
			w.stack = append(w.stack, in.out)
		case syntax.InstEmptyWidth:
			if !resolve && in.assert&^leftOnly != 0 {
				w.set = append(w.set, pc)
			} else if in.assert&^flags == 0 {
				w.stack = append(w.stack, in.out)
			}
		case syntax.InstMatch:
			match = true
		case syntax.InstFail:
		default:
			w.set = append(w.set, pc)
		}
	}
	return match
}

// consume replaces the set, which holds no assertions, by what follows it after a rune of the class.
func (w *scratch) consume(a *Automaton, column uint32, left syntax.EmptyOp) (match bool) {
	w.from = append(w.from[:0], w.set...)
	w.reset()
	w.work += len(w.from)
	class := uint32(a.members[column])
	for _, pc := range w.from {
		in := &a.prog.insts[pc]
		if a.prog.sets[in.arg].holds(class) && w.follow(a.prog, in.out, left, false) {
			match = true
		}
	}
	return match
}

// nfa is the part that all states share, since a match may begin anywhere: kept out of them, it makes them small and
// their transitions cheap. It grows to contexts × classes lists of instructions at most.
type nfa struct {
	begins [contexts]beginning
	alike  [contexts]context // the least context with the same beginnings, if none of them waits for the next rune
	spent  bool              // no match can begin after the first position
	steps  map[cell]*stepped // guarded by Automaton.mu
}

// beginning is what a match that begins in a context can do first.
type beginning struct {
	pcs   []uint32 // sorted
	has   bitset   // the same
	match bool     // it matches the empty text there, whatever follows
}

type cell struct {
	from   context
	column uint32
}

// stepped is where the matches that begin in a context stand after a rune of a class.
type stepped struct {
	pcs   []uint32
	match bool
}

func (a *Automaton) newNFA(w *scratch, members []int) *nfa {
	n := &nfa{spent: true, steps: map[cell]*stepped{}}
	for c := range contexts {
		w.reset()
		b := &n.begins[c]
		for _, m := range members {
			b.match = w.follow(a.prog, a.prog.starts[m], leftOf(c), false) || b.match
		}
		slices.Sort(w.set)
		if c != begin && (b.match || len(w.set) > 0) {
			n.spent = false
		}
		waits := slices.ContainsFunc(w.set, func(pc uint32) bool { return a.prog.insts[pc].op == syntax.InstEmptyWidth })
		n.alike[c] = c
		for d := range c {
			if slices.Equal(n.begins[d].pcs, w.set) && n.begins[d].match == b.match {
				b.pcs, b.has = n.begins[d].pcs, n.begins[d].has
				if !waits {
					n.alike[c] = d
				}
				break
			}
		}
		if b.has == nil {
			b.pcs, b.has = slices.Clone(w.set), newBitset(len(a.prog.insts))
			for _, pc := range b.pcs {
				b.has.add(pc)
			}
		}
	}
	return n
}

// step returns where the matches that begin in a context stand after a rune of the column's class (at the end of the text:
// whether one matches). It uses the scratch space.
func (n *nfa) step(a *Automaton, w *scratch, from context, column uint32) *stepped {
	if s, ok := n.steps[cell{from, column}]; ok {
		return s
	}
	s := &stepped{}
	w.reset()
	flags := a.assertions(from, column)
	for _, pc := range n.begins[from].pcs {
		s.match = w.follow(a.prog, pc, flags, true) || s.match
	}
	if column != a.eof && !s.match {
		s.match = w.consume(a, column, leftOf(a.kinds[column]))
		s.pcs = slices.Clone(w.set)
	}
	n.steps[cell{from, column}] = s
	return s
}

func (n *nfa) size() int {
	size := 0
	for c := range n.begins {
		b := &n.begins[c]
		if !slices.ContainsFunc(n.begins[:c], func(d beginning) bool { return len(d.has) > 0 && &d.has[0] == &b.has[0] }) {
			size += cap(b.pcs)*4 + cap(b.has)*8
		}
	}
	for _, s := range n.steps {
		size += cap(s.pcs)*4 + 64
	}
	return size
}
