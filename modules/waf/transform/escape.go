package transform

import (
	"strings"
	"unicode/utf8"
)

// backslashStart returns where the first backslash is that something follows: what jsDecode and escapeSeqDecode remove.
func backslashStart(s string) int {
	if i := strings.IndexByte(s, '\\'); i < len(s)-1 {
		return i
	}
	return -1
}

// unescape copies s and replaces each backslash and what read says belongs to it, n bytes in all, by b.
func unescape(dst []byte, s string, i int, read func(s string, i int) (b byte, n int)) []byte {
	done := 0
	for i < len(s)-1 { // a last backslash alone is kept
		dst = append(dst, s[done:i]...)
		b, n := read(s, i)
		dst = append(dst, b)
		done = i + n
		next := strings.IndexByte(s[done:], '\\')
		if next < 0 {
			break
		}
		i = done + next
	}
	return append(dst, s[done:]...)
}

func jsDecodeWrite(dst []byte, s string, from int) []byte { return unescape(dst, s, from, jsEscape) }

// jsEscape reads the escape at s[i:]: a backslash and at least one byte more.
func jsEscape(s string, i int) (b byte, n int) {
	c := s[i+1]
	switch {
	case c == 'u':
		if b, n := jsBraced(s, i); n > 0 {
			return b, n
		}
		if hi, ok := hexByte(s, i+2); ok {
			if lo, ok := hexByte(s, i+4); ok {
				return fullWidth(hi, lo), 6
			}
		}
	case c == 'x':
		if b, ok := hexByte(s, i+2); ok {
			return b, 4
		}
	case octal(c):
		// Three digits if they fit into a byte, else two.
		limit := 3
		if c > '3' {
			limit = 2
		}
		b, n := octals(s, i+1, limit)
		return b, n + 1
	}
	return control(c), 2
}

// jsBraced reads \u{H…}, one to six digits: the value's low byte; n is 0 if it is not that.
func jsBraced(s string, i int) (b byte, n int) {
	if i+2 >= len(s) || s[i+2] != '{' {
		return 0, 0
	}
	code, digits := hexRune(s, i+3)
	if end := i + 3 + digits; digits == 0 || end >= len(s) || s[end] != '}' {
		return 0, 0
	}
	if code >= 0xff01 && code <= 0xff5e {
		code += 0x20
	}
	return byte(code), digits + 4
}

func escapeSeqDecodeWrite(dst []byte, s string, from int) []byte {
	return unescape(dst, s, from, cEscape)
}

// cEscape reads the escape at s[i:]: a backslash and at least one byte more.
func cEscape(s string, i int) (b byte, n int) {
	c := s[i+1]
	if c|0x20 == 'x' {
		if b, ok := hexByte(s, i+2); ok {
			return b, 4
		}
	}
	if octal(c) {
		b, n := octals(s, i+1, 3)
		return b, n + 1
	}
	return control(c), 2
}

// control is what a letter after a backslash stands for; any other byte stands for itself.
func control(c byte) byte {
	switch c {
	case 'a':
		return '\a'
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v'
	}
	return c
}

func octal(c byte) bool { return c >= '0' && c <= '7' }

// octals reads up to limit octal digits at s[i:] and gives the low byte of their value.
func octals(s string, i, limit int) (b byte, n int) {
	for n < limit && i+n < len(s) && octal(s[i+n]) {
		b = b<<3 | (s[i+n] - '0')
		n++
	}
	return b, n
}

// hexRune reads up to six hexadecimal digits at s[i:].
func hexRune(s string, i int) (code rune, n int) {
	for n < 6 && i+n < len(s) && nibble[s[i+n]] != notHex {
		code = code<<4 | rune(nibble[s[i+n]])
		n++
	}
	return code, n
}

func cssDecodeStart(s string) int { return strings.IndexByte(s, '\\') }

func cssDecodeWrite(dst []byte, s string, i int) []byte {
	done := 0
	for {
		dst = append(dst, s[done:i]...)
		dst, done = cssEscape(dst, s, i+1)
		next := strings.IndexByte(s[done:], '\\')
		if next < 0 {
			return append(dst, s[done:]...)
		}
		i = done + next
	}
}

// cssEscape appends what the escape stands for whose backslash is before s[i:], and returns where it ends. A code point
// takes one white space with it; one that cannot be is U+FFFD, as is 0; a newline and the end stand for nothing.
func cssEscape(dst []byte, s string, i int) (out []byte, end int) {
	code, n := hexRune(s, i)
	switch {
	case n > 0:
		if code == 0 {
			code = utf8.RuneError
		}
		if code >= 0xff01 && code <= 0xff5e {
			code -= 0xfee0
		}
		dst = utf8.AppendRune(dst, code)
		i += n
		if i < len(s) && asciiSpace(s[i]) {
			i++
		}
		return dst, i
	case i == len(s):
		return dst, i
	case s[i] == '\n':
		return dst, i + 1
	}
	return append(dst, s[i]), i + 1
}

// asciiSpace is isspace() of the C locale.
func asciiSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
