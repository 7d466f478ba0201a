package gatehouse

import (
	"context"
	"errors"
	"net/http"
	"time"

	"gatehouse.internal/modules/internal/event"
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
	// ServeLogin answers one request below the provider's path of the portal. It returns whom it vouches for once the
	// person has proven who they are, having written nothing; or nil and nil, having written an answer; or an error,
	// having written nothing. The error says what the person is told when it is, or wraps, a [LoginError].
	ServeLogin(w http.ResponseWriter, r *http.Request, l Login) (*Vouching, error)
}

// MaxKeep is how many bytes a provider may have kept with a session.
const MaxKeep = 64 << 10

// Vouching is what a login yields, or a renewal.
type Vouching struct {
	Identity identity.Identity
	// Keep is what the provider needs to go on vouching, such as a refresh token: sealed with the session, opaque to the
	// house, MaxKeep bytes at most; nil: nothing.
	Keep []byte
	// SID is the provider's own name of its session, which a back-channel logout may give; may be empty.
	SID string
	// Until is when the session ends at the latest; zero: as the site says. It is taken once, at the login.
	Until time.Time
	// Renew is when the provider wants to be asked again; zero: never.
	Renew time.Time
}

// Renewer is implemented by providers that can say while a session lasts whether they still vouch for it.
type Renewer interface {
	// Renew returns what replaces everything that the session knew. ErrVouchingEnded ends the session; any other error
	// means: not now, ask again. keep is what the last Vouching held; it must not be changed.
	Renew(ctx context.Context, keep []byte) (*Vouching, error)
}

// Ender is implemented by providers at which a session of their own can be ended too (OpenID Connect RP-Initiated Logout).
type Ender interface {
	// EndURL returns where a person goes for that, and from where they come back to returnTo with state; "" when the
	// provider offers no such place.
	EndURL(ctx context.Context, keep []byte, returnTo, state string) (string, error)
}

// LogoutNotice is what a verified logout token says (OpenID Connect Back-Channel Logout 2.4). Subject, SID or both are given.
type LogoutNotice struct {
	Subject, SID string
	ID           string    // jti: unique, so that the notice can be used once
	Expires      time.Time // until when ID must be remembered
}

// Notifiee is implemented by providers that tell the gateway of logouts. The portal calls it for a POST to
// <Base>/backchannel-logout, which no browser sends.
type Notifiee interface {
	// LogoutNotice verifies the request. An error means 400; the notice was not the provider's, or not valid.
	LogoutNotice(r *http.Request) (*LogoutNotice, error)
}

// ErrVouchingEnded says that a provider no longer vouches for a session: its own has ended, or was revoked.
var ErrVouchingEnded = errors.New("the identity provider no longer vouches for this session")

// Starter is implemented by providers that have something to do when the house starts, after its state is open.
type Starter interface {
	Start() error
}

// PasswordPath is where people change the password that their identity provider keeps for them.
const PasswordPath = PortalPrefix + "account/password"

// PasswordKeeper is implemented by identity providers that keep people's passwords.
type PasswordKeeper interface {
	// ServePassword answers one request for PasswordPath of a person whom the provider has vouched for; the portal has
	// checked that a form that was posted is the person's own. An error, before anything was written, says what the
	// person is told as one of ServeLogin does.
	ServePassword(w http.ResponseWriter, r *http.Request, v AccountVisit) error
}

// AccountVisit is one request of a person for a page about their account.
type AccountVisit struct {
	Request *Request
	CSRF    string // goes into each form as csrf
	Account string // the path of the account page
}

// EmergencyPath is where somebody gets in when the usual ways are shut.
const EmergencyPath = PortalPrefix + "break-glass"

// Emergency is implemented by the identity provider for when the usual ones are of no use. It is not offered among them, and
// each request of whom it vouches for is an event.
type Emergency interface {
	IdentityProvider
	// Watched is the kind of these events.
	Watched() event.Kind
}

// Registrar is implemented by identity providers where people may ask for an account.
type Registrar interface {
	// RegisterPath is what follows the provider's Base to get there; "" when they may not.
	RegisterPath() string
}

// Login is one request of a login conversation.
type Login struct {
	Request *Request
	Flow    Flow
	Base    string // absolute path of the provider in the portal, such as /.gatehouse/login/oidc
	Origin  string // https://host[:port] of the site, as the browser sees it
	Sub     string // what follows Base: "" for Base itself, or /callback and the like
	// StepUp asks for a second factor, proven anew. Whether the provider's answer holds one is judged by what it proves.
	StepUp bool
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
	Apart   time.Duration // by how much two clocks differ, when that is the reason
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
