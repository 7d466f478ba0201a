package waf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/types"
)

// Match says that a rule matched, and where. What it matched is people's data: only its length and kind are kept, and a
// keyed hash, by which equal values are recognised and no value is.
type Match struct {
	Rule   int
	Target string // ARGS:q, REQUEST_HEADERS:User-Agent, REQUEST_BODY; as an exclusion names it
	Length int    // of the value, in bytes
	Class  string // as class says
	Digest string // 2*digestBytes hexadecimal digits; "" for none
}

// digestBytes is how much of the keyed hash is kept: enough that in a year's log no two values meet by chance.
const digestBytes = 8

// maxMatches bounds what a log line holds of them.
const maxMatches = 16

// maxTarget bounds a target's name, which clients choose.
const maxTarget = 80

// matches reads where the detection rules of a judged transaction matched. digest may be nil.
func matches(tx types.Transaction, digest func(string) string) (found []Match) {
	for _, rule := range tx.MatchedRules() {
		id := rule.Rule().ID()
		if rule.Message() == "" || counts(id) {
			continue
		}
		for _, data := range rule.MatchedDatas() {
			m := Match{Rule: id, Target: target(data.Variable().Name(), data.Key()), Length: len(data.Value()), Class: class(data.Value())}
			if strings.HasPrefix(m.Target, "TX") || strings.HasPrefix(m.Target, "MATCHED_") || slices.ContainsFunc(found, func(o Match) bool { return o.Rule == id && o.Target == m.Target }) {
				continue // chains match on what they captured; the first link says where that came from
			}
			if len(found) == maxMatches {
				return found
			}
			if digest != nil {
				m.Digest = digest(data.Value())
			}
			found = append(found, m)
		}
	}
	return found
}

// target names a variable as rules do. A key that could not stand in a rule as it is becomes *, the whole collection:
// it was chosen by the client.
func target(collection, key string) string {
	if key == "" {
		return collection
	}
	if len(key) > maxTarget || strings.ContainsFunc(key, func(r rune) bool { return !plain(r) }) {
		return collection + ":*"
	}
	return collection + ":" + key
}

// plain reports whether a character needs no quoting in an exclusion, a log line or a shell.
func plain(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r)
}

// class says what a value looks like, without saying what it is: empty, binary, digits, letters, word (letters, digits
// and _ - .), base64 (16 or more of its characters), punct (neither letters nor digits), markup, or text.
func class(value string) string {
	letters, digits, word, base64 := 0, 0, 0, 0
	for _, c := range []byte(value) {
		switch {
		case c < 0x20 && c != '\t' && c != '\r' && c != '\n':
			return "binary"
		case '0' <= c && c <= '9':
			digits++
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c >= 0x80:
			letters++
		case c == '_' || c == '-' || c == '.':
			word++
		case c == '+' || c == '/' || c == '=':
			base64++
		}
	}
	switch n := len(value); {
	case n == 0:
		return "empty"
	case digits == n:
		return "digits"
	case letters == n:
		return "letters"
	case letters+digits+base64 == n && n >= 16 && letters*digits > 0:
		return "base64"
	case letters+digits+word == n:
		return "word"
	case strings.Contains(value, "<"):
		return "markup"
	case letters+digits == 0:
		return "punct"
	}
	return "text"
}

// FormatMatches is how a log line holds matches: "942100 ARGS:q text/23/0f3a5b7c9d1e2f40, …", the last part being the
// digest, if there is one.
func FormatMatches(all []Match) string {
	parts := make([]string, len(all))
	for i, m := range all {
		parts[i] = fmt.Sprintf("%d %s %s/%d", m.Rule, m.Target, m.Class, m.Length)
		if m.Digest != "" {
			parts[i] += "/" + m.Digest
		}
	}
	return strings.Join(parts, ", ")
}

// ParseMatches reads what FormatMatches wrote.
func ParseMatches(text string) (all []Match, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ", ") {
		fields := strings.Fields(part)
		if len(fields) != 3 {
			return nil, fmt.Errorf("not a match: %q", part)
		}
		kind, length, ok := strings.Cut(fields[2], "/")
		length, digest, _ := strings.Cut(length, "/")
		m := Match{Target: fields[1], Class: kind, Digest: digest}
		if m.Rule, err = strconv.Atoi(fields[0]); err != nil {
			return nil, fmt.Errorf("not a match: %q", part)
		}
		if m.Length, err = strconv.Atoi(length); err != nil || !ok {
			return nil, fmt.Errorf("not a match: %q", part)
		}
		all = append(all, m)
	}
	return all, nil
}
