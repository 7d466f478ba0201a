package gatehouse

import (
	"context"
	"sync/atomic"

	"gatehouse.internal/modules/internal/standing"
)

// Approver is implemented by identity providers that can be told to vouch only for people whom an administrator has
// approved. Who is not known yet is filed as waiting when they first log in (see [standing.Book]), and gets no session.
type Approver interface {
	ApprovesNew() bool
}

// SessionEnder ends people's sessions. authn implements it.
type SessionEnder interface {
	// EndSessions ends every session of the person but the one of this name ("": every one), on all nodes, with what runs
	// in them, and says why in an event each. It returns how many there were. When all end, credentials that the person has
	// left with programs rest until they log in again.
	EndSessions(ctx context.Context, who standing.Person, except, why string) (int, error)
}

// FactorResetter takes people's second factors away, so that they must enrol again. The room that keeps them implements it.
type FactorResetter interface {
	// CountFactors returns how many factors the person has, backup codes counted as one.
	CountFactors(ctx context.Context, who standing.Person) (int, error)
	// ResetFactors returns how many factors the person had, backup codes counted as one.
	ResetFactors(ctx context.Context, who standing.Person) (int, error)
}

// eraseFactors takes a person's second factors away; a tenant has none.
func (app *App) eraseFactors(ctx context.Context, whose Whose, count bool) (int, error) {
	switch {
	case whose.Tenant != "":
		return 0, nil
	case count:
		return app.factors.CountFactors(ctx, whose.Person)
	}
	return app.factors.ResetFactors(ctx, whose.Person)
}

// UseSessions says who ends sessions. Only Provision may call it.
func (app *App) UseSessions(s SessionEnder) { app.sessions = s }

// EndSessions is [SessionEnder.EndSessions]; without authn in any row there are no sessions.
func (app *App) EndSessions(ctx context.Context, who standing.Person, except, why string) (int, error) {
	if app.sessions == nil {
		return 0, nil
	}
	return app.sessions.EndSessions(ctx, who, except, why)
}

// ResetFactors is [FactorResetter.ResetFactors].
func (app *App) ResetFactors(ctx context.Context, who standing.Person) (int, error) {
	return app.factors.ResetFactors(ctx, who)
}

// inForce is the house that was started last.
var inForce atomic.Pointer[App]

// Running returns the house that was started last, or nil: for administration endpoints, which Caddy makes anew for each
// configuration that is tried, and keeps of one that failed (CADDY 6).
func Running() *App { return inForce.Load() }
