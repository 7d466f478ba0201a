// Package support keeps grants of roles for a while: what lets somebody in who helps, for as long as a ticket takes.
//
// # What
//
// A [Grant] gives a person roles on some sites until it expires; it names a ticket, and who approved it. [Grants] are kept in
// the store's bucket support, sealed, and long after they have ended, for the record.
//
// # Invariants
//
// Nobody approves what they receive. A grant ends by itself, by this node's clock, whether the store can be reached or not;
// what runs by a grant that ended or was revoked is cut. A grant that cannot be read gives nothing.
//
// # Cost
//
// A look-up in a map for a request; no allocation where nobody holds a grant. All that are in force are at hand, a thousand
// at the most.
package support

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/store"
)

const (
	bucket store.Bucket = "support"

	// MaxLife is the longest that a grant may last.
	MaxLife = 24 * time.Hour

	keptFor  = 400 * 24 * time.Hour // after its end
	most     = 1000                 // in force
	maxWord  = 200                  // bytes of a ticket, role or site
	maxWords = 16
)

// Grant is one. Roles are sorted.
type Grant struct {
	ID       string       `json:"id"`
	Person   owner.Person `json:"person"` // who receives it
	Roles    []string     `json:"roles"`
	Tenant   string       `json:"tenant,omitempty"` // on whose sites
	Sites    []string     `json:"sites,omitempty"`  // on which, by name or host; none: all of the tenant's
	Ticket   string       `json:"ticket"`
	Note     string       `json:"note,omitempty"`
	Approver owner.Person `json:"approver"`
	By       string       `json:"by,omitempty"` // the operator who entered it
	Created  time.Time    `json:"created"`
	Expires  time.Time    `json:"expires"`
	Ended    time.Time    `json:"ended,omitzero"` // zero: it has not
	EndedBy  string       `json:"ended_by,omitempty"`
}

// Expired is who ends a grant whose time is over.
const Expired = "expired"

var errEnded = fmt.Errorf("the grant: %w", ledger.ErrEnded)

// Check brings a draft into form, or says what is wrong with it.
func (g *Grant) Check(now time.Time) error {
	nobody := owner.Person{}
	switch {
	case g.Person == nobody || g.Approver == nobody:
		return errors.New("say who receives the grant, and who has approved it")
	case strings.EqualFold(g.Person.Provider, g.Approver.Provider) && strings.EqualFold(g.Person.Subject, g.Approver.Subject):
		return errors.New("nobody approves what they receive: name another approver")
	case g.Ticket == "" || len(g.Ticket) > maxWord || strings.ContainsFunc(g.Ticket, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("name the ticket, in one word")
	case g.Tenant == "" && len(g.Sites) == 0:
		return errors.New("say where the grant counts: name sites, or a tenant")
	case !g.Expires.After(now) || g.Expires.After(now.Add(MaxLife)):
		return errors.New("a grant lasts 24h at the most: say how long, such as 2h")
	case len(g.Note) > 2*maxWord:
		return fmt.Errorf("the note has more than %d bytes", 2*maxWord)
	case len(g.Roles) == 0:
		return errors.New("name the roles")
	}
	for _, list := range []*[]string{&g.Roles, &g.Sites} {
		if len(*list) > maxWords || slices.ContainsFunc(*list, func(s string) bool { return s == "" || len(s) > maxWord || strings.TrimSpace(s) != s }) {
			return fmt.Errorf("roles and sites are words, %d at the most", maxWords)
		}
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return nil
}

// covers reports whether the grant counts on a site.
func (g *Grant) covers(s Site, now time.Time) bool {
	return now.Before(g.Expires) && g.Tenant == s.Tenant &&
		(len(g.Sites) == 0 || slices.Contains(g.Sites, s.Name) || slices.ContainsFunc(s.Hosts, func(h string) bool { return slices.Contains(g.Sites, h) }))
}

// Site is where somebody asks.
type Site struct {
	Name, Tenant string
	Hosts        []string
}

// Grants are all of a house's. Make them with [Open]; they are safe for concurrent use and must be closed before the store.
type Grants struct {
	grants *ledger.Lapsing[Grant]

	table atomic.Pointer[map[owner.Person][]*Grant] // those in force

	mu   sync.Mutex
	runs map[*running.Run][]string // guarded by mu; what runs, and the ids of the grants that it runs by
}

// Open reads the grants, and follows them from now on. expired is told of each that ends by itself, on one node.
func Open(st store.Store, keys *keyring.Ring, expired func(Grant)) (*Grants, error) {
	g := &Grants{runs: map[*running.Run][]string{}}
	g.table.Store(&map[owner.Person][]*Grant{})
	var err error
	g.grants, err = ledger.OpenLapsing(st, keys, ledger.Config[Grant]{Bucket: bucket}, ledger.Lapse[Grant]{
		KeptFor: keptFor,
		ID:      func(rec *Grant) string { return rec.ID },
		Until:   func(rec *Grant) time.Time { return rec.Expires },
		Stands:  func(rec *Grant) bool { return rec.Ended.IsZero() },
		Ended:   func(rec *Grant) bool { return !rec.Ended.IsZero() },
		End:     func(rec *Grant, now time.Time) error { return rec.end(Expired, now) },
		Changed: g.use,
		Told:    expired,
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Destruct stops following.
func (g *Grants) Destruct() error { return g.grants.Destruct() }

// use puts the grants in force, and cuts what runs by others.
func (g *Grants) use(all []*Grant) {
	table := map[owner.Person][]*Grant{}
	for _, rec := range all {
		table[rec.Person] = append(table[rec.Person], rec)
	}
	g.table.Store(&table)
	g.cut(time.Now())
}

// cut ends what runs by a grant that is no more.
func (g *Grants) cut(now time.Time) {
	alive := map[string]bool{}
	for _, list := range *g.table.Load() {
		for _, rec := range list {
			alive[rec.ID] = now.Before(rec.Expires)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for run, ids := range g.runs {
		if slices.ContainsFunc(ids, func(id string) bool { return !alive[id] }) {
			run.Cut(running.Cut{Note: "support_cut", Why: "the support grant has ended"})
			delete(g.runs, run)
		}
	}
}

// ErrUnsure is that a store did not answer: the grant may be written, and then it comes into force.
var ErrUnsure = errors.New("the store has not said whether the grant is in force: `gatehouse grant list` shows it, if it is")

// Give makes a grant as the draft says.
func (g *Grants) Give(ctx context.Context, draft *Grant) error {
	now := time.Now().UTC().Truncate(time.Second)
	if err := draft.Check(now); err != nil {
		return err
	}
	if n := len(g.grants.AtHand()); n >= most {
		return fmt.Errorf("there are %d grants in force already", n)
	}
	draft.ID, draft.Created, draft.Expires, draft.Ended = strings.ToLower(rand.Text()[:10]), now, draft.Expires.UTC(), time.Time{}
	err := g.grants.Add(ctx, draft.ID, draft)
	if errors.Is(err, ledger.ErrUnsure) {
		return fmt.Errorf("grant %s: %w: %w", draft.ID, ErrUnsure, err)
	}
	return err
}

// Revoke ends a grant before its time. What runs by it is cut.
func (g *Grants) Revoke(ctx context.Context, id, by string) (*Grant, error) {
	now := time.Now().UTC().Truncate(time.Second)
	return g.grants.End(ctx, id, func(rec *Grant) error { return rec.end(by, now) }, func(rec *Grant) bool { return rec.EndedBy == by && rec.Ended.Equal(now) })
}

// end notes the end of the grant.
func (g *Grant) end(by string, now time.Time) error {
	if !g.Ended.IsZero() {
		return errEnded
	}
	g.Ended, g.EndedBy = now.UTC().Truncate(time.Second), by
	return nil
}

// Erase deletes the grants that are meant, ended or not, unless they are only counted, and returns how many there are.
func (g *Grants) Erase(ctx context.Context, meant func(*Grant) bool, count bool) (int, error) {
	return g.grants.EraseMeant(ctx, meant, count)
}

// List returns the grants, the newest first; those that have ended, too, where all are wanted.
func (g *Grants) List(ctx context.Context, all bool) (list []*Grant, err error) {
	now := time.Now()
	for rec, err := range g.grants.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		if all || rec.Ended.IsZero() && now.Before(rec.Expires) {
			list = append(list, rec)
		}
	}
	slices.SortFunc(list, func(x, y *Grant) int { return y.Created.Compare(x.Created) })
	return list, nil
}

// Held is what a person holds on a site now.
type Held struct {
	Roles   []string  // sorted
	Tickets []string  // in no order
	Until   time.Time // when the first of the grants ends
	ids     []string
}

// Of returns what the person holds; the zero Held is nothing.
func (g *Grants) Of(provider, subject string, s Site, now time.Time) (h Held) {
	table := *g.table.Load()
	if len(table) == 0 { // Fast path
		return h
	}
	for _, rec := range table[owner.Person{Provider: provider, Subject: subject}] {
		if !rec.covers(s, now) {
			continue
		}
		h.Roles, h.ids = append(h.Roles, rec.Roles...), append(h.ids, rec.ID)
		if !slices.Contains(h.Tickets, rec.Ticket) {
			h.Tickets = append(h.Tickets, rec.Ticket)
		}
		if h.Until.IsZero() || rec.Expires.Before(h.Until) {
			h.Until = rec.Expires
		}
	}
	slices.Sort(h.Roles)
	h.Roles = slices.Compact(h.Roles)
	return h
}

// Enter has the run cut when one of the grants ends that it runs by. The caller must call leave when the request returns.
func (g *Grants) Enter(run *running.Run, h Held) (leave func()) {
	g.mu.Lock()
	g.runs[run] = h.ids
	g.mu.Unlock()
	g.cut(time.Now()) // one may have ended just now
	return func() {
		g.mu.Lock()
		delete(g.runs, run)
		g.mu.Unlock()
	}
}
