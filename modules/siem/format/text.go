package format

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// escapes says how one form writes texts. Any bytes may come: what is not UTF-8 is written as U+FFFD.
type escapes struct {
	ascii    [utf8.RuneSelf]string // what stands for a character; "" for the character itself
	special  [256]bool             // bytes that are not written as they are, or may not be
	lossless bool                  // unprintable characters beyond ASCII are written as \uXXXX, not as U+FFFD
}

const replacement = "\uFFFD"

// newEscapes makes the table of a form in which control characters have no place: line breaks and tabs are spaces, the
// others U+FFFD, but for those in pairs, which are pairs of a character and what stands for it.
func newEscapes(pairs ...string) *escapes {
	e := new(escapes)
	for c := range byte(0x20) {
		e.ascii[c] = replacement
	}
	e.ascii[0x7f] = replacement
	e.ascii['\t'], e.ascii['\n'], e.ascii['\r'] = " ", " ", " "
	for i := 0; i < len(pairs); i += 2 {
		e.ascii[pairs[i][0]] = pairs[i+1]
	}
	return e.seal()
}

// plain is for forms that need no escapes.
var plain = newEscapes()

// seal notes which bytes append has to look at more closely. The table must not be changed after that.
func (e *escapes) seal() *escapes {
	for c := range e.special {
		e.special[c] = c >= utf8.RuneSelf || e.ascii[c] != ""
	}
	return e
}

// append appends s, escaped.
func (e *escapes) append(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if !e.special[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			b = append(b, e.ascii[c]...)
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		invalid := r == utf8.RuneError && n == 1
		if invalid || unprintable(r) {
			b = append(b, s[start:i]...)
			if e.lossless && !invalid {
				b = appendEscapedRune(b, r)
			} else {
				b = append(b, replacement...)
			}
			start = i + n
		}
		i += n
	}
	return append(b, s[start:]...)
}

// unprintable are the characters beyond ASCII that do something to the line they stand on: C1 controls, line and
// paragraph separators, direction overrides (which show a text in another order than it has), and the byte order mark.
func unprintable(r rune) bool {
	return r < 0xA0 || r >= 0x2028 && r <= 0x202E || r >= 0x2066 && r <= 0x2069 || r == 0xFEFF
}

func appendEscapedRune(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[r>>12&0xF], hex[r>>8&0xF], hex[r>>4&0xF], hex[r&0xF])
}

// appendWord appends s for a place where only A-Z, a-z, 0-9, "_", "-" and "." may stand, at most limit bytes of it;
// anything else becomes "_". A word is never empty.
func appendWord(b []byte, s string, limit int) []byte {
	if s == "" {
		return append(b, '_')
	}
	for i := range min(len(s), limit) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' {
			b = append(b, c)
		} else {
			b = append(b, '_')
		}
	}
	return b
}

// appendMillis appends d in milliseconds, to the microsecond; a negative d, from a clock that was set back, as 0.
func appendMillis(b []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	b = strconv.AppendInt(b, us/1000, 10)
	rest := us % 1000
	if rest == 0 {
		return b
	}
	b = append(b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

func appendRules(b []byte, rules []int, separator byte) []byte {
	for i, id := range rules {
		if i > 0 {
			b = append(b, separator)
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return b
}

// appendMessage appends a sentence for a person who reads only that: what happened, to which request, how it ended.
func appendMessage(b []byte, r *Record, e *escapes) []byte {
	if r.Kind == "" {
		b = append(b, "event"...)
	}
	b = e.append(b, r.Kind)
	if r.Method != "" {
		b = append(b, ' ')
		b = e.append(b, r.Method)
	}
	if r.Host != "" || r.Path != "" {
		b = append(b, ' ')
		b = e.append(b, r.Host)
		b = e.append(b, r.Path)
	}
	if r.Status != 0 {
		b = append(b, ": "...)
		b = strconv.AppendInt(b, int64(r.Status), 10)
	}
	if r.Reason != "" {
		b = append(b, ": "...)
		b = e.append(b, r.Reason)
	}
	if r.Detail != "" {
		b = append(b, ": "...)
		b = e.append(b, r.Detail)
	}
	return b
}
