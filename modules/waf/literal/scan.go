package literal

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"unsafe"
)

const (
	// MaxLists is how many lists one scanner can tell apart.
	MaxLists = 768
	// minString is the shortest string that a scanner searches for, in bytes.
	minString = 2
)

// Hits is a set of numbers below MaxLists. The zero value is empty. It is a value: copies are independent.
type Hits [MaxLists / 64]uint64

// Has reports whether i is in the set. What is out of range is not.
func (h *Hits) Has(i int) bool { return uint(i) < MaxLists && h[i>>6]&(1<<(i&63)) != 0 }

// Len returns how many numbers are in the set.
func (h *Hits) Len() (n int) {
	for _, w := range h {
		n += bits.OnesCount64(w)
	}
	return n
}

// Meets reports whether the sets have a number in common.
func (h *Hits) Meets(o *Hits) bool {
	var common uint64
	for i, w := range h {
		common |= w & o[i]
	}
	return common != 0
}

// Add puts i into the set. What is out of range is not put.
func (h *Hits) Add(i int) {
	if uint(i) < MaxLists {
		h[i>>6] |= 1 << (i & 63)
	}
}

func (h *Hits) add(i uint16) { h[i>>6] |= 1 << (i & 63) }

// Scanner finds which of many lists have a string that occurs in a text, in any ASCII case. It is immutable and safe for
// concurrent use. Make it with NewScanner.
//
// Each string is filed under one gram of it: its rarest four bytes in a row, or the whole if it is shorter. At each
// position of the text two loads from tables that fit into the processor's first cache say whether a gram may begin here;
// only then are strings compared. A string that occurs has its gram in the text, and the tables hold every gram: so
// nothing is missed. Tables and grams fold each byte by one OR, which is coarser than ASCII folding (it also takes @ for `)
// and so misses nothing either; the comparison is exact.
type Scanner struct {
	grams  [1 << gramBits]uint16 // hash of three bytes -> set of (the fourth byte modulo 16); whole for a gram of three
	pairs  [1 << 13]uint8        // two bytes -> whether they are a gram of two; a bit each
	paired bool                  // there are pairs
	index  [5]index              // by the length of grams: 2, 3 and 4
	files  []filed               // by gram
}

// filed is a string, filed under the gram that begins at offset at.
type filed struct {
	text  string
	at    int32
	last  bool // of those under this gram
	lists []uint16
}

const (
	gramBits = 15
	whole    = 0xffff
	fold4    = 0x20202020
	fold8    = 0x2020202020202020
)

// index finds the first file of a gram: open addressing in a power of two of slots, never full.
type index []slot

type slot struct {
	gram uint32 // folded
	file uint32 // 1 + the first of its files; 0: free
}

// find returns the slot of a gram, or the free one where it belongs.
func (x index) find(gram uint32) *slot {
	mask := uint32(len(x) - 1)
	h := gram * 0x85ebca6b
	for i := h ^ h>>15; ; i++ {
		if sl := &x[i&mask]; sl.gram == gram || sl.file == 0 {
			return sl
		}
	}
}

// NewScanner makes a scanner; lists[i] is list i, each string two bytes long at least.
func NewScanner(lists [][]string) (*Scanner, error) {
	if len(lists) > MaxLists {
		return nil, fmt.Errorf("%d lists: a scanner takes %d", len(lists), MaxLists)
	}
	owners := map[string][]uint16{}
	for i, list := range lists {
		for _, s := range list {
			if len(s) < minString {
				return nil, fmt.Errorf("list %d: %q is shorter than %d bytes", i, s, minString)
			}
			s = fold(s)
			if o := owners[s]; !slices.Contains(o, uint16(i)) {
				owners[s] = append(o, uint16(i))
			}
		}
	}
	var byGram [5]map[uint32][]filed
	for n := range byGram {
		byGram[n] = map[uint32][]filed{}
	}
	s := &Scanner{}
	for _, text := range slices.Sorted(maps.Keys(owners)) {
		n, at, gram := choose(text, &byGram)
		s.enter(n, gram)
		byGram[n][gram] = append(byGram[n][gram], filed{text: text, at: int32(at), lists: owners[text]})
	}
	for n, files := range byGram {
		s.index[n] = make(index, 1<<bits.Len(uint(len(files)+len(files)/2+1)))
		for _, gram := range slices.Sorted(maps.Keys(files)) {
			*s.index[n].find(gram) = slot{gram, uint32(len(s.files) + 1)}
			s.files = append(s.files, files[gram]...)
			s.files[len(s.files)-1].last = true
		}
	}
	return s, nil
}

// choose returns the gram to file a string under: its length, its place in the string, and its folded bytes. It takes the
// rarest, but rather one of its own than one that many share. Which one it takes matters for speed alone.
func choose(text string, byGram *[5]map[uint32][]filed) (n, at int, gram uint32) {
	n = min(len(text), 4)
	least := math.Inf(1)
	for i := range len(text) - n + 1 {
		g := folded(text, i) & (1<<(8*n) - 1)
		if cost := chance(text[i:i+n]) * float64(1+len(byGram[n][g])); cost < least {
			least, at, gram = cost, i, g
		}
	}
	return n, at, gram
}

// enter enters a gram of n bytes into the tables.
func (s *Scanner) enter(n int, gram uint32) {
	switch n {
	case 2:
		s.pairs[gram>>3] |= 1 << (gram & 7)
		s.paired = true
	case 3:
		s.grams[hash(gram)] = whole
	case 4:
		s.grams[hash(gram)] |= 1 << (gram >> 24 & 15)
	}
}

// hash sorts the lower three bytes of a folded gram into grams.
func hash(gram uint32) uint32 { return (gram << 8 * 0x9e3779b1) >> (32 - gramBits) }

// gram is 1 if a gram of three or four may begin with the four folded bytes x, pair if one of two does.
func (s *Scanner) gram(x uint32) uint32 { return uint32(s.grams[hash(x)]>>(x>>24&15)) & 1 }
func (s *Scanner) pair(x uint32) uint32 { return uint32(s.pairs[x&0xffff>>3]>>(x&7)) & 1 }

// Scan adds to hits each list of which some string occurs in text. It allocates nothing and removes nothing from hits.
//
// It looks at 64 positions before it compares any string, so that the processor need not guess at every position whether
// a gram begins there.
func (s *Scanner) Scan(text string, hits *Hits) {
	b := unsafe.Slice(unsafe.StringData(text), len(text)) // for reading only, while text is alive
	i := 0
	for ; len(b)-i >= window; i += 64 {
		block := (*[window]byte)(b[i:])
		s.compare(text, i, s.gramsIn(block, 64), s.pairsIn(block, 64), hits)
	}
	var tail [window]byte // at the end of the text stand zeros: a gram that reaches there is refuted by try
	for ; i < len(b); i += 64 {
		n := copy(tail[:], b[i:])
		clear(tail[n:])
		n = min(n, 64)
		within := ^uint64(0) >> (64 - n) // a gram that begins behind the text is ignored
		s.compare(text, i, s.gramsIn(&tail, n)&within, s.pairsIn(&tail, n)&within, hits)
	}
}

// window is 64 positions and the bytes behind that a gram at the last of them may need, rounded up to whole words.
const window = 64 + 8

// gramsIn returns at which of the first n positions, of 64 at most, and perhaps of some behind them, a gram of three or
// four may begin.
func (s *Scanner) gramsIn(block *[window]byte, n int) (set uint64) {
	for k := 0; k < min(n, 64); k += 4 {
		y := binary.LittleEndian.Uint64(block[k:k+8]) | fold8
		set |= uint64(s.gram(uint32(y))|s.gram(uint32(y>>8))<<1|s.gram(uint32(y>>16))<<2|s.gram(uint32(y>>24))<<3) << k
	}
	return set
}

// pairsIn is gramsIn for grams of two.
func (s *Scanner) pairsIn(block *[window]byte, n int) (set uint64) {
	if !s.paired {
		return 0
	}
	for k := 0; k < min(n, 64); k += 4 {
		y := binary.LittleEndian.Uint64(block[k:k+8]) | fold8
		set |= uint64(s.pair(uint32(y))|s.pair(uint32(y>>8))<<1|s.pair(uint32(y>>16))<<2|s.pair(uint32(y>>24))<<3) << k
	}
	return set
}

// compare adds the lists of the strings under the grams that may begin at i plus the numbers in the sets grams and pairs.
func (s *Scanner) compare(text string, i int, grams, pairs uint64, hits *Hits) {
	for ; pairs != 0; pairs &= pairs - 1 {
		at := i + bits.TrailingZeros64(pairs)
		s.try(text, at, s.index[2].find(folded(text, at)&0xffff).file, hits)
	}
	for ; grams != 0; grams &= grams - 1 {
		at := i + bits.TrailingZeros64(grams)
		x := folded(text, at)
		s.try(text, at, s.index[4].find(x).file, hits)
		if s.grams[hash(x)] == whole {
			s.try(text, at, s.index[3].find(x&0xffffff).file, hits)
		}
	}
}

// folded returns the four bytes of text from i on, as grams are folded, with zeros for those beyond the text.
func folded(text string, i int) uint32 {
	if i+4 <= len(text) {
		t := text[i : i+4]
		return (uint32(t[0]) | uint32(t[1])<<8 | uint32(t[2])<<16 | uint32(t[3])<<24) | fold4
	}
	var four [4]byte
	copy(four[:], text[i:])
	return binary.LittleEndian.Uint32(four[:]) | fold4
}

// try compares with the strings of a gram. One that would not lie within the text is not there.
func (s *Scanner) try(text string, i int, file uint32, hits *Hits) {
	for ; file != 0; file++ {
		f := &s.files[file-1]
		if start := i - int(f.at); start >= 0 && start+len(f.text) <= len(text) && equal(text[start:start+len(f.text)], f.text) {
			for _, list := range f.lists {
				hits.add(list)
			}
		}
		if f.last {
			return
		}
	}
}

// equal reports whether text, folded, is folded.
func equal(text, folded string) bool {
	for i := range len(folded) {
		if lower(text[i]) != folded[i] {
			return false
		}
	}
	return true
}

// fold returns s with ASCII capitals folded; all other bytes stay.
func fold(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lower(b[i])
	}
	return string(b)
}
