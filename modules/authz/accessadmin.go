package authz

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/standing"
)

const (
	defaultStale = "90d"
	maxReviewed  = 20000 // people and programs in a report
)

// reviewAccess answers who reaches what.
func reviewAccess(r *http.Request) (any, error) {
	app, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	stale := q.Get("stale")
	if stale == "" {
		stale = defaultStale
	}
	after, err := caddy.ParseDuration(stale)
	if err != nil || after <= 0 {
		return nil, fmt.Errorf("stale %q is no duration: write one like 90d", stale)
	}
	var who standing.Person
	if user := q.Get("user"); user != "" {
		var ok bool
		if who.Provider, who.Subject, ok = strings.Cut(user, ":"); !ok || who.Provider == "" || who.Subject == "" {
			return nil, errors.New("write a user as provider:subject, such as local:ada")
		}
	}
	report, err := reportOf(r.Context(), app, state, who, after)
	if err != nil {
		return nil, err
	}
	report.Stale = stale
	return report, nil
}

// reportOf makes the report of one principal, or of all.
func reportOf(ctx context.Context, app *gatehouse.App, state *gatehouse.State, who standing.Person, stale time.Duration) (*Report, error) {
	now := time.Now()
	report := &Report{Made: now.UTC().Truncate(time.Second)}
	var err error
	if report.Access, report.More, err = subjects(ctx, app, state, who); err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	sites := handlersOf(app)
	if who == (standing.Person{}) {
		report.Access = append(report.Access, named(app, sites)...)
	}
	for _, s := range report.Access {
		s.Reaches = []Reach{}
		for _, h := range sites {
			h.oracle.review(&h.Policy, s, now)
		}
		s.judge(now, stale)
	}
	report.Digest = digest(report.Access)
	reviews, err := reviewsOf(state)
	if err != nil {
		return nil, err
	}
	if report.Last, err = reviews.Last(ctx); err != nil {
		return nil, err
	}
	if room, ok := app.Room("access_review").(*Recertification); ok {
		report.Due, err = reviews.Due(ctx, time.Duration(room.Every), now)
	}
	return report, err
}

// subjects returns the people and programs that the house's rooms know, sorted.
func subjects(ctx context.Context, app *gatehouse.App, state *gatehouse.State, who standing.Person) (all []*Access, more bool, err error) {
	found := map[string]*Access{}
	rank := map[string]int{gatehouse.FromSession: 3, gatehouse.FromRoster: 2, gatehouse.FromAccount: 1}
	from := map[*Access]int{} // the rank of where what is said of them comes from
	for p, err := range app.Principals(ctx, who) {
		if err != nil {
			return nil, false, err
		}
		name := identity.Suppose(p.Identity, identity.Credential{}).Name()
		a := &Access{Kind: "person", Name: name, Roles: p.Identity.Roles, Groups: p.Identity.Groups, Created: p.Created, LastUsed: p.LastUsed, Disabled: p.Disabled, who: p.Identity}
		a.by = identity.Credential{Method: identity.BySession, Name: "supposed"}
		switch {
		case p.Credential != nil:
			a.Kind, a.Name = string(p.Credential.Method), name+" "+p.Credential.Name
			a.Source, a.Expires = "what "+name+" is, within its own scope", p.Credential.Until
			a.by, a.scope = *p.Credential, p.Scope
		case p.Source == gatehouse.FromService:
			a.Kind, a.Source, a.by.Method = "service_account", "the service account", identity.ByAPIKey
		case p.Source == gatehouse.FromAccount:
			a.Source = "the account kept here"
			a.tenant = vouches(app, p.Identity.Provider)
		default:
			a.Source = "provider " + p.Identity.Provider + ", as it last said"
		}
		key := a.Kind + " " + a.Name
		before := found[key]
		if before == nil && len(found) >= maxReviewed {
			more = true
			continue
		}
		if before != nil {
			a.LastUsed, a.Disabled = later(a.LastUsed, before.LastUsed), a.Disabled || before.Disabled
			if a.Created.IsZero() || !before.Created.IsZero() && before.Created.Before(a.Created) {
				a.Created = before.Created
			}
			if from[before] >= rank[p.Source] {
				before.LastUsed, before.Disabled, before.Created = a.LastUsed, a.Disabled, a.Created
				continue
			}
		}
		found[key], from[a] = a, rank[p.Source]
	}
	if err := filed(ctx, app, state, who, found); err != nil {
		return nil, false, err
	}
	for _, a := range found {
		if rec, err := state.Standing.Get(ctx, standing.Person{Provider: a.who.Provider, Subject: a.who.Subject}); err != nil {
			return nil, false, err
		} else if !rec.State.Allows() {
			a.Disabled = true
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(x, y *Access) int { return strings.Compare(x.Kind+" "+x.Name, y.Kind+" "+y.Name) })
	return all, more, nil
}

// filed adds whom administrators have decided about, and of whom nothing else is known: they wait, or may not come in.
func filed(ctx context.Context, app *gatehouse.App, state *gatehouse.State, who standing.Person, found map[string]*Access) error {
	records, err := state.Standing.List(ctx, who.Provider, "")
	if err != nil {
		return err
	}
	for _, rec := range records {
		name := rec.Person.String()
		if who != (standing.Person{}) && rec.Person != who || found["person "+name] != nil || len(found) >= maxReviewed {
			continue
		}
		found["person "+name] = &Access{
			Kind: "person", Name: name, Source: "nobody says what they are", Created: rec.Asked, tenant: vouches(app, rec.Provider),
			who: identity.Identity{Provider: rec.Provider, Subject: rec.Subject}, by: identity.Credential{Method: identity.BySession, Name: "supposed"},
		}
	}
	return nil
}

// vouches says on which tenants' sites a provider's people log in.
func vouches(app *gatehouse.App, provider string) func(tenant string) bool {
	return func(tenant string) bool {
		return slices.ContainsFunc(app.ProvidersOf(tenant), func(p gatehouse.IdentityProvider) bool { return p.Name() == provider })
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// named returns everybody, and the roles and groups that policies name, as somebody who has nothing but one of them.
func named(app *gatehouse.App, sites []*Handler) []*Access {
	roles, groups := []string{}, []string{}
	for _, h := range sites {
		own, families := h.Named()
		roles = append(roles, own...)
		for _, family := range families {
			roles = append(roles, app.Roles.Families[family]...)
		}
		for _, part := range h.parts() {
			for _, rule := range part.Rules {
				for _, c := range rule.If {
					if c.Word == "group" {
						groups = append(groups, c.Values...)
					}
				}
			}
		}
	}
	everywhere := func(string) bool { return true }
	all := []*Access{{Kind: "everybody", Name: "whoever is not logged in", Source: "nothing", tenant: everywhere}}
	add := func(kind string, list []string, who func(name string) identity.Identity) {
		slices.Sort(list)
		for _, name := range slices.Compact(list) {
			id := who(name)
			id.Provider, id.Subject, _ = strings.Cut(somebody, ":")
			all = append(all, &Access{
				Kind: kind, Name: name, Roles: id.Roles, Groups: id.Groups, Source: "the " + kind + " alone", who: id, tenant: everywhere,
				by: identity.Credential{Method: identity.BySession, Name: "supposed"},
			})
		}
	}
	add("role", roles, func(name string) identity.Identity { return identity.Identity{Roles: []string{name}} })
	add("group", groups, func(name string) identity.Identity { return identity.Identity{Groups: []string{name}} })
	return all
}

// signAsk is a sign-off.
type signAsk struct {
	By       string `json:"by"`
	Note     string `json:"note,omitempty"`
	Digest   string `json:"digest"` // of the report that was reviewed
	Operator string `json:"operator,omitempty"`
}

func signOff(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[signAsk](r)
	if err != nil {
		return nil, err
	}
	app, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	after, _ := caddy.ParseDuration(defaultStale) // a constant
	report, err := reportOf(r.Context(), app, state, standing.Person{}, after)
	if err != nil {
		return nil, err
	}
	if ask.Digest != report.Digest {
		return nil, gatehouse.AdminError(http.StatusConflict, errors.New("who reaches what has changed since that report was made: review it again"))
	}
	reviews, err := reviewsOf(state)
	if err != nil {
		return nil, err
	}
	s := SignOff{At: time.Now().UTC().Truncate(time.Second), By: ask.By, Note: ask.Note, Digest: ask.Digest}
	if err := reviews.Sign(r.Context(), s); err != nil {
		return nil, err
	}
	stale := 0
	for _, a := range report.Access {
		if a.Stale {
			stale++
		}
	}
	state.Bus.Publish(event.Event{Time: time.Now(), Kind: event.AccessReviewed, Detail: ask.Note, Attrs: []event.Attr{
		{Key: "operator", Value: ask.Operator}, {Key: "by", Value: ask.By}, {Key: "digest", Value: ask.Digest},
		{Key: "subjects", Value: strconv.Itoa(len(report.Access))}, {Key: "stale", Value: strconv.Itoa(stale)},
	}})
	return s, nil
}
