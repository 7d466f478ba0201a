// Package obligation says what must be shown of a transaction so that no rule has a consequence for it.
//
// It walks the rules as Coraza 3.8.1 does, phase by phase and in order, with an abstract TX: every key is a constant,
// absent, or unknown. A rule whose conditions the configuration alone answers is decided, and its actions happen. A rule
// that may match without consequence for verdict, log or findings is inert: what it might do to TX becomes unknown, and
// what it might skip becomes possible rather than certain. Every other rule is an [Obligation].
//
// # Soundness
//
// Claim: if no obligation's rule matches (its whole chain), Coraza interrupts nothing and logs nothing. By induction over
// the rules in Coraza's order: as long as no obligation has matched, the abstract state covers the real one. A decided
// rule does in both what it does. An inert rule does what its actions allow, which is joined in. An obligation that does
// not match runs no disruptive and no flow action, nor any action of its last link, which matches only if the chain
// does; what its earlier links do when they match is joined in as an inert rule's is. Whatever may or may not be
// executed (behind a skipAfter, skip or allow that may happen, or removed by a ctl that may run) has its effects joined
// with their absence. Removing rules at run time can make Coraza evaluate more, when what is removed is a gate: such
// worlds are walked too (flow.go).
//
// Where being exact would cost precision a rule is promoted: an inert rule whose effects would make a decided rule
// uncertain becomes an obligation itself, so that on the clean path it does not happen (walk.go). That is always sound.
//
// That is about transactions in which no obligation matches. For the others, aftermath.go says which rules may be left out.
//
// What is not understood makes its phase and all later ones unprovable. All results are read-only and safe for
// concurrent use.
package obligation

import (
	"fmt"
	"maps"
	"slices"

	"gatehouse.internal/modules/waf/seclang"
)

// Set is what the rules come to.
type Set struct {
	Rules      []*Obligation     // in the order in which Coraza evaluates them: by phase, then as they stand
	Parsing    []*seclang.Rule   // what decides how bodies are parsed: belongs into the parsing engine by its Raw, in order
	Constants  map[string]string // lower-case TX keys that hold this at the end of every phase on the clean path
	Inert      []int             // ids that may match without consequence
	Exemptions []Exemption       // those of them that do nothing but take a variable away from obligations
	Decided    []int             // ids whose conditions configuration decides, or that are never reached
	Unprovable map[int][]string  // phase: why no transaction can be proven in it
}

// Obligation is a rule that must be shown not to match.
type Obligation struct {
	// Rule is the rule with every operator argument expanded that configuration alone determines at this place. It is
	// a copy where that changed something.
	Rule *seclang.Rule
	// Gate stands before Rule in its phase, or is nil. If any value of any of Gate's targets (after its
	// transformations) contains none of its phrases, then Rule is not evaluated and needs no proof: the gate then
	// matches, whatever its other values are, and skips Rule. No value at all means that the gate does not match.
	Gate *seclang.Rule
	// Pinned says that the rule must stay in a transaction even if its first condition is shown to be true of nothing: a
	// skip:N counts over it, evaluating it leaves captures behind, or it may match once another obligation has (aftermath.go).
	Pinned bool
	// Reparses says that once the rule has matched, bodies may be read otherwise than the rules of Parsing alone make it.
	// (A ctl of its own that changes that goes without saying.)
	Reparses bool
	// Contained says that no rule looks at what this one's links leave behind while the chain has not matched, but
	// obligations among whose Reads it is; and that what its own links look at in TX is its own or cannot be changed by a
	// match of another. So if the chain is shown not to match, and nobody to read of it, the rule may be left out though its
	// first condition is true of something. Never of a rule that is Pinned.
	Contained bool
	// Promoted says that the rule itself has no consequence, but that others can be decided only if it does not match.
	Promoted bool
	// Sets are the TX keys that the rule's own links set before the chain has matched, which later links may read:
	// key template to value templates, in order, unexpanded, keys in lower case. Captures are not among them.
	Sets map[string][]string
	// Reads are what else the rule's links may find in TX, where they look at it by targets or in operator arguments,
	// besides its own Sets and captures. Nothing else can be there: a key that is not here is absent.
	Reads []Write
}

// Write is something that may stand in TX.
type Write struct {
	By    int    // the rule that may have written it; 0: configuration, and then Key and Value are exact
	Link  int    // which of its links (0: the first); what a link writes, it writes once for each value it matches
	Key   string // template, lower case
	Value string // template; =+ and =- arithmetic keeps its sign
	Any   bool   // nothing is known: the key may have any value (Key is then what was looked for)
}

// Read derives the set. An error means that the program must not be relied on at all.
func Read(p *seclang.Program) (*Set, error) {
	if len(p.Unread) > 0 {
		return nil, fmt.Errorf("rules that are not understood: %s", p.Unread[0])
	}
	promoted := map[int]bool{}
	for range len(p.Rules) + 1 {
		w := newWalk(p, promoted)
		w.run()
		before := len(promoted)
		maps.Copy(promoted, w.blamed)
		if len(promoted) == before {
			return w.result(), nil
		}
	}
	return nil, fmt.Errorf("the walk over %d rules does not settle", len(p.Rules))
}

// Expand replaces macros by constants. It reports false if something is not constant; a key that is not among the
// constants is not.
func (s *Set) Expand(text string) (string, bool) {
	return expand(text, func(key string) (string, answer) {
		if v, ok := s.Constants[key]; ok {
			return v, constant
		}
		return "", unknown
	})
}

// Of returns the obligations of a phase.
func (s *Set) Of(phase int) (all []*Obligation) {
	for _, o := range s.Rules {
		if o.Rule.Phase == phase {
			all = append(all, o)
		}
	}
	return all
}

func sortedIDs(m map[int]bool) []int { return slices.Sorted(maps.Keys(m)) }
