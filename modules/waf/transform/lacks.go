package transform

import (
	"strings"

	"gatehouse.internal/modules/waf/symbol"
)

// squeezing are the transformations that make of ASCII text the same text without some of its white space and NULs, in
// any case.
var squeezing = map[string]bool{
	"lowercase": true, "uppercase": true, "removewhitespace": true, "removenulls": true,
	"trim": true, "trimleft": true, "trimright": true,
}

// Lacks reports that Apply(s) does not hold part, whatever the case of ASCII letters; set must hold the symbols of s.
// False means nothing. It computes no result.
//
// Of ASCII text the chain leaves the bytes in their order, and leaves out nothing but white space and NUL. So where the
// result holds part, which has neither, s has the bytes of part, in some case, with nothing but these between.
func (c *Chain) Lacks(s string, set symbol.Set, part string) bool {
	if !c.squeezes || set.Meets(symbol.High) || part == "" || strings.ContainsFunc(part, skipped) {
		return false
	}
	first := part[0] | 0x20
	letter := first-'a' < 26
	for i := 0; i < len(s); i++ {
		if letter {
			if s[i]|0x20 != first {
				continue
			}
		} else if n := strings.IndexByte(s[i:], part[0]); n < 0 {
			return true
		} else {
			i += n
		}
		if spreads(s[i:], part) {
			return false
		}
	}
	return true
}

// spreads reports whether s begins with the bytes of part, in some case, with nothing but white space and NULs between.
func spreads(s, part string) bool {
	i := 0
	for k := range len(part) {
		for i < len(s) && skipped(rune(s[i])) {
			i++
		}
		if i == len(s) || lower(s[i]) != lower(part[k]) {
			return false
		}
		i++
	}
	return true
}

// skipped are what squeezing transformations leave out of ASCII text; runes beyond are none that Lacks knows about.
func skipped(r rune) bool { return r >= 0x80 || r == 0 || asciiSpace(byte(r)) }

func lower(c byte) byte {
	if c-'A' < 26 {
		c += 'a' - 'A'
	}
	return c
}
