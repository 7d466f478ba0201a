package verify

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Signal is one thing about a visit that is not as usual.
type Signal string

// The signals.
const (
	First      Signal = "first_login"       // nothing is known of the person yet; the next three then do not count
	NewNetwork Signal = "new_network"       // neither the prefix nor what it may roam in
	NewDevice  Signal = "new_device"        // no cookie, or one that the person was never verified with
	NewCountry Signal = "new_country"       // by the GeoIP database
	Travel     Signal = "impossible_travel" // too far from the last place, in too short a time
	Listed     Signal = "listed_network"    // on a list: Tor, hosting
	OffHours   Signal = "off_hours"         // outside the hours that are configured
)

// Signals are all of them, in the order in which people are told.
var Signals = []Signal{First, NewNetwork, NewDevice, NewCountry, Travel, Listed, OffHours}

// Outcome is what becomes of a visit; the greater, the stricter. The zero Outcome is none, and is never acted upon.
type Outcome uint8

// The outcomes.
const (
	Allow Outcome = iota + 1
	Notify
	StepUp
	AskAdmin
	Deny
)

var outcomes = [...]string{"", "allow", "notify", "step_up", "ask_admin", "deny"}

func (o Outcome) String() string {
	if int(o) < len(outcomes) {
		return outcomes[o]
	}
	return fmt.Sprintf("outcome(%d)", o)
}

// MarshalText implements encoding.TextMarshaler.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. "learn" is another word for allow.
func (o *Outcome) UnmarshalText(text []byte) error {
	name := string(text)
	if name == "learn" {
		name = "allow"
	}
	at := slices.Index(outcomes[:], name)
	if at <= 0 {
		return fmt.Errorf("unknown outcome %q: the outcomes are allow, notify, step_up, ask_admin, deny", name)
	}
	*o = Outcome(at)
	return nil
}

// Policy has an outcome for each signal.
type Policy map[Signal]Outcome

// defaults is what counts where a policy says nothing.
var defaults = Policy{
	First: Allow, NewNetwork: Notify, NewDevice: StepUp, NewCountry: StepUp, Travel: StepUp, Listed: StepUp, OffHours: Allow,
}

// Part is a policy for some people: holders of one of the roles, members of one of the tenants; where both are named, both.
// What it does not say, later parts and the house's policy do.
type Part struct {
	Roles   []string `json:"roles,omitempty"`
	Tenants []string `json:"tenants,omitempty"`
	Policy  Policy   `json:"policy,omitempty"`
}

// fits reports whether the part is for a person.
func (p *Part) fits(hasRole func(string) bool, tenant string) bool {
	return (len(p.Roles) == 0 || slices.ContainsFunc(p.Roles, hasRole)) && (len(p.Tenants) == 0 || slices.Contains(p.Tenants, tenant))
}

// outcome returns what becomes of a person's visit with the signal. Of several parts that are for the person, the strictest
// outcome counts: who is an administrator as well is one.
func outcome(s Signal, house Policy, parts []Part, hasRole func(string) bool, tenant string) Outcome {
	var strictest Outcome
	for i := range parts {
		if o := parts[i].Policy[s]; o > strictest && parts[i].fits(hasRole, tenant) {
			strictest = o
		}
	}
	if strictest == 0 {
		strictest = house[s]
	}
	if strictest == 0 {
		strictest = defaults[s]
	}
	return strictest
}

// Validate reports what is wrong with a policy.
func (p Policy) Validate() error {
	for s, o := range p {
		if !slices.Contains(Signals, s) {
			return fmt.Errorf("unknown signal %q: the signals are %s", s, names(Signals))
		}
		if o < Allow || o > Deny {
			return fmt.Errorf("%s: unknown outcome %s", s, o)
		}
	}
	return nil
}

func names(signals []Signal) string {
	all := make([]string, len(signals))
	for i, s := range signals {
		all[i] = string(s)
	}
	return strings.Join(all, ", ")
}

// Hours are when people usually work. The zero Hours: always.
type Hours struct {
	Days [7]bool // from Sunday, as time.Weekday has it
	From int     // minutes of the day
	To   int     // the first minute after
	Zone *time.Location
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseHours reads `mon-fri 07:00-19:00 Europe/Berlin`.
func ParseHours(days, span, zone string) (h Hours, err error) {
	from, to, isRange := strings.Cut(days, "-")
	first, last := slices.Index(weekdays, from), slices.Index(weekdays, to)
	if !isRange {
		last = first
	}
	if first < 0 || last < 0 {
		return h, fmt.Errorf("hours: %q are no days: write mon-fri, or one of %s", days, strings.Join(weekdays, " "))
	}
	for d := first; ; d = (d + 1) % 7 {
		h.Days[d] = true
		if d == last {
			break
		}
	}
	begin, end, ok := strings.Cut(span, "-")
	b, err1 := time.Parse("15:04", begin)
	e, err2 := time.Parse("15:04", end)
	if h.From, h.To = b.Hour()*60+b.Minute(), e.Hour()*60+e.Minute(); !ok || err1 != nil || err2 != nil || h.From >= h.To {
		return Hours{}, fmt.Errorf("hours: %q is no span of a day: write 07:00-19:00", span)
	}
	if h.Zone, err = time.LoadLocation(zone); err != nil {
		return Hours{}, fmt.Errorf("hours: %q is no time zone: write one like Europe/Berlin, or UTC", zone)
	}
	return h, nil
}

// off reports whether the moment is outside the hours.
func (h Hours) off(now time.Time) bool {
	if h.Zone == nil {
		return false
	}
	now = now.In(h.Zone)
	minute := now.Hour()*60 + now.Minute()
	return !h.Days[now.Weekday()] || minute < h.From || minute >= h.To
}
