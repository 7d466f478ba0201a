package pseudonym

import (
	"encoding/base32"
	"net/netip"
	"strings"
	"time"
	"unicode"
)

// What pseudonyms stand for.
const (
	user    = "u_"
	address = "ip_"
	session = "s_"
	text    = "t_"
	segment = "p_"
)

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Namer gives pseudonyms for one tenant. Make one with [Keys.Namer]; it is safe for concurrent use.
type Namer struct {
	mac func(epoch int64, text string) []byte
	len time.Duration // of an epoch; not positive: one that never ends
}

// of is the pseudonym of a value of this kind at a time.
func (n *Namer) of(kind, value string, at time.Time) string {
	var epoch int64
	if n.len > 0 {
		epoch = at.UnixNano() / int64(n.len)
	}
	return kind + letters.EncodeToString(n.mac(epoch, kind+value)[:10])
}

// User is the pseudonym of a user's name; "" has none.
func (n *Namer) User(name string, at time.Time) string {
	if name == "" {
		return ""
	}
	return n.of(user, name, at)
}

// Session is the pseudonym of a session's log name; "" has none.
func (n *Namer) Session(name string, at time.Time) string {
	if name == "" {
		return ""
	}
	return n.of(session, name, at)
}

// Address is the pseudonym of a network address; the zero Addr has none.
func (n *Namer) Address(a netip.Addr, at time.Time) string {
	if !a.IsValid() {
		return ""
	}
	return n.of(address, a.Unmap().String(), at)
}

// Value is the pseudonym of a text of which nothing may be told; "" has none.
func (n *Namer) Value(s string, at time.Time) string {
	if s == "" {
		return ""
	}
	return n.of(text, s, at)
}

// Network is what may be told of an address: its first 24 bits, or 48 of an IPv6 one.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Path is a URL's path of which words are left, and of each other segment its pseudonym. known are names to be replaced
// although they are words, such as the user's.
func (n *Namer) Path(path string, at time.Time, known ...string) string {
	if path == "" {
		return ""
	}
	parts := strings.Split(path, "/")
	if len(parts) > maxSegments {
		return n.of(segment, path, at)
	}
	for i, p := range parts {
		if p != "" && (!Word(p) || isOneOf(p, known)) {
			parts[i] = n.of(segment, p, at)
		}
	}
	return strings.Join(parts, "/")
}

// maxSegments bounds what one path costs.
const maxSegments = 40

// Text is a sentence for operators in which words and numbers of up to three digits are left, and known names and whatever
// else might be a value are replaced.
func (n *Namer) Text(s string, at time.Time, known ...string) string {
	var b strings.Builder
	for len(s) > 0 {
		end := strings.IndexFunc(s, between)
		if end == 0 {
			end = 1
			b.WriteByte(s[0])
		} else {
			if end < 0 {
				end = len(s)
			}
			if token := strings.TrimRight(s[:end], "."); isOneOf(token, known) || !Word(token) && !number(token) && strings.ContainsFunc(token, says) {
				b.WriteString(n.of(text, token, at))
			} else {
				b.WriteString(token)
			}
			b.WriteString(s[len(strings.TrimRight(s[:end], ".")):end])
		}
		s = s[end:]
	}
	return b.String()
}

// between reports whether a character stands between the tokens of a text. All are ASCII.
func between(c rune) bool { return strings.ContainsRune(" \t\r\n,:;()[]{}<>\"'`=!?|/", c) }

// says reports whether a character can be part of a value.
func says(c rune) bool { return c > 0x7f || unicode.IsLetter(c) || unicode.IsDigit(c) }

func isOneOf(s string, known []string) bool {
	for _, k := range known {
		if k != "" && strings.EqualFold(s, k) {
			return true
		}
	}
	return false
}

func number(s string) bool { return len(s) <= 3 && strings.Trim(s, "0123456789") == "" }

// longestWord is how long what is a word may be.
const longestWord = 24

// Word reports whether s looks like one that a programmer chose, not a person or a machine: letters with dots, hyphens and
// underscores between them, the first in one case, and no digits but a version's, as in v2.
func Word(s string) bool {
	if len(s) > longestWord || s == "" {
		return false
	}
	if (s[0] == 'v' || s[0] == 'V') && len(s) > 1 && len(s) <= 3 && number(s[1:]) {
		return true
	}
	vowels, turns := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z':
		case c >= 'A' && c <= 'Z':
			if i > 0 && s[i-1] >= 'a' && s[i-1] <= 'z' {
				turns++
			}
		case c == '-' || c == '_' || c == '.':
			continue
		default:
			return false
		}
		if strings.IndexByte("aeiouyAEIOUY", s[i]) >= 0 {
			vowels++
		}
	}
	// What chance makes of letters turns its case often, or has few vowels.
	return turns <= 3 && (vowels > 0 && vowels*6 >= len(s) || len(s) <= 4)
}
