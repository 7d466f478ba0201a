package cookie

import (
	"net/http"
	"strings"
)

// Strip removes from the Cookie lines of the request header h every cookie
// whose name begins with prefix by any lenient reading (package comment), and
// the lines that are left empty. Lines without such a cookie are not touched;
// in the others the remaining cookies keep their bytes, and the separators
// between them. An empty prefix removes all cookies.
//
// The value slice of h is replaced, not written, so that a shallow copy of h
// keeps its cookies.
func Strip(h http.Header, prefix string) {
	lines := h["Cookie"]
	first := -1
	for i, line := range lines {
		if hasPrefixed(line, prefix) {
			first = i
			break
		}
	}
	if first < 0 {
		return // Fast path
	}
	kept := append(make([]string, 0, len(lines)), lines[:first]...)
	for _, line := range lines[first:] {
		if hasPrefixed(line, prefix) {
			if line = stripLine(line, prefix); line == "" {
				continue
			}
		}
		kept = append(kept, line)
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

func hasPrefixed(line, prefix string) bool {
	for more := true; more; {
		var pair string
		if pair, line, more = strings.Cut(line, ";"); isPrefixed(pair, prefix) {
			return true
		}
	}
	return false
}

// stripLine returns line without the prefixed cookies, or "" if nothing but
// separators is left.
func stripLine(line, prefix string) string {
	var b strings.Builder
	b.Grow(len(line))
	started, blank := false, true
	for more := true; more; {
		var pair string
		if pair, line, more = strings.Cut(line, ";"); isPrefixed(pair, prefix) {
			continue
		}
		if started {
			b.WriteByte(';')
		} else {
			pair = strings.TrimLeft(pair, " \t") // it stood behind a separator
		}
		b.WriteString(pair)
		started = true
		blank = blank && trim(pair) == ""
	}
	if blank {
		return ""
	}
	return b.String()
}

// isPrefixed reports whether the name of a cookie begins with prefix for some
// parser. What stands before the first letter, digit or '_' (white space,
// quotes, '=', '$', bytes above 0x7f) may be dropped by one.
func isPrefixed(pair, prefix string) bool {
	for {
		if matchPrefix(pair, prefix) {
			return true
		}
		c, n := decodeByte(pair)
		if n == 0 || c == '_' || '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'z' {
			return false
		}
		pair = pair[n:]
	}
}

// matchPrefix reports whether s begins with prefix if percent-escapes are
// decoded, case is ignored, and '_' may also be any of the characters that PHP
// turns into it. Leading spaces are no '_': every parser drops them.
func matchPrefix(s, prefix string) bool {
	for i := 0; i < len(prefix); i++ {
		c, n := decodeByte(s)
		if n == 0 {
			return false
		}
		alias := c == '.' || c == '[' || i > 0 && (c == ' ' || c == '+')
		if lower(c) != lower(prefix[i]) && !(alias && prefix[i] == '_') {
			return false
		}
		s = s[n:]
	}
	return true
}

// decodeByte returns the first byte of s, percent-decoded, and how many bytes
// of s it takes; 0 at the end.
func decodeByte(s string) (byte, int) {
	if s == "" {
		return 0, 0
	}
	if s[0] == '%' && len(s) >= 3 {
		hi, ok1 := hexValue(s[1])
		lo, ok2 := hexValue(s[2])
		if ok1 && ok2 {
			return hi<<4 | lo, 3
		}
	}
	return s[0], 1
}

func hexValue(c byte) (byte, bool) {
	switch c = lower(c); {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
