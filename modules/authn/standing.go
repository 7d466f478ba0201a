package authn

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/verdict"
)

// allowed reports whether the person of a session may still use the house. Their sessions have been ended then; this one
// may have begun in the same moment.
func (h *Handler) allowed(proof identity.Proof) bool {
	state, err := h.house.State()
	return err == nil && state.Standing.Allows(proof.Provider(), proof.Subject(), proof.Since())
}

// mayLogIn reports whether the person gets a session, or why not. Whoever needs an administrator's approval and is not
// known yet is filed.
func (p *Portal) mayLogIn(r *http.Request, req *gatehouse.Request, state *gatehouse.State, who identity.Identity, f flow) (verdict.Verdict, bool) {
	person := standing.Person{Provider: who.Provider, Subject: who.Subject}
	rec, err := state.Standing.Get(r.Context(), person)
	if err != nil {
		return verdict.Verdict{Reason: verdict.Unavailable, Detail: err.Error()}, false
	}
	if approver, ok := p.find(who.Provider).(gatehouse.Approver); ok && approver.ApprovesNew() && rec.State == standing.Unknown {
		var filed bool
		rec, filed, err = state.Standing.Ask(r.Context(), standing.Record{Person: person, Name: clip(who.Name), Email: clip(who.Email)})
		switch {
		case errors.Is(err, standing.ErrTooMany):
			rec.State = standing.Pending
		case err != nil:
			return verdict.Verdict{Reason: verdict.Unavailable, Detail: err.Error()}, false
		case filed:
			e := req.Event(event.UserPending)
			e.User = person.String()
			state.Bus.Publish(e)
		}
	}
	if rec.State.Allows() {
		return verdict.Verdict{}, true
	}
	v := verdict.Verdict{Reason: verdict.AccountDisabled, Detail: person.String() + " is " + string(rec.State), Location: loginAgain(f.ReturnTo)}
	if rec.State == standing.Pending {
		v.Reason = verdict.AccountPending
	}
	p.publishFailed(req, v.Reason, v.Detail, event.Attr{Key: "provider", Value: who.Provider}, event.Attr{Key: "attempted_user", Value: who.Subject})
	return v, false
}

// usual returns the identity providers that the login offers.
func (p *Portal) usual() []gatehouse.IdentityProvider {
	return slices.DeleteFunc(slices.Clone(p.providers()), func(idp gatehouse.IdentityProvider) bool {
		_, ok := idp.(gatehouse.Emergency)
		return ok
	})
}

// rescue returns the identity provider for emergencies, or nil.
func (p *Portal) rescue() gatehouse.IdentityProvider {
	for _, idp := range p.providers() {
		if _, ok := idp.(gatehouse.Emergency); ok {
			return idp
		}
	}
	return nil
}

// emergency leads to the provider for emergencies.
func (p *Portal) emergency(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	idp := p.rescue()
	if idp == nil {
		return req.Deny(verdict.NotFound, "there is no emergency access")
	}
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead) {
		return req.Deny(verdict.BadMethod, "")
	}
	seeOther(w, loginPath+"/"+idp.Name())
	return nil
}

// clip bounds what a provider says of a person.
func clip(s string) string {
	const most = 200
	if r := []rune(s); len(r) > most {
		return string(r[:most])
	}
	return s
}

// bound keeps the number of the person's sessions, of which one has just begun, within what the site allows, and tells of
// those that are in use far away. In the refusing mode it ends the one that has begun, and refuses the request. A login that
// is not complete is not judged before it is.
func (p *Portal) bound(r *http.Request, req *gatehouse.Request, state *gatehouse.State, sessions *Sessions, token string, proof identity.Proof) error {
	who, most := proof.Identity(), p.policy.MaxSessions
	if half(proof) {
		return nil
	}
	here := network(req.ClientIP)
	crowd, err := sessions.Crowd(r.Context(), who.Provider, who.Subject, here, proof.Session(), req.Identity.Session(), p.limits)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	tell := func(kind event.Kind, session string, attrs ...event.Attr) {
		e := req.Event(kind)
		e.User, e.Session, e.Attrs = proof.Name(), session, attrs
		state.Bus.Publish(e)
	}
	limit := event.Attr{Key: "limit", Value: strconv.Itoa(most)}
	if p.policy.RefuseSessions && crowd.refused(most, proof.Session(), proof.Since()) {
		if err := sessions.End(r.Context(), token); err != nil {
			return req.Deny(verdict.Unavailable, err.Error())
		}
		tell(event.SessionLimit, proof.Session(), event.Attr{Key: "action", Value: "refused"}, limit)
		p.publishFailed(req, verdict.TooManySessions, proof.Name()+" has "+limit.Value+" sessions already",
			event.Attr{Key: "provider", Value: who.Provider}, event.Attr{Key: "attempted_user", Value: who.Subject})
		return req.Deny(verdict.TooManySessions, proof.Name()+" has "+limit.Value+" sessions already")
	}
	for _, other := range crowd.surplus(most) {
		if _, err := sessions.EndNamed(r.Context(), who.Provider, who.Subject, other.Name); err != nil {
			return req.Deny(verdict.Unavailable, err.Error())
		}
		tell(event.SessionLimit, other.Name, event.Attr{Key: "action", Value: "evicted"}, limit)
		p.publishEnd(req, other.Name, "more than "+limit.Value+" sessions")
	}
	for _, other := range crowd.Far {
		tell(event.SessionsApart, proof.Session(), event.Attr{Key: "network", Value: here},
			event.Attr{Key: "other_session", Value: other.Name}, event.Attr{Key: "other_network", Value: other.Network})
	}
	return nil
}

// EndSessions implements [gatehouse.SessionEnder].
func (h *Handler) EndSessions(ctx context.Context, who standing.Person, except, why string) (int, error) {
	state, err := h.house.State()
	if err != nil {
		return 0, err
	}
	sessions, err := sessionsOf(h.house)
	if err != nil {
		return 0, err
	}
	var gone []string
	if except == "" { // what was known of them may be true no more, and their keys wait until they have logged in again
		people, err := state.Roster()
		if err != nil {
			return 0, err
		}
		if err := people.Forget(ctx, who.Provider, who.Subject); err != nil {
			return 0, err
		}
		gone, err = sessions.EndUser(ctx, who.Provider, who.Subject)
	} else {
		gone, err = sessions.EndOthers(ctx, who.Provider, who.Subject, except)
	}
	if err != nil {
		return 0, err
	}
	for _, name := range gone {
		state.Bus.Publish(event.Event{Time: time.Now(), Kind: event.SessionEnded, User: who.String(), Session: name, Detail: why})
	}
	return len(gone), nil
}

// erase ends the sessions of a person, or those on a tenant's sites.
func (h *Handler) erase(ctx context.Context, _ *gatehouse.App, whose gatehouse.Whose, count bool) (int, error) {
	sessions, err := sessionsOf(h.house)
	if err != nil {
		return 0, err
	}
	index := ""
	if whose.Tenant == "" {
		index = userIndex(whose.Person.Provider, whose.Person.Subject)
	}
	found, _, err := sessions.scan(ctx, index, "", 0)
	if err != nil {
		return 0, err
	}
	found = slices.DeleteFunc(found, func(i Info) bool {
		who := i.entry.proof.Identity()
		return !whose.Has(who.Provider, who.Subject, who.Tenant)
	})
	switch {
	case count:
		return len(found), nil
	case whose.Tenant == "":
		return h.EndSessions(ctx, whose.Person, "", erasedWhy)
	}
	state, err := h.house.State()
	if err != nil {
		return 0, err
	}
	for _, i := range found {
		if _, err := sessions.EndNamed(ctx, i.entry.proof.Identity().Provider, i.entry.proof.Identity().Subject, i.Name); err != nil {
			return 0, err
		}
		state.Bus.Publish(event.Event{Time: time.Now(), Kind: event.SessionEnded, User: i.User, Session: i.Name, Detail: erasedWhy})
	}
	return len(found), nil
}

const erasedWhy = "what is kept of the person, or of the tenant, is deleted"

var _ gatehouse.SessionEnder = (*Handler)(nil)
