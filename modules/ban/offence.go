package ban

import (
	"fmt"
	"net/netip"
	"time"

	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
)

// Offence is one thing that a jail may be for. Who is nobody when nobody was proven.
type Offence struct {
	On      string // a reason of a refusal, a kind of event, or one of the room's own
	Client  netip.Addr
	Path    reqpath.Path // of the request; the zero Path when there is none, or it has no one reading
	Who     identity.Proof
	Request string
	Detail  string
}

// hear is told each event before whoever caused it has the answer. It must neither block nor publish.
func (d *Desk) hear(e event.Event) {
	if e.Session != "" { // the handler tells of what a person does who is logged in: events do not say all of who it is
		return
	}
	on := string(e.Kind)
	if e.Kind == event.RequestRefused {
		on = string(e.Reason)
	}
	o := Offence{On: on, Client: e.ClientIP, Request: e.RequestID, Detail: e.Path}
	if r := d.rules.Load(); r != nil && r.byPath {
		o.Path = reqpath.OfDecoded(e.Path)
	}
	d.Offend(o)
}

// Offend counts an offence: of who is not known against their network, of who is in the jails by name. When it is one too
// many, the ban is in force when Offend returns; it is written, and told of, a moment later.
func (d *Desk) Offend(o Offence) {
	r := d.rules.Load()
	if r == nil || !o.Client.IsValid() || !r.concerns(o.On) {
		return
	}
	weight, now := 0, time.Now()
	for i := range r.jails {
		j := &r.jails[i]
		if !j.takes(&o) {
			continue
		}
		whom, counts := r.culprit(j, o)
		if !counts {
			continue
		}
		if weight == 0 {
			weight = 1 + d.score(o.Client)
		}
		d.mu.Lock()
		if d.counter.offend(j, whom, now, weight) {
			if weight > 1 {
				o.Detail += fmt.Sprintf(" (each counted %d times: the address is in lists)", weight)
			}
			d.pronounce(r, j, whom, o, now)
		}
		d.mu.Unlock()
	}
}

// culprit returns against whom an offence counts in a jail, if it does. What a person does who is logged in never counts
// against their network.
func (r *Rules) culprit(j *Jail, o Offence) (Whom, bool) {
	if j.Scope == ByClient {
		if o.Who.Known() || r.allow.Contains(o.Client) {
			return Whom{}, false
		}
		return clients(clientip.Network(o.Client)), true
	}
	whom, ok := j.Scope.of(o.Who)
	return whom, ok && !r.exempt(o.Who, o.Client)
}

// pronounce bans. The caller holds mu.
func (d *Desk) pronounce(r *Rules, j *Jail, whom Whom, o Offence, now time.Time) {
	if whom.Scope == ByClient && r.spares(whom.Network) || len(d.waiting) >= maxWaiting || d.bans.len() >= MaxBans {
		return
	}
	b := Ban{
		Whom: whom, Action: j.Action, Jail: j.Name, Since: now.UTC(), Until: now.Add(j.ban).UTC(), Request: o.Request,
		Detail: fmt.Sprintf("%d times %s in %s; last %s", j.MaxRetry, o.On, j.FindTime, o.Detail),
	}
	if old, ok := d.bans.get(whom); ok && old.Until.After(b.Until) && (old.Action.shuts() || !b.Action.shuts()) {
		return
	}
	d.bans.set(&b)
	d.present.shutOut()
	d.waiting = append(d.waiting, &waiting{Ban: b})
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (r *Rules) concerns(on string) bool {
	for i := range r.jails {
		if r.jails[i].concerns(on) {
			return true
		}
	}
	return false
}

// tell says what happened, for people, other rooms and fail2ban's readers.
func (d *Desk) tell(kind event.Kind, b Ban, by string) {
	e := event.Event{Time: time.Now(), Kind: kind, RequestID: b.Request, Detail: b.Detail, Attrs: []event.Attr{
		{Key: "jail", Value: b.Jail}, {Key: "until", Value: b.Until.Format(time.RFC3339)},
	}}
	attr := func(key, value string) {
		if value != "" {
			e.Attrs = append(e.Attrs, event.Attr{Key: key, Value: value})
		}
	}
	switch b.Scope { // a name stands where whoever passes events on looks for names
	case ByClient:
		e.ClientIP = b.Network.Addr()
		attr("network", b.Network.String())
	case ByUser:
		e.User = b.Name
	case ByTenant:
		attr("tenant", b.Name)
	case BySession, ByKey:
		e.Session = b.Name
	}
	attr("scope", string(b.Scope))
	attr("action", string(b.Action))
	attr("by", by)
	d.bus.Publish(e)
	verb := "Ban"
	if b.Action == StepUp { // who reads the log for bans must not take it for one
		verb = "StepUp"
	}
	if kind == event.BanLifted {
		verb = "Unban"
	}
	if r := d.rules.Load(); r != nil {
		r.log("[" + b.Jail + "] " + verb + " " + b.String()) // as fail2ban does
	}
}
