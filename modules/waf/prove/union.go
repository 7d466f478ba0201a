package prove

import (
	"regexp/syntax"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"gatehouse.internal/modules/waf/automaton"
	"gatehouse.internal/modules/waf/rx"
)

// union is one automaton over the patterns of several rules. No match means that none of them matches the text; that is
// all that is ever concluded from it.
type union struct {
	rules []*rule
	of    *unions

	once  sync.Once
	built atomic.Pointer[automaton.Automaton] // nil: not yet, or it could not be
}

// unions are shared by plans that unite the same rules. All of them are over one program, which is compiled when the
// prover is: what a request makes of it is a table of classes and the first state.
type unions struct {
	program   *automaton.Program // nil: unions prove nothing
	numbers   map[*rx.Pattern]int
	maxStates int

	mu sync.Mutex
	of map[string]*union // guarded by mu
}

// newUnions compiles the patterns of the rules that can be united.
func newUnions(rules []*rule, maxStates int) *unions {
	u := &unions{numbers: map[*rx.Pattern]int{}, maxStates: maxStates, of: map[string]*union{}}
	var trees []*syntax.Regexp
	for _, r := range rules {
		if p := r.op.pattern; r.united {
			if _, ok := u.numbers[p]; !ok {
				u.numbers[p] = len(trees)
				trees = append(trees, p.Syntax())
			}
		}
	}
	if len(trees) > 0 {
		u.program, _ = automaton.Compile(trees, false) // an error leaves nil: see there
	}
	return u
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
		found = &union{rules: members, of: u}
		u.of[key.String()] = found
	}
	return found
}

// automaton makes it when first asked: many unions never are.
func (u *union) automaton() *automaton.Automaton {
	u.once.Do(func() {
		if u.of.program == nil {
			return
		}
		var members []int
		for _, r := range u.rules {
			members = append(members, u.of.numbers[r.op.pattern])
		}
		if a, err := u.of.program.Union(members, u.of.maxStates); err == nil {
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
