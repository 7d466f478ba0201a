package obligation

import (
	"slices"
	"strings"

	"gatehouse.internal/modules/waf/seclang"
)

// parse takes a rule that has no other consequence into the parsing engine, if it changes how bodies are read. There it
// stands alone, with its own text: it must come to the same there as among all rules, or its phase is unprovable.
func (w *walk) parse(r *seclang.Rule, e execution) {
	if !slices.ContainsFunc(r.Links(), parses) {
		return
	}
	if why := w.unportable(r); why != "" {
		w.fail(r, "it changes how bodies are read, but %s", why)
		return
	}
	if e.weak {
		helped := false
		for _, id := range e.blame {
			helped = w.promote(id) || helped
		}
		if !helped {
			w.fail(r, "it changes how bodies are read, but may be left out because of %d", e.blame)
			return
		}
	}
	w.parsing = append(w.parsing, r)
}

// unportable says why a rule's text means something else where it stands alone; empty: it does not.
func (w *walk) unportable(r *seclang.Rule) string {
	switch {
	case r.Updated:
		return "its text is not all of it (SecRuleUpdate…)"
	case r.Has("skip"), r.Has("skipafter"), r.Has("allow"):
		return "it skips other rules"
	}
	mine := own{keys: map[string]bool{}}
	for i, link := range r.Links() {
		if strings.Contains(link.Op.Name, "from") || link.Op.Name == "pmf" || link.Op.Name == "ipmatchf" {
			return "it needs a file or dataset"
		}
		for _, t := range link.Targets {
			if !shared(t.Variable, i) || t.Variable == "TX" && (t.Regex || !mine.holds(t.Key)) {
				return "it looks at " + t.Variable
			}
			if w.targetMayVanish(r, t) && !w.promoteTargets(r, t) {
				return "a ctl may take its targets away"
			}
		}
		parts, _ := tokens(link.Op.Argument)
		if slices.Contains(expanding, link.Op.Name) && slices.ContainsFunc(parts, func(t token) bool {
			return t.variable == "TX" && !mine.holds(t.key) || t.variable != "" && !shared(t.variable, i)
		}) {
			return "its operator's argument depends on other rules"
		}
		mine.note(link, map[string][]string{})
	}
	return ""
}
