package prove

import (
	"strings"

	"gatehouse.internal/modules/waf/obligation"
)

// Rules leave variables in TX, and other rules look for them: "setvar:tx.seen_%{tx.0}=…" here, "SecRule TX:/^seen_/" there.
// Obligation names the writes that a rule may find. Here the writer is watched: whenever its first condition may be true
// of a value, what it writes then, if the reader may select it, is told to the reader. A value that no write can be told
// of is not in TX. (That a write comes later than the read, or is undone, only means that less is there.)

// watch is one write of a rule, and who looks for it.
type watch struct {
	reader  *rule
	targets []*target // the reader's, in TX
	key     template
	value   template
	unknown bool // what it writes is not known
}

// tell is a value that a reader may find in TX.
type tell struct {
	reader  *rule
	value   string
	unknown bool
}

// watch finds, or makes, the rule that a write is by, and has it watched. False if that cannot be.
func (c *compiler) watch(reader *rule, w obligation.Write, targets []*target) bool {
	writer := c.byID[w.By]
	if writer == nil {
		s := c.program[w.By]
		if s == nil || s.Op.Name == "" {
			return false
		}
		writer = c.rule(&obligation.Obligation{Rule: s})
		writer.links, writer.local, writer.witness = nil, false, true
		c.rules = append(c.rules, writer)
		c.byID[w.By] = writer
	}
	one := watch{reader: reader, targets: targets, key: readTemplate(w.Key), value: readTemplate(w.Value)}
	one.unknown = w.Link > 0 || !one.value.known || strings.HasPrefix(w.Value, "+") || strings.HasPrefix(w.Value, "-") ||
		one.value.has(isVariable) || one.value.has(isCapture) && groups(writer) <= one.value.lastCapture() ||
		one.key.has(isVariable) || one.key.has(isCapture) && groups(writer) <= one.key.lastCapture()
	writer.watches = append(writer.watches, one)
	return true
}

// groups returns how many captures each match of a rule's first condition writes.
func groups(r *rule) int {
	if !r.capture || r.op.pattern == nil || r.op.negated {
		return 0
	}
	return groupsOf(r.op.pattern)
}

// lastCapture returns the highest number among the captures in a template.
func (t *template) lastCapture() (n int) {
	for _, p := range t.parts {
		if p.kind == isCapture {
			n = max(n, p.capture)
		}
	}
	return n
}

// tells notes what a rule writes when its first condition matches a text; known is false if the text is not.
func (pf *Proof) tells(r *rule, s string, known bool) {
	var groups []string
	if r.capture && r.op.pattern != nil && known {
		groups = r.op.pattern.Groups(s)
	}
	for i := range r.watches {
		w := &r.watches[i]
		if !known || w.unknown {
			pf.found.tells = append(pf.found.tells, tell{reader: w.reader, unknown: true})
			continue
		}
		if !w.wanted(pf, s, groups) {
			continue
		}
		for _, v := range pf.expansions(&pf.pool, &w.value, s, groups) {
			arithmetic := strings.HasPrefix(v, "+") || strings.HasPrefix(v, "-")
			pf.found.tells = append(pf.found.tells, tell{w.reader, strings.Clone(v), arithmetic})
		}
	}
}

// wanted reports whether the reader may select the variable that is written.
func (w *watch) wanted(pf *Proof, s string, groups []string) bool {
	keys := []string(nil)
	if w.key.known {
		keys = pf.expansions(&pf.pool, &w.key, s, groups)
	}
	for _, t := range w.targets {
		if !w.key.known && t.mayName(w.key) {
			return true
		}
		for _, k := range keys {
			if t.names(strings.ToLower(k)) {
				return true
			}
		}
	}
	return false
}

// told calls f with each value that a reader was told of, and reports whether there is one that is not known.
func (pf *Proof) told(reader *rule, f func(value string)) (unknown bool) {
	for _, t := range pf.known {
		if t.reader != reader {
			continue
		}
		if t.unknown {
			return true
		}
		f(t.value)
	}
	return false
}
