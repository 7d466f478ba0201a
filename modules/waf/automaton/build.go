package automaton

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"sync/atomic"
)

// The rows of special states come first. Each leads to itself in every column.
const (
	unknownRow uint32 = iota // the transition has not been built
	deadRow                  // no match can follow
	matchRow                 // a match was found
	highRow                  // the byte is not ASCII: decode a rune
	specials
)

// keyBytes bounds the memory of the states' descriptions: this many bytes a state on average.
const keyBytes = 256

// patience is how many bytes of text per state a full table must fail to answer before a fresh one replaces it. What
// fails is answered by slower means at tens of nanoseconds a byte, a state is built in a few microseconds: building
// anew is then a small part of what was lost already.
const patience = 128

// rowsPerWork is how many entries of a table are copied in a unit of work.
const rowsPerWork = 64

// table is the states built so far. All but start and rows is guarded by Automaton.mu.
//
// A state is a context and a set of instructions, beyond those by which a match may begin here (nfa.begins). Assertions
// that need the next rune stay in the set unresolved. Its description is the context and the sorted numbers.
type table struct {
	start uint32 // the state at the beginning of the text; read only

	// rows are the transitions: entry state+column is the next state, numbers of states being premultiplied by the stride.
	// Entries are written once, atomically, under the mutex. The slice is as long as its array, and it is replaced by a
	// longer copy when it is full, after which nobody writes to the old one: so no entry of a slice names a row beyond it.
	rows atomic.Pointer[[]uint32]

	keys  []string          // row -> description
	index map[string]uint32 // description -> state
	bytes int               // of all descriptions
	full  bool
}

func (t *table) states() int { return len(t.keys) - int(specials) }

func (t *table) size() int {
	return cap(*t.rows.Load())*4 + t.bytes + len(t.keys)*(16+48)
}

// newTable returns a table with nothing but the first state.
func (a *Automaton) newTable(w *scratch) *table {
	t := &table{index: map[string]uint32{}, keys: make([]string, specials)}
	rows := make([]uint32, (specials+4)*a.stride)
	for i := range specials * a.stride {
		rows[i] = i / a.stride * a.stride
	}
	t.rows.Store(&rows)
	w.set = w.set[:0]
	t.start = a.intern(t, w, begin)
	return t
}

// missing notes that a full table has not answered a text of n bytes, and replaces it when patience is spent.
func (a *Automaton) missing(t *table, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !t.full || a.table.Load() != t {
		return
	}
	if a.missed += n; a.missed >= patience*a.max {
		a.missed = 0
		w := a.prog.scratch()
		a.table.Store(a.newTable(w))
		a.prog.pool.Put(w)
	}
}

// build returns the transition of a state of t in a column, computing it if need be, and how many states b was charged;
// unknownRow if the table is full.
func (a *Automaton) build(t *table, state, column uint32, b *Budget) (next uint32, charged int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rows := *t.rows.Load()
	if next := rows[state+column]; next != unknownRow {
		return next, 0 // another goroutine was faster
	}
	w := a.prog.scratch()
	defer a.prog.pool.Put(w)
	w.work = 0
	if next = a.step(t, w, state, column); next == unknownRow {
		return unknownRow, b.charge(w.work)
	}
	rows = *t.rows.Load()
	atomic.StoreUint32(&rows[state+column], next)
	return next, b.charge(w.work)
}

// step computes a transition: it crosses the assertions that the column's runes decide, consumes one of them, and follows
// what comes next.
func (a *Automaton) step(t *table, w *scratch, state, column uint32) uint32 {
	from, pcs := decodeKey(t.keys[state/a.stride], w.pcs[:0])
	w.pcs = pcs
	fresh := a.initial.step(a, w, from, column)
	if fresh.match {
		return matchRow * a.stride
	}
	w.reset()
	flags := a.assertions(from, column)
	for _, pc := range pcs {
		if w.follow(a.prog, pc, flags, true) {
			return matchRow * a.stride
		}
	}
	if column == a.eof {
		return deadRow * a.stride
	}
	to := a.kinds[column]
	if w.consume(a, column, leftOf(to)) || a.initial.begins[to].match {
		return matchRow * a.stride
	}
	w.work += len(w.set) + len(fresh.pcs)
	for _, pc := range fresh.pcs {
		w.add(pc)
	}
	begins := &a.initial.begins[to]
	w.set = slices.DeleteFunc(w.set, func(pc uint32) bool { return begins.has.holds(pc) })
	if len(w.set) == 0 && a.initial.spent {
		return deadRow * a.stride
	}
	return a.intern(t, w, to)
}

// intern returns the state of the set in the scratch space after c, making it if need be; unknownRow if the table is full.
func (a *Automaton) intern(t *table, w *scratch, c context) uint32 {
	w.work += 2 * len(w.set)
	slices.Sort(w.set)
	if !slices.ContainsFunc(w.set, func(pc uint32) bool { return a.prog.insts[pc].op == syntax.InstEmptyWidth }) {
		c = a.initial.alike[c]
	}
	w.key = append(w.key[:0], byte(c))
	before := uint32(0)
	for _, pc := range w.set {
		w.key = binary.AppendUvarint(w.key, uint64(pc-before))
		before = pc
	}
	if state, ok := t.index[string(w.key)]; ok {
		return state
	}
	if t.states() >= a.max || t.bytes+len(w.key) > a.max*keyBytes+len(a.prog.insts)*8 {
		t.full = true
		return unknownRow
	}
	w.work += stateWork
	state := uint32(len(t.keys)) * a.stride
	if rows := *t.rows.Load(); int(state+a.stride) > len(rows) {
		longer := make([]uint32, min(2*len(rows), (a.max+int(specials))*int(a.stride)))
		copy(longer, rows)
		w.work += len(longer) / rowsPerWork
		t.rows.Store(&longer)
	}
	rows := *t.rows.Load()
	atomic.StoreUint32(&rows[state+a.high], highRow*a.stride)
	key := string(w.key)
	t.keys, t.index[key] = append(t.keys, key), state
	t.bytes += len(key)
	return state
}

// decodeKey reads a state's description, appending the numbers to pcs.
func decodeKey(key string, pcs []uint32) (context, []uint32) {
	pc, shift, delta := uint32(0), 0, uint32(0)
	for i := 1; i < len(key); i++ {
		delta |= uint32(key[i]&0x7f) << shift
		if shift += 7; key[i] < 0x80 {
			pc += delta
			pcs = append(pcs, pc)
			shift, delta = 0, 0
		}
	}
	return context(key[0]), pcs
}
