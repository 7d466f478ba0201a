// Package symbol sorts bytes into 64 symbols, so that what occurs in a text fits into one word.
//
// Most values that a request carries lack the punctuation that most rules need; one AND of two words says so. The
// sorting is a cover and never exact: two bytes may share a symbol, a byte never has two. All functions are pure.
package symbol

import "unicode"

// Set is a set of symbols. The zero value is the empty set.
type Set uint64

// The symbols that stand for many bytes. Every other printable ASCII byte, tab, line feed, carriage return and NUL has
// one of its own.
const (
	Lower   Set = 1 << iota // a to z
	Upper                   // A to Z
	Digit                   // 0 to 9
	High                    // every byte from 0x80: all of what is not ASCII
	Control                 // ASCII control characters but NUL, tab, line feed, carriage return
)

// All is the set of all symbols that exist.
var All Set

// of is the symbol of each byte.
var of [256]Set

func init() {
	next := Control << 1
	for b := range of {
		switch c := byte(b); {
		case c >= 'a' && c <= 'z':
			of[b] = Lower
		case c >= 'A' && c <= 'Z':
			of[b] = Upper
		case c >= '0' && c <= '9':
			of[b] = Digit
		case c >= 0x80:
			of[b] = High
		case c < ' ' && c != 0 && c != '\t' && c != '\n' && c != '\r', c == 0x7f:
			of[b] = Control
		default:
			of[b] = next
			next <<= 1
		}
		All |= of[b]
	}
}

// Byte returns the symbol of b.
func Byte(b byte) Set { return of[b] }

// Bytes returns the symbols of the bytes of s. It is Of for short constants.
func Bytes(s string) (set Set) {
	for i := range len(s) {
		set |= of[s[i]]
	}
	return set
}

// Rune returns the symbols of r's bytes in UTF-8; for a rune that stands for an invalid byte that is High too.
func Rune(r rune) Set {
	if r < 0x80 {
		return of[byte(r)]
	}
	return High
}

// Fold returns the symbols of r and of every rune that is r in another case (Unicode simple folding: k has the Kelvin
// sign, s the long s).
func Fold(r rune) Set {
	set := Rune(r)
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		set |= Rune(f)
	}
	return set
}

// Of returns the symbols that occur in s.
func Of(s string) Set {
	var a, b, c, d Set
	for len(s) >= 8 {
		a |= of[s[0]] | of[s[4]]
		b |= of[s[1]] | of[s[5]]
		c |= of[s[2]] | of[s[6]]
		d |= of[s[3]] | of[s[7]]
		s = s[8:]
	}
	for i := range len(s) {
		a |= of[s[i]]
	}
	return a | b | c | d
}

// Holds reports whether every symbol of t is in s.
func (s Set) Holds(t Set) bool { return t&^s == 0 }

// Meets reports whether the sets have a symbol in common.
func (s Set) Meets(t Set) bool { return s&t != 0 }
