package automaton

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"sync"
	"unicode"
)

// Program is regular expressions, compiled: what automata over any of them share. It is read only once it is made, and
// safe for concurrent use. Make it with Compile.
//
// The expressions' instructions stand one after the other. An automaton over several begins at the start of each; that is
// what a compiled alternation of them would branch to, and which of them matches does not matter.
type Program struct {
	alphabet
	insts  []inst
	starts []uint32  // expression -> its first instruction
	uses   [][]int32 // expression -> the sets of its instructions, each once
	bytes  bool      // the alphabet is the 256 bytes

	pool sync.Pool // of *scratch
}

// inst is one instruction of regexp/syntax, with its runes replaced by a set of the program.
type inst struct {
	op     syntax.InstOp
	assert syntax.EmptyOp // of InstEmptyWidth
	out    uint32
	arg    uint32 // the other branch of InstAlt; the set of what consumes a rune
}

// maxInsts bounds the instructions of a program: their numbers must fit into 32 bits with room to spare.
const maxInsts = 1 << 28

// Compile compiles the expressions. They are read only. They are parsed by regexp/syntax with its Perl flags, or equal to
// such trees if bytes are the alphabet (see Options.Bytes).
func Compile(expressions []*syntax.Regexp, bytes bool) (*Program, error) {
	if len(expressions) == 0 {
		return nil, errors.New("an automaton needs at least one regular expression")
	}
	p := &Program{bytes: bytes, alphabet: alphabet{max: unicode.MaxRune}}
	if bytes {
		p.max = 0xff
	}
	sets := runeSets{known: map[string]int32{}}
	for i, re := range expressions {
		prog, err := syntax.Compile(re.Simplify())
		if err != nil {
			return nil, fmt.Errorf("compiling the %dth of %d regular expressions: %w", i+1, len(expressions), err)
		}
		if len(p.insts)+len(prog.Inst) > maxInsts {
			return nil, errors.New("the regular expressions are too long")
		}
		p.add(prog, &sets)
	}
	p.cut(sets.list)
	if err := p.refine(sets.list); err != nil {
		return nil, err
	}
	return p, nil
}

// add appends one expression's instructions.
func (p *Program) add(prog *syntax.Prog, sets *runeSets) {
	from := uint32(len(p.insts))
	seen := map[int32]bool{}
	var uses []int32
	for i := range prog.Inst {
		in := &prog.Inst[i]
		to := inst{op: in.Op, out: from + in.Out}
		switch in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			to.arg = from + in.Arg
		case syntax.InstEmptyWidth:
			to.assert = syntax.EmptyOp(in.Arg)
		}
		if runes := runesOf(in); runes != nil {
			set := sets.number(runes)
			if to.arg = uint32(set); !seen[set] {
				seen[set] = true
				uses = append(uses, set)
			}
		}
		p.insts = append(p.insts, to)
	}
	p.starts = append(p.starts, from+uint32(prog.Start))
	p.uses = append(p.uses, uses)
}

// scratch returns workspace, which goes back to the pool after use.
func (p *Program) scratch() *scratch {
	if w, ok := p.pool.Get().(*scratch); ok {
		return w
	}
	return &scratch{mark: make([]uint32, len(p.insts))}
}

// Size returns about how many bytes the program holds.
func (p *Program) Size() int {
	n := cap(p.insts)*16 + len(p.bounds)*6 + len(p.sets)*len(p.kindsOf)/8 + len(p.starts)*28
	for _, u := range p.uses {
		n += cap(u) * 4
	}
	return n
}

// merge makes the automaton's classes: those of the program, but for what no instruction of the members tells apart.
func (a *Automaton) merge(members []int) {
	p := a.prog
	of := newPartition(len(p.kindsOf), func(class int) context { return p.kindsOf[class] })
	done := newBitset(len(p.sets))
	for _, m := range members {
		for _, set := range p.uses[m] {
			if !done.holds(uint32(set)) {
				done.add(uint32(set))
				of.split(p.sets[set].each)
			}
		}
	}
	number := of.number()
	classes := int(slices.Max(number)) + 1
	a.kinds, a.members = make([]context, classes), make([]uint16, classes)
	for class, n := range number {
		a.kinds[n], a.members[n] = p.kindsOf[class], uint16(class)
	}
	a.slots = make([]uint16, len(p.slots))
	for slot, class := range p.slots {
		a.slots[slot] = number[class]
	}
}
