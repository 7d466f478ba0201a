// Package automaton answers whether any of several regular expressions matches a text, in one pass over the text.
//
// It is a deterministic automaton whose states are built when a text first needs them. Its answers are exactly those of
// MatchString of package regexp, or with [Options.Bytes] of rsc.io/binaryregexp; where it cannot answer within its
// bounds, it says [Unknown], never a guess.
//
// An [Automaton] may be used by any number of goroutines. Reading takes no lock; building a transition takes one mutex.
package automaton

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"sync"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"
)

// DefaultStates bounds the states of an automaton whose options say nothing.
const DefaultStates = 2000

// maxCells bounds states times classes: premultiplied state numbers must fit into 32 bits with room to spare.
const maxCells = 1 << 28

// Options of an automaton. The zero value is usable.
type Options struct {
	// MaxStates bounds how many states are held at one time; 0 or less means DefaultStates.
	MaxStates int
	// Bytes makes the alphabet the 256 bytes, each standing for the rune of its number, as rsc.io/binaryregexp reads a
	// text. Otherwise it is the runes that package regexp reads: an invalid byte is U+FFFD and one byte wide.
	Bytes bool
}

// Answer is what an automaton knows about a text.
type Answer uint8

// The answers. The zero value claims nothing.
const (
	Unknown Answer = iota
	No
	Yes
)

// String returns the answer's name.
func (a Answer) String() string {
	switch a {
	case No:
		return "no"
	case Yes:
		return "yes"
	}
	return "unknown"
}

// Budget bounds what one caller may have built. It is used by one goroutine; a nil *Budget is without bound.
type Budget struct {
	// States is how many new states may still be built. One whose instructions take much work counts as several, and so do
	// transitions into known states once they have taken as much.
	States int
	// Each, if positive, bounds what one text may have of them.
	Each int

	work int // done and not charged yet, below stateWork
}

// stateWork is the work that counts as one state, in instructions looked at: two to four microseconds. It is also what
// making a state takes beyond its instructions: a key, a row, a place in the index.
const stateWork = 256

// affords reports whether something more may be built for a text for which spent states were charged.
func (b *Budget) affords(spent int) bool {
	return b == nil || b.States > 0 && (b.Each <= 0 || spent < b.Each)
}

// Charge takes off what something else cost that is as dear as so many states.
func (b *Budget) Charge(states int) {
	if b != nil {
		b.States = max(0, b.States-states)
	}
}

// charge takes off what some work cost, and returns it in states.
func (b *Budget) charge(work int) int {
	if b == nil {
		return 0
	}
	b.work += work
	n := b.work / stateWork
	b.work %= stateWork
	b.Charge(n)
	return n
}

// Automaton matches what any of its regular expressions matches. Make it with New or Program.Union.
type Automaton struct {
	prog *Program
	max  int // states

	slots   []uint16    // slot of the program's alphabet -> class
	kinds   []context   // class -> the context after its runes
	members []uint16    // class -> a class of the program that it consists of, with others that no instruction here tells apart
	classes [256]uint32 // byte -> class; in an alphabet of runes, `high` for all that are not ASCII
	high    uint32      // the column that says: decode a rune
	eof     uint32      // the column of the end of the text
	invalid uint32      // the column of U+FFFD, which stands for what is not UTF-8
	stride  uint32      // columns of a row

	initial *nfa // what a match that has yet to begin looks like; read only
	table   atomic.Pointer[table]

	mu     sync.Mutex // guards all tables' building and what follows
	missed int        // bytes of text that a full table has not answered
}

// New builds an automaton that matches what at least one alternative matches. The alternatives are read only. They are
// parsed by regexp/syntax with its Perl flags (or equal to such trees in Bytes mode).
func New(alternatives []*syntax.Regexp, o Options) (*Automaton, error) {
	p, err := Compile(alternatives, o.Bytes)
	if err != nil {
		return nil, err
	}
	all := make([]int, len(alternatives))
	for i := range all {
		all[i] = i
	}
	return p.Union(all, o.MaxStates)
}

// Union returns an automaton that matches what at least one of these expressions of the program matches, given by number.
// maxStates is Options.MaxStates. It takes time in proportion to the classes and sets of runes, not to the instructions.
func (p *Program) Union(members []int, maxStates int) (*Automaton, error) {
	if len(members) == 0 {
		return nil, errors.New("an automaton needs at least one regular expression")
	}
	a := &Automaton{prog: p, max: maxStates}
	if a.max <= 0 {
		a.max = DefaultStates
	}
	a.merge(members)
	a.eof = uint32(len(a.kinds))
	a.high = a.eof + 1
	a.stride = a.high + 1
	if a.max+int(specials) > maxCells/int(a.stride) {
		return nil, fmt.Errorf("%d states of %d classes are too many", a.max, a.stride)
	}
	for b := range a.classes {
		a.classes[b] = a.high
		if b < utf8.RuneSelf || p.bytes {
			a.classes[b] = uint32(a.slots[p.slot(rune(b), 0)])
		}
	}
	if !p.bytes {
		a.invalid = a.wide(utf8.RuneError)
	}
	w := p.scratch()
	defer p.pool.Put(w)
	a.initial = a.newNFA(w, members)
	a.table.Store(a.newTable(w))
	return a, nil
}

// wide returns the column of a rune that is not ASCII.
func (a *Automaton) wide(r rune) uint32 { return uint32(a.slots[a.prog.slot(r, a.prog.ascii)]) }

// MatchBytes is Match of a text in a buffer.
func (a *Automaton) MatchBytes(s []byte, b *Budget) Answer {
	// The string lives only during the call, in which neither Match nor (by contract of the buffer's owner) anybody else
	// writes to the buffer; Match keeps no reference to its text.
	return a.Match(unsafe.String(unsafe.SliceData(s), len(s)), b)
}

// Match reports whether s is matched. It is Unknown when a state is missing and the budget is spent or the table is full.
func (a *Automaton) Match(s string, b *Budget) Answer {
	if a.initial.begins[begin].match {
		return Yes
	}
	t := a.table.Load()
	rows := *t.rows.Load()
	state, spent := t.start, 0
	for i := 0; ; {
		var next uint32
		state, next, i = a.run(rows, s, state, i)
		column, width := a.eof, 0
		if next == highRow*a.stride {
			if state, column, width, i = a.runWide(rows, s, state, i); width == 0 {
				continue
			}
		} else if i < len(s) {
			column, width = a.classes[s[i]], 1
		}
		if next = atomic.LoadUint32(&rows[state+column]); next == unknownRow {
			if !b.affords(spent) {
				return Unknown
			}
			var states int
			if next, states = a.build(t, state, column, b); next == unknownRow {
				a.missing(t, len(s))
				return Unknown
			}
			spent += states
			rows = *t.rows.Load()
		}
		switch next {
		case deadRow * a.stride:
			return No
		case matchRow * a.stride:
			return Yes
		}
		state, i = next, i+width
	}
}

// run reads s from i while the next state is known and an ordinary one. It returns the last such state, what follows it,
// and where; at the end of the text that is the state's own number.
//
// The rows of special states lead to themselves in every column, so four steps can be made before one comparison: had any
// of them been special, so is the fourth, and the four are made again one by one. All indices are in range, since no row
// names a row that its slice lacks (table.rows); Go checks them nevertheless.
func (a *Automaton) run(rows []uint32, s string, state uint32, i int) (last, next uint32, at int) {
	classes, special := &a.classes, specials*a.stride
	for i < len(s) {
		for i+4 <= len(s) {
			four := s[i : i+4]
			n := atomic.LoadUint32(&rows[state+classes[four[0]]])
			n = atomic.LoadUint32(&rows[n+classes[four[1]]])
			n = atomic.LoadUint32(&rows[n+classes[four[2]]])
			n = atomic.LoadUint32(&rows[n+classes[four[3]]])
			if n < special {
				break
			}
			i += 4
			if n != state {
				state = n
				continue
			}
			// A state that was kept is likely to be kept on. Comparing with it, instead of following the number that was
			// read, lets the processor read ahead.
			for i < len(s) && atomic.LoadUint32(&rows[state+classes[s[i]]]) == state {
				i++
			}
		}
		// One by one for a while: where one byte is not ASCII, more are likely to come.
		for end := min(len(s), i+16); i < end; i++ {
			n := atomic.LoadUint32(&rows[state+classes[s[i]]])
			if n == highRow*a.stride && lone(s, i) {
				n = atomic.LoadUint32(&rows[state+a.invalid])
				if n < special {
					return state, highRow * a.stride, i // for runWide to find the same
				}
			}
			if n < special {
				return state, n, i
			}
			state = n
		}
	}
	return state, state, i
}

// lone reports that the byte at i, which is not ASCII, cannot begin a rune or is not continued: it is U+FFFD of one byte.
// So is nearly all of what is no text.
func lone(s string, i int) bool {
	b := s[i]
	return b < 0xc2 || b > 0xf4 || i+1 == len(s) || s[i+1]&0xc0 != 0x80
}

// runWide is run for runes that are not ASCII. It stops at ASCII or the end of the text with a width of 0, or where what
// follows is not an ordinary state, with the column and the width of the rune there.
func (a *Automaton) runWide(rows []uint32, s string, state uint32, i int) (last, column uint32, width, at int) {
	for i < len(s) && s[i] >= utf8.RuneSelf {
		column, width := a.invalid, 1
		if !lone(s, i) {
			var r rune
			r, width = utf8.DecodeRuneInString(s[i:])
			column = a.wide(r)
		}
		n := atomic.LoadUint32(&rows[state+column])
		if n < specials*a.stride {
			return state, column, width, i
		}
		state, i = n, i+width
	}
	return state, 0, 0, i
}

// Program returns what the automaton is over.
func (a *Automaton) Program() *Program { return a.prog }

// States returns the number of states held now.
func (a *Automaton) States() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.table.Load().states()
}

// Size returns about how many bytes the automaton holds now, without the program that it may share with others.
func (a *Automaton) Size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := int(unsafe.Sizeof(*a)) + cap(a.slots)*2 + cap(a.kinds) + cap(a.members)*2
	return n + a.initial.size() + a.table.Load().size()
}
