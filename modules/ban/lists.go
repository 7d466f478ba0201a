package ban

import (
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

// listed returns the first list that the address is in.
func (d *Desk) listed(addr netip.Addr) *feed {
	for _, r := range d.followed() {
		if r.set.Contains(addr) {
			return r.feed
		}
	}
	return nil
}

// Listing says how a blocklist is.
type Listing struct {
	Name      string    `json:"name"`
	From      string    `json:"from"`
	Entries   int       `json:"entries"`
	Confirmed time.Time `json:"confirmed,omitzero"` // when it was last known to be good
}

// Lists returns how the blocklists are.
func (d *Desk) Lists() []Listing {
	all := []Listing{}
	for _, r := range d.followed() {
		l := Listing{Name: r.Name, From: r.File + r.URL, Entries: r.set.Load().Len()}
		if at := r.confirmed.Load(); at != 0 {
			l.Confirmed = time.Unix(at, 0).UTC()
		}
		all = append(all, l)
	}
	return all
}

// Finding is what there is to say about one address.
type Finding struct {
	Address string   `json:"address"`
	Allowed bool     `json:"allowed"` // never shut out, whatever else is found
	Ban     *Ban     `json:"ban,omitempty"`
	Lists   []string `json:"lists,omitempty"` // that the address is in
}

var errAddress = errors.New("want an address, such as 192.0.2.1")

// Check says what there is about an address.
func (d *Desk) Check(text string) (Finding, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return Finding{}, errAddress
	}
	f := Finding{Address: addr.Unmap().String(), Allowed: d.allowed(addr)}
	if b, ok := d.bans.Lookup(addr); ok && time.Now().Before(b.Until) {
		f.Ban = b
	}
	for _, r := range d.followed() {
		if r.set.Contains(addr) {
			f.Lists = append(f.Lists, r.Name)
		}
	}
	return f, nil
}
