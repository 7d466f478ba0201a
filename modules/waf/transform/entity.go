package transform

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// legacyNames are the references that HTML knows without a semicolon too; the list is closed. U+00A0 to U+00FF in order.
const legacyNames = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 " +
	"acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml " +
	"Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc " +
	"Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml " +
	"aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc " +
	"otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml"

// legacy gives the characters for legacyNames and for the ten that are not among them.
var legacy = func() map[string]rune {
	m := map[string]rune{
		"amp": '&', "AMP": '&', "lt": '<', "LT": '<', "gt": '>', "GT": '>', "quot": '"', "QUOT": '"',
		"COPY": '\u00a9', "REG": '\u00ae',
	}
	for i, name := range strings.Fields(legacyNames) {
		m[name] = rune(0xa0 + i)
	}
	return m
}()

// The shortest and the longest legacy name.
const legacyMin, legacyMax = 2, 6

// legacyHead tells whether a legacy name begins with the two ASCII characters. Most that follow a & in a form do not.
var legacyHead = func() (heads [128][128]bool) {
	for name := range legacy {
		heads[name[0]][name[1]] = true
	}
	return heads
}()

// windows1252 are the characters that &#128; to &#159; stand for.
var windows1252 = [...]rune{
	0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d, 0x8f,
	0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178,
}

// reference is a character reference in a text: what it stands for, and its length, 0 if it is none.
type reference struct {
	char rune
	text string // instead of char, if that is 0
	size int
}

// readReference reads the character reference at the beginning of s, which begins with &.
func readReference(s string) reference {
	if len(s) > 1 && s[1] == '#' {
		return readNumber(s)
	}
	end := 1
	for end < len(s) && alphanumeric(s[end]) {
		end++
	}
	name := s[1:end]
	if end < len(s) && s[end] == ';' {
		if char, ok := legacy[name]; ok {
			return reference{char: char, size: end + 1}
		}
		// One of some 2,000 that need the semicolon, or a legacy name and letters. Neither depends on what follows:
		// let Coraza's decoder say.
		if piece := s[:end+1]; end > 1 {
			if text := html.UnescapeString(piece); text != piece {
				return reference{text: text, size: end + 1}
			}
		}
		return reference{}
	}
	if len(name) < legacyMin || !legacyHead[name[0]][name[1]] {
		return reference{}
	}
	for n := min(len(name), legacyMax); n >= legacyMin; n-- {
		if char, ok := legacy[name[:n]]; ok {
			return reference{char: char, size: 1 + n}
		}
	}
	return reference{}
}

// readNumber reads &#1; or &#x1; with or without the semicolon.
func readNumber(s string) reference {
	i, base, x := 2, rune(10), rune(0)
	if i < len(s) && s[i]|0x20 == 'x' {
		i, base = 3, 16
	}
	digits := i
	for ; i < len(s); i++ {
		d := rune(nibble[s[i]])
		if d >= base {
			break
		}
		if x <= utf8.MaxRune { // beyond, no digit makes it a character again
			x = x*base + d
		}
	}
	if i == digits {
		return reference{}
	}
	if i < len(s) && s[i] == ';' {
		i++
	}
	switch {
	case x >= 0x80 && x <= 0x9f:
		x = windows1252[x-0x80]
	case x == 0 || !utf8.ValidRune(x):
		x = utf8.RuneError
	}
	return reference{char: x, size: i}
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// nextReference finds the first reference in s at or after i; its place is -1 if there is none.
func nextReference(s string, i int) (int, reference) {
	for {
		amp := strings.IndexByte(s[i:], '&')
		if amp < 0 {
			return -1, reference{}
		}
		i += amp
		if r := readReference(s[i:]); r.size > 0 {
			return i, r
		}
		i++
	}
}

func htmlEntityDecodeStart(s string) int {
	i, _ := nextReference(s, 0)
	return i
}

func htmlEntityDecodeWrite(dst []byte, s string, i int) []byte {
	done := 0
	for {
		next, r := nextReference(s, i)
		if next < 0 {
			return append(dst, s[done:]...)
		}
		dst = append(dst, s[done:next]...)
		if r.char != 0 {
			dst = utf8.AppendRune(dst, r.char)
		} else {
			dst = append(dst, r.text...)
		}
		done = next + r.size
		i = done
	}
}
