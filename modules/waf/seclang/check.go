package seclang

import "fmt"

// Observed is what Coraza tells of a rule at the moment that it adds it (types.RuleMetadata).
type Observed struct {
	ID, Phase, Line   int
	Marker, File, Raw string
	Tags              int // how many
}

func (r *Rule) observed() Observed {
	return Observed{ID: r.ID, Phase: r.Phase, Line: r.Line, Marker: r.Marker, File: r.File, Raw: r.Raw, Tags: len(r.Tags)}
}

// Check compares the program with what Coraza compiled from the same sources: every rule that its observer was shown,
// in order, and how many rules it has in the end (experimental.WAFWithRules). An error means that the program must not
// be believed.
func (p *Program) Check(observed []Observed, count int) error {
	for i, o := range observed {
		if i >= len(p.added) {
			return fmt.Errorf("rule %d (%s:%d) is not among what was read", o.ID, o.File, o.Line)
		}
		if p.added[i] != o {
			return fmt.Errorf("rule %d was read as %+v and compiled as %+v", o.ID, p.added[i], o)
		}
	}
	if len(p.added) != len(observed) {
		return fmt.Errorf("%d rules were read and %d compiled", len(p.added), len(observed))
	}
	if len(p.Rules) != count {
		return fmt.Errorf("%d rules are left after removals, and %d in Coraza", len(p.Rules), count)
	}
	return nil
}
