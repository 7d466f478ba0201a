// Package transform computes what SecLang's t:… actions make of a value, as Coraza 3.8.1 does, byte for byte.
//
// Beside each transformation stand two promises that let callers skip it: Active, the symbols without which it changes
// nothing, and Image, the symbols that its result can have. Both err towards more symbols; the argument for each is a
// comment in table.go. All values are immutable and safe for concurrent use; nothing here fails or panics on input.
package transform

import (
	"slices"
	"strings"
	"unsafe"

	"gatehouse.internal/modules/waf/symbol"
)

// Transformation is one t:… action. It is got from Lookup; the zero value is of no use.
//
// Exactly one of write and whole is set, or neither for the identity.
type Transformation struct {
	name   string
	active symbol.Set
	image  func(in symbol.Set) symbol.Set

	// start returns where the first change is, or -1 if there is none. s[:start] is unchanged in any case.
	start func(s string) int
	// write appends the result for s to dst, given start's answer, which is not negative.
	write func(dst []byte, s string, from int) []byte
	// whole returns the result, which may be a part of s. It is for what is mostly a cut, or small.
	whole func(s string) string

	// changed says whether Coraza reports in → out as a change, which is what multiMatch goes by; nil: in != out.
	changed func(in, out string) bool
	// caseless: whether start or whole would change anything does not depend on the case of ASCII letters in s.
	caseless bool
	// folds reports that the result differs from s, whose symbols are in set, at most in the case of ASCII letters;
	// nil: only if it is s.
	folds func(s string, set symbol.Set) bool
}

// Lookup finds a transformation by its name as in t:name, in any case. ok is false for what this package does not know.
func Lookup(name string) (t *Transformation, ok bool) {
	t, ok = byName[strings.ToLower(name)]
	return t, ok
}

// Names returns every name that Lookup knows, in lower case, sorted; two of them may be one transformation.
func Names() []string { return slices.Clone(names) }

// Name returns the transformation's name in lower case; of several, the one that the American spelling gives.
func (t *Transformation) Name() string { return t.name }

// Apply returns exactly Coraza's result, and s itself where that is s. Where Coraza reports an error it goes on with
// the value as it was; so does Apply.
func (t *Transformation) Apply(s string) string {
	switch {
	case t.whole != nil:
		return t.whole(s)
	case t.write != nil:
		if from := t.start(s); from >= 0 {
			return view(t.write(make([]byte, 0, len(s)), s, from))
		}
	}
	return s
}

// Active returns a set such that a value with none of its symbols is returned unchanged. 0 is the identity.
// symbol.All is no promise at all, not even about the empty value, which has no symbol.
func (t *Transformation) Active() symbol.Set { return t.active }

// Image returns every symbol that a result can have if all of the value's symbols are in in. ok is false, and the set
// symbol.All, if that is anything.
func (t *Transformation) Image(in symbol.Set) (out symbol.Set, ok bool) {
	out = t.image(in)
	return out, out != symbol.All
}

// idle reports, from the symbols of s alone, that the transformation leaves s as it is.
func (t *Transformation) idle(set symbol.Set) bool {
	return t.active != symbol.All && !t.active.Meets(set)
}

// reports is Coraza's answer to whether in became something else.
func (t *Transformation) reports(in, out string) bool {
	if t.changed != nil {
		return t.changed(in, out)
	}
	return in != out
}

// onlyFolds reports that Apply(s) is s but for the case of ASCII letters; false means nothing. The symbols of s are in
// set. folded: s is itself known only up to that case.
func (t *Transformation) onlyFolds(s string, set symbol.Set, folded bool) bool {
	switch {
	case t.folds != nil:
		return t.folds(s, set)
	case t.active == symbol.All, folded && !t.caseless:
		return false
	case t.whole != nil:
		return t.whole(s) == s
	case t.write != nil:
		return t.start(s) < 0
	}
	return true
}

// view is b as a string without a copy. The caller must not write to b's bytes while the string is in use.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// The changes that Coraza reports are not always changes; these are its reasons.

func yes(_, _ string) bool { return true }

func lengthDiffers(in, out string) bool { return len(in) != len(out) }

func holdsAny(chars string) func(in, out string) bool {
	return func(in, _ string) bool { return strings.ContainsAny(in, chars) }
}
