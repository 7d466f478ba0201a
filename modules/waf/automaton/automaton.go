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
	"slices"
	"sync"
	"sync/atomic"
	"unicode"
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
	// States is how many new states may still be built. Eight transitions into known states count as one more.
	States int
	// Every, if positive, grants one state more for each Every bytes of a text that have been read. What a text does not
	// use is not kept.
	Every int

	moves int // transitions built into known states, below eight
}

// affords reports whether one more state may be built for a text of which read bytes are read and for which spent states
// were charged.
func (b *Budget) affords(read, spent int) bool {
	return b == nil || b.States > 0 || b.Every > 0 && spent < read/b.Every
}

// charge takes off what a transition cost, and returns it. What a text was granted beyond States does not go below 0.
func (b *Budget) charge(newState bool) int {
	if b == nil {
		return 0
	}
	if b.moves++; !newState && b.moves < 8 {
		return 0
	}
	b.moves = 0
	b.States = max(0, b.States-1)
	return 1
}

// Automaton matches what any of its regular expressions matches. Make it with New.
type Automaton struct {
	prog  *syntax.Prog
	alpha *alphabet
	bytes bool
	max   int // states

	classes [256]uint32 // byte -> class; in an alphabet of runes, `high` for all that are not ASCII
	high    uint32      // the column that says: decode a rune
	eof     uint32      // the column of the end of the text
	invalid uint32      // the column of U+FFFD, which stands for what is not UTF-8
	stride  uint32      // columns of a row

	initial *nfa // what a match that has yet to begin looks like; read only
	table   atomic.Pointer[table]

	mu     sync.Mutex // guards all tables' building and what follows
	work   scratch
	missed int // bytes of text that a full table has not answered
}

// New builds an automaton that matches what at least one alternative matches. The alternatives are read only. They are
// parsed by regexp/syntax with its Perl flags (or equal to such trees in Bytes mode).
func New(alternatives []*syntax.Regexp, o Options) (*Automaton, error) {
	if len(alternatives) == 0 {
		return nil, errors.New("an automaton needs at least one regular expression")
	}
	union := alternatives[0]
	if len(alternatives) > 1 {
		union = &syntax.Regexp{Op: syntax.OpAlternate, Sub: slices.Clone(alternatives)}
	}
	prog, err := syntax.Compile(union.Simplify())
	if err != nil {
		return nil, fmt.Errorf("compiling a union of %d regular expressions: %w", len(alternatives), err)
	}
	a := &Automaton{prog: prog, bytes: o.Bytes, max: o.MaxStates}
	if a.max <= 0 {
		a.max = DefaultStates
	}
	last := rune(unicode.MaxRune)
	if a.bytes {
		last = 0xff
	}
	a.alpha = newAlphabet(prog, last)
	a.eof = uint32(len(a.alpha.kinds))
	a.high = a.eof + 1
	a.stride = a.high + 1
	if a.max+int(specials) > maxCells/int(a.stride) {
		return nil, fmt.Errorf("%d states of %d classes are too many", a.max, a.stride)
	}
	for b := range a.classes {
		a.classes[b] = a.high
		if b < utf8.RuneSelf || a.bytes {
			a.classes[b] = a.alpha.class(rune(b))
		}
	}
	if !a.bytes {
		a.invalid = a.alpha.wide(utf8.RuneError)
	}
	a.work.mark = make([]uint32, len(prog.Inst))
	a.initial = a.newNFA()
	a.table.Store(a.newTable())
	return a, nil
}

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
			if !b.affords(i, spent) {
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
			column = a.alpha.wide(r)
		}
		n := atomic.LoadUint32(&rows[state+column])
		if n < specials*a.stride {
			return state, column, width, i
		}
		state, i = n, i+width
	}
	return state, 0, 0, i
}

// States returns the number of states held now.
func (a *Automaton) States() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.table.Load().states()
}

// Size returns about how many bytes the automaton holds now.
func (a *Automaton) Size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := int(unsafe.Sizeof(*a)) + len(a.prog.Inst)*48 + len(a.alpha.bounds)*8 + cap(a.work.mark)*4
	n += len(a.alpha.accepts) * int(a.stride)
	return n + a.initial.size() + a.table.Load().size()
}
