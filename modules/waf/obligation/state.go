package obligation

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// value is what is known of one TX key, and which writes (indices into walk.writes) may have had a part in it. The zero
// value is an unknown that nobody is named for, as captures are.
type value struct {
	known  answer
	text   string
	writes []int
}

// taint is a write to a key that is not known.
type taint struct {
	keys  pattern
	write int
}

// state is the abstract TX. Keys without an entry are absent, unless a taint can have produced them.
type state struct {
	keys   map[string]value
	taints []taint
}

// newState is TX as a transaction begins: Coraza sets the captures 0 to 10 to nothing.
func newState() *state {
	s := &state{keys: map[string]value{}}
	for i := range 11 {
		s.keys[strconv.Itoa(i)] = value{known: constant}
	}
	return s
}

func (s *state) clone() *state {
	return &state{keys: maps.Clone(s.keys), taints: slices.Clone(s.taints)}
}

// get returns what is known of a lower-case key.
func (s *state) get(key string) value {
	if v, ok := s.keys[key]; ok {
		return v
	}
	v := value{known: absent}
	for _, t := range s.taints {
		if t.keys.matches(key) {
			v.known = unknown
			v.writes = append(v.writes, t.write)
		}
	}
	return v
}

// macro answers expand.
func (s *state) macro(key string) (string, answer) {
	v := s.get(key)
	return v.text, v.known
}

// taint notes that a write may have set any key of the pattern.
func (s *state) taint(t taint) {
	if slices.ContainsFunc(s.taints, func(o taint) bool { return o.write == t.write && slices.Equal(o.keys, t.keys) }) {
		return
	}
	s.taints = append(s.taints, t)
	for key, v := range s.keys {
		if t.keys.matches(key) {
			s.keys[key] = value{known: unknown, writes: union(v.writes, []int{t.write})}
		}
	}
}

// join makes s cover o too.
func (s *state) join(o *state) {
	joined := map[string]value{}
	for _, keys := range []map[string]value{s.keys, o.keys} {
		for key := range keys {
			if _, done := joined[key]; !done {
				joined[key] = join(s.get(key), o.get(key))
			}
		}
	}
	s.keys = joined
	for _, t := range o.taints {
		s.taint(t)
	}
}

// join covers both values.
func join(a, b value) value {
	writes := union(a.writes, b.writes)
	if a.known == b.known && a.text == b.text && a.known != unknown {
		return value{a.known, a.text, writes}
	}
	return value{known: unknown, writes: writes}
}

func (v value) equal(o value) bool {
	return v.known == o.known && v.text == o.text && slices.Equal(v.writes, o.writes)
}

func union(a, b []int) []int {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// assign computes what setvar makes of the current value: Coraza's evaluateTxCollection. A text that begins with + or -
// is arithmetic if a number (or nothing) follows.
func assign(current value, text string) value {
	if text == "" || text[0] != '+' && text[0] != '-' {
		return value{known: constant, text: text}
	}
	number := 0
	if len(text) > 1 {
		var err error
		if number, err = strconv.Atoi(text[1:]); err != nil {
			if strings.HasPrefix(text[1:], "tx.") {
				return current
			}
			return value{known: constant, text: text}
		}
	}
	sum := 0
	switch {
	case current.known == unknown:
		return value{known: unknown}
	case current.known == constant && current.text != "":
		var err error
		if sum, err = strconv.Atoi(current.text); err != nil {
			return current
		}
	}
	if text[0] == '-' {
		number = -number
	}
	return value{known: constant, text: strconv.Itoa(sum + number)}
}
