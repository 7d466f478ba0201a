package verify

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

var monday = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

func at(addr, device string, after time.Duration, g geo) visit {
	return visit{Addr: netip.MustParseAddr(addr), Device: device, Now: monday.Add(after), Geo: g}
}

var (
	berlin  = geo{Country: "DE", ASN: 100, Located: true, Lat: 52.5, Lon: 13.4, Radius: 20}
	hamburg = geo{Country: "DE", ASN: 200, Located: true, Lat: 53.55, Lon: 10, Radius: 20}
	sydney  = geo{Country: "AU", ASN: 300, Located: true, Lat: -33.9, Lon: 151.2, Radius: 50}
	vague   = geo{Country: "DE", Located: true, Lat: 48.1, Lon: 11.6, Radius: 1000}
)

func TestSignals(t *testing.T) {
	office := func(a netip.Addr) bool { return netip.MustParsePrefix("203.0.113.0/24").Contains(a) }
	for name, c := range map[string]struct {
		v      visit
		listed bool
		strict bool // no roaming
		want   []Signal
	}{
		"nothing new":                           {v: at("192.0.2.99", "d1", time.Hour, berlin)},
		"another device":                        {v: at("192.0.2.1", "d2", time.Hour, berlin), want: []Signal{NewDevice}},
		"no device":                             {v: at("192.0.2.1", "", time.Hour, berlin), want: []Signal{NewDevice}},
		"another network":                       {v: at("198.51.100.1", "d1", time.Hour, hamburg), want: []Signal{NewNetwork}},
		"roaming in the autonomous system":      {v: at("198.51.100.1", "d1", time.Hour, berlin)},
		"the same, and no roaming":              {v: at("198.51.100.1", "d1", time.Hour, berlin), strict: true, want: []Signal{NewNetwork}},
		"roaming in the /16, nothing else said": {v: at("192.0.77.1", "d1", time.Hour, geo{})},
		"only a known device roams":             {v: at("192.0.77.1", "d2", time.Hour, berlin), want: []Signal{NewNetwork, NewDevice}},
		"no number is not the same number":      {v: at("198.51.100.1", "d1", time.Hour, geo{}), want: []Signal{NewNetwork}},
		"IPv6":                                  {v: at("2001:db8:1:2::3", "d1", time.Hour, geo{}), want: []Signal{NewNetwork}},
		"Sydney within the hour":                {v: at("198.51.100.1", "d1", time.Hour, sydney), want: []Signal{NewNetwork, NewCountry, Travel}},
		"Sydney two days later":                 {v: at("198.51.100.1", "d1", 48*time.Hour, sydney), want: []Signal{NewNetwork, NewCountry}},
		"somewhere vague, at once":              {v: at("198.51.100.1", "d1", time.Minute, vague), want: []Signal{NewNetwork}},
		"a list":                                {v: at("192.0.2.1", "d1", time.Hour, berlin), listed: true, want: []Signal{Listed}},
		"the office":                            {v: at("203.0.113.9", "d1", time.Hour, geo{}), listed: true},
		"a strange device at the office":        {v: at("203.0.113.9", "d2", time.Hour, geo{}), want: []Signal{NewDevice}},
		"at night":                              {v: at("192.0.2.1", "d1", 12*time.Hour, berlin), want: []Signal{OffHours}},
	} {
		t.Run(name, func(t *testing.T) {
			hours, err := ParseHours("mon-fri", "08:00-18:00", "UTC")
			if err != nil {
				t.Fatal(err)
			}
			r := new(record)
			r.learn(at("192.0.2.1", "d1", 0, berlin), nil, time.Hour)
			c.v.Listed = c.listed
			if got := r.signals(c.v, hours, !c.strict, office); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	r := new(record)
	if got := r.signals(at("192.0.2.1", "d1", 0, berlin), Hours{}, true, office); !slices.Equal(got, []Signal{First}) {
		t.Errorf("the first visit: %v", got)
	}
}

// What was proven at night, or from a list, is not asked for again there that night; the next night it is.
func TestClearedSignals(t *testing.T) {
	hours, _ := ParseHours("mon-sun", "08:00-18:00", "UTC")
	none := func(netip.Addr) bool { return false }
	r := new(record)
	night := at("192.0.2.1", "d1", 10*time.Hour, berlin)
	night.Listed = true
	r.learn(night, []Signal{First, Listed, OffHours}, 30*24*time.Hour)
	night.Now = night.Now.Add(time.Hour)
	if got := r.signals(night, hours, true, none); got != nil {
		t.Errorf("the same night: %v", got)
	}
	night.Now = night.Now.Add(24 * time.Hour)
	if got := r.signals(night, hours, true, none); !slices.Equal(got, []Signal{OffHours}) {
		t.Errorf("the next night: %v", got)
	}
}

func TestOutcome(t *testing.T) {
	parts := []Part{
		{Roles: []string{"staff"}, Policy: Policy{NewNetwork: Allow}},
		{Roles: []string{"admin"}, Policy: Policy{NewNetwork: AskAdmin}},
		{Tenants: []string{"acme"}, Policy: Policy{NewDevice: Deny}},
	}
	has := func(roles ...string) func(string) bool {
		return func(r string) bool { return slices.Contains(roles, r) }
	}
	for _, c := range []struct {
		s      Signal
		roles  []string
		tenant string
		want   Outcome
	}{
		{NewNetwork, nil, "", Notify},
		{NewNetwork, []string{"staff"}, "", Allow},
		{NewNetwork, []string{"admin", "staff"}, "", AskAdmin},
		{NewDevice, []string{"admin"}, "", StepUp},
		{NewDevice, nil, "acme", Deny},
		{NewCountry, nil, "", Deny},
	} {
		if got := outcome(c.s, Policy{NewCountry: Deny}, parts, has(c.roles...), c.tenant); got != c.want {
			t.Errorf("%s of %v at %q: %v, want %v", c.s, c.roles, c.tenant, got, c.want)
		}
	}
	for s := range defaults {
		if !slices.Contains(Signals, s) || outcome(s, nil, nil, has(), "") == 0 {
			t.Errorf("%s has no outcome", s)
		}
	}
	if len(defaults) != len(Signals) {
		t.Error("a signal without a default")
	}
}

// Nobody makes the record grow, and what is in use longest ago goes first.
func TestRecordIsBounded(t *testing.T) {
	r := new(record)
	for i := range 200 {
		v := at(netip.AddrFrom4([4]byte{10, byte(i), 0, 1}).String(), string(rune('a'+i%26))+string(rune('a'+i/26)), time.Duration(i)*time.Minute, geo{})
		r.learn(v, nil, time.Hour)
		v.Device += "x"
		r.hold(v, "h", []Signal{NewDevice}, StepUp)
	}
	if len(r.Networks) != maxNetworks || len(r.Devices) != maxDevices || len(r.Held) != maxHeld {
		t.Errorf("%d networks, %d devices, %d held", len(r.Networks), len(r.Devices), len(r.Held))
	}
	if last := r.Networks[maxNetworks-1].Prefix.String(); last != "10.199.0.0/24" {
		t.Errorf("the latest is %s", last)
	}
	r.prune(monday.Add(48*time.Hour), time.Hour)
	if len(r.Networks)+len(r.Devices)+len(r.Held) != 0 || !r.Since.IsZero() {
		t.Error("what is old is still known")
	}
}

func TestHours(t *testing.T) {
	h, err := ParseHours("fri-mon", "07:30-19:00", "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for text, off := range map[string]bool{
		"2026-03-02T06:29:00Z": true, "2026-03-02T06:30:00Z": false, "2026-03-02T17:59:00Z": false, "2026-03-02T18:00:00Z": true,
		"2026-03-03T10:00:00Z": true, "2026-03-06T10:00:00Z": false, "2026-07-06T05:30:00Z": false, // summer time
	} {
		now, _ := time.Parse(time.RFC3339, text)
		if h.off(now) != off {
			t.Errorf("%s: %v", text, !off)
		}
	}
	for _, bad := range [][3]string{{"mo-fr", "07:00-19:00", "UTC"}, {"mon-fri", "19:00-07:00", "UTC"}, {"mon-fri", "7-19", "UTC"}, {"mon-fri", "07:00-19:00", "Atlantis/City"}} {
		if _, err := ParseHours(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}
