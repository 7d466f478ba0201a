package gatehouse

import (
	"errors"
	"net/http"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/verdict"
)

// PortalPrefix is the path below which the gateway answers for itself on every gated site. No backend ever sees it.
const PortalPrefix = "/.gatehouse/"

// Challenger knows where a person can prove more than the request does. authn implements it.
type Challenger interface {
	// LoginLocation returns the path on this host where a person logs in and from where they come back to r.
	LoginLocation(r *http.Request, req *Request) string
}

// IdentityProvider vouches for people. Implementations live in idp and are Caddy modules in the namespace
// gatehouse.identity_providers. All methods are safe for concurrent use.
type IdentityProvider interface {
	// Name is unique in the house and stays the same over restarts, since identities carry it: [a-z0-9_]+.
	Name() string
	// Label is what the login page calls the provider.
	Label() string
	// Form reports whether the provider takes a user name and a password on the login page itself (POST to its Base),
	// rather than a click that leads elsewhere.
	Form() bool
	// Open hands the provider its house. It must not touch the network, nor need State yet.
	Open(house *App) error
	// ServeLogin answers one request below the provider's path of the portal. It returns the identity once the person
	// has proven who they are, having written nothing; or nil and nil, having written an answer; or an error, having
	// written nothing. The error says what the person is told when it is, or wraps, a [LoginError].
	ServeLogin(w http.ResponseWriter, r *http.Request, l Login) (*identity.Identity, error)
}

// Starter is implemented by providers that have something to do when the house starts, after its state is open.
type Starter interface {
	Start() error
}

// Login is one request of a login conversation.
type Login struct {
	Request *Request
	Flow    Flow
	Base    string // absolute path of the provider in the portal, such as /.gatehouse/login/oidc
	Origin  string // https://host[:port] of the site, as the browser sees it
	Sub     string // what follows Base: "" for Base itself, or /callback and the like
}

// Flow is one attempt to log in, begun by one browser. It is carried, sealed, in Token; the portal has checked that
// the request comes from the browser that began it and that it is neither too old nor used.
//
// A request that carries no token, such as the first click, gets a new flow.
type Flow struct {
	ID       string
	Token    string    // sealed; goes into an OIDC state parameter or a hidden field
	ReturnTo string    // path and query on this site; checked
	Started  time.Time // when the browser began
	Fresh    bool      // begun by this very request: whatever must answer an earlier page cannot be genuine
	Derive   func(label string) string
}

// LoginError is a failed login that the person may be told about.
type LoginError struct {
	Reason  verdict.Reason
	Message string        // key of a text on the login form (see page); "" shows the refusal page instead
	User    string        // the name as typed, for the event, truncated by the provider
	After   time.Duration // when to try again; zero means at once
	Err     error         // for operators
}

// Error is for operators.
func (e *LoginError) Error() string {
	if e.Err == nil {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *LoginError) Unwrap() error { return e.Err }

var (
	// ErrClosed says that the house's state is not open (any more).
	ErrClosed = errors.New("gatehouse: state is closed")

	errNotAdmitted = errors.New("gatehouse: a room was reached without admit; put the whole row of handlers in order")
)
