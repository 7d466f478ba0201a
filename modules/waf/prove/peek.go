package prove

import (
	"unicode"
	"unicode/utf8"

	"gatehouse.internal/modules/waf/symbol"
	"gatehouse.internal/modules/waf/transform"
)

// Rules of CRS ask about a value with multiMatch and a base64Decode in the middle, so that every sentence is decoded,
// though it is none. Here is what makes that cheap.

// base64Stage is where a walker decodes.
type base64Stage struct {
	at     int  // index of base64Decode; 0: there is none, or nothing before it
	spaces bool // removeWhitespace comes right before it
	quiet  bool // what comes after it leaves the kept bytes alone (decoded.go), but for spoils
	spoils spoils
}

// base64In finds the first decoding of a chain.
func base64In(names []string) (b base64Stage) {
	for i, name := range names {
		if name == "base64decode" && i > 0 {
			b = base64Stage{at: i, spaces: names[i-1] == "removewhitespace"}
			b.spoils, b.quiet = spoilsOf(names[i+1:])
			return b
		}
	}
	return b
}

// jumps reports that a walk through a value with these symbols may begin at the decoding: what comes before is idle, but
// for removeWhitespace, which takes characters away from ASCII text and adds none, so that no rule can match that stage for
// want of symbols if none can match the value.
func (w *walker) jumps(m symbol.Set, rules []*rule) bool {
	b := &w.base64
	if b.at == 0 || m.Meets(symbol.High) {
		return false
	}
	last := b.at
	if b.spaces {
		last--
	}
	for _, st := range w.stages[:last] {
		if st.active == symbol.All || st.active.Meets(m) {
			return false
		}
	}
	return !b.spaces || !anyWants(rules, m)
}

// jump writes the decoded stage.
func (w *walker) jump(dst []byte, value string) []byte {
	return transform.AppendBase64(dst[:0], value, w.base64.spaces)
}

// hasSpace reports whether s holds white space in Unicode's sense, which is when Coraza calls removeWhitespace a change.
// Beside ASCII's, white space begins with one of four bytes, which continue no character, so that in any text, valid or
// not, decoding comes to each of them.
func hasSpace(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < utf8.RuneSelf:
			if c == ' ' || c >= '\t' && c <= '\r' {
				return true
			}
		case c == 0xc2 || c >= 0xe1 && c <= 0xe3:
			if r, _ := utf8.DecodeRuneInString(s[i:]); unicode.IsSpace(r) {
				return true
			}
		}
	}
	return false
}
