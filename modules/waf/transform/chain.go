package transform

import (
	"fmt"
	"strings"

	"gatehouse.internal/modules/waf/symbol"
)

// Chain is an ordered list of transformations. It is immutable and safe for concurrent use; the zero value is the
// empty chain, the identity.
type Chain struct {
	steps  []*Transformation
	key    string
	active symbol.Set

	squeezes bool // see Lacks
}

// NewChain returns the chain of the named transformations. As in Coraza, "none" drops those before it, if it is spelt
// in lower case; otherwise it is the identity. The error names the unknown one.
func NewChain(names []string) (*Chain, error) {
	c := new(Chain)
	for _, name := range names {
		t, ok := Lookup(name)
		switch {
		case !ok:
			return nil, fmt.Errorf("unknown transformation %q", name)
		case name == "none":
			c.steps = c.steps[:0]
		case t.active != 0: // an identity has no stage either: Coraza reports no change for it
			c.steps = append(c.steps, t)
		}
	}
	c.squeezes = true
	for _, t := range c.steps {
		c.active |= t.active
		c.squeezes = c.squeezes && squeezing[t.name]
	}
	c.key = strings.Join(c.Names(), ",")
	return c, nil
}

// Key returns a text that equals another chain's only if the two are the same function, stages included.
func (c *Chain) Key() string { return c.key }

// Names returns the names of the transformations that are left to do, in order.
func (c *Chain) Names() []string {
	names := make([]string, len(c.steps))
	for i, t := range c.steps {
		names[i] = t.name
	}
	return names
}

// Active returns a set such that for a value with none of its symbols Apply and all of Stages return the value itself.
// symbol.All is no promise at all, not even about the empty value, which has no symbol.
//
// It is the union of the steps': if s has none of these, the first step leaves it as it is, so the second sees s too.
// The union is All only if a step's is or if it happens to be complete, and then less is promised than could be.
func (c *Chain) Active() symbol.Set { return c.active }

// Image returns every symbol that Apply's result can have if all of the value's symbols are in in. ok is false, and
// the set symbol.All, if that is anything.
func (c *Chain) Image(in symbol.Set) (symbol.Set, bool) {
	for _, t := range c.steps {
		in = t.image(in)
	}
	return in, in != symbol.All
}

// StagesImage is Image for all of Stages together. A stage is the value, or a transformation of an earlier stage.
func (c *Chain) StagesImage(in symbol.Set) (symbol.Set, bool) {
	for _, t := range c.steps {
		in |= t.image(in)
	}
	return in, in != symbol.All
}

// Apply returns what Coraza hands to the operator of a rule with these transformations and without multiMatch; s itself
// where that is s.
func (c *Chain) Apply(s string) string {
	// live holds the bytes of s once a step has written; the next step reads them and writes to spare.
	var live, spare []byte
	for _, t := range c.steps {
		if t.write == nil {
			s = t.whole(s)
			continue
		}
		from := t.start(s)
		if from < 0 {
			continue
		}
		if cap(spare) < len(s) {
			spare = make([]byte, 0, len(s))
		}
		live, spare = t.write(spare[:0], s, from), live
		s = view(live)
	}
	return s
}

// AppendTo appends Apply(s) to dst and allocates only if dst is too small, for scratch space that is used again: each
// step that changes something needs room for its result behind the result before it, so twice the value mostly does.
// s must not share memory with dst. (Hashes, and references with a semicolon that are not of the oldest, do allocate.)
// The second result is always true.
func (c *Chain) AppendTo(dst []byte, s string) ([]byte, bool) {
	base := len(dst)
	written := false
	for _, t := range c.steps {
		end := len(dst)
		if t.write == nil {
			out := t.whole(s)
			if out == s {
				continue
			}
			dst = append(dst, out...)
		} else {
			from := t.start(s)
			if from < 0 {
				continue
			}
			dst = t.write(dst, s, from)
		}
		// s may be a view of dst[base:end] and is read no more, so the new result may move there.
		if end > base {
			dst = dst[:base+copy(dst[base:], dst[end:])]
		}
		s, written = view(dst[base:]), true
	}
	if !written {
		dst = append(dst, s...)
	}
	return dst, true
}

// Stages appends to dst what Coraza hands to the operator of a rule with multiMatch, in its order: the value, then each
// result that Coraza reports as a change. A step that reports none is skipped, even where its result differs: then the
// next step starts from what there was before, and the last stage is not Apply(s).
func (c *Chain) Stages(s string, dst []string) []string {
	dst = append(dst, s)
	for _, t := range c.steps {
		if out := t.Apply(s); t.reports(s, out) {
			dst = append(dst, out)
			s = out
		}
	}
	return dst
}

// FoldsOnly reports that Apply(s) differs from s at most in the case of ASCII letters; set must hold the symbols of s.
// False means nothing. It computes no result.
//
// It walks the steps while the value is still s up to case: a step that set shows idle changes nothing, lowercase and
// uppercase of ASCII fold, and of the rest it asks for the first change, where the answer does not depend on case.
func (c *Chain) FoldsOnly(s string, set symbol.Set) bool {
	folded := false
	for _, t := range c.steps {
		if t.idle(set) {
			continue
		}
		if !t.onlyFolds(s, set, folded) {
			return false
		}
		if t.folds != nil {
			folded = true
			set |= symbol.Lower | symbol.Upper // which of the two is left is not worth knowing
		}
	}
	return true
}
