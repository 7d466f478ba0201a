package privacy

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/standing"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminReveal  = "/gatehouse/reveal"
	adminApprove = "/gatehouse/reveal/approve"
)

// Admin answers at Caddy's administration endpoint:
//
//	POST /gatehouse/reveal          {id, user, code, why}        hands out the sealed record of a request
//	POST /gatehouse/reveal/approve  {id, user, code, why, for}   agrees that somebody else has it, once, within an hour
//	POST /gatehouse/privacy/export  {person, user, code, why}    tells what is kept of a person
//	POST /gatehouse/privacy/erase   {person, user, code, why}    deletes it, and destroys the person's key
//	POST /gatehouse/privacy/offboard {tenant, user, code, why}   deletes what is kept of a tenant, and destroys its keys
//
// The last two only count with dry_run.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_privacy", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (Admin) Routes() []caddy.AdminRoute {
	return gatehouse.Audited(
		gatehouse.AdminRoute(http.MethodPost, adminReveal, reveal),
		gatehouse.AdminRoute(http.MethodPost, adminApprove, approveReveal),
		gatehouse.AdminRoute(http.MethodPost, adminExport, exportPerson),
		gatehouse.AdminRoute(http.MethodPost, adminErase, erasePerson),
		gatehouse.AdminRoute(http.MethodPost, adminOffboard, offboard),
	)
}

// revealAsk asks for the record of a request; For is whom an approval is for.
type revealAsk struct {
	proofAsk
	ID  string `json:"id"`
	For string `json:"for,omitempty"`
}

// readAsk reads what is asked for, and the reason, without which nothing is done.
func readAsk[T interface{ reason() (string, error) }](r *http.Request) (ask T, why string, err error) {
	if ask, err = gatehouse.ReadAsk[T](r); err == nil {
		why, err = ask.reason()
	}
	return ask, why, err
}

// settings returns what the running house says of privacy, which is nothing if it says nothing.
func settings() (*Settings, *gatehouse.App, *gatehouse.State, error) {
	app, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, nil, nil, err
	}
	s, _ := app.Room("privacy").(*Settings)
	if s == nil {
		s = new(Settings)
	}
	return s, app, state, nil
}

// record puts on record what is done next.
func record(state *gatehouse.State, kind event.Kind, who proven, requestID, why string, attrs ...event.Attr) error {
	err := state.Bus.Record(event.Event{
		Time: time.Now(), Kind: kind, User: who.String(), RequestID: requestID, Detail: why,
		Attrs: append(attrs, event.Attr{Key: "factor", Value: who.method}),
	})
	if err != nil {
		return gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return nil
}

func reveal(r *http.Request) (any, error) {
	ask, why, err := readAsk[revealAsk](r)
	if err != nil {
		return nil, err
	}
	s, app, state, err := settings()
	if err != nil {
		return nil, err
	}
	who, err := ask.prove(r.Context(), app, state, "reveal", holding("reveal what was matched", s.RevealRoles))
	if err != nil {
		return nil, err
	}
	sealed, err := s.find(app, ask.ID)
	if err != nil {
		return nil, err
	}
	attrs := []event.Attr{{Key: "waf_rules", Value: ruleList(sealed.Rules)}}
	if len(s.Approvers) > 0 {
		a, err := redeem(r.Context(), state.Store, state.Keys, ask.ID, who.String(), func(by string) bool { return slices.Contains(s.Approvers, by) })
		if errors.Is(err, errNotApproved) {
			return nil, forbidden("%v: one of %s does, with `gatehouse reveal approve %s --for %s`", err, strings.Join(s.Approvers, ", "), ask.ID, who)
		}
		if err != nil {
			return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
		}
		attrs = append(attrs, event.Attr{Key: "approver", Value: a.By}, event.Attr{Key: "approver_why", Value: a.Why})
	}
	if err := record(state, event.PayloadRevealed, who, ask.ID, why, attrs...); err != nil {
		return nil, err
	}
	return sealed, nil
}

func approveReveal(r *http.Request) (any, error) {
	ask, why, err := readAsk[revealAsk](r)
	if err != nil {
		return nil, err
	}
	analyst, err := owner.ParsePerson(ask.For)
	if err != nil {
		return nil, err
	}
	s, app, state, err := settings()
	if err != nil {
		return nil, err
	}
	forWhom := analyst.Provider + ":" + analyst.Subject
	who, err := ask.prove(r.Context(), app, state, "approve a reveal", func(who standing.Person, _ []string) error {
		switch {
		case len(s.Approvers) == 0:
			return forbidden("no approval is needed: the Caddyfile names no approvers")
		case !slices.Contains(s.Approvers, who.String()):
			return forbidden("%s may not approve it: the Caddyfile names %s", who, strings.Join(s.Approvers, ", "))
		case who.String() == forWhom:
			return forbidden("nobody approves what they ask for themselves")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sealed, err := s.find(app, ask.ID)
	if err != nil {
		return nil, err
	}
	if err := record(state, event.PayloadApproved, who, ask.ID, why, event.Attr{Key: "for", Value: forWhom}); err != nil {
		return nil, err
	}
	if err := approve(r.Context(), state.Store, state.Keys, ask.ID, forWhom, approval{By: who.String(), Why: why, At: time.Now().UTC()}); err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return sealed.Head, nil
}

// find returns the record of a request.
func (s *Settings) find(app *gatehouse.App, requestID string) (sealed Sealed, err error) {
	safe, err := s.safe.Of(app, openSafe)
	if err == nil {
		sealed, err = safe.Find(requestID)
	}
	switch {
	case errors.Is(err, ErrNoRecord):
		return sealed, gatehouse.AdminError(http.StatusNotFound, err)
	case err != nil:
		return sealed, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return sealed, nil
}

func ruleList(rules []int) string {
	texts := make([]string, len(rules))
	for i, id := range rules {
		texts[i] = strconv.Itoa(id)
	}
	return strings.Join(texts, ",")
}

var _ caddy.AdminRouter = Admin{}
