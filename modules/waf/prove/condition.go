package prove

import (
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// condition is a target of a rule's first condition that is not asked value by value: a count, a variable of TX, or one
// that is not understood.
type condition struct {
	rule   *rule
	target *target
	// fixed: only what configuration puts into TX can be there; of these values the operator is true
	fixed  bool
	values []string
	told   bool // and what other rules may put there
}

// condition compiles such a target; false if it can never match.
func (c *compiler) condition(r *rule, t *target) (condition, bool) {
	out := condition{rule: r, target: t}
	if t.variable != variables.TX {
		return out, true
	}
	if t.key == "" && t.rx == nil || len(t.except) > 0 || t.mayBeCapture() {
		r.wild = true
		return out, true
	}
	values, told, known := c.inTX(r, []*target{t})
	if !known || r.multi || told && t.count {
		r.wild = true
		return out, true
	}
	if t.count {
		values = []string{strconv.Itoa(len(values))}
	}
	out.fixed, out.told = true, told
	for _, v := range values {
		if v = r.chain.Apply(v); r.op.may(v, nil) {
			out.values = append(out.values, v)
		}
	}
	return out, told || len(out.values) > 0
}

// mayBeCapture reports whether a target in TX may select captures, which any rule leaves behind.
func (t *target) mayBeCapture() bool {
	for i := range 11 {
		if t.names(strconv.Itoa(i)) {
			return true
		}
	}
	return false
}

// check notes the rules of the conditions that hold now.
func (pf *Proof) check(c *condition) {
	r := c.rule
	if c.fixed {
		for _, v := range c.values {
			pf.note(r, v)
		}
		if c.told && pf.told(r, func(v string) {
			if s := r.chain.Apply(v); r.op.may(s, &pf.budget) {
				pf.note(r, s)
			}
		}) {
			pf.noteUnknown(r)
		}
		return
	}
	if c.target.from == nil { // not understood, or TX that rules change
		pf.noteUnknown(r)
		return
	}
	pf.field(c.target, func(v string) bool {
		if s := r.chain.Apply(v); r.multi || r.op.may(s, &pf.budget) {
			pf.note(r, s)
		}
		return true
	})
}

// noteUnknown records that a rule's first condition may be true of something that is not known.
func (pf *Proof) noteUnknown(r *rule) {
	if len(r.watches) > 0 {
		pf.tells(r, "", false)
	}
	if r.witness {
		return
	}
	f, i := &pf.found, uint16(r.index)
	f.started = append(f.started, i)
	if len(r.links) > 0 {
		f.hits = append(f.hits, hit{rule: r, unknown: true})
	} else {
		f.bad = append(f.bad, i)
	}
}

// counted counts what a target selects by name or without one, where the collection tells without a list.
func (pf *Proof) counted(t *target) (string, bool) {
	switch col := pf.tx.Collection(t.variable).(type) {
	case collection.Map:
		if t.rx == nil && t.key != "" {
			return strconv.Itoa(len(col.Get(t.key))), true
		}
		if all, ok := col.(interface{ TotalValues() int }); ok && t.rx == nil {
			return strconv.Itoa(all.TotalValues()), true
		}
	}
	return "", false
}

// field calls f with each value that a target selects, as Coraza's GetField does, until f returns false. A count is one
// value.
func (pf *Proof) field(t *target, f func(value string) bool) {
	if t.count && len(t.except) == 0 {
		if n, ok := pf.counted(t); ok {
			f(n)
			return
		}
	}
	var all []types.MatchData
	switch col := pf.tx.Collection(t.variable).(type) {
	case nil:
	case collection.Single:
		if t.rx == nil && t.key == "" && !t.count {
			if !t.excludes("") {
				f(col.Get())
			}
			return
		}
		if t.rx == nil && t.key == "" {
			all = col.FindAll()
		}
	case collection.Keyed:
		switch {
		case t.rx != nil:
			all = col.FindRegex(t.rx)
		case t.key != "":
			all = col.FindString(t.key)
		default:
			all = col.FindAll()
		}
	default:
		if t.rx == nil && t.key == "" {
			all = col.FindAll()
		}
	}
	n := 0
	for _, m := range all {
		if len(t.except) > 0 && t.excludes(strings.ToLower(m.Key())) {
			continue
		}
		n++
		if !t.count && !f(m.Value()) {
			return
		}
	}
	if t.count {
		f(strconv.Itoa(n))
	}
}
