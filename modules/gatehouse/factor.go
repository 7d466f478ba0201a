package gatehouse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/identity"
)

const (
	// FactorPath is where people have their second factors, and prove them.
	FactorPath = PortalPrefix + "mfa"

	// StepUpHeader brings the ticket with which a program sends a request again that needed a proof of its own.
	StepUpHeader = "Step-Up-Ticket"

	factorModule = "gatehouse.mfa"
)

// ErrUnproven: somebody has not proven a second factor. It wraps why.
var ErrUnproven = errors.New("the second factor is not proven")

// SecondFactor is the room of second factors. mfa implements it, and a house always has one: what it demands of
// administrators does not depend on the configuration naming it. All methods are safe for concurrent use.
type SecondFactor interface {
	// Open hands the room its house. It must not touch the network, nor need State yet.
	Open(house *App) error
	FactorResetter
	// Greet says what becomes of a person who logs in. It is asked once a login.
	Greet(ctx context.Context, who identity.Identity) (Greeting, error)
	// Vouched reports whether the identity provider's token proves a second factor. It is asked with every request.
	Vouched(who identity.Identity) bool
	// Complete reports whether whoever was proven has proven what the house demands of them. Of others no application is
	// told who they are.
	Complete(who identity.Proof) bool
	// Meets reports whether the proof alone is enough for the need and the house, of a request that was let in before: a
	// proof for this very request counts as one of the session.
	Meets(who identity.Proof, need FactorNeed) bool
	// Judge returns nil when the request of a known person comes with the proof that the need and the house demand.
	// Otherwise it has refused the request, and returns what the room that asks must return. It may have read the
	// request's body, which the next room then reads from memory.
	Judge(r *http.Request, req *Request, need FactorNeed) error
	// ProveTyped takes a code that somebody has typed elsewhere than on the room's pages: of an authenticator application, or a
	// backup code. what it is for is put on record. It returns the method, or an error that says what is wrong; one that is
	// ErrUnproven if that is the code, or that there is no factor to prove.
	ProveTyped(ctx context.Context, who identity.Identity, code, what string) (method string, err error)
	// ServeFactor answers one request below FactorPath of a person who is known; the portal has checked that a form that
	// was sent is the person's own. It returns what the person has proven by it, having written nothing; or nil and
	// nil, having written an answer; or an error, having written nothing.
	ServeFactor(w http.ResponseWriter, r *http.Request, v FactorVisit) (*FactorProven, error)
}

// FactorNeed is what a route demands. The zero FactorNeed demands what the house does.
type FactorNeed struct {
	Required bool          // a second factor, proven in this session
	MaxAge   time.Duration // so short a time ago; zero: whenever
	Each     bool          // for this very request
	Rule     string        // what demands it, for logs
}

// Greeting is what becomes of a person who has just logged in.
type Greeting struct {
	Enrolled bool // there is a second factor, so that the login is not complete without it
	Nudge    bool // there is none, and the person should be asked to set one up
}

// FactorVisit is one request to the room's pages.
type FactorVisit struct {
	Request *Request
	CSRF    string // goes into each form as csrf
	Origin  string // https://host[:port] of the site, as the browser sees it
	Path    string // what follows FactorPath: "" or "/verify" and the like
	// Next returns the path on this site that a client's text names, or "/".
	Next func(text string) string
	// Provider is what the person's identity provider is called if it can be asked for a second factor, and ProviderURL
	// where that is done: for one request if step names one. It leads back to next.
	Provider    string
	ProviderURL func(step, next string) string
}

// FactorProven is a second factor that was proven just now. The portal notes it in the session, and has Then answer.
type FactorProven struct {
	Method string
	Then   func(w http.ResponseWriter, r *http.Request, v FactorVisit) error
}

// StepUpProvider is implemented by identity providers that can be asked to have somebody prove a second factor.
type StepUpProvider interface {
	// StepsUp reports whether this one can.
	StepsUp() bool
	// ProvesBy reports whether an authentication context class of its tokens means a second factor.
	ProvesBy(acr string) bool
	// AnewBy reports whether a login with this class, that the provider was asked for anew, is what it was asked for:
	// providers may ignore acr_values (OpenID Connect Core 3.1.2.1).
	AnewBy(acr string) bool
}

// Factors returns the room of second factors. It is there from Provision on.
func (app *App) Factors() SecondFactor { return app.factors }

// loadFactors loads the room, configured or not.
func (app *App) loadFactors(ctx caddy.Context) error {
	raw := app.MFARaw
	if raw == nil {
		raw = json.RawMessage("{}")
	}
	guest, err := ctx.LoadModuleByID(factorModule, raw)
	if err != nil {
		return fmt.Errorf("mfa: %w", err)
	}
	app.factors = guest.(SecondFactor)
	return nil
}
