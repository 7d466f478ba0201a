package reqpath

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// fold returns the pessimistic reading of a decoded path (see [Path.Folded])
// and the length of its prefix up to the first '?' or '#' (0 if none). It
// refuses what no single reading can cover.
func fold(decoded string, o Options) (string, int, error) {
	var mapBuf, outBuf [256]byte
	mapped, err := foldRunes(mapBuf[:0], decoded)
	if err != nil {
		return "", 0, err
	}
	// Checked here, so that a full-width percent sign and dropped characters
	// between the digits count too.
	if hasEscape(mapped) {
		return "", 0, ErrDoubleEncoded
	}
	out, cut, err := foldSegments(outBuf[:0], mapped, o)
	if err != nil {
		return "", 0, err
	}
	return reuse(out, decoded), cut, nil
}

// foldRunes appends to dst the runes of s, each folded.
func foldRunes(dst []byte, s string) ([]byte, error) {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			dst = append(dst, lowerASCII(c))
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return nil, ErrUTF8
		case r < 0xA0:
			return nil, ErrControl
		case isLookalike(r):
			return nil, ErrLookalike
		}
		if r = foldRune(r); r >= 0 {
			dst = utf8.AppendRune(dst, r)
		}
		i += n
	}
	return dst, nil
}

// foldSegments appends to dst the segments of a path of folded runes, each
// cut and trimmed, the empty ones dropped.
func foldSegments(dst, mapped []byte, o Options) (out []byte, cut int, err error) {
	rest, first, more := mapped[1:], true, true
	for more {
		var seg []byte
		seg, rest, more = bytes.Cut(rest, []byte{'/'})
		if bytes.Contains(seg, []byte(":$")) {
			return nil, 0, ErrStream
		}
		text := seg
		if i := bytes.IndexAny(seg, ";?#"); i >= 0 {
			text = seg[:i]
		}
		name := bytes.TrimLeft(bytes.TrimRight(text, ". "), " ")
		switch {
		case len(name) > 0:
			dst = append(append(dst, '/'), name...)
		case len(text) > 0: // nothing but dots and spaces
			return nil, 0, ErrDotSegment
		case more && (first || !o.AllowEmptySegments):
			return nil, 0, ErrEmptySegment
		}
		if cut == 0 && bytes.ContainsAny(seg, "?#") {
			cut = max(len(dst), 1)
		}
		first = false
	}
	if len(dst) == 0 {
		dst = append(dst, '/')
	}
	return dst, cut, nil
}

// hasEscape reports whether a second decoder would find something to decode:
// %XX, or %uXXXX as IIS reads it.
func hasEscape(s []byte) bool {
	for i, c := range s {
		if c != '%' {
			continue
		}
		rest := s[i+1:]
		if len(rest) >= 2 && isHex(rest[0]) && isHex(rest[1]) {
			return true
		}
		if len(rest) >= 5 && rest[0] == 'u' && isHex(rest[1]) && isHex(rest[2]) && isHex(rest[3]) && isHex(rest[4]) {
			return true
		}
	}
	return false
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// foldRune maps all runes that some server takes for one another to one rune,
// or to -1 (dropped). All case variants of a rune fold alike, in both
// directions: a server may compare upper-case (dotless i becomes I) as well
// as lower-case (the Kelvin sign becomes k).
func foldRune(r rune) rune {
	switch {
	case 0xFF01 <= r && r <= 0xFF5E: // full-width forms of ASCII
		r -= 0xFEE0
	case r == 0x037E: // Greek question mark, canonically equivalent to ';'
		return ';'
	case r == 0x2026: // ellipsis, compatible with "..."
		return '.'
	case unicode.IsSpace(r), unicode.Is(unicode.Z, r):
		return ' '
	case isIgnorable(r):
		return -1
	}
	r = unicode.ToLower(unicode.ToUpper(r))
	if r < utf8.RuneSelf {
		return rune(lowerASCII(byte(r)))
	}
	// One rune stands for the whole case orbit.
	least := r
	for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
		if o < utf8.RuneSelf {
			return rune(lowerASCII(byte(o)))
		}
		least = min(least, o)
	}
	return unicode.ToLower(least)
}

// isIgnorable reports whether file systems and text stacks drop r from names
// (HFS+ does: CVE-2014-9390).
func isIgnorable(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// isLookalike reports whether best-fit or compatibility mappings turn r into
// a slash, a backslash or a dot.
func isLookalike(r rune) bool {
	switch r {
	case 0x2044, 0x2215, 0x29F8, 0xFF0F, // fraction, division, big and full-width solidus
		0x2216, 0x29F5, 0x29F9, 0xFE68, 0xFF3C, // set minus, reverse solidus: operator, big, small, full-width
		0x2024, 0x2025, 0xFE52, 0xFF0E: // one and two dot leader, small and full-width full stop
		return true
	}
	return false
}
