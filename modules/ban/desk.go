package ban

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
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
	ErrAllowed = errors.New("that is, or holds, who is never banned (allow, trusted proxies, loopback and private addresses)")
	ErrTooMany = errors.New("there are too many bans")
	ErrTooWide = errors.New("the network is too wide: want /8 or narrower, of IPv6 /32")
)

// Ban is one network, or somebody known by name, that is shut out.
type Ban struct {
	Whom
	Action  Action    `json:"action,omitempty"`
	Jail    string    `json:"jail"` // "manual" when an operator did it
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Detail  string    `json:"detail,omitempty"`  // the last offence, or what the operator said
	Request string    `json:"request,omitempty"` // the last offence's id
	By      string    `json:"by,omitempty"`      // the operator
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
	jails  []Jail
	byPath bool // some jail looks at paths
	allow  *prefixset.Set
	wide   []netip.Prefix // allow's, to find overlaps
	said   *prefixset.Set // of allow, what the operator has named: a ban by name counts everywhere else
	names  map[Whom]bool  // who is never banned
	log    func(line string)
}

// Desk keeps the bans and pronounces new ones. Make one with [Open]; it is safe for concurrent use and must be closed
// before the store.
type Desk struct {
	store store.Store
	bus   *event.Bus
	rules atomic.Pointer[Rules]
	bans  register

	logs     logs
	present  *present
	visitors *visitors
	pit      pit

	listing sync.Mutex // held while the lists to follow are changed
	lists   atomic.Pointer[[]*runningList]
	life    context.Context // ends with the desk

	mu      sync.Mutex
	counter *counter   // guarded by mu
	waiting []*waiting // guarded by mu; pronounced and not written yet
	wake    chan struct{}

	writing sync.Mutex // held while a ban is written or lifted, so that none that was lifted comes back

	exporting sync.Mutex // held while what is exported is changed
	endExport func()     // guarded by exporting

	untap func()
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// Open reads the bans, follows what other nodes write, and hears the bus. Nobody is shut
// out until there are rules to go by.
func Open(st store.Store, bus *event.Bus) (*Desk, error) {
	ctx, cancel := context.WithCancel(context.Background())
	d := &Desk{store: st, bus: bus, counter: newCounter(maxCounted), wake: make(chan struct{}, 1), life: ctx, stop: cancel, present: newPresent(), visitors: newVisitors()}
	d.logs.kick = make(chan struct{}, 1)
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
	d.done.Go(func() { d.readLogs(ctx) })
	return d, nil
}

// Use has the desk go by these rules from now on.
func (d *Desk) Use(r *Rules) {
	d.rules.Store(r)
	d.readsLogs(r)
	d.pit.release()
	d.present.shutOut()
}

// Destruct stops it. Bans that could not be written yet are lost.
func (d *Desk) Destruct() error {
	atHandshake.CompareAndSwap(d, nil)
	d.pit.release()
	d.untap()
	d.stop()
	d.unfollow()
	d.Export("", nil)
	d.done.Wait()
	return nil
}

// Banned returns the ban that hits the address, if there is one; of who is in a blocklist, one is made up. Who is
// allowed never is banned.
func (d *Desk) Banned(addr netip.Addr) (*Ban, bool) {
	b, ok := d.bans.client(addr)
	if !ok || !b.Action.shuts() {
		if f := d.listed(addr); f != nil && (!ok || f.Action.shuts()) {
			b, ok = f.ban(addr), true
		}
	}
	return b, ok && !d.allowed(addr)
}

// BannedByName returns the ban that hits whoever was proven. Where the operator's allow-list names their network it does not
// count, nor where it names them.
func (d *Desk) BannedByName(who identity.Proof, addr netip.Addr) (*Ban, bool) {
	b, ok := d.bans.person(who)
	return b, ok && !d.rules.Load().exempt(who, addr)
}

// BannedKey is BannedByName for an API key by which nobody was proven: its public id, its owner as provider:subject, and their tenant.
func (d *Desk) BannedKey(key, owner, tenant string, addr netip.Addr) (found *Ban, banned bool) {
	r := d.rules.Load()
	if r == nil || r.said.Contains(addr) {
		return nil, false
	}
	now := time.Now()
	for _, w := range []Whom{{Scope: ByKey, Name: key}, {Scope: ByUser, Name: owner}, {Scope: ByTenant, Name: tenant}} {
		if r.names[w] {
			return nil, false
		}
		if b, is := d.bans.get(w); is && now.Before(b.Until) && (found == nil || b.Action.shuts()) {
			found = b
		}
	}
	return found, found != nil
}

// met reports whether whoever was proven has done what the ban asks for.
func (b *Ban) met(who identity.Proof) bool {
	f := who.Factor()
	return b.Action == StepUp && f.Given() && (b.Since.IsZero() || f.At.After(b.Since))
}

// exempt reports whether whoever was proven is never banned by name.
func (r *Rules) exempt(who identity.Proof, addr netip.Addr) bool {
	if r == nil || r.said.Contains(addr) {
		return true // without rules nobody is shut out
	}
	return len(r.names) > 0 && slices.ContainsFunc(named, func(s Scope) bool {
		w, ok := s.of(who)
		return ok && r.names[w]
	})
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
	return fmt.Sprintf("jail %s, %s: %s", b.Jail, b.kind(), b.Detail)
}

func (d *Desk) allowed(addr netip.Addr) bool {
	r := d.rules.Load()
	return r == nil || r.allow.Contains(addr) // without rules nobody is shut out
}

// spares reports whether somebody in the network must never be banned.
func (r *Rules) spares(network netip.Prefix) bool {
	return slices.ContainsFunc(r.wide, network.Overlaps)
}

// Order is what an operator asks for.
type Order struct {
	Whom   Whom
	Action Action
	For    time.Duration
	Detail string
	By     string
}

// Add bans for an operator. It is durable when Add returns.
func (d *Desk) Add(ctx context.Context, o Order) (Ban, error) {
	if !o.Whom.valid() || o.For <= 0 || o.Action == Score {
		return Ban{}, errors.New("want whom to ban, and for how long")
	}
	if err := d.mayBan(o.Whom); err != nil {
		return Ban{}, err
	}
	now := time.Now().UTC()
	b := Ban{Whom: o.Whom, Action: o.Action, Jail: "manual", Since: now, Until: now.Add(o.For), Detail: o.Detail, By: o.By}
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.keep(ctx, b); err != nil {
		return Ban{}, err
	}
	d.bans.set(&b)
	d.present.shutOut()
	d.tell(event.BanAdded, b, o.By)
	return b, nil
}

// mayBan returns why an operator cannot ban them, or nil.
func (d *Desk) mayBan(w Whom) error {
	network := w.Network
	switch r := d.rules.Load(); {
	case r == nil || r.names[w]:
		return ErrAllowed
	case d.bans.len() >= MaxBans:
		return ErrTooMany
	case w.Scope != ByClient:
		return nil
	case network.Addr().Is4() && network.Bits() < 8 || network.Addr().Is6() && network.Bits() < 32:
		return ErrTooWide
	case r.spares(network):
		return ErrAllowed
	}
	return nil
}

// Lift ends the ban of exactly this one, and reports whether there was one. It is durable when Lift returns.
func (d *Desk) Lift(ctx context.Context, whom Whom, by string) (bool, error) {
	b, ok := d.bans.get(whom)
	if !ok {
		return false, nil
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.store.Delete(ctx, keyOf(whom)); err != nil {
		return false, fmt.Errorf("lifting a ban: %w", err)
	}
	d.mu.Lock()
	d.waiting = slices.DeleteFunc(d.waiting, func(w *waiting) bool { return w.Whom == whom })
	d.mu.Unlock()
	d.bans.delete(whom)
	err := d.remember(ctx, Entry{Time: time.Now().UTC(), What: "lifted", By: by, Ban: *b})
	d.tell(event.BanLifted, *b, by)
	return true, err
}

// List returns the bans that last: networks in their order, then who is known by name.
func (d *Desk) List() []Ban {
	all := []Ban{}
	now := time.Now()
	for b := range d.bans.all() {
		if now.Before(b.Until) {
			all = append(all, *b)
		}
	}
	slices.SortFunc(all, func(a, b Ban) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), a.Network.Compare(b.Network), cmp.Compare(a.Name, b.Name))
	})
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

func keyOf(w Whom) store.Key { return store.Key{Bucket: bucket, ID: w.id()} }

// keep writes the ban.
func (d *Desk) keep(ctx context.Context, b Ban) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if _, err := d.store.Put(ctx, keyOf(b.Whom), text, store.PutOptions{TTL: time.Until(b.Until)}); err != nil {
		return fmt.Errorf("writing a ban: %w", err)
	}
	return d.remember(ctx, Entry{Time: b.Since, What: "banned", By: b.By, Ban: b})
}

func (d *Desk) remember(ctx context.Context, e Entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	id := e.Time.Format("20060102T150405.000000000") + " " + e.What + " " + e.Ban.id()
	if _, err := d.store.Put(ctx, store.Key{Bucket: histories, ID: id}, text, store.PutOptions{TTL: historyFor}); err != nil {
		return fmt.Errorf("writing the history of bans: %w", err)
	}
	return nil
}
