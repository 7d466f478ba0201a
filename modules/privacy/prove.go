package privacy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/standing"
)

// minReason is how many characters a reason has at least: a ticket's number is one.
const minReason = 3

// proofAsk is how a person says who they are, on a command line.
type proofAsk struct {
	User     string `json:"user"` // provider:subject
	Code     string `json:"code"` // never on record
	Why      string `json:"why"`
	Operator string `json:"operator,omitempty"`
}

// proven is a person who has proven a second factor just now.
type proven struct {
	standing.Person
	method string
}

// reason returns the reason, or why it is none.
func (ask proofAsk) reason() (string, error) {
	why := strings.TrimSpace(ask.Why)
	if len(why) < minReason {
		return "", errors.New("say what it is for, such as --why \"ticket 42\": it goes on record")
	}
	return event.Clip(why, 500), nil
}

// prove has a person prove that they are one whom may reports true of, told their roles. what it is for is put on record with
// the factor.
func (ask proofAsk) prove(ctx context.Context, app *gatehouse.App, state *gatehouse.State, what string, may func(standing.Person, []string) error) (p proven, err error) {
	who, err := owner.ParsePerson(ask.User)
	if err != nil {
		return p, err
	}
	p.Person = standing.Person{Provider: who.Provider, Subject: who.Subject}
	record, err := state.Standing.Get(ctx, p.Person)
	if err != nil {
		return p, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	if !record.State.Allows() {
		return p, forbidden("%s may not use the gateway: their standing is %s", p.Person, record.State)
	}
	id, roles, err := present(ctx, app, p.Person)
	if err != nil {
		return p, err
	}
	if err := may(p.Person, roles); err != nil {
		return p, err
	}
	if strings.TrimSpace(ask.Code) == "" {
		return p, forbidden("%s has to prove a second factor: type a code of the authenticator application, or a backup code", p.Person)
	}
	p.method, err = app.Factors().ProveTyped(ctx, id, ask.Code, what)
	switch {
	case errors.Is(err, gatehouse.ErrUnproven):
		return p, forbidden("%v", err)
	case err != nil:
		return p, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return p, nil
}

// present returns who somebody is now, and the roles that they have: as their account here says, or the sessions that they
// are logged in with. What an identity provider said of them once does not count.
func present(ctx context.Context, app *gatehouse.App, who standing.Person) (id identity.Identity, roles []string, err error) {
	for p, err := range app.Principals(ctx, who) {
		if err != nil {
			return id, nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
		}
		if p.Disabled || p.Source != gatehouse.FromAccount && p.Source != gatehouse.FromSession {
			continue
		}
		id, roles = p.Identity, append(roles, p.Identity.Roles...)
	}
	if id.Subject == "" {
		return id, nil, forbidden("%s has no account here, and is not logged in: log in first, so that the gateway knows your roles", who)
	}
	return id, roles, nil
}

// holding is who may: whoever holds one of the roles.
func holding(what string, allowed []string) func(standing.Person, []string) error {
	return func(who standing.Person, roles []string) error {
		if len(allowed) == 0 {
			return forbidden("nobody may %s: the Caddyfile names no role for it", what)
		}
		if !slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(allowed, r) }) {
			return forbidden("%s may not %s: it takes the role %s", who, what, strings.Join(allowed, " or "))
		}
		return nil
	}
}

func forbidden(format string, args ...any) error {
	return gatehouse.AdminError(http.StatusForbidden, fmt.Errorf(format, args...))
}
