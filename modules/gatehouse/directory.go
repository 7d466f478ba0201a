package gatehouse

import (
	"context"
	"iter"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/standing"
)

// Principal is somebody, or something, that could use the house.
type Principal struct {
	Identity identity.Identity
	// Source is how the house knows of it: one of the constants below.
	Source   string
	Created  time.Time // zero: not known
	LastUsed time.Time // zero: not known
	Disabled bool      // it may use nothing now
	// Credential is what a program uses the house by, in the owner's name; nil: a principal that logs in, or a service account.
	// Then Scope is what it is for, and Identity what its owner is.
	Credential *identity.Credential
	Scope      *scope.Scope
}

// How the house knows of principals.
const (
	FromSession = "session" // they are logged in
	FromAccount = "account" // the house keeps their account
	FromRoster  = "roster"  // they were logged in once
	FromService = "service" // a service account
	FromKey     = "key"     // an API key or a client certificate
)

// Directory is implemented by rooms that know principals.
type Directory interface {
	// Principals yields those that it knows of this name, or all when it is zero; an error last. A principal may come more
	// than once.
	Principals(ctx context.Context, who standing.Person) iter.Seq2[Principal, error]
}

// AddDirectory adds what knows principals. It is called while provisioning; under the same name again, it replaces.
func (app *App) AddDirectory(name string, d Directory) {
	if app.directories == nil {
		app.directories = map[string]Directory{}
	}
	app.directories[name] = d
}

// Principals yields all that the house's rooms know of this name, or all when it is zero, in no order.
func (app *App) Principals(ctx context.Context, who standing.Person) iter.Seq2[Principal, error] {
	return func(yield func(Principal, error) bool) {
		for _, d := range app.directories {
			for p, err := range d.Principals(ctx, who) {
				if !yield(p, err) || err != nil {
					return
				}
			}
		}
	}
}
