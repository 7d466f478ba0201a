package obligation

import (
	"regexp/syntax"
	"slices"
	"strings"

	"gatehouse.internal/modules/waf/seclang"
)

// describing are the actions that do nothing when a link matches: they say what the rule is, or what happens when all of its
// chain has matched.
var describing = []string{
	"id", "phase", "chain", "msg", "logdata", "tag", "ver", "rev", "severity", "maturity", "accuracy", "status", "log", "nolog",
	"auditlog", "noauditlog", "capture", "multimatch", "t", "allow", "block", "deny", "drop", "pass", "redirect", "skip", "skipafter",
}

// contained is Obligation.Contained.
func (w *walk) contained(o *Obligation, a *aftermath) bool {
	r := a.written[o.Rule.ID]
	if r == nil || r.Chain == nil || o.Pinned || w.traces {
		return false
	}
	left := traces{walk: w}
	links := r.Links()
	for i, link := range links {
		if a.condition(link, r.ID) || len(link.Transformations) > 0 && slices.ContainsFunc(link.Targets, passing) {
			return false
		}
		last := i == len(links)-1
		left.captures = left.captures || link.Capture && (!last || link.Op.Negated)
		if last {
			break
		}
		for _, act := range link.Actions {
			if act.Name != "setvar" && !slices.Contains(describing, act.Name) {
				return false
			}
		}
		left.keys = append(left.keys, writtenBy(link)...)
	}
	return !slices.ContainsFunc(w.program.Rules, func(other *seclang.Rule) bool {
		if other.ID == r.ID || w.never[other.ID] && !a.flows { // what keeps it from being evaluated stands whatever matches
			return false
		}
		reader := a.obliged[other.ID]
		told := reader != nil && other.Phase <= lastJudged && !slices.ContainsFunc(reader.Reads, func(x Write) bool { return x.Any })
		return left.seenBy(other, told)
	})
}

// passing reports whether a target shows what matches leave behind. Coraza remembers what transformations made of such a value,
// and may hand it to the next rule that transforms another in its place; a rule that is left out would leave nothing there.
func passing(t seclang.Target) bool {
	return t.Variable == "TX" || strings.HasPrefix(t.Variable, "MATCHED_")
}

// traces are what a chain leaves behind that has not matched.
type traces struct {
	walk     *walk
	keys     []pattern
	captures bool
}

// seenBy reports whether a rule may look at what was left, or at MATCHED_VAR and its like before it has matched anything itself.
// told: its targets need not be counted for keys, since they are among its Reads. The logdata of a rule does not count: nobody
// reads it, since it quotes people.
func (l *traces) seenBy(r *seclang.Rule, told bool) bool {
	own := 0 // captures that the rule itself has surely made
	for i, link := range r.Links() {
		for _, t := range link.Targets {
			switch {
			case t.Negated:
			case i == 0 && strings.HasPrefix(t.Variable, "MATCHED_"),
				t.Variable == "TX" && (!told && slices.ContainsFunc(l.keys, func(p pattern) bool { return p.meets(t) }) ||
					l.captures && holdsCaptures(t) && (t.Regex || t.Key == "" || int(t.Key[0]-'0') >= own)):
				return true
			}
		}
		if l.readBy(link.Op.Argument, own, i == 0) {
			return true
		}
		own = max(own, l.walk.captured(link))
		for _, act := range link.Actions {
			if act.Name != "logdata" && l.readBy(act.Value, own, false) {
				return true
			}
		}
		for _, p := range writtenBy(link) { // which may be arithmetic
			if slices.ContainsFunc(l.keys, p.overlaps) {
				return true
			}
		}
	}
	return false
}

// readBy reports whether a macro in a text reads what was left.
func (l *traces) readBy(text string, own int, first bool) bool {
	if !strings.Contains(text, "%{") {
		return false
	}
	parts, ok := tokens(text)
	return !ok || slices.ContainsFunc(parts, func(t token) bool {
		return first && strings.HasPrefix(t.variable, "MATCHED_") ||
			t.variable == "TX" && (slices.ContainsFunc(l.keys, func(p pattern) bool { return p.matches(t.key) }) ||
				l.captures && capture(t.key) && int(t.key[0]-'0') >= own)
	})
}

// captured returns how many captures a match of the link surely writes, from 0 on.
func (w *walk) captured(link *seclang.Rule) int {
	if !link.Capture || link.Op.Negated {
		return 0
	}
	switch link.Op.Name {
	case "rx":
		if n, ok := w.groups[link]; ok {
			return n
		}
		n := 0
		if re, err := syntax.Parse(link.Op.Argument, syntax.Perl); err == nil {
			n = re.MaxCap() + 1
		}
		w.groups[link] = n
		return n
	case "pm", "pmf", "pmfromfile", "pmfromdataset", "detectsqli":
		return 1
	}
	return 0
}

// overlaps reports whether one key may be of both patterns.
func (p pattern) overlaps(o pattern) bool {
	switch {
	case len(p) == 1:
		return o.matches(p[0])
	case len(o) == 1:
		return p.matches(o[0])
	}
	return strings.HasPrefix(p[0], o[0]) || strings.HasPrefix(o[0], p[0])
}
