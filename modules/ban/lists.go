package ban

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"time"
)

// runningList is a feed and what ends it.
type runningList struct {
	*feed
	said string // the configuration's words
	stop context.CancelFunc
	done chan struct{}
}

// Follow has the desk follow these lists and no others from now on. Lists that it follows already in the same words go
// on as they are, so that a reload leaves no gap.
func (d *Desk) Follow(all []Blocklist, stateDir string) error {
	d.listing.Lock()
	defer d.listing.Unlock()
	before := d.followed()
	var after, fresh []*runningList
	for _, b := range all {
		said, err := json.Marshal(b)
		if err != nil {
			return err
		}
		if at := slices.IndexFunc(before, func(r *runningList) bool { return r.said == string(said) }); at >= 0 {
			after = append(after, before[at])
			continue
		}
		f, err := newFeed(b, filepath.Join(stateDir, listFolder), d.bus.Publish)
		if err != nil {
			return err
		}
		f.swapped = d.present.shutOut
		r := &runningList{feed: f, said: string(said), done: make(chan struct{})}
		after, fresh = append(after, r), append(fresh, r)
	}
	d.lists.Store(&after)
	d.present.shutOut()
	for _, r := range before {
		if !slices.Contains(after, r) {
			r.end()
			if !slices.ContainsFunc(after, func(x *runningList) bool { return x.Name == r.Name }) {
				r.forget()
			}
		}
	}
	for _, r := range fresh {
		ctx, cancel := context.WithCancel(d.life)
		r.stop = cancel
		go func() {
			defer close(r.done)
			r.run(ctx)
		}()
	}
	return nil
}

func (r *runningList) end() {
	r.stop()
	<-r.done
}

// unfollow ends all feeds.
func (d *Desk) unfollow() {
	d.listing.Lock()
	defer d.listing.Unlock()
	for _, r := range d.followed() {
		r.end()
	}
	d.lists.Store(nil)
}

// followed returns the lists that the desk follows. The slice must not be changed.
func (d *Desk) followed() []*runningList {
	if p := d.lists.Load(); p != nil {
		return *p
	}
	return nil
}

// listed returns a list that the address is in and that something becomes of: one that shuts out before one that does not.
func (d *Desk) listed(addr netip.Addr) (found *feed) {
	for _, r := range d.followed() {
		switch {
		case r.Action == Score || found != nil && !r.Action.shuts() || !r.set.Contains(addr):
		case r.Action.shuts():
			return r.feed
		default:
			found = r.feed
		}
	}
	return found
}

// score is how much more an offence of the address counts for the lists that it is in.
func (d *Desk) score(addr netip.Addr) (n int) {
	for _, r := range d.followed() {
		if r.Action == Score && r.set.Contains(addr) {
			n += cmp.Or(r.Weight, defaultWeight)
		}
	}
	return n
}

const defaultWeight = 4

// Listing says how a blocklist is.
type Listing struct {
	Name      string    `json:"name"`
	From      string    `json:"from"`
	Entries   int       `json:"entries"`
	Action    Action    `json:"action,omitempty"`
	Confirmed time.Time `json:"confirmed,omitzero"` // when it was last known to be good
}

// Lists returns how the blocklists are.
func (d *Desk) Lists() []Listing {
	all := []Listing{}
	for _, r := range d.followed() {
		l := Listing{Name: r.Name, From: r.File + r.URL + r.CrowdSec, Entries: r.set.Load().Len(), Action: r.Action}
		if at := r.confirmed.Load(); at != 0 {
			l.Confirmed = time.Unix(at, 0).UTC()
		}
		all = append(all, l)
	}
	return all
}

// Finding is what there is to say about one address, or somebody known by name.
type Finding struct {
	Of      string   `json:"of"`
	Allowed bool     `json:"allowed"`          // never banned, whatever else is found
	Action  string   `json:"action,omitempty"` // what becomes of them: ban, tarpit, step_up; "" when nothing does
	Ban     *Ban     `json:"ban,omitempty"`
	Lists   []string `json:"lists,omitempty"` // that the address is in
}

var errAddress = errors.New("want an address, such as 192.0.2.1, or user:<provider>:<subject> and the like")

// Check says what there is about an address, or a name.
func (d *Desk) Check(text string) (Finding, error) {
	w, err := ParseWhom(text)
	if err != nil || w.Scope == ByClient && !w.Network.IsSingleIP() {
		return Finding{}, errAddress
	}
	f, now := Finding{Of: w.String()}, time.Now()
	if w.Scope != ByClient {
		r := d.rules.Load()
		f.Allowed = r == nil || r.names[w]
		if b, ok := d.bans.get(w); ok && now.Before(b.Until) {
			f.Ban = b
			f.become(b.Action)
		}
		return f, nil
	}
	addr := w.Network.Addr()
	f.Allowed = d.allowed(addr)
	if b, ok := d.bans.client(addr); ok {
		f.Ban = b
		f.become(b.Action)
	}
	for _, r := range d.followed() {
		if r.set.Contains(addr) {
			f.Lists = append(f.Lists, r.Name)
			f.become(r.Action)
		}
	}
	return f, nil
}

// become notes an action, if none that weighs more was noted.
func (f *Finding) become(a Action) {
	if a != Score && (f.Action == "" || a.shuts()) {
		f.Action = a.word()
	}
}
