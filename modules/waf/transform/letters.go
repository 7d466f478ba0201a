package transform

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"gatehouse.internal/modules/waf/symbol"
)

// caseStart returns the first character that to changes, or that is invalid UTF-8, which becomes U+FFFD. ascii tells
// whether the ASCII letters from first to first+25 are looked at.
func caseStart(s string, first byte, ascii bool, to func(rune) rune) int {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if ascii && c-first < 26 {
				return i
			}
			i++
			continue
		}
		r, size, invalid := runeAt(s, i)
		if invalid || to(r) != r {
			return i
		}
		i += size
	}
	return -1
}

func caseWrite(dst []byte, s string, from int, first byte, to func(rune) rune) []byte {
	dst = append(slices.Grow(dst, len(s)), s[:from]...)
	for i := from; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c-first < 26 {
				c ^= 'a' ^ 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, size, _ := runeAt(s, i)
		dst = utf8.AppendRune(dst, to(r))
		i += size
	}
	return dst
}

func lowercaseStart(s string) int { return caseStart(s, 'A', true, unicode.ToLower) }

func lowercaseWrite(dst []byte, s string, from int) []byte {
	return caseWrite(dst, s, from, 'A', unicode.ToLower)
}

func uppercaseStart(s string) int { return caseStart(s, 'a', true, unicode.ToUpper) }

func uppercaseWrite(dst []byte, s string, from int) []byte {
	return caseWrite(dst, s, from, 'a', unicode.ToUpper)
}

// lowercaseFolds: ASCII letters fold; of the rest no character may change.
func lowercaseFolds(s string, set symbol.Set) bool {
	return !set.Meets(symbol.High) || caseStart(s, 'A', false, unicode.ToLower) < 0
}

func uppercaseFolds(s string, set symbol.Set) bool {
	return !set.Meets(symbol.High) || caseStart(s, 'a', false, unicode.ToUpper) < 0
}

// utf8toUnicodeStart returns the first byte that is not ASCII.
func utf8toUnicodeStart(s string) int {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return i
		}
	}
	return -1
}

// utf8toUnicodeWrite writes every character that is not ASCII as %uXXXX, with more digits if need be; an invalid byte
// is U+FFFD.
func utf8toUnicodeWrite(dst []byte, s string, from int) []byte {
	dst = append(dst, s[:from]...)
	for _, r := range s[from:] {
		if r < utf8.RuneSelf {
			dst = append(dst, byte(r))
			continue
		}
		dst = append(dst, '%', 'u')
		for shift := 20; shift >= 0; shift -= 4 {
			if d := r >> shift; d != 0 || shift < 16 {
				dst = append(dst, hexDigits[d&15])
			}
		}
	}
	return dst
}
