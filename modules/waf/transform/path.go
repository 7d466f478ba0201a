package transform

import (
	"path/filepath"
	"strings"

	"gatehouse.internal/modules/waf/symbol"
)

// normalizePath cleans as package filepath does, which is Coraza's way too; the promises in table.go are about its
// Unix form. A slash at the end stays, and the root becomes two of them.
func normalizePath(s string) string {
	if s == "" {
		return s
	}
	clean := filepath.Clean(s)
	switch {
	case clean == ".":
		return ""
	case s[len(s)-1] != '/':
		return clean
	case len(clean) == len(s)-1: // nothing but the last slash was cleaned away
		return s
	}
	return clean + "/"
}

// normalizePathWin cleans after turning backslashes, then cuts what Windows does not look at.
func normalizePathWin(s string) string {
	clean := s
	if strings.IndexByte(s, '\\') >= 0 {
		clean = strings.ReplaceAll(s, `\`, "/")
	}
	return cutTails(cutStream(normalizePath(clean)))
}

// cutStream cuts the last component at its first colon (an alternate data stream); a drive's colon at the beginning
// and a slash at the end stay.
func cutStream(s string) string {
	at, end := 0, len(s)
	if len(s) >= 2 && s[1] == ':' && (s[0]|0x20) >= 'a' && (s[0]|0x20) <= 'z' {
		at = 2
	}
	if end > at && s[end-1] == '/' {
		end--
	}
	last := at + strings.LastIndexByte(s[at:end], '/') + 1
	colon := strings.IndexByte(s[last:end], ':')
	if colon < 0 {
		return s
	}
	return s[:last+colon] + s[end:]
}

// cutTails cuts dots and spaces off the end of each component, unless it is dots alone. A component of which nothing is
// left goes with the slash after it, but only if there is anything to cut: so does Coraza.
func cutTails(s string) string {
	if !hasTail(s) {
		return s
	}
	dst := make([]byte, 0, len(s))
	first := true
	for part := range strings.SplitSeq(s, "/") {
		if !onlyDots(part) {
			if part = strings.TrimRight(part, ". "); part == "" {
				continue
			}
		}
		if !first {
			dst = append(dst, '/')
		}
		first = false
		dst = append(dst, part...)
	}
	return view(dst)
}

func hasTail(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if !onlyDots(part) && (part[len(part)-1] == '.' || part[len(part)-1] == ' ') {
			return true
		}
	}
	return false
}

// onlyDots is true of the empty component, too.
func onlyDots(s string) bool { return strings.Trim(s, ".") == "" }

// normalizePathKeeps and normalizePathWinKeeps report that nothing changes. A value without a slash is one component, of
// which only "." is cleaned away; without dots and colons too, Windows cuts nothing but spaces at its end.

func normalizePathKeeps(s string, set symbol.Set) bool {
	if !set.Meets(symbol.Byte('/')) {
		return s != "."
	}
	return normalizePath(s) == s
}

func normalizePathWinKeeps(s string, set symbol.Set) bool {
	if !set.Meets(symbol.Bytes(`/\.:`)) {
		return s == "" || s[len(s)-1] != ' '
	}
	return normalizePathWin(s) == s
}
