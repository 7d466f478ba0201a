package transform

import (
	"strings"

	"gatehouse.internal/modules/waf/symbol"
)

// How cmdLine reads a byte.
const (
	cmdPlain = iota
	cmdUpper // becomes lower case
	cmdDrop  // is dropped
	cmdGap   // becomes a space, which it has in common with its neighbours
	cmdSpace // the same, but is a space already
	cmdTight // stays, and a gap before it goes
)

var cmdClass = func() (table [256]byte) {
	for c := 'A'; c <= 'Z'; c++ {
		table[c] = cmdUpper
	}
	for _, c := range `"'\^` {
		table[c] = cmdDrop
	}
	for _, c := range ",;\t\r\n" {
		table[c] = cmdGap
	}
	table[' '] = cmdSpace
	table['/'], table['('] = cmdTight, cmdTight
	return table
}()

// cmdStart returns the first byte that is dropped or replaced. With fold, letters do not count. A space counts if the
// next byte makes one of the two go; if that is a cmdDrop or cmdGap it counts itself.
func cmdStart(s string, fold bool) int {
	for i := range len(s) {
		switch cmdClass[s[i]] {
		case cmdUpper:
			if !fold {
				return i
			}
		case cmdDrop, cmdGap:
			return i
		case cmdSpace:
			if i+1 < len(s) && cmdClass[s[i+1]] >= cmdSpace {
				return i
			}
		}
	}
	return -1
}

func cmdLineStart(s string) int { return cmdStart(s, false) }

// cmdChanges are the symbols of all that counts for cmdStart beside letters, but for the space.
var cmdChanges = func() (set symbol.Set) {
	for c, class := range cmdClass {
		if class == cmdDrop || class == cmdGap || class == cmdTight {
			set |= symbol.Byte(byte(c))
		}
	}
	return set
}()

// cmdLineFolds: among letters and what stays, a space goes only beside another.
func cmdLineFolds(s string, set symbol.Set) bool {
	if !cmdChanges.Meets(set) {
		return !maybeTwoSpaces(s)
	}
	return cmdStart(s, true) < 0
}

// maybeTwoSpaces reports whether a space stands beside another, or beside ! perhaps. It looks at eight bytes at a time, the
// last of which is the first of the next eight. In x a byte is 0 where s has a space; subtracting 1 from each borrows from
// the byte above a 0 only, so that spaces has the top bit of each such byte and at most of a 1 above one.
func maybeTwoSpaces(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 7 {
		x := load8(s[i:i+8]) ^ ' '*ones
		if spaces := (x - ones) &^ x & tops; spaces&(spaces>>8) != 0 {
			return true
		}
	}
	return strings.Contains(s[i:], "  ")
}

// load8 is the first eight bytes of s as a number, the first the least.
func load8(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func cmdLineWrite(dst []byte, s string, from int) []byte {
	dst = append(dst, s[:from]...)
	gap := from > 0 && s[from-1] == ' ' // dst ends with a gap's space, with nothing but dropped bytes after it
	for i := from; i < len(s); i++ {
		c := s[i]
		switch cmdClass[c] {
		case cmdDrop:
			continue
		case cmdGap, cmdSpace:
			if !gap {
				dst = append(dst, ' ')
				gap = true
			}
			continue
		case cmdTight:
			if gap {
				dst = dst[:len(dst)-1]
			}
		case cmdUpper:
			c += 'a' - 'A'
		}
		dst = append(dst, c)
		gap = false
	}
	return dst
}
