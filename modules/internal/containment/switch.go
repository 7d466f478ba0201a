package containment

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/reqpath"
)

const maxWord = 253 // bytes of a tenant, site or route

// Kind is what a switch does.
type Kind string

// The kinds, from the one that refuses most. Of several that hit a request, the first counts.
const (
	Lock     Kind = "lock"      // nothing reaches the application
	ReadOnly Kind = "read_only" // only what changes nothing does: GET, HEAD and OPTIONS (RFC 9110 9.2.1), and no websocket
	StepUp   Kind = "step_up"   // who is known must have proven a second factor since
	Paranoia Kind = "paranoia"  // the WAF judges at Level, where it would at a lower one
)

// Kinds are all of them, in this order.
var Kinds = []Kind{Lock, ReadOnly, StepUp, Paranoia}

// Switch is one. What is not said of where it counts, is everywhere.
type Switch struct {
	ID      string          `json:"id"`
	Kind    Kind            `json:"kind"`
	Tenant  string          `json:"tenant,omitempty"` // on whose sites
	Site    string          `json:"site,omitempty"`   // on which, by name or host
	Route   reqpath.Pattern `json:"route,omitzero"`   // in which part, in any reading of the path; of Lock alone
	Level   int             `json:"level,omitempty"`  // of Paranoia alone
	Reason  string          `json:"reason"`
	By      string          `json:"by,omitempty"` // the operator
	Since   time.Time       `json:"since"`
	Until   time.Time       `json:"until"`
	Ended   time.Time       `json:"ended,omitzero"` // zero: it has not
	EndedBy string          `json:"ended_by,omitempty"`
	Note    string          `json:"note,omitempty"` // of who ended it
}

// Expired is who ends a switch whose time is over.
const Expired = "expired"

var errEnded = fmt.Errorf("the switch: %w", ledger.ErrEnded)

// Place is where a request is.
type Place struct {
	Site, Tenant string
	Hosts        []string
}

// Check says what is wrong with a draft.
func (s *Switch) Check(now time.Time) error {
	word := func(text string) bool {
		return len(text) <= maxWord && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f })
	}
	routed := s.Route != reqpath.Pattern{}
	switch {
	case !slices.Contains(Kinds, s.Kind):
		return fmt.Errorf("there is no switch %q: the switches are lock, read_only, step_up, paranoia", s.Kind)
	case strings.TrimSpace(s.Reason) == "":
		return errors.New("say why, for the record: a reason is never left out")
	case len(s.Reason) > maxSaid:
		return fmt.Errorf("the reason has more than %d bytes", maxSaid)
	case s.Until.IsZero():
		return errors.New("say for how long, such as 2h: no switch lasts by itself")
	case !s.Until.After(now) || s.Until.After(now.Add(MaxLife)):
		return errors.New("a switch lasts 7 days (168h) at the most: say how long, such as 2h")
	case !word(s.Tenant) || !word(s.Site) || len(s.Route.String()) > maxWord:
		return fmt.Errorf("a tenant, site or route is one word of %d bytes at the most", maxWord)
	case routed && s.Kind != Lock:
		return errors.New("only a lock can be for a route")
	case s.Kind == Paranoia && (s.Level < 2 || s.Level > 4):
		return errors.New("the WAF is raised to level 2, 3 or 4")
	case s.Kind != Paranoia && s.Level != 0:
		return errors.New("only paranoia has a level")
	}
	return nil
}

// stands reports whether the switch counts until its time is over, by this node's clock: that another's, which may be ahead, has found it
// to be over does not end it here.
func (s *Switch) stands() bool { return s.Ended.IsZero() || s.EndedBy == Expired }

func (s *Switch) inForce(now time.Time) bool { return s.stands() && now.Before(s.Until) }

// end notes the end of the switch.
func (s *Switch) end(by, note string, now time.Time) error {
	if !s.Ended.IsZero() {
		return errEnded
	}
	s.Ended, s.EndedBy, s.Note = now.UTC(), by, note
	return nil
}

// adjust has a switch that was thrown where the clock is ahead count from when it came here: or no proof would be young enough until
// this clock has caught up.
func (s *Switch) adjust(was *Switch, now time.Time) {
	switch {
	case was != nil && was.Since.Before(s.Since):
		s.Since = was.Since
	case s.Since.After(now):
		s.Since = now.UTC()
	}
}

// compare puts what refuses most first, then the latest, which asks for the freshest proof.
func (s *Switch) compare(o *Switch) int {
	if i, j := slices.Index(Kinds, s.Kind), slices.Index(Kinds, o.Kind); i != j {
		return i - j
	}
	return o.Since.Compare(s.Since)
}

// Covers reports whether the switch counts on a site, or in a part of it.
func (s *Switch) Covers(p Place) bool {
	return (s.Tenant == "" || s.Tenant == p.Tenant) && (s.Site == "" || s.Site == p.Site || slices.Contains(p.Hosts, s.Site))
}

// Where is where it counts, for people.
func (s *Switch) Where() string {
	var parts []string
	if s.Tenant != "" {
		parts = append(parts, "tenant "+s.Tenant)
	}
	if s.Site != "" {
		parts = append(parts, "site "+s.Site)
	}
	if s.Route != (reqpath.Pattern{}) {
		parts = append(parts, "route "+s.Route.String())
	}
	if len(parts) == 0 {
		return "everywhere"
	}
	return strings.Join(parts, ", ")
}
