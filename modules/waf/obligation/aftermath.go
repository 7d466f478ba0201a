package obligation

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"gatehouse.internal/modules/waf/seclang"
)

// What is shown of a transaction holds as long as no obligation matches. Once one has, the rules decide; those that were
// shown to match nothing may be left out only if they are shown so by what a match cannot change. The others are pinned.

// lastJudged is the last phase that rules are left out of.
const lastJudged = 4

// aftermath is what may differ from the clean path once obligations have matched: what they write, what configuration would
// have written in rules that they pass over or remove, and what rules write that look at either. What inert rules may do is on
// the clean path already, done and not done.
type aftermath struct {
	walk    *walk
	written map[int]*seclang.Rule // the rules as they were written, by id
	obliged map[int]*Obligation   // by id
	keys    []touched             // of TX
	flows   bool                  // more may be evaluated than on the clean path, or anything left out: any key may differ
	skips   bool                  // a skip:N may count that does not on the clean path: nothing may be left out
	left    map[int]bool          // rules that may be left out
	done    map[int]bool          // rules whose doing, or not doing, is taken in
}

// touched is what a rule may write.
type touched struct {
	by   int
	keys pattern
}

func (w *walk) aftermath() *aftermath {
	a := &aftermath{walk: w, written: map[int]*seclang.Rule{}, obliged: map[int]*Obligation{}, left: map[int]bool{}, done: map[int]bool{}}
	for _, r := range w.program.Rules {
		if r.Phase != 0 {
			a.written[r.ID] = r
		}
	}
	for _, o := range w.obligations {
		a.obliged[o.Rule.ID] = o
	}
	for _, o := range w.obligations {
		if o.Rule.Phase <= lastJudged {
			a.add(o.Rule)
		}
	}
	for grown := true; grown; {
		grown = false
		for _, r := range w.program.Rules {
			if r.Phase != 0 && r.Phase <= lastJudged && !a.done[r.ID] && a.touches(r) {
				a.add(r)
				grown = true
			}
		}
	}
	return a
}

// add takes in that a rule does what it does not do on the clean path, or the other way round.
func (a *aftermath) add(r *seclang.Rule) {
	if a.done[r.ID] {
		return
	}
	a.done[r.ID] = true
	for _, link := range r.Links() {
		for _, p := range writtenBy(link) {
			a.keys = append(a.keys, touched{r.ID, p})
		}
	}
	if a.walk.inert[r.ID] {
		return
	}
	a.skips = a.skips || r.Has("skip")
	if decided := a.walk.decided[r.ID]; steers(r) && (decided || !a.passes(r)) {
		a.flows = true // of what a decided rule steers, more may be evaluated
	}
	for _, link := range r.Links() {
		for _, c := range ctls(link) {
			if rules, targets, ok := removalOf(r.ID, c); ok && targets == nil {
				a.leave(a.walk.program.Rules, rules)
			}
		}
	}
}

// passes takes in what a rule skips; false if that is not to be told.
func (a *aftermath) passes(r *seclang.Rule) bool {
	label, ok := r.Value("skipafter")
	all := a.walk.program.Rules
	from := slices.IndexFunc(all, func(o *seclang.Rule) bool { return o.ID == r.ID && o.Phase == r.Phase })
	if !ok || from < 0 || r.Has("skip") || r.Has("allow") {
		return false
	}
	to := slices.IndexFunc(all[from:], func(o *seclang.Rule) bool { return o.Phase == 0 && o.Marker == trimQuotes(label) })
	if to < 0 {
		return false
	}
	a.leave(all[from:from+to], func(o *seclang.Rule) bool { return o.Phase == r.Phase && o.ID != r.ID })
	return true
}

// leave takes in that some of the rules may be left out.
func (a *aftermath) leave(rules []*seclang.Rule, some func(*seclang.Rule) bool) {
	for _, r := range rules {
		if r.Phase != 0 && r.Phase <= lastJudged && some(r) {
			a.left[r.ID] = true
			if a.walk.decided[r.ID] {
				a.add(r)
			}
		}
	}
}

// writtenBy returns the TX keys that a link may write by setvar.
func writtenBy(link *seclang.Rule) (keys []pattern) {
	for _, act := range link.Actions {
		if act.Name == "setvar" {
			if key, _, _, ok := cutSetvar(act.Value); ok {
				keys = append(keys, patternOf(key))
			}
		}
	}
	return keys
}

// touches reports whether any link of a rule looks at a key that may differ.
func (a *aftermath) touches(r *seclang.Rule) bool {
	return slices.ContainsFunc(r.Links(), func(l *seclang.Rule) bool {
		return a.condition(l, 0) || slices.ContainsFunc(l.Actions, func(act seclang.Action) bool { return act.Name == "setvar" && a.text(act.Value, 0) })
	})
}

// condition reports whether a link's condition looks at a key that may differ because of a rule other than but.
func (a *aftermath) condition(link *seclang.Rule, but int) bool {
	return a.text(link.Op.Argument, but) || slices.ContainsFunc(link.Targets, func(t seclang.Target) bool {
		return t.Variable == "TX" && !t.Negated && a.differs(but, func(p pattern) bool { return p.meets(t) })
	})
}

// text reports whether a text has a macro whose key may differ, or may have one.
func (a *aftermath) text(s string, but int) bool {
	parts, ok := tokens(s)
	return !ok || slices.ContainsFunc(parts, func(t token) bool {
		return t.variable == "TX" && a.differs(but, func(p pattern) bool { return p.matches(t.key) })
	})
}

func (a *aftermath) differs(but int, is func(pattern) bool) bool {
	return a.flows || slices.ContainsFunc(a.keys, func(k touched) bool { return k.by != but && is(k.keys) })
}

// meets reports whether a target in TX may select a key of the pattern.
func (p pattern) meets(t seclang.Target) bool {
	switch {
	case !t.Regex:
		return t.Key == "" || p.matches(strings.ToLower(t.Key))
	case len(p) == 1:
		re, err := regexp.Compile(t.Key)
		return err != nil || re.MatchString(p[0])
	}
	begins := strings.ToLower(Anchor(t.Key))
	return strings.HasPrefix(begins, p[0]) || strings.HasPrefix(p[0], begins)
}

// reparses reports whether a rule that decides how bodies are read may be left out, or decide otherwise.
func (a *aftermath) reparses() bool {
	return slices.ContainsFunc(a.walk.parsing, func(r *seclang.Rule) bool { return a.flows || a.left[r.ID] || a.touches(r) })
}

// Anchor returns the literal that everything the pattern matches begins with; "" if there is none.
func Anchor(pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || re.Op != syntax.OpConcat || len(re.Sub) < 2 || re.Sub[0].Op != syntax.OpBeginText {
		return ""
	}
	if re.Sub[1].Op != syntax.OpLiteral || re.Sub[1].Flags&syntax.FoldCase != 0 {
		return ""
	}
	return string(re.Sub[1].Rune)
}

// pins reports whether the rule's first condition, though shown to be true of nothing, may be true once obligations have
// matched.
func (w *walk) pins(o *Obligation, a *aftermath) bool {
	first := a.written[o.Rule.ID]
	if first == nil || a.skips || a.condition(first, 0) {
		return true
	}
	if g := o.Gate; g != nil && (a.flows || a.left[g.ID] || slices.ContainsFunc(g.Targets, func(t seclang.Target) bool { return w.mayShrink(g, t) })) {
		return true
	}
	return slices.ContainsFunc(first.Targets, func(t seclang.Target) bool { return t.Count && !rises(first.Op) && w.mayShrink(o.Rule, t) })
}

// mayShrink reports whether any rule may take values of the target away from r.
func (w *walk) mayShrink(r *seclang.Rule, t seclang.Target) bool {
	return slices.ContainsFunc(w.program.Rules, func(by *seclang.Rule) bool {
		return slices.ContainsFunc(by.Links(), func(link *seclang.Rule) bool {
			return slices.ContainsFunc(ctls(link), func(c [2]string) bool {
				_, x, ok := removalOf(by.ID, c)
				return ok && x != nil && x.rules(r) && x.touches(t)
			})
		})
	})
}
