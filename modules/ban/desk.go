package ban

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/prefixset"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	bucket    store.Bucket = "ban"
	histories store.Bucket = "ban_history"

	historyFor  = 90 * 24 * time.Hour
	escalateFor = 30 * 24 * time.Hour // from the first ban on
	retryEvery  = time.Second
	maxWaiting  = 4096 // bans that wait to be written
)

// MaxBans is how many bans there can be at one time.
const MaxBans = 1 << 20

// Errors of banning.
var (
	ErrAllowed = errors.New("the network holds addresses that are never banned (allow, trusted proxies, loopback and private addresses)")
	ErrTooMany = errors.New("there are too many bans")
	ErrTooWide = errors.New("the network is too wide: want /8 or narrower, of IPv6 /32")
)

// Ban is one network that is shut out.
type Ban struct {
	Network netip.Prefix `json:"network"`
	Jail    string       `json:"jail"` // "manual" when an operator did it
	Since   time.Time    `json:"since"`
	Until   time.Time    `json:"until"`
	Detail  string       `json:"detail,omitempty"`  // the last offence, or what the operator said
	Request string       `json:"request,omitempty"` // the last offence's id
	By      string       `json:"by,omitempty"`      // the operator
}

// Entry is one line of the history.
type Entry struct {
	Time time.Time `json:"time"`
	What string    `json:"what"` // banned, lifted
	By   string    `json:"by,omitempty"`
	Ban  Ban       `json:"ban"`
}

// Rules are what a configuration says.
type Rules struct {
	jails []Jail
	allow *prefixset.Set
	wide  []netip.Prefix // allow's, to find overlaps
	log   func(line string)
}

// Desk keeps the bans and pronounces new ones. Make one with [Open]; it is safe for concurrent use and must be closed
// before the store.
type Desk struct {
	store store.Store
	bus   *event.Bus
	rules atomic.Pointer[Rules]
	bans  prefixset.Table[*Ban]

	present  *present
	visitors *visitors

	listing sync.Mutex // held while the lists to follow are changed
	lists   atomic.Pointer[[]*runningList]
	life    context.Context // ends with the desk

	mu      sync.Mutex
	counter *counter   // guarded by mu
	waiting []*waiting // guarded by mu; pronounced and not written yet
	wake    chan struct{}

	writing sync.Mutex // held while a ban is written or lifted, so that none that was lifted comes back

	untap func()
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// Open reads the bans, follows what other nodes write, and hears the bus. Nobody is shut
// out until there are rules to go by.
func Open(st store.Store, bus *event.Bus) (*Desk, error) {
	ctx, cancel := context.WithCancel(context.Background())
	d := &Desk{store: st, bus: bus, counter: newCounter(maxCounted), wake: make(chan struct{}, 1), life: ctx, stop: cancel, present: newPresent(), visitors: newVisitors()}
	feed, err := st.Watch(ctx, bucket)
	if err == nil {
		err = d.read(ctx)
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("reading the bans: %w", err)
	}
	d.untap = bus.Tap(d.hear)
	d.done.Go(func() { d.follow(ctx, feed) })
	d.done.Go(func() { d.write(ctx) })
	d.done.Go(func() { d.sweep(ctx) })
	return d, nil
}

// Use has the desk go by these rules from now on.
func (d *Desk) Use(r *Rules) {
	d.rules.Store(r)
	d.present.shutOut()
}

// Destruct stops it. Bans that could not be written yet are lost.
func (d *Desk) Destruct() error {
	atHandshake.CompareAndSwap(d, nil)
	d.untap()
	d.stop()
	d.unfollow()
	d.done.Wait()
	return nil
}

// Banned returns the ban that shuts the address out, if there is one; of who is in a blocklist, one is made up. Who is
// allowed never is banned.
func (d *Desk) Banned(addr netip.Addr) (*Ban, bool) {
	if b, ok := d.bans.Lookup(addr); ok && time.Now().Before(b.Until) {
		return b, !d.allowed(addr)
	}
	if f := d.listed(addr); f != nil && !d.allowed(addr) {
		return f.ban(addr), true
	}
	return nil, false
}

// verdict is what its client is told.
func (b *Ban) verdict() verdict.Verdict {
	return verdict.Verdict{Reason: verdict.Banned, RetryAfter: time.Until(b.Until), Detail: b.why()}
}

// cut is why the requests end that its client had running.
func (b *Ban) cut() running.Cut {
	return running.Cut{Note: "ban_cut", Why: b.why(), Reason: verdict.Banned, Until: b.Until}
}

func (b *Ban) why() string {
	return fmt.Sprintf("jail %s, network %s: %s", b.Jail, b.Network, b.Detail)
}

func (d *Desk) allowed(addr netip.Addr) bool {
	r := d.rules.Load()
	return r == nil || r.allow.Contains(addr) // without rules nobody is shut out
}

// hear is told each event before whoever caused it has the answer. It must neither block nor publish.
func (d *Desk) hear(e event.Event) {
	if e.Session != "" { // a person who is logged in is none of the jails' business
		return
	}
	on := string(e.Kind)
	if e.Kind == event.RequestRefused {
		on = string(e.Reason)
	}
	d.Offend(on, e.ClientIP, e.RequestID, e.Path)
}

// Offend counts an offence against the client's network. When it is one too many, the network is shut out when Offend
// returns; the ban is written, and told of, a moment later.
func (d *Desk) Offend(on string, client netip.Addr, request, detail string) {
	r := d.rules.Load()
	if r == nil || !client.IsValid() || !r.concerns(on) || r.allow.Contains(client) {
		return
	}
	network, now := clientip.Network(client), time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range r.jails {
		j := &r.jails[i]
		if !slices.Contains(j.On, on) || !d.counter.offend(j, network, now) {
			continue
		}
		if r.spares(network) || len(d.waiting) >= maxWaiting || d.bans.Len() >= MaxBans {
			continue
		}
		b := Ban{
			Network: network, Jail: j.Name, Since: now.UTC(), Until: now.Add(j.ban).UTC(), Request: request,
			Detail: fmt.Sprintf("%d times %s in %s; last %s", j.MaxRetry, on, j.FindTime, detail),
		}
		if old, ok := d.bans.Get(network); ok && old.Until.After(b.Until) {
			continue
		}
		d.bans.Set(network, &b)
		d.present.shutOut()
		d.waiting = append(d.waiting, &waiting{Ban: b})
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

func (r *Rules) concerns(on string) bool {
	return slices.ContainsFunc(r.jails, func(j Jail) bool { return slices.Contains(j.On, on) })
}

// spares reports whether somebody in the network must never be banned.
func (r *Rules) spares(network netip.Prefix) bool {
	return slices.ContainsFunc(r.wide, network.Overlaps)
}

// Add bans a network for an operator. It is durable when Add returns.
func (d *Desk) Add(ctx context.Context, network netip.Prefix, length time.Duration, detail, by string) (Ban, error) {
	if !network.IsValid() || length <= 0 {
		return Ban{}, errors.New("want a network and for how long")
	}
	if err := d.mayBan(network); err != nil {
		return Ban{}, err
	}
	now := time.Now().UTC()
	b := Ban{Network: network.Masked(), Jail: "manual", Since: now, Until: now.Add(length), Detail: detail, By: by}
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.keep(ctx, b); err != nil {
		return Ban{}, err
	}
	d.bans.Set(b.Network, &b)
	d.present.shutOut()
	d.tell(event.BanAdded, b, by)
	return b, nil
}

// mayBan returns why an operator cannot ban the network, or nil.
func (d *Desk) mayBan(network netip.Prefix) error {
	switch r := d.rules.Load(); {
	case network.Addr().Is4() && network.Bits() < 8 || network.Addr().Is6() && network.Bits() < 32:
		return ErrTooWide
	case r == nil || r.spares(network):
		return ErrAllowed
	case d.bans.Len() >= MaxBans:
		return ErrTooMany
	}
	return nil
}

// Lift ends the ban of exactly this network, and reports whether there was one. It is durable when Lift returns.
func (d *Desk) Lift(ctx context.Context, network netip.Prefix, by string) (bool, error) {
	b, ok := d.bans.Get(network)
	if !ok {
		return false, nil
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.store.Delete(ctx, keyOf(network)); err != nil {
		return false, fmt.Errorf("lifting a ban: %w", err)
	}
	d.mu.Lock()
	d.waiting = slices.DeleteFunc(d.waiting, func(w *waiting) bool { return w.Network == network })
	d.mu.Unlock()
	d.bans.Delete(network)
	err := d.remember(ctx, Entry{Time: time.Now().UTC(), What: "lifted", By: by, Ban: *b})
	d.tell(event.BanLifted, *b, by)
	return true, err
}

// List returns the bans that last, by network.
func (d *Desk) List() []Ban {
	all := []Ban{}
	now := time.Now()
	for _, b := range d.bans.All() {
		if now.Before(b.Until) {
			all = append(all, *b)
		}
	}
	slices.SortFunc(all, func(a, b Ban) int { return a.Network.Compare(b.Network) })
	return all
}

// History returns what happened in the last 90 days, the latest first.
func (d *Desk) History(ctx context.Context) ([]Entry, error) {
	var all []Entry
	for item, err := range d.store.Scan(ctx, histories, "") {
		if err != nil {
			return nil, fmt.Errorf("reading the history of bans: %w", err)
		}
		var e Entry
		if err := json.Unmarshal(item.Value, &e); err != nil {
			return nil, fmt.Errorf("reading the history of bans: %w", err)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return b.Time.Compare(a.Time) })
	return all, nil
}

func keyOf(network netip.Prefix) store.Key {
	return store.Key{Bucket: bucket, ID: network.String()}
}

// keep writes the ban.
func (d *Desk) keep(ctx context.Context, b Ban) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if _, err := d.store.Put(ctx, keyOf(b.Network), text, store.PutOptions{TTL: time.Until(b.Until)}); err != nil {
		return fmt.Errorf("writing a ban: %w", err)
	}
	return d.remember(ctx, Entry{Time: b.Since, What: "banned", By: b.By, Ban: b})
}

func (d *Desk) remember(ctx context.Context, e Entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	id := e.Time.Format("20060102T150405.000000000") + " " + e.What + " " + e.Ban.Network.String()
	if _, err := d.store.Put(ctx, store.Key{Bucket: histories, ID: id}, text, store.PutOptions{TTL: historyFor}); err != nil {
		return fmt.Errorf("writing the history of bans: %w", err)
	}
	return nil
}

// tell says what happened, for people, other rooms and fail2ban's readers.
func (d *Desk) tell(kind event.Kind, b Ban, by string) {
	e := event.Event{Time: time.Now(), Kind: kind, RequestID: b.Request, ClientIP: b.Network.Addr(), Detail: b.Detail, Attrs: []event.Attr{
		{Key: "network", Value: b.Network.String()}, {Key: "jail", Value: b.Jail}, {Key: "until", Value: b.Until.Format(time.RFC3339)},
	}}
	if by != "" {
		e.Attrs = append(e.Attrs, event.Attr{Key: "by", Value: by})
	}
	d.bus.Publish(e)
	verb := "Ban"
	if kind == event.BanLifted {
		verb = "Unban"
	}
	address := b.Network.String()
	if b.Network.IsSingleIP() {
		address = b.Network.Addr().String()
	}
	if r := d.rules.Load(); r != nil {
		r.log("[" + b.Jail + "] " + verb + " " + address) // as fail2ban does
	}
}
