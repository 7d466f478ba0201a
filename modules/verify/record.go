package verify

import (
	"net/netip"
	"slices"
	"time"
)

const (
	maxNetworks = 32
	maxDevices  = 16
	maxHeld     = 8

	heldFor   = 24 * time.Hour // for an administrator to decide
	shiftFor  = 12 * time.Hour // who has proven themselves at night is not asked again that night
	codeFor   = 10 * time.Minute
	codeTries = 5
)

// record is what is kept of one person, sealed. The zero record knows nothing.
type record struct {
	Provider string    `json:"provider"`
	Issuer   string    `json:"issuer"`
	Subject  string    `json:"subject"`
	Since    time.Time `json:"since,omitzero"` // of the first visit that was let through
	Email    string    `json:"email,omitempty"`

	Networks []network `json:"networks,omitempty"` // oldest use first
	Devices  []device  `json:"devices,omitempty"`  // oldest use first
	Held     []held    `json:"held,omitempty"`     // oldest first
	Here     place     `json:"here,omitzero"`      // where the person was last

	version uint64 // of the stored record; 0: there is none
}

// network is where a person was verified.
type network struct {
	Prefix  netip.Prefix         `json:"prefix"`
	ASN     uint32               `json:"asn,omitempty"`
	Country string               `json:"country,omitempty"`
	First   time.Time            `json:"first"`
	Last    time.Time            `json:"last"`
	Cleared map[Signal]time.Time `json:"cleared,omitempty"` // what was proven away there, and until when
}

// device is what a person was verified with.
type device struct {
	ID    string    `json:"id"`
	Agent string    `json:"agent,omitempty"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`

	Proven bool `json:"proven,omitempty"` // it was new, and the person proved that it is theirs
}

// place is a spot on Earth, give or take Radius km.
type place struct {
	Lat    float64   `json:"lat"`
	Lon    float64   `json:"lon"`
	Radius float64   `json:"radius"`
	At     time.Time `json:"at"`
}

// held is a visit that waits for a proof, or was denied by an administrator.
type held struct {
	ID       string       `json:"id"`
	Device   string       `json:"device"`
	Prefix   netip.Prefix `json:"prefix"`
	Signals  []Signal     `json:"signals"`
	Outcome  Outcome      `json:"outcome"`
	At       time.Time    `json:"at"`
	Agent    string       `json:"agent,omitempty"`
	Site     string       `json:"site,omitempty"`
	Approved bool         `json:"approved,omitempty"`
	Denied   bool         `json:"denied,omitempty"`

	Code   []byte    `json:"code,omitempty"` // a MAC of it
	CodeAt time.Time `json:"code_at,omitzero"`
	Tries  int       `json:"tries,omitempty"`
}

// visit is what is known of a request when it is judged.
type visit struct {
	Addr   netip.Addr
	Device string // "": none
	Agent  string
	Site   string
	Email  string
	Now    time.Time
	Geo    geo
	Listed bool
	Proven bool // it passes since the person has proven themselves
}

// prefixOf is the network of an address: /24, or /48 of IPv6.
func prefixOf(a netip.Addr) netip.Prefix { return cut(a, 24, 48) }

// wideOf is what an address may roam in with a device that is known: /16, or /32 of IPv6.
func wideOf(a netip.Addr) netip.Prefix { return cut(a, 16, 32) }

func cut(a netip.Addr, v4, v6 int) netip.Prefix {
	bits := v6
	if a.Is4() {
		bits = v4
	}
	p, _ := a.Prefix(bits) // of a valid address, these lengths are
	return p
}

// prune forgets what has not been used for so long.
func (r *record) prune(now time.Time, remember time.Duration) {
	r.Networks = slices.DeleteFunc(r.Networks, func(n network) bool { return now.Sub(n.Last) > remember })
	r.Devices = slices.DeleteFunc(r.Devices, func(d device) bool { return now.Sub(d.Last) > remember })
	r.Held = slices.DeleteFunc(r.Held, func(h held) bool { return now.Sub(h.At) > heldFor })
	if len(r.Networks) == 0 && len(r.Devices) == 0 {
		r.Since, r.Here = time.Time{}, place{}
	}
}

// network returns the person's network with the prefix, or nil.
func (r *record) network(p netip.Prefix) *network {
	if i := slices.IndexFunc(r.Networks, func(n network) bool { return n.Prefix == p }); i >= 0 {
		return &r.Networks[i]
	}
	return nil
}

func (r *record) knowsDevice(id string) bool {
	return id != "" && slices.ContainsFunc(r.Devices, func(d device) bool { return d.ID == id })
}

// usedBefore reports whether the person has used the device before the session began, or has proven that it is theirs: what
// was let in with this very session, unasked, is known of no better than before.
func (r *record) usedBefore(id string, session time.Time) bool {
	return id != "" && slices.ContainsFunc(r.Devices, func(d device) bool { return d.ID == id && (d.Proven || d.First.Before(session)) })
}

// waits returns what is held of this visit, or nil.
func (r *record) waits(v visit) *held {
	p := prefixOf(v.Addr)
	if i := slices.IndexFunc(r.Held, func(h held) bool { return h.Device == v.Device && h.Prefix == p }); i >= 0 {
		return &r.Held[i]
	}
	return nil
}

// hold notes that the visit waits. What is held of it already stays, with its code, unless other signals have come.
func (r *record) hold(v visit, id string, signals []Signal, o Outcome) *held {
	if h := r.waits(v); h != nil {
		h.Signals, h.Outcome, h.Approved = signals, o, false
		return h
	}
	if len(r.Held) >= maxHeld {
		r.Held = slices.Delete(r.Held, 0, len(r.Held)-maxHeld+1)
	}
	r.Held = append(r.Held, held{
		ID: id, Device: v.Device, Prefix: prefixOf(v.Addr), Signals: signals, Outcome: o, At: v.Now, Agent: v.Agent, Site: v.Site,
	})
	return &r.Held[len(r.Held)-1]
}

// learn has the visit's device and network be the person's, and clears what was proven away.
func (r *record) learn(v visit, signals []Signal, remember time.Duration) {
	p := prefixOf(v.Addr)
	r.Held = slices.DeleteFunc(r.Held, func(h held) bool { return h.Device == v.Device && h.Prefix == p })
	if r.Since.IsZero() {
		r.Since = v.Now
	}
	if v.Email != "" {
		r.Email = v.Email
	}
	n := network{Prefix: p, First: v.Now}
	if known := r.network(p); known != nil {
		n = *known
		r.Networks = slices.DeleteFunc(r.Networks, func(n network) bool { return n.Prefix == p })
	}
	n.Last, n.ASN, n.Country = v.Now, v.Geo.ASN, v.Geo.Country
	for _, s := range signals {
		until := v.Now.Add(remember)
		if s == OffHours {
			until = v.Now.Add(shiftFor)
		}
		if s == OffHours || s == Listed {
			if n.Cleared == nil {
				n.Cleared = map[Signal]time.Time{}
			}
			n.Cleared[s] = until
		}
	}
	if r.Networks = append(r.Networks, n); len(r.Networks) > maxNetworks {
		r.Networks = slices.Delete(r.Networks, 0, len(r.Networks)-maxNetworks)
	}
	if v.Device != "" {
		d := device{ID: v.Device, First: v.Now}
		if i := slices.IndexFunc(r.Devices, func(d device) bool { return d.ID == v.Device }); i >= 0 {
			d = r.Devices[i]
			r.Devices = slices.Delete(r.Devices, i, i+1)
		}
		d.Last, d.Agent, d.Proven = v.Now, v.Agent, d.Proven || v.Proven
		if r.Devices = append(r.Devices, d); len(r.Devices) > maxDevices {
			r.Devices = slices.Delete(r.Devices, 0, len(r.Devices)-maxDevices)
		}
	}
	if v.Geo.Located {
		r.Here = place{Lat: v.Geo.Lat, Lon: v.Geo.Lon, Radius: v.Geo.Radius, At: v.Now}
	}
}

// forget takes a device or a network ("all": everything) from what the person is known by, and reports whether there was one.
func (r *record) forget(what string) bool {
	n := len(r.Networks) + len(r.Devices)
	r.Networks = slices.DeleteFunc(r.Networks, func(n network) bool { return what == "all" || n.Prefix.String() == what })
	r.Devices = slices.DeleteFunc(r.Devices, func(d device) bool { return what == "all" || d.ID == what })
	if len(r.Networks)+len(r.Devices) == n {
		return false
	}
	r.Here = place{}
	return true
}
