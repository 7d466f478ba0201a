package prove

import (
	"strings"
	"sync"
	"sync/atomic"

	"gatehouse.internal/modules/waf/automaton"
)

// class are the values of one source together with the rules that look at some of them. Which ones depends on a value's
// name alone.
type class struct {
	source  source
	entries []entry

	base    *plan           // for names that no selector and no exception mentions
	widest  *plan           // all entries, whatever they select: a safe answer for any name
	known   map[string]bool // names, in lower case, that one mentions
	regexps *anyOf          // matches every name that a pattern among them may mention; nil: there are none

	mu    sync.Mutex
	named atomic.Pointer[map[string]*plan] // plans of names that are mentioned
}

// entry is a rule that looks at a class, and which of its names.
type entry struct {
	rule   *rule
	target *target
}

// maxNamed bounds how many names' plans a class remembers. Patterns can mention endless names.
const maxNamed = 256

// add makes a rule look at the class.
func (c *class) add(r *rule, t *target) { c.entries = append(c.entries, entry{r, t}) }

// finish builds what is asked about names.
func (c *class) finish(p *compiler) {
	c.known = map[string]bool{}
	var patterns []string
	for _, e := range c.entries {
		if e.target.rx != nil {
			patterns = append(patterns, e.target.rx.String())
		} else if e.target.key != "" {
			c.known[strings.ToLower(e.target.key)] = true
		}
		for _, x := range e.target.except {
			if x.rx != nil {
				patterns = append(patterns, x.rx.String())
			} else if x.key != "" {
				c.known[x.key] = true
			}
		}
	}
	if len(patterns) > 0 {
		c.regexps = newAnyOf(patterns)
	}
	rules := map[*rule]bool{}
	all := map[*rule]bool{}
	for _, e := range c.entries {
		all[e.rule] = true
		t := e.target
		everything := t.key == "" && t.rx == nil
		for _, x := range t.except {
			everything = everything && (x.rx != nil || x.key != "")
		}
		if everything {
			rules[e.rule] = true
		}
	}
	c.base, c.widest = p.plans.of(rules, c.source), p.plans.of(all, c.source)
	c.named.Store(&map[string]*plan{})
}

// plan returns what has to be asked about values of that name. It allocates for names that are mentioned only.
func (c *class) plan(p *Prover, name string) *plan {
	if len(c.known) == 0 && c.regexps == nil {
		return c.base
	}
	var room [64]byte
	folded, ascii := lowerInto(room[:0], name)
	mentioned := ascii && c.known[string(folded)]
	if !ascii {
		mentioned = c.known[strings.ToLower(name)]
	}
	if !mentioned && (c.regexps == nil || !c.regexps.may(name, folded, ascii)) {
		return c.base
	}
	if found := (*c.named.Load())[name]; found != nil {
		return found
	}
	return c.mentioned(p, name)
}

// mentioned works out the plan of a name and remembers it if there is room.
func (c *class) mentioned(p *Prover, name string) *plan {
	lower := strings.ToLower(name)
	key := lower
	if sensitive(c.source.variable) {
		key = name
	}
	rules := map[*rule]bool{}
	for _, e := range c.entries {
		if e.target.selects(c.source, key, lower) {
			rules[e.rule] = true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	found := p.plans.of(rules, c.source)
	if found == nil {
		return c.widest
	}
	old := *c.named.Load()
	if len(old) < maxNamed && len(name) <= 256 {
		next := make(map[string]*plan, len(old)+1)
		for k, v := range old {
			next[k] = v
		}
		next[strings.Clone(name)] = found
		c.named.Store(&next)
	}
	return found
}

// lowerInto appends the name in lower case; false if it is not ASCII or does not fit.
func lowerInto(dst []byte, name string) ([]byte, bool) {
	if len(name) > cap(dst) {
		return nil, false
	}
	for i := range len(name) {
		b := name[i]
		if b >= 0x80 {
			return nil, false
		}
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	return dst, true
}

// anyOf is a cheap test before patterns over names.
type anyOf struct{ a *automaton.Automaton }

// newAnyOf unites the patterns; a pattern that cannot be united makes every name a possible one.
func newAnyOf(patterns []string) *anyOf {
	trees, err := parseAll(patterns)
	if err != nil {
		return &anyOf{}
	}
	a, err := automaton.New(trees, automaton.Options{MaxStates: 1024})
	if err != nil {
		return &anyOf{}
	}
	return &anyOf{a}
}

// may reports whether some pattern may match the name, in its case or in lower case: selectors are asked about the one
// or the other, depending on the collection. Names longer than folded's room are not worth being quick about.
func (x *anyOf) may(name string, folded []byte, ascii bool) bool {
	if x.a == nil || !ascii {
		return true
	}
	b := automaton.Budget{States: 64}
	return x.a.Match(name, &b) != automaton.No || x.a.MatchBytes(folded, &b) != automaton.No
}
