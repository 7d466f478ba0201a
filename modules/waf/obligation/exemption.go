package obligation

import (
	"slices"

	"gatehouse.internal/modules/waf/seclang"
)

// Exemption is an inert rule that may take one variable away from obligations, and does nothing else; CRS has one, which
// spares harmless paths the rules about XSS. If the variable's values are shown to make the first condition of none of
// Rules true, the rule may be left out: to ask about them then changes nothing.
type Exemption struct {
	By, Phase int
	Variable  string
	Rules     []int // obligations without a Gate; never Pinned
}

// exemptions returns those there are.
func (w *walk) exemptions(a *aftermath) (all []Exemption) {
	if w.traces || a.skips || w.countsUnsurely() {
		return nil
	}
	for _, r := range w.program.Rules {
		if e, ok := w.exemption(r, a); ok {
			all = append(all, e)
		}
	}
	return all
}

func (w *walk) exemption(r *seclang.Rule, a *aftermath) (e Exemption, ok bool) {
	if !w.inert[r.ID] || w.counted[r.ID] || r.Chain != nil || r.Capture || r.Phase > lastJudged || steers(r) || !slices.Contains(pure, r.Op.Name) {
		return e, false
	}
	e = Exemption{By: r.ID, Phase: r.Phase}
	var takes []targetRemoval
	for _, act := range r.Actions {
		if act.Name != "ctl" && !slices.Contains(describing, act.Name) {
			return e, false
		}
	}
	for _, c := range ctls(r) {
		_, t, ok := removalOf(r.ID, c)
		if !ok || t == nil || t.key != "" || t.pattern != nil || e.Variable != "" && e.Variable != t.variable {
			return e, false
		}
		e.Variable = t.variable
		takes = append(takes, *t)
	}
	for _, other := range w.program.Rules {
		if other.ID == r.ID || other.Phase == 0 || w.never[other.ID] && !a.flows {
			continue
		}
		if (&traces{walk: w}).seenBy(other, false) || !a.exempt(&e, other, takes) {
			return e, false
		}
	}
	return e, len(takes) > 0
}

// exempt takes the rule among those of the exemption if one of its targets may be taken away. False if that has another
// meaning than that its first condition is asked of fewer values.
func (a *aftermath) exempt(e *Exemption, r *seclang.Rule, takes []targetRemoval) bool {
	for i, link := range r.Links() {
		for _, t := range link.Targets {
			if t.Negated || !slices.ContainsFunc(takes, func(x targetRemoval) bool { return x.rules(r) && x.touches(t) }) {
				continue
			}
			o := a.obliged[r.ID]
			if i > 0 || t.Count || o == nil || o.Pinned || o.Gate != nil || r.Phase > lastJudged {
				return false
			}
			if !slices.Contains(e.Rules, r.ID) {
				e.Rules = append(e.Rules, r.ID)
			}
		}
	}
	return true
}
