package transform

import "strings"

// replaceCommentsStart returns where the first /* is: with an end or without, a space takes its place.
func replaceCommentsStart(s string) int { return strings.Index(s, "/*") }

func replaceCommentsWrite(dst []byte, s string, i int) []byte {
	for i >= 0 {
		dst = append(append(dst, s[:i]...), ' ')
		end := strings.Index(s[i+2:], "*/")
		if end < 0 {
			return dst
		}
		s = s[i+2+end+2:]
		i = strings.Index(s, "/*")
	}
	return append(dst, s...)
}

// commentMark returns the length of the mark at s[i:] that begins or, with ends, also ends a comment; 0 if there is
// none.
func commentMark(s string, i int, ends bool) int {
	rest := s[i:]
	switch rest[0] {
	case '#':
		return 1
	case '/':
		if strings.HasPrefix(rest, "/*") {
			return 2
		}
	case '<':
		if strings.HasPrefix(rest, "<!--") {
			return 4
		}
	case '*':
		if ends && strings.HasPrefix(rest, "*/") {
			return 2
		}
	case '-':
		if ends && strings.HasPrefix(rest, "-->") {
			return 3
		}
		if strings.HasPrefix(rest, "--") {
			return 2
		}
	}
	return 0
}

func markStart(s string, ends bool) int {
	for i := range len(s) {
		if commentMark(s, i, ends) > 0 {
			return i
		}
	}
	return -1
}

func removeCommentsCharStart(s string) int { return markStart(s, true) }

// removeCommentsCharWrite leaves out the marks of comments and keeps the comments.
func removeCommentsCharWrite(dst []byte, s string, from int) []byte {
	dst = append(dst, s[:from]...)
	for i := from; i < len(s); {
		if n := commentMark(s, i, true); n > 0 {
			i += n
			continue
		}
		dst = append(dst, s[i])
		i++
	}
	return dst
}

func removeCommentsStart(s string) int { return markStart(s, false) }

// removeCommentsWrite leaves out comments. -- and # end the value. Any mark ends what any began. The byte after a
// comment is kept unread; where there is none, Coraza keeps the NUL that it pads with. A comment without end is a space.
func removeCommentsWrite(dst []byte, s string, from int) []byte {
	dst = append(dst, s[:from]...)
	for i := from; i < len(s); {
		n := commentMark(s, i, false)
		switch {
		case n == 0:
			dst = append(dst, s[i])
			i++
			continue
		case s[i] == '-' || s[i] == '#':
			return dst
		}
		i = commentEnd(s, i+n)
		switch {
		case i < 0:
			return append(dst, ' ')
		case i == len(s):
			return append(dst, 0)
		}
		dst = append(dst, s[i])
		i++
	}
	return dst
}

// commentEnd returns where the first */ or --> at or after i ends, or -1.
func commentEnd(s string, i int) int {
	for ; i < len(s); i++ {
		switch {
		case s[i] == '*' && strings.HasPrefix(s[i:], "*/"):
			return i + 2
		case s[i] == '-' && strings.HasPrefix(s[i:], "-->"):
			return i + 3
		}
	}
	return -1
}
