package obligation

import (
	"slices"

	"gatehouse.internal/modules/waf/seclang"
)

// maxEvents bounds how many removals are told apart; later ones are taken to be independent of each other, which only
// makes more worlds possible.
const maxEvents = 64

// maxWorlds bounds the worlds walked at once; beyond, what tells them apart is forgotten.
const maxWorlds = 256

// removal is a ctl that may take rules out of a transaction, from where it stands until the end.
type removal struct {
	by    int // the rule that says it
	rules func(*seclang.Rule) bool
}

// world is one way in which Coraza can have come here.
type world struct {
	label   string        // of the skipAfter that is in force; empty: none
	skip    int           // how many rules of this phase, and markers, are still passed over by a skip:N
	passing bool          // over the rule that is looked at, by skip
	causes  uint64        // removals (by index) that have happened in this world
	gate    *seclang.Rule // that has let pass in this world, until its marker
	until   string        // gate's marker
	by      int           // the rule that made the world one of several; 0: none
}

// flow is how Coraza can have come to the rule that is looked at.
type flow struct {
	worlds   []world
	removals []removal
	maybe    []int // rules that may have ended the phase: anything after may be left out
}

func newFlow() *flow { return &flow{worlds: []world{{}}} }

// execution is how a rule is met.
type execution struct {
	never bool
	weak  bool  // it may be left out
	blame []int // the rules because of which
}

// runs reports whether the world executes the rule.
func (f *flow) runs(w world, r *seclang.Rule) bool {
	return w.label == "" && w.skip == 0 && !f.removed(w, r)
}

// removed reports whether a removal that has happened in the world takes the rule out.
func (f *flow) removed(w world, r *seclang.Rule) bool {
	for i, e := range f.removals {
		if i < maxEvents && w.causes>>i&1 == 1 && e.rules(r) {
			return true
		}
	}
	return false
}

// execution says how a rule is met.
func (f *flow) execution(r *seclang.Rule) execution {
	e := execution{never: true, weak: len(f.maybe) > 0, blame: slices.Clone(f.maybe)}
	for _, w := range f.worlds {
		if f.runs(w, r) {
			e.never = false
		} else {
			e.weak = true
			e.blame = append(e.blame, w.by)
		}
	}
	for _, rm := range f.removals {
		if rm.rules(r) {
			e.weak = true
			e.blame = append(e.blame, rm.by)
		}
	}
	return e
}

// gate returns the gate that every world has passed in which the rule runs; nil: there is none.
func (f *flow) gate(r *seclang.Rule) *seclang.Rule {
	var gate *seclang.Rule
	for _, w := range f.worlds {
		if !f.runs(w, r) {
			continue
		}
		if w.gate == nil || gate != nil && w.gate != gate {
			return nil
		}
		gate = w.gate
	}
	return gate
}

// counts reports whether a skip:N may be counting when a rule is reached.
func (f *flow) counts() bool {
	return slices.ContainsFunc(f.worlds, func(w world) bool { return w.skip > 0 })
}

// begin comes to a rule of this phase, or a marker. Worlds that skip a number of rules pass over it and count it, unless
// it is removed or they wait for a marker.
func (f *flow) begin(r *seclang.Rule) {
	if !f.counts() {
		return
	}
	for _, w := range f.worlds {
		for i, rm := range f.removals {
			if w.skip > 0 && w.label == "" && rm.rules(r) && !f.removed(w, r) {
				left := w
				if left.by = rm.by; i < maxEvents {
					left.causes |= 1 << i
				}
				f.worlds = append(f.worlds, left)
			}
		}
	}
	for i, w := range f.worlds {
		f.worlds[i].passing = w.skip > 0 && w.label == "" && !f.removed(w, r)
	}
}

// end leaves the rule that begin came to.
func (f *flow) end() {
	if !f.counts() {
		return
	}
	for i, w := range f.worlds {
		if w.passing {
			f.worlds[i].skip--
			f.worlds[i].passing = false
		}
	}
	f.settle()
}

// skip follows a rule that passes over the next n rules, surely where it runs, or maybe.
func (f *flow) skip(r *seclang.Rule, n int, sure bool) {
	var next []world
	for _, w := range f.worlds {
		if f.runs(w, r) {
			skips := w
			skips.skip, skips.gate, skips.until = n, nil, ""
			if !sure {
				skips.by = r.ID
			}
			if next = append(next, skips); sure && len(f.maybe) == 0 && !f.removable(r) {
				continue
			}
		}
		next = append(next, w)
	}
	f.worlds = next
	f.settle()
}

func (f *flow) removable(r *seclang.Rule) bool {
	return slices.ContainsFunc(f.removals, func(rm removal) bool { return rm.rules(r) })
}

// endPhase ends what lasts for a phase alone. allow and allow:request leave later phases out, which needs no proof.
func (f *flow) endPhase() {
	f.maybe = nil
	for i := range f.worlds {
		f.worlds[i].skip = 0
	}
	f.settle()
}

// marker ends the skipping that waits for it, and the sections of gates.
func (f *flow) marker(label string) {
	for i := range f.worlds {
		if f.worlds[i].label == label {
			f.worlds[i].label = ""
		}
		if f.worlds[i].until == label {
			f.worlds[i].gate, f.worlds[i].until = nil, ""
		}
	}
	f.settle()
}

// skipAfter follows a rule that skips: surely where it runs, or maybe. A gate may be named that let pass where it did
// not skip.
func (f *flow) skipAfter(r *seclang.Rule, label string, sure bool, gate *seclang.Rule) {
	var next []world
	for _, w := range f.worlds {
		if !f.runs(w, r) {
			next = append(next, w)
			continue
		}
		skipped := w
		skipped.label, skipped.gate, skipped.until = label, nil, ""
		if !sure {
			skipped.by = r.ID
		}
		next = append(next, skipped)
		if !sure || len(f.maybe) > 0 {
			passed := w
			if gate != nil && len(f.maybe) == 0 {
				passed.gate, passed.until = gate, label
			}
			next = append(next, passed)
		}
		// A removal that takes the rule itself out means that what it would have skipped runs, in worlds where the
		// removal has happened.
		for i, rm := range f.removals {
			if !rm.rules(r) {
				continue
			}
			left := w
			if left.by = rm.by; i < maxEvents {
				left.causes |= 1 << i
			}
			next = append(next, left)
		}
	}
	f.worlds = next
	f.settle()
}

// settle drops worlds that others include: the same label with fewer causes and no gate allows more.
func (f *flow) settle() {
	if len(f.worlds) > maxWorlds {
		for i := range f.worlds {
			f.worlds[i].causes, f.worlds[i].gate, f.worlds[i].until = 0, nil, ""
		}
	}
	var kept []world
	for i, w := range f.worlds {
		included := slices.ContainsFunc(kept, func(o world) bool { return o.includes(w) }) ||
			slices.ContainsFunc(f.worlds[i+1:], func(o world) bool { return o.includes(w) && !w.includes(o) })
		if !included {
			kept = append(kept, w)
		}
	}
	f.worlds = kept
}

// includes reports whether everything that happens in w also happens in o.
func (o world) includes(w world) bool {
	return o.label == w.label && o.skip == w.skip && o.passing == w.passing && o.causes&^w.causes == 0 && (o.gate == nil || o.gate == w.gate)
}

// join makes f cover the flow of a path that left out a phase.
func (f *flow) join(o *flow) {
	f.worlds = append(f.worlds, o.worlds...)
	f.settle()
}

func (f *flow) clone() *flow {
	return &flow{slices.Clone(f.worlds), slices.Clone(f.removals), slices.Clone(f.maybe)}
}
