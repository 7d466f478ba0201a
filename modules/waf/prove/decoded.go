package prove

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"unsafe"

	"gatehouse.internal/modules/waf/literal"
	"gatehouse.internal/modules/waf/symbol"
	"gatehouse.internal/modules/waf/transform"
)

// Several rules decode base64, and so decode every sentence, though it is none. What comes out is noise. Here it is
// decoded once for all of them, and dismissed by one look for the strings that their matches need.
//
// The look is for pieces of these strings in what is left of the noise when all is taken out but printable ASCII without
// space, plus and backslash (the kept bytes, about a third of it). Whatever the rules do after decoding must neither change,
// add nor take away a kept byte: then the kept bytes of each later stage are those of the first, in that order, and a piece,
// which is made of kept bytes, stands in one row in the stage only if it does in what is left. Noise in which something does
// more than that is told by its spoils, which are looked for in the kept bytes too (and backslashes before them), so that
// nothing that an earlier transformation took out from between can hide them.

// noise is what base64DecodeExt makes of the value at hand, pf.base.
type noise struct {
	done    bool
	raw     []byte
	symbols symbol.Set
	odd     bool // literals prove nothing: see literal.Odd
	kept    text // its kept bytes; lives in room
	room    []byte
	spoils  spoils // that it has, once sought
	sought  bool
}

// isKept are the bytes that what follows a decoding leaves alone.
var isKept = func() (set [256]bool) {
	for c := '!'; c <= '~'; c++ {
		set[c] = c != '+' && c != '\\'
	}
	return set
}()

// keptSymbols are their symbols, among which are more than the plain ones: see search.
var keptSymbols = func() (set symbol.Set) {
	for c, kept := range isKept {
		if kept {
			set |= symbol.Byte(byte(c))
		}
	}
	return set
}()

// decode makes the noise of the value at hand, when first needed.
func (pf *Proof) decode(in *search) *noise {
	n := &pf.noise
	if n.done {
		return n
	}
	n.done, n.sought = true, false
	n.raw, _ = lenient64.AppendTo(n.raw[:0], pf.base.s)
	raw := unsafe.String(unsafe.SliceData(n.raw), len(n.raw)) // written again only for another value
	n.symbols = symbol.Of(raw)
	n.odd = n.symbols.Meets(symbol.High) && (literal.Odd(raw) || n.symbols.Meets(symbol.Bytes("\x00\\")) && joins(raw))
	n.room = slices.Grow(n.room[:0], len(raw))[:len(raw)]
	k := 0
	for i := range len(raw) { // without a branch, of which the processor could not guess one
		n.room[k] = raw[i]
		if isKept[raw[i]] {
			k++
		}
	}
	n.kept.set(unsafe.String(unsafe.SliceData(n.room), k), keptSymbols, in)
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

// spoils are what makes transformations do more to a text than change, add or take away bytes that are not kept.
type spoils uint8

const (
	spoiltByPercent   spoils = 1 << iota // an escape of urlDecodeUni, which makes a space of a plus otherwise
	spoiltByBackslash                    // an escape of jsDecode, which takes out a backslash before other bytes
	spoiltByComment
)

// spoiledBy are the spoils of each transformation. Others are not known to leave kept bytes alone. None joins bytes that
// stood apart to a letter that is not ASCII, but for those that joins is about: removeWhitespace makes a rune of an invalid byte.
var spoiledBy = map[string]spoils{
	"urldecodeuni":     spoiltByPercent,
	"jsdecode":         spoiltByBackslash,
	"replacecomments":  spoiltByComment,
	"removenulls":      0,
	"removewhitespace": 0,
}

// spoilsOf returns what spoils any of the transformations; false if one is not known.
func spoilsOf(names []string) (all spoils, ok bool) {
	for _, name := range names {
		s, known := spoiledBy[name]
		if !known {
			return 0, false
		}
		all |= s
	}
	return all, true
}

// spoilt reports whether one of the spoils is in the noise.
func (n *noise) spoilt(by spoils) bool {
	if !n.sought {
		n.sought, n.spoils = true, n.seek()
	}
	return n.spoils&by != 0
}

func (n *noise) seek() (found spoils) {
	if n.symbols.Meets(symbol.Byte('%')) && escapes(n.kept.s) {
		found |= spoiltByPercent
	}
	if n.symbols.Meets(symbol.Byte('\\')) && unescapes(n.raw) {
		found |= spoiltByBackslash
	}
	if n.symbols.Meets(symbol.Byte('*')) && strings.Contains(n.kept.s, "/*") {
		found |= spoiltByComment
	}
	return found
}

// escapes reports whether some % has two hexadecimal digits or a u behind it.
func escapes(kept string) bool {
	for i := strings.IndexByte(kept, '%'); i >= 0 && i+1 < len(kept); i++ {
		if kept[i] == '%' && (kept[i+1]|0x20 == 'u' || i+2 < len(kept) && isHex(kept[i+1]) && isHex(kept[i+2])) {
			return true
		}
	}
	return false
}

// unescapes reports whether the kept byte behind some backslash is one that a backslash makes another of.
func unescapes(raw []byte) bool {
	for i := bytes.IndexByte(raw, '\\'); i >= 0 && i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		for i++; i < len(raw) && !isKept[raw[i]]; i++ {
		}
		if i < len(raw) && ('0' <= raw[i] && raw[i] <= '7' || strings.IndexByte("abfnrtvxu", raw[i]|0x20) >= 0) {
			return true
		}
	}
	return false
}

// joins reports whether taking NULs and backslashes out of what is not odd may leave what is: then one of them stands behind
// a part of one of the two letters.
func joins(raw string) bool {
	for i := range len(raw) {
		if c := raw[i]; (c == 0 || c == '\\') && i > 0 && (raw[i-1] == 0xc5 || raw[i-1] == 0xe2 || raw[i-1] == 0x84) {
			return true
		}
	}
	return false
}

// onlyNoise reports that no rule can match any stage of the walk but the value itself: the walk decodes at once, and what
// comes out lacks the pieces of all rules' literals.
func (pf *Proof) onlyNoise(w *walker, rules []*rule, in *search) bool {
	if !w.base64.quiet || !clean64.Holds(pf.base.symbols) || !w.jumps(pf.base.symbols, rules) {
		return false
	}
	for _, r := range rules {
		if r.piece < 0 {
			return false
		}
	}
	n := pf.decode(in)
	if n.kept.search != in || n.odd || n.spoilt(w.base64.spoils) {
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
	need   int      // which list of the search pieces are; -1: none
	exact  []string // without pieces: strings of which one is in what a match is in; nil: not known
}

// decodes has a link that decodes base64 judged by its alternatives.
func (l *link) decodes() {
	names := l.chain.Names()
	if l.maybe || l.multi || l.op.negated || l.op.pattern == nil || l.op.pattern.Syntax() == nil ||
		len(names) == 0 || names[0] != "base64decodeext" {
		return
	}
	all, ok := spoilsOf(names[1:])
	if !ok || slices.Contains(names[1:], "removewhitespace") { // which may leave a greater length
		return
	}
	rest, err := transform.NewChain(names[1:])
	if err != nil {
		return
	}
	l.spoils, l.rest, l.least = all, rest, math.MaxInt
	for _, re := range alternatives(l.op.pattern.Syntax()) {
		need := literal.Analyse(re)
		w := way{sets: need.Sets, minLen: need.MinLen, pieces: pieces(need.Any), need: -1}
		if rest.Active() == 0 && w.pieces == nil && !slices.ContainsFunc(need.Any, hasLetter) {
			w.exact = need.Any
		}
		l.ways = append(l.ways, w)
		l.least = min(l.least, need.MinLen)
	}
}

// dismisses reports that the link cannot match what it makes of s, the value at hand itself: by none of its ways. What comes
// after decoding only shortens, and leaves symbols that are known.
func (pf *Proof) dismisses(l *link, s string, r *rule) bool {
	if len(l.ways) == 0 || len(s) == 0 || len(s) != len(pf.base.s) || unsafe.StringData(s) != unsafe.StringData(pf.base.s) {
		return false
	}
	in := pf.prover.plans.searchOf(r)
	n := pf.decode(in)
	switch {
	case n.kept.search != in || n.spoilt(l.spoils):
		return false
	case len(n.raw) < l.least, l.rest.Active() == 0 && !l.op.fits(n.symbols):
		return true
	}
	m, _ := l.rest.Image(n.symbols)
	for i := range l.ways {
		w := &l.ways[i]
		if len(n.raw) < w.minLen || slices.ContainsFunc(w.sets, func(s symbol.Set) bool { return !s.Meets(m) }) {
			continue
		}
		if w.need < 0 && w.exact == nil || n.odd {
			return false
		}
		if n.kept.scan(); n.kept.hits.Has(w.need) || n.holds(w.exact) {
			return false
		}
	}
	return true
}

// holds reports whether one of the strings is in the noise.
func (n *noise) holds(list []string) bool {
	for _, s := range list {
		if bytes.Contains(n.raw, []byte(s)) {
			return true
		}
	}
	return false
}

func hasLetter(s string) bool {
	return symbol.Bytes(s).Meets(symbol.Lower | symbol.Upper | symbol.High)
}
