package obligation

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"gatehouse.internal/modules/waf/seclang"
)

// oblige adds the rule to what must be shown. before is TX when the rule is reached.
func (w *walk) oblige(r *seclang.Rule, before *state, gate *seclang.Rule) {
	for i, link := range r.Links() {
		if why := w.beyond(r, link, i); why != "" {
			w.fail(r, "%s", why)
		}
	}
	o := &Obligation{
		Gate:     gate,
		Pinned:   w.traces || w.flow.counts() || r.Capture && r.Op.Negated,
		Promoted: !loud(r),
		Sets:     map[string][]string{},
	}
	w.resolve(r, before, o)
	w.obligations = append(w.obligations, o)
}

// beyond says why a link's condition is beyond what can be judged outside of Coraza's own run; empty: it is not.
func (w *walk) beyond(r, link *seclang.Rule, i int) string {
	if !slices.Contains(pure, link.Op.Name) {
		return "its operator @" + link.Op.Name + " is not known"
	}
	for at, t := range link.Targets {
		switch {
		case t.Negated:
		case !shared(t.Variable, i):
			return "it looks at " + t.Variable
		case t.Count && !rises(link.Op) && w.targetMayVanish(r, t) && !w.promoteTargets(r, t):
			return "a ctl may lower its count of " + t.Variable
		case at > 0 && link.Capture && t.Variable == "TX" && holdsCaptures(t):
			return "it looks at captures after it may have captured" // Coraza fetches targets one by one
		case at > 0 && t.Variable == "TX" && slices.ContainsFunc(writtenBy(link), func(p pattern) bool { return p.meets(t) }):
			return "it looks at what it may have set itself"
		}
	}
	if slices.Contains(expanding, link.Op.Name) {
		parts, ok := tokens(link.Op.Argument)
		if !ok {
			return "its operator's argument is malformed"
		}
		for _, t := range parts {
			if t.variable != "" && !shared(t.variable, i) {
				return "its operator's argument holds " + t.variable
			}
		}
	}
	return ""
}

// promoteTargets promotes the rules that may take values of the target away. It reports false if one cannot be.
func (w *walk) promoteTargets(r *seclang.Rule, t seclang.Target) bool {
	all := true
	for _, x := range w.targets {
		if x.rules(r) && x.touches(t) && !w.promote(x.by) {
			all = false
		}
	}
	return all
}

// shared reports whether a transaction that did not run the rules holds the same in a variable. Links after the first
// look at what the link before them matched, which the chain itself determines.
func shared(variable string, link int) bool {
	switch variable {
	case "RULE", "HIGHEST_SEVERITY":
		return false
	case "MATCHED_VAR", "MATCHED_VAR_NAME", "MATCHED_VARS", "MATCHED_VARS_NAMES":
		return link > 0
	}
	return true
}

// rises reports whether a condition that holds for a number holds for every greater one.
func rises(op seclang.Operator) bool {
	switch op.Name {
	case "gt", "ge":
		return !op.Negated
	case "lt", "le":
		return op.Negated
	case "eq":
		return op.Negated && op.Argument == "0"
	}
	return false
}

// capture reports whether a TX key is one of those that operators store captures in.
func capture(key string) bool { return len(key) == 1 && key[0] >= '0' && key[0] <= '9' }

// holdsCaptures reports whether captures are among what a TX target selects.
func holdsCaptures(t seclang.Target) bool {
	if !t.Regex {
		return t.Key == "" || capture(t.Key)
	}
	re, err := regexp.Compile(t.Key)
	return err != nil || slices.ContainsFunc(strings.Split("0123456789", ""), re.MatchString)
}

// countsUnsurely reports whether what a skip:N counts can differ between the clean path and a transaction that leaves
// it: an obligation skips, or removes rules. Then nothing may be dropped.
func (w *walk) countsUnsurely() bool {
	return slices.ContainsFunc(w.program.Rules, func(r *seclang.Rule) bool { return r.Has("skip") }) &&
		slices.ContainsFunc(w.obligations, func(o *Obligation) bool {
			return o.Rule.Has("skip") || slices.ContainsFunc(o.Rule.Links(), func(l *seclang.Rule) bool {
				return slices.ContainsFunc(ctls(l), func(c [2]string) bool { return strings.HasPrefix(c[0], "ruleRemoveBy") })
			})
		})
}

// looksAtRule reports whether any rule reads RULE where it matters.
func looksAtRule(p *seclang.Program) bool {
	inText := func(s string) bool { return strings.Contains(strings.ToLower(s), "%{rule") }
	for _, r := range p.Rules {
		for _, link := range r.Links() {
			if inText(link.Op.Argument) ||
				slices.ContainsFunc(link.Targets, func(t seclang.Target) bool { return t.Variable == "RULE" }) ||
				slices.ContainsFunc(link.Actions, func(a seclang.Action) bool { return a.Name == "setvar" && inText(a.Value) }) {
				return true
			}
		}
	}
	return false
}

// own is what the earlier links of a chain have surely written when a later one is evaluated.
type own struct {
	keys     map[string]bool
	captures bool
	touched  []pattern // whatever they may have written, surely or not
	captured bool      // they, or the later one itself for a value before, may have written captures
}

func (o own) holds(key string) bool { return o.keys[key] || o.captures && capture(key) }

// note takes in what a link writes when it matches. A value that begins like arithmetic may build on what was there.
func (o *own) note(link *seclang.Rule, sets map[string][]string) {
	o.captures = o.captures || link.Capture && !link.Op.Negated && link.Op.Name != ""
	for _, a := range link.Actions {
		if a.Name != "setvar" {
			continue
		}
		key, value, remove, ok := cutSetvar(a.Value)
		if !ok {
			continue
		}
		o.touched = append(o.touched, patternOf(key))
		if remove {
			delete(o.keys, key) // absent or, if the key is a template, perhaps something else: what was there counts again
			continue
		}
		sets[key] = append(sets[key], value)
		if !strings.Contains(key, "%{") && strings.TrimLeft(value, "+-") == value && !strings.HasPrefix(value, "%{") {
			o.keys[key] = true
		}
	}
}

// resolve fills in Rule, Sets and Reads.
func (w *walk) resolve(r *seclang.Rule, before *state, o *Obligation) {
	links := r.Links()
	mine := own{keys: map[string]bool{}}
	arguments := make([]string, len(links))
	for i, link := range links {
		mine.captured = mine.captured || link.Capture // a negated operator captures when it does not match
		for _, t := range link.Targets {
			if t.Variable == "TX" && !t.Negated {
				w.read(t, before, mine, o)
			}
		}
		arguments[i] = link.Op.Argument
		if slices.Contains(expanding, link.Op.Name) {
			arguments[i] = w.argument(link, before, mine, o)
		}
		if i < len(links)-1 {
			mine.note(link, o.Sets)
		}
	}
	o.Rule = withArguments(r, arguments)
}

// read notes what a target may find.
func (w *walk) read(t seclang.Target, before *state, mine own, o *Obligation) {
	if !t.Regex && t.Key != "" {
		switch {
		case mine.holds(t.Key):
		case mine.captured && capture(t.Key):
			w.add(o, Write{Key: t.Key, Any: true})
		default:
			w.readKey(t.Key, before, o)
		}
		return
	}
	re, err := regexp.Compile(t.Key)
	if err != nil || holdsCaptures(t) {
		w.add(o, Write{Key: t.Key, Any: true}) // captures are among it
		return
	}
	for _, key := range slices.Sorted(maps.Keys(before.keys)) {
		if re.MatchString(key) {
			w.readKey(key, before, o)
		}
	}
	for _, x := range before.taints {
		w.add(o, w.writes[x.write])
	}
}

// readKey notes what may stand under one key.
func (w *walk) readKey(key string, before *state, o *Obligation) {
	v := before.get(key)
	w.seen[key] = append(w.seen[key], v)
	switch {
	case v.known == absent:
	case v.known == constant:
		w.add(o, Write{Key: key, Value: v.text})
	case len(v.writes) == 0:
		w.add(o, Write{Key: key, Any: true})
	default:
		for _, i := range v.writes {
			w.add(o, w.writes[i])
		}
	}
}

func (w *walk) add(o *Obligation, write Write) {
	if !slices.Contains(o.Reads, write) {
		o.Reads = append(o.Reads, write)
	}
}

// argument replaces in an operator's argument what is constant here, and notes what else it reads.
func (w *walk) argument(link *seclang.Rule, before *state, mine own, o *Obligation) string {
	parts, ok := tokens(link.Op.Argument)
	if !ok {
		return link.Op.Argument
	}
	var b strings.Builder
	for _, t := range parts {
		switch {
		case t.variable == "":
			b.WriteString(t.text)
			continue
		case t.variable == "TX" && !mine.holds(t.key):
			if mine.captured && capture(t.key) {
				w.add(o, Write{Key: t.key, Any: true})
				break
			}
			if text, ok := w.constantHere(t, before, mine); ok {
				b.WriteString(text)
				continue
			}
			if v := before.get(t.key); v.known == unknown {
				w.blame(v.writes)
			}
			w.readKey(t.key, before, o)
		}
		b.WriteString("%{" + t.text + "}")
	}
	return b.String()
}

// constantHere returns what a TX macro expands to, if configuration alone says so and the text cannot be mistaken for a
// macro again. Keys that the chain itself may have set, if only by a template, are left.
func (w *walk) constantHere(t token, before *state, mine own) (string, bool) {
	v := before.get(t.key)
	w.seen[t.key] = append(w.seen[t.key], v)
	text := v.text
	if v.known == absent {
		text = t.text
	}
	return text, v.known != unknown && !slices.ContainsFunc(mine.touched, func(p pattern) bool { return p.matches(t.key) }) && !strings.ContainsAny(text, "%{")
}

// withArguments returns the rule with other operator arguments, as a copy if any differs.
func withArguments(r *seclang.Rule, arguments []string) *seclang.Rule {
	if r == nil {
		return nil
	}
	rest := withArguments(r.Chain, arguments[1:])
	if rest == r.Chain && arguments[0] == r.Op.Argument {
		return r
	}
	c := *r
	c.Chain, c.Op.Argument = rest, arguments[0]
	return &c
}
