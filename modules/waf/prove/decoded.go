package prove

import (
	"slices"
	"unsafe"

	"gatehouse.internal/modules/waf/literal"
	"gatehouse.internal/modules/waf/symbol"
	"gatehouse.internal/modules/waf/transform"
)

// Several rules decode base64, and so decode every sentence, though it is none. What comes out is noise. Here it is
// decoded once for all of them, and dismissed by one look for the strings that their matches need.
//
// The look is for pieces of these strings in what is left of the noise when all is taken out but printable ASCII without
// space and plus (the kept bytes, about a third of it). Whatever the rules do after decoding must neither change, add nor
// take away a kept byte: then the kept bytes of each later stage are those of the first, in that order, and a piece, which
// is made of kept bytes, stands in one row in the stage only if it does in what is left.

// noise is what base64DecodeExt makes of the value at hand, pf.base.
type noise struct {
	done    bool
	raw     []byte
	symbols symbol.Set
	odd     bool // literals prove nothing: see literal.Odd
	kept    text // its kept bytes; lives in room
	room    []byte
}

// isKept are the bytes that what follows a decoding leaves alone.
var isKept = func() (set [256]bool) {
	for c := '!'; c <= '~'; c++ {
		set[c] = c != '+'
	}
	return set
}()

// decode makes the noise of the value at hand, when first needed.
func (pf *Proof) decode(scanner *literal.Scanner) *noise {
	n := &pf.noise
	if n.done {
		return n
	}
	n.done = true
	n.raw, _ = lenient64.AppendTo(n.raw[:0], pf.base.s)
	raw := unsafe.String(unsafe.SliceData(n.raw), len(n.raw)) // written again only for another value
	n.symbols = symbol.Of(raw)
	n.odd = n.symbols.Meets(symbol.High) && literal.Odd(raw)
	n.room = slices.Grow(n.room[:0], len(raw))[:len(raw)]
	k := 0
	for i := range len(raw) { // without a branch, of which the processor could not guess one
		n.room[k] = raw[i]
		if isKept[raw[i]] {
			k++
		}
	}
	n.kept.set(unsafe.String(unsafe.SliceData(n.room), k), 0, scanner)
	return n
}

var lenient64, _ = transform.NewChain([]string{"base64decodeext"})

// pieces returns, for each literal, its longest row of kept bytes; nil if one has none that a scanner can look for.
func pieces(lits []string) (out []string) {
	for _, l := range lits {
		best, from := "", 0
		for i := 0; i <= len(l); i++ {
			if i == len(l) || !isKept[l[i]] {
				if i-from > len(best) {
					best = l[from:i]
				}
				from = i + 1
			}
		}
		if len(best) < 2 {
			return nil
		}
		out = append(out, best)
	}
	return out
}

// clean64 are the symbols of values that all three ways to decode read alike, but for where they end: letters of the one
// alphabet, and white space, which base64Decode ends at unless it was removed or is a line's end. So what it writes is a
// beginning of what base64DecodeExt writes, or all of it.
var clean64 = symbol.Lower | symbol.Upper | symbol.Digit | symbol.Bytes("+/ \t\r\n")

// spoils are, by transformation, symbols without which it neither changes nor adds nor takes away a kept byte, nor joins
// bytes that stood apart to a letter that is not ASCII. Others are not known to be so.
var spoils = map[string]symbol.Set{
	"urldecodeuni":     symbol.Bytes("%"), // it makes a space of a plus
	"jsdecode":         symbol.Bytes(`\`),
	"replacecomments":  symbol.Bytes("*"),
	"removenulls":      symbol.Bytes("\x00"),
	"removewhitespace": 0, // an invalid byte becomes a rune
}

// spoilt returns the union of what spoils each of the transformations; false if one is not known.
func spoilt(names []string) (set symbol.Set, ok bool) {
	for _, name := range names {
		s, known := spoils[name]
		if !known {
			return 0, false
		}
		set |= s
	}
	return set, true
}

// onlyNoise reports that no rule can match any stage of the walk but the value itself: the walk decodes at once, and what
// comes out lacks the pieces of all rules' literals.
func (pf *Proof) onlyNoise(w *walker, rules []*rule, scanner *literal.Scanner) bool {
	if !w.base64.quiet || !clean64.Holds(pf.base.symbols) || !w.jumps(pf.base.symbols, rules) {
		return false
	}
	for _, r := range rules {
		if r.piece < 0 {
			return false
		}
	}
	n := pf.decode(scanner)
	if n.kept.scanner != scanner || n.odd || n.symbols.Meets(w.base64.spoilt) {
		return false
	}
	n.kept.scan()
	return !slices.ContainsFunc(rules, func(r *rule) bool { return n.kept.hits.Has(r.piece) })
}

// way is one of the alternatives of a link's pattern, as what a match of it needs.
type way struct {
	sets   []symbol.Set
	minLen int
	pieces []string
	need   int // which need of the scanner pieces are; -1: none
}

// decodes has a link that decodes base64 judged by its alternatives.
func (l *link) decodes() {
	names := l.chain.Names()
	if l.maybe || l.multi || l.op.negated || l.op.pattern == nil || l.op.pattern.Syntax() == nil ||
		len(names) == 0 || names[0] != "base64decodeext" {
		return
	}
	set, ok := spoilt(names[1:])
	if !ok || slices.Contains(names[1:], "removewhitespace") { // which may leave other symbols and a greater length
		return
	}
	l.spoilt = set
	for _, re := range alternatives(l.op.pattern.Syntax()) {
		need := literal.Analyse(re)
		l.ways = append(l.ways, way{sets: need.Sets, minLen: need.MinLen, pieces: pieces(need.Any), need: -1})
	}
}

// dismisses reports that the link cannot match what it makes of s, the value at hand itself: by none of its ways.
func (pf *Proof) dismisses(l *link, s string, r *rule) bool {
	if len(l.ways) == 0 || len(s) == 0 || len(s) != len(pf.base.s) || unsafe.StringData(s) != unsafe.StringData(pf.base.s) {
		return false
	}
	n := pf.decode(pf.prover.plans.scanner(r))
	if n.kept.scanner != pf.prover.plans.scanner(r) || n.symbols.Meets(l.spoilt) {
		return false
	}
	if !l.op.fits(n.symbols) {
		return true
	}
	for i := range l.ways {
		w := &l.ways[i]
		if len(n.raw) < w.minLen || slices.ContainsFunc(w.sets, func(s symbol.Set) bool { return !s.Meets(n.symbols) }) {
			continue
		}
		if w.need < 0 || n.odd {
			return false
		}
		if n.kept.scan(); n.kept.hits.Has(w.need) {
			return false
		}
	}
	return true
}
