package privacy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/pseudonym"
	"gatehouse.internal/modules/internal/standing"
)

const (
	adminOffboard  = "/gatehouse/privacy/offboard"
	pseudonymsKeys = "keys of pseudonyms"
)

// tenantAsk asks for a tenant's data to be deleted.
type tenantAsk struct {
	proofAsk
	Tenant string   `json:"tenant"`
	Sites  []string `json:"sites,omitempty"`   // that were the tenant's, for people of whom the audit log alone tells
	Count  bool     `json:"dry_run,omitempty"` // only say how much there is
}

// leaving is a tenant that is off-boarded.
type leaving struct {
	tenant  string
	app     *gatehouse.App
	state   *gatehouse.State
	chain   *chain.Chain
	safe    *Safe
	keys    *pseudonym.Keys
	members []standing.Person // who belong to no other tenant
	shared  int               // who do
}

// offboard deletes what is kept of a tenant, in the order of erasePerson: on record, records, on record, keys, on record.
func offboard(r *http.Request) (any, error) {
	ask, why, err := readAsk[tenantAsk](r)
	if err != nil {
		return nil, err
	}
	s, app, state, err := settings()
	if err != nil {
		return nil, err
	}
	if err := mayLeave(app, ask.Tenant, ask.Sites); err != nil {
		return nil, err
	}
	who, err := ask.prove(r.Context(), app, state, "off-board a tenant", holding("off-board tenants", s.Officers))
	if err != nil {
		return nil, err
	}
	l := &leaving{tenant: ask.Tenant, app: app, state: state}
	if err := l.find(r.Context(), s, ask.Sites); err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	if slices.Contains(l.members, who.Person) {
		return nil, forbidden("%s belongs to this tenant alone, and nobody erases themselves: somebody else does", who)
	}
	salt := newSalt()
	name, hash := event.Attr{Key: "tenant", Value: l.tenant}, event.Attr{Key: attrTenant, Value: hashOf(salt, l.tenant)}
	people := event.Attr{Key: "people", Value: strconv.Itoa(len(l.members))}
	if ask.Count {
		if err := record(state, event.TenantErasing, who, "", why, name, people, event.Attr{Key: "dry_run", Value: "true"}); err != nil {
			return nil, err
		}
		x, err := l.count(r.Context())
		if err != nil {
			return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
		}
		if x.Remains, err = app.Remains(l.tenant, time.Now()); err != nil {
			return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
		}
		return x, nil
	}
	if err := record(state, event.TenantErasing, who, "", why, name, people); err != nil {
		return nil, err
	}
	done, err := l.erase(r.Context())
	if err != nil {
		return nil, unfinished(err)
	}
	// What was told meanwhile is written before this is, under the keys that are destroyed next.
	if err := record(state, event.TenantErasing, who, "", "its records are deleted; the keys follow", name); err != nil {
		return nil, err
	}
	if err := l.destroy(r.Context(), done); err != nil {
		return nil, unfinished(err)
	}
	left, err := app.Remains(l.tenant, time.Now())
	if err != nil {
		return nil, unfinished(err)
	}
	if err := record(state, event.TenantErased, who, "", why, name, hash, people, event.Attr{Key: attrDone, Value: countsOf(done)}, event.Attr{Key: attrRemains, Value: strings.Join(left, "; ")}); err != nil {
		return nil, err
	}
	return certified(l.chain.Dir(), erased{Counts: done, People: len(l.members), Shared: l.shared}, event.TenantErased, salt, hash)
}

// mayLeave says why a tenant cannot be off-boarded now: while it has sites, what is deleted would come back.
func mayLeave(app *gatehouse.App, tenant string, sites []string) error {
	if !gatehouse.TenantName(tenant) {
		return errors.New("say which tenant: names are 1 to 63 of a-z, 0-9 and -")
	}
	var left []string
	for _, site := range app.Sites() {
		if site.Tenant == tenant {
			left = append(left, site.Name)
		} else if slices.Contains(sites, site.Name) {
			return fmt.Errorf("the site %s is not one of tenant %s", site.Name, tenant)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("tenant %s still has sites (%s): take them out of the Caddyfile of every gateway first, and load it", tenant, strings.Join(left, ", "))
	}
	return nil
}

// find opens what holds the tenant's data, and finds its people.
func (l *leaving) find(ctx context.Context, s *Settings, sites []string) (err error) {
	if l.chain, err = l.state.Audit.Chain(); err != nil {
		return err
	}
	if l.safe, err = s.safe.Of(l.app, openSafe); err != nil {
		return err
	}
	if l.keys, err = l.state.Pseudonyms(); err != nil {
		return err
	}
	return l.people(ctx, sites)
}

// belonging is where a person was seen.
type belonging struct{ here, elsewhere bool }

// people finds the tenant's: whoever has a session, a credential or an entry of the roster with it, an account with an identity
// provider that vouches for no other tenant, or is in the audit log with one of its sites. Who has something of the kind with
// another tenant, or with none, is shared.
func (l *leaving) people(ctx context.Context, sites []string) error {
	own, serving := l.ownProviders(), map[string]bool{}
	for _, site := range l.app.Sites() {
		serving[site.Name] = true
	}
	seen := map[standing.Person]*belonging{}
	saw := func(p standing.Person, here, elsewhere bool) {
		if slices.Contains([]string{identity.HouseServices, identity.HouseLinks}, p.Provider) || !here && !elsewhere {
			return
		}
		if seen[p] == nil {
			seen[p] = new(belonging)
		}
		seen[p].here, seen[p].elsewhere = seen[p].here || here, seen[p].elsewhere || elsewhere
	}
	for p, err := range l.app.Principals(ctx, standing.Person{}) {
		if err != nil {
			return err
		}
		id := p.Identity
		person, mine := standing.Person{Provider: id.Provider, Subject: id.Subject}, own[id.Provider]
		switch {
		case p.Source == gatehouse.FromAccount, p.Credential != nil && id.Tenant == "":
			saw(person, mine, false) // an account says nothing of tenants, nor does a credential whose owner is not known
		default:
			saw(person, mine || id.Tenant == l.tenant, !mine && id.Tenant != l.tenant)
		}
	}
	err := eachRecord(l.chain, func(r *chain.Record) error {
		if r.Personal == nil {
			return nil
		}
		if who, err := owner.ParsePerson(r.Personal.User); err == nil {
			saw(standing.Person{Provider: who.Provider, Subject: who.Subject}, own[who.Provider] || slices.Contains(sites, r.Site), serving[r.Site])
		}
		return nil
	})
	for p, b := range seen {
		switch {
		case b.here && b.elsewhere:
			l.shared++
		case b.here:
			l.members = append(l.members, p)
		}
	}
	slices.SortFunc(l.members, func(a, b standing.Person) int { return cmp.Compare(a.String(), b.String()) })
	return err
}

// ownProviders are the identity providers that vouch for people on this tenant's sites alone.
func (l *leaving) ownProviders() map[string]bool {
	own := map[string]bool{}
	t := l.app.Tenants[l.tenant]
	if t == nil {
		return own
	}
	for _, name := range t.Providers {
		own[name] = true
	}
	vouched := func(tenant string) {
		for _, p := range l.app.ProvidersOf(tenant) {
			delete(own, p.Name())
		}
	}
	for tenant := range l.app.Tenants {
		if tenant != l.tenant {
			vouched(tenant)
		}
	}
	for _, site := range l.app.Sites() {
		vouched(site.Tenant)
	}
	return own
}

// each erases, or counts, what the house's rooms keep of the members and of the tenant.
func (l *leaving) each(ctx context.Context, count bool) (map[string]int, error) {
	done, apart := map[string]int{}, map[standing.Person]bool{}
	add := func(whose gatehouse.Whose) error {
		more, err := l.app.Erase(ctx, whose, count)
		for name, n := range more {
			done[name] += n
		}
		return err
	}
	for _, p := range l.members {
		if err := add(gatehouse.Whose{Person: p}); err != nil {
			return done, err
		}
		apart[p] = true
	}
	return done, add(gatehouse.Whose{Tenant: l.tenant, Apart: apart})
}

func (l *leaving) count(ctx context.Context) (x erased, err error) {
	x = erased{People: len(l.members), Shared: l.shared}
	if x.Counts, err = l.each(ctx, true); err != nil {
		return x, err
	}
	members := map[string]bool{}
	for _, p := range l.members {
		members[p.String()] = true
		heads, err := l.safe.OfUser(p.String())
		if err != nil {
			return x, err
		}
		x.Counts[sealedRecords] += len(slices.DeleteFunc(heads, func(h Head) bool { return h.Tenant == l.tenant }))
		if l.chain.HasSubject(p.String()) {
			x.Counts[auditKeys]++
		}
	}
	x.Counts[sealedRecords] += l.safe.OfTenant(l.tenant)
	has, err := l.keys.Has(ctx, l.tenant)
	if err != nil {
		return x, err
	}
	if has {
		x.Counts[pseudonymsKeys] = 1
	}
	return x, eachRecord(l.chain, func(r *chain.Record) error {
		if r.Personal != nil && (members[r.Personal.User] || members[r.Attr("user")]) {
			x.Unreadable++
		}
		return nil
	})
}

// erase deletes records, and leaves the keys.
func (l *leaving) erase(ctx context.Context) (map[string]int, error) {
	done, err := l.each(ctx, false)
	if err != nil {
		return done, err
	}
	for _, p := range l.members {
		n, err := l.safe.ForgetUser(p.String())
		if done[sealedRecords] += n; err != nil {
			return done, err
		}
	}
	n, err := l.safe.ForgetTenant(l.tenant)
	done[sealedRecords] += n
	return done, err
}

// destroy destroys the keys.
func (l *leaving) destroy(ctx context.Context, done map[string]int) error {
	for _, p := range l.members {
		there, err := l.chain.EraseSubject(p.String())
		if err != nil {
			return err
		}
		if there {
			done[auditKeys]++
		}
	}
	there, err := l.keys.Destroy(ctx, l.tenant)
	if there {
		done[pseudonymsKeys] = 1
	}
	return err
}
