package prove

import (
	"regexp/syntax"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"gatehouse.internal/modules/waf/automaton"
)

// union is one automaton over the patterns of several rules. No match means that none of them matches the text; that is
// all that is ever concluded from it.
type union struct {
	rules     []*rule
	maxStates int

	once  sync.Once
	built atomic.Pointer[automaton.Automaton] // nil: not yet, or it could not be
}

// unions are shared by plans that unite the same rules.
type unions struct {
	mu        sync.Mutex
	of        map[string]*union
	maxStates int
}

// unite returns the union of those of the rules that keep accepts; nil if there are fewer than two.
func (u *unions) unite(rules []*rule, keep func(*rule) bool) *union {
	var members []*rule
	var key strings.Builder
	for _, r := range rules {
		if r.united && keep(r) {
			members = append(members, r)
			key.WriteString(strconv.Itoa(r.index))
			key.WriteByte(',')
		}
	}
	if len(members) < 2 {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	found := u.of[key.String()]
	if found == nil {
		found = &union{rules: members, maxStates: u.maxStates}
		u.of[key.String()] = found
	}
	return found
}

// automaton builds it when first asked: many unions never are.
func (u *union) automaton() *automaton.Automaton {
	u.once.Do(func() {
		var trees []*syntax.Regexp
		for _, r := range u.rules {
			trees = append(trees, r.op.pattern.Syntax())
		}
		if a, err := automaton.New(trees, automaton.Options{MaxStates: u.maxStates}); err == nil {
			u.built.Store(a)
		}
	})
	return u.built.Load()
}

// clean reports that no rule of the union matches s. False says nothing.
func (u *union) clean(s string, b *automaton.Budget) bool {
	a := u.automaton()
	return a != nil && a.Match(s, b) == automaton.No
}

// parseAll parses patterns as package regexp does.
func parseAll(patterns []string) (trees []*syntax.Regexp, err error) {
	for _, p := range patterns {
		re, err := syntax.Parse(p, syntax.Perl)
		if err != nil {
			return nil, err
		}
		trees = append(trees, re)
	}
	return trees, nil
}

// startsWithAny reports whether s begins with one of the prefixes, ASCII case aside.
func startsWithAny(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if len(s) >= len(p) && strings.EqualFold(s[:len(p)], p) {
			return true
		}
	}
	return false
}
