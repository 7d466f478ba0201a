package transform

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What trim cuts off; it is isspace() of the C locale.
const trimmed = " \t\n\r\f\v"

func trim(s string) string      { return strings.Trim(s, trimmed) }
func trimLeft(s string) string  { return strings.TrimLeft(s, trimmed) }
func trimRight(s string) string { return strings.TrimRight(s, trimmed) }

// latinSpace reports whether compressWhitespace takes the character at s[i:] for white space, and its size: ASCII's,
// U+0085, U+00A0, and a byte A0 that is part of no character (but no such byte 85).
func latinSpace(s string, i int) (space bool, size int) {
	c := s[i]
	if c < utf8.RuneSelf {
		return asciiSpace(c), 1
	}
	r, size := utf8.DecodeRuneInString(s[i:])
	return r == 0x85 || r == 0xa0 || c == 0xa0, size
}

// compressWhitespaceStart returns the first white space that is not a space, or is a space after another.
func compressWhitespaceStart(s string) int {
	for i, after := 0, false; i < len(s); {
		space, size := latinSpace(s, i)
		if space && (after || s[i] != ' ') {
			return i
		}
		after = space
		i += size
	}
	return -1
}

func compressWhitespaceWrite(dst []byte, s string, from int) []byte {
	done := 0                             // s[:done] is in dst, or was left out
	after := from > 0 && s[from-1] == ' ' // no other white space can be before the first change
	for i := from; i < len(s); {
		space, size := latinSpace(s, i)
		if space {
			dst = append(dst, s[done:i]...)
			if !after {
				dst = append(dst, ' ')
			}
			done = i + size
		}
		after = space
		i += size
	}
	return append(dst, s[done:]...)
}

// runeAt is the character at s[i:], and whether it is invalid UTF-8.
func runeAt(s string, i int) (r rune, size int, invalid bool) {
	c := s[i]
	if c < utf8.RuneSelf {
		return rune(c), 1, false
	}
	// Fast path: what cannot begin a character or is not continued, which is nearly all of what is no text.
	if c < 0xc2 || c > 0xf4 || i+1 == len(s) || s[i+1]&0xc0 != 0x80 {
		return utf8.RuneError, 1, true
	}
	r, size = utf8.DecodeRuneInString(s[i:])
	return r, size, r == utf8.RuneError && size == 1
}

// removeWhitespaceStart returns the first white space, in Unicode's sense, or invalid byte: those become U+FFFD.
func removeWhitespaceStart(s string) int {
	if i, _, _ := unwanted(s, 0); i < len(s) {
		return i
	}
	return -1
}

func removeWhitespaceWrite(dst []byte, s string, from int) []byte {
	dst = append(slices.Grow(dst, len(s)), s[:from]...)
	for i := from; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if !asciiSpace(c) {
				dst = append(dst, c)
			}
			i++
			continue
		}
		r, size, invalid := runeAt(s, i)
		switch {
		case invalid:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		case !unicode.IsSpace(r):
			dst = append(dst, s[i:i+size]...)
		}
		i += size
	}
	return dst
}

// unwanted returns the first white space or invalid byte at or after i, and its size; at len(s) if there is none.
func unwanted(s string, i int) (at, size int, invalid bool) {
	for i < len(s) {
		if c := s[i]; c < utf8.RuneSelf {
			if asciiSpace(c) {
				return i, 1, false
			}
			i++
			continue
		}
		r, size, invalid := runeAt(s, i)
		if invalid || unicode.IsSpace(r) {
			return i, size, invalid
		}
		i += size
	}
	return i, 0, false
}

// hasSpace is what Coraza calls a change by removeWhitespace; an invalid byte that becomes U+FFFD is none.
func hasSpace(in, _ string) bool { return strings.IndexFunc(in, unicode.IsSpace) >= 0 }

func nullStart(s string) int { return strings.IndexByte(s, 0) }

func removeNullsWrite(dst []byte, s string, i int) []byte { return withoutNulls(dst, s, i, "") }

func replaceNullsWrite(dst []byte, s string, i int) []byte { return withoutNulls(dst, s, i, " ") }

func withoutNulls(dst []byte, s string, i int, instead string) []byte {
	for i >= 0 {
		dst = append(append(dst, s[:i]...), instead...)
		s = s[i+1:]
		i = strings.IndexByte(s, 0)
	}
	return append(dst, s...)
}
