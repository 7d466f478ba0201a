package authz

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/support"
)

// defaultGrant is how long a grant lasts if nobody says.
const defaultGrant = "1h"

// grantAsk is the grant to give.
type grantAsk struct {
	User     string   `json:"user"` // who receives it, as provider:subject
	Roles    []string `json:"roles"`
	Sites    []string `json:"sites,omitempty"`
	Tenant   string   `json:"tenant,omitempty"`
	Ticket   string   `json:"ticket"`
	Approver string   `json:"approver"` // provider:subject
	Lasts    string   `json:"lasts,omitempty"`
	Note     string   `json:"note,omitempty"`
	Operator string   `json:"operator,omitempty"`
}

func giveGrant(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[grantAsk](r)
	if err != nil {
		return nil, err
	}
	app, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	draft, err := ask.draft(time.Now())
	if err == nil {
		err = draft.Check(time.Now())
	}
	if err != nil {
		return nil, err
	}
	if !app.KnowsTenant(ask.Tenant) {
		return nil, fmt.Errorf("the house has no tenant %q", ask.Tenant)
	}
	for _, site := range ask.Sites {
		if !knowsSite(app, site, ask.Tenant) {
			return nil, fmt.Errorf("there is no site %q of that tenant", site)
		}
	}
	for _, who := range []owner.Person{draft.Approver, draft.Person} {
		if err := inGoodStanding(r.Context(), app, state, standing.Person{Provider: who.Provider, Subject: who.Subject}); err != nil {
			return nil, err
		}
	}
	grants, err := state.Support()
	if err != nil {
		return nil, err
	}
	if err := grants.Give(r.Context(), draft); err != nil {
		return nil, err
	}
	state.Bus.Publish(gatehouse.SupportEvent(event.SupportGranted, *draft))
	return draft, nil
}

// draft is the grant that is asked for.
func (ask *grantAsk) draft(now time.Time) (*support.Grant, error) {
	g := &support.Grant{Roles: ask.Roles, Sites: ask.Sites, Tenant: ask.Tenant, Ticket: ask.Ticket, Note: ask.Note, By: ask.Operator}
	var err error
	if g.Person, err = owner.ParsePerson(ask.User); err != nil {
		return nil, err
	}
	if g.Approver, err = owner.ParsePerson(ask.Approver); err != nil {
		return nil, fmt.Errorf("the approver: %w", err)
	}
	lasts := ask.Lasts
	if lasts == "" {
		lasts = defaultGrant
	}
	life, err := caddy.ParseDuration(lasts)
	if err != nil {
		return nil, fmt.Errorf("%q is no duration: write one like 2h", lasts)
	}
	g.Expires = now.Add(life)
	return g, nil
}

// knowsSite reports whether a site of the tenant has this name or host.
func knowsSite(app *gatehouse.App, name, tenant string) bool {
	for _, h := range handlersOf(app) {
		if h.oracle.tenant != tenant {
			continue
		}
		if h.oracle.site == name {
			return true
		}
		for _, host := range h.oracle.hosts {
			if host == name {
				return true
			}
		}
	}
	return false
}

// inGoodStanding refuses people whom the house does not know, or who may not use it.
func inGoodStanding(ctx context.Context, app *gatehouse.App, state *gatehouse.State, who standing.Person) error {
	rec, err := state.Standing.Get(ctx, who)
	if err != nil {
		return gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	known := false
	for p, err := range app.Principals(ctx, who) {
		if err != nil {
			return gatehouse.AdminError(http.StatusServiceUnavailable, err)
		}
		known = known || !p.Disabled && p.Credential == nil && p.Source != gatehouse.FromService
	}
	if !known || !rec.State.Allows() {
		return fmt.Errorf("%s is nobody whom the gateway knows, or may not use it: whoever receives or approves a grant must have an account, or have logged in", who)
	}
	return nil
}

type grantList struct {
	Grants []*support.Grant `json:"grants"`
}

func listGrants(r *http.Request) (any, error) {
	_, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	grants, err := state.Support()
	if err != nil {
		return nil, err
	}
	list, err := grants.List(r.Context(), r.URL.Query().Get("all") != "")
	return grantList{append([]*support.Grant{}, list...)}, err
}

// endAsk says which grant is to end.
type endAsk struct {
	ID       string `json:"id"`
	Note     string `json:"note,omitempty"`
	Operator string `json:"operator,omitempty"`
}

func revokeGrant(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[endAsk](r)
	if err != nil {
		return nil, err
	}
	_, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	grants, err := state.Support()
	if err != nil {
		return nil, err
	}
	ended, err := grants.Revoke(r.Context(), ask.ID, ask.Operator)
	if ended == nil {
		return nil, err
	}
	e := gatehouse.SupportEvent(event.SupportRevoked, *ended)
	if ask.Note != "" {
		e.Detail = ask.Note
	}
	state.Bus.Publish(e)
	return ended, err
}
