package gatehouse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"gatehouse.internal/modules/internal/roster"
	"gatehouse.internal/modules/internal/service"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/support"
)

// Whose says whose records are deleted: a person's, on whosever sites, or all that are a tenant's.
type Whose struct {
	Person standing.Person
	Tenant string // "": the person's
	// Apart are people whose records are a tenant's, and are deleted or counted as their own.
	Apart map[standing.Person]bool
}

// Has reports whether a record of a person on a tenant's sites is one of them.
func (w Whose) Has(provider, subject, tenant string) bool {
	if w.Tenant != "" {
		return tenant == w.Tenant && !w.Apart[standing.Person{Provider: provider, Subject: subject}]
	}
	return w.Person == standing.Person{Provider: provider, Subject: subject}
}

// Erase deletes what a room keeps in the house's state, unless it is only counted, and returns how many records there are.
type Erase func(ctx context.Context, app *App, whose Whose, count bool) (int, error)

// SessionsErased is the name of what is erased first, so that nobody adds to the rest meanwhile.
const SessionsErased = "sessions"

// erasers are those of rooms, whether the configuration has use for them now or not: what they keep outlives it.
var erasers = map[string]Erase{}

// OnErase says how the records of this name are deleted, for when a person is erased, or a tenant leaves. Only init functions call
// it.
func OnErase(name string, f Erase) { erasers[name] = f }

// OnErase is the like for what belongs to this configuration. It is called while provisioning; under the same name again, it
// replaces.
func (app *App) OnErase(name string, f Erase) {
	if app.erasers == nil {
		app.erasers = map[string]Erase{}
	}
	app.erasers[name] = f
}

// Erase ends sessions, and deletes what the house and its rooms keep, unless it is only counted: how many records of which name.
// It may be called again after an error.
func (app *App) Erase(ctx context.Context, whose Whose, count bool) (map[string]int, error) {
	state, err := app.State()
	if err != nil {
		return nil, err
	}
	done := map[string]int{}
	// Ending sessions deletes of these.
	if done["what providers said"], err = state.eraseSaid(ctx, whose, true); err != nil {
		return done, err
	}
	all := maps.Clone(erasers)
	maps.Copy(all, app.erasers)
	names := slices.Sorted(maps.Keys(all))
	slices.SortStableFunc(names, func(a, b string) int { return -cmp.Compare(first(a), first(b)) })
	for _, name := range names {
		if done[name], err = all[name](ctx, app, whose, count); err != nil {
			return done, fmt.Errorf("deleting %s: %w", name, err)
		}
	}
	if done["second factors"], err = app.eraseFactors(ctx, whose, count); err != nil {
		return done, fmt.Errorf("deleting second factors: %w", err)
	}
	if done["support grants"], err = state.eraseGrants(ctx, whose, count); err != nil {
		return done, fmt.Errorf("deleting support grants: %w", err)
	}
	if _, err := state.eraseSaid(ctx, whose, count); err != nil {
		return done, err
	}
	if whose.Tenant != "" {
		done["service accounts"], err = state.eraseServices(ctx, whose.Tenant, count)
		return done, err
	}
	done["standing"], err = state.eraseStanding(ctx, whose.Person, count)
	return done, err
}

func first(name string) int {
	if name == SessionsErased {
		return 1
	}
	return 0
}

func (s *State) eraseSaid(ctx context.Context, whose Whose, count bool) (int, error) {
	people, err := s.Roster()
	if err != nil {
		return 0, err
	}
	gone, err := people.Erase(ctx, "", func(e *roster.Entry) bool { return whose.Has(e.Who.Provider, e.Who.Subject, e.Who.Tenant) }, count)
	return len(gone), err
}

func (s *State) eraseGrants(ctx context.Context, whose Whose, count bool) (int, error) {
	grants, err := s.Support()
	if err != nil {
		return 0, err
	}
	return grants.Erase(ctx, func(g *support.Grant) bool { return whose.Has(g.Person.Provider, g.Person.Subject, g.Tenant) }, count)
}

func (s *State) eraseServices(ctx context.Context, tenant string, count bool) (int, error) {
	accounts, err := s.Services()
	if err != nil {
		return 0, err
	}
	gone, err := accounts.Erase(ctx, "", func(a *service.Account) bool { return a.Tenant == tenant }, count)
	return len(gone), err
}

// eraseStanding deletes what administrators said of the person, which forbids nothing any more then.
func (s *State) eraseStanding(ctx context.Context, who standing.Person, count bool) (n int, err error) {
	r, err := s.Standing.Get(ctx, who)
	if err != nil {
		return 0, err
	}
	if r.State != standing.Unknown || !r.NotBefore.IsZero() {
		n = 1
	}
	if count {
		return n, nil
	}
	return n, s.Standing.Forget(ctx, who)
}
