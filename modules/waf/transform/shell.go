package transform

import "gatehouse.internal/modules/waf/symbol"

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

func cmdLineFolds(s string, _ symbol.Set) bool { return cmdStart(s, true) < 0 }

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
