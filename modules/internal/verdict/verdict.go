package verdict

import (
	"net/http"
	"time"
)

// Reason says in one snake_case word why a request was not let through.
type Reason string

// The reasons. Each names the room that gives it; README.md in modules lists what a person should do about it.
const (
	PlainHTTP        Reason = "plain_http"            // admit: not TLS
	TooEarly         Reason = "too_early"             // admit: 0-RTT data, RFC 8470
	BadPath          Reason = "bad_path"              // admit: a path with more than one reading
	BadMethod        Reason = "method_not_allowed"    // admit
	BadUpgrade       Reason = "bad_upgrade"           // admit: not a well-formed websocket handshake
	CrossOrigin      Reason = "cross_origin"          // admit: a foreign page acts in a person's name: form, script, websocket
	BadRequest       Reason = "bad_request"           // admit, portal: malformed in another way
	ClientUnknown    Reason = "client_unknown"        // admit: no client address
	UnknownHost      Reason = "unknown_host"          // admit: no site has this name
	Misdirected      Reason = "misdirected"           // admit: SNI and Host differ
	WAFBlocked       Reason = "waf_blocked"           // waf
	BodyTooLarge     Reason = "body_too_large"        // waf, portal
	BodyUnreadable   Reason = "body_unreadable"       // waf: the body ended early or is not what it says
	ResponseBlocked  Reason = "response_blocked"      // waf: the application's answer would give away what it should not
	WAFFailed        Reason = "waf_failed"            // waf: inspection could not be completed
	LoginRequired    Reason = "login_required"        // authz
	MFARequired      Reason = "mfa_required"          // authz, mfa: who it is must be proven once more, by a second factor
	VerifyRequired   Reason = "verification_required" // verify: a device or network is not known to be the person's
	VerifyDenied     Reason = "verification_denied"   // verify: the policy, or an administrator, does not let it in
	Forbidden        Reason = "forbidden"             // authz
	InvalidToken     Reason = "invalid_token"         // authn: a token, key or certificate that does not count (RFC 6750 3.1)
	OutOfScope       Reason = "insufficient_scope"    // authn: it counts, but not for this request (RFC 6750 3.1)
	OtherWorkspace   Reason = "workspace_mismatch"    // authn: a token for another workspace than the request names
	LinkInvalid      Reason = "link_invalid"          // authn: a link that is expired, used up, revoked, or for something else
	CertificateBad   Reason = "certificate_refused"   // clientcert: the client's TLS certificate does not count, or there is none where one must be
	NotFound         Reason = "not_found"             // portal
	LoginFailed      Reason = "login_failed"          // portal, identity providers
	LoginExpired     Reason = "login_expired"         // portal: the login took too long or belongs to another browser
	ProviderDown     Reason = "provider_down"         // identity providers
	ClockDiffers     Reason = "clock_differs"         // identity providers: theirs or ours is wrong by more than is tolerated
	GroupsMissing    Reason = "groups_missing"        // identity providers: a person's groups did not fit, and cannot be asked for
	TooManyAttempts  Reason = "too_many_attempts"     // identity providers
	RateLimited      Reason = "rate_limited"          // ratelimit: more requests than the site takes from one client, user or session
	AccountPending   Reason = "account_pending"       // portal: an administrator has not approved the account yet
	TooManySessions  Reason = "too_many_sessions"     // portal: the person is logged in as often as they may be
	AccountDisabled  Reason = "account_disabled"      // portal: the account was rejected, disabled or deleted
	Banned           Reason = "banned"                // ban: the client's network has offended too often
	Locked           Reason = "locked"                // contain: an operator has locked the tenant, site or route for a while
	ReadOnly         Reason = "read_only"             // contain: for a while nothing may be changed here
	UpstreamDown     Reason = "upstream_down"         // the application did not answer
	UpstreamTimeout  Reason = "upstream_timeout"      // the application answered too late
	Unavailable      Reason = "unavailable"           // the gateway's own state is closed or broken
	Internal         Reason = "internal"              // a bug or a broken configuration
	HeadersTooLarge  Reason = "headers_too_large"     // admit
	ClientClosed     Reason = "client_closed"         // the client went away first
	RequestTimeout   Reason = "request_timeout"       // the client sent too slowly
	UpstreamRejected Reason = "upstream_error"        // another error of the proxy
)

// status holds the answer's HTTP status; presence makes a reason known.
var status = map[Reason]int{
	PlainHTTP:        http.StatusForbidden,
	TooEarly:         http.StatusTooEarly,
	BadPath:          http.StatusBadRequest,
	BadMethod:        http.StatusMethodNotAllowed,
	BadUpgrade:       http.StatusBadRequest,
	CrossOrigin:      http.StatusForbidden,
	BadRequest:       http.StatusBadRequest,
	ClientUnknown:    http.StatusBadRequest,
	UnknownHost:      http.StatusMisdirectedRequest,
	Misdirected:      http.StatusMisdirectedRequest,
	WAFBlocked:       http.StatusForbidden,
	BodyTooLarge:     http.StatusRequestEntityTooLarge,
	BodyUnreadable:   http.StatusBadRequest,
	ResponseBlocked:  http.StatusForbidden,
	WAFFailed:        http.StatusServiceUnavailable,
	LoginRequired:    http.StatusUnauthorized,
	MFARequired:      http.StatusUnauthorized,
	VerifyRequired:   http.StatusUnauthorized,
	VerifyDenied:     http.StatusForbidden,
	Forbidden:        http.StatusForbidden,
	InvalidToken:     http.StatusUnauthorized,
	OutOfScope:       http.StatusForbidden,
	OtherWorkspace:   http.StatusForbidden,
	LinkInvalid:      http.StatusForbidden,
	CertificateBad:   http.StatusForbidden,
	NotFound:         http.StatusNotFound,
	LoginFailed:      http.StatusForbidden,
	LoginExpired:     http.StatusBadRequest,
	ProviderDown:     http.StatusServiceUnavailable,
	ClockDiffers:     http.StatusForbidden,
	GroupsMissing:    http.StatusForbidden,
	TooManyAttempts:  http.StatusTooManyRequests,
	RateLimited:      http.StatusTooManyRequests,
	AccountPending:   http.StatusForbidden,
	AccountDisabled:  http.StatusForbidden,
	Banned:           http.StatusForbidden,
	TooManySessions:  http.StatusForbidden,
	Locked:           http.StatusServiceUnavailable,
	ReadOnly:         http.StatusServiceUnavailable,
	UpstreamDown:     http.StatusBadGateway,
	UpstreamTimeout:  http.StatusGatewayTimeout,
	Unavailable:      http.StatusServiceUnavailable,
	Internal:         http.StatusInternalServerError,
	HeadersTooLarge:  http.StatusRequestHeaderFieldsTooLarge,
	ClientClosed:     499,
	RequestTimeout:   http.StatusRequestTimeout,
	UpstreamRejected: http.StatusBadGateway,
}

// Known reports whether the reason is in the closed list.
func (r Reason) Known() bool { _, ok := status[r]; return ok }

// Status is the HTTP status of the answer; 500 for a reason that is not in the list.
func (r Reason) Status() int {
	if s, ok := status[r]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// All returns every reason, in no particular order: for tests and for metrics that want their labels up front.
func All() []Reason {
	all := make([]Reason, 0, len(status))
	for r := range status {
		all = append(all, r)
	}
	return all
}

// Verdict is a refusal or a challenge. The zero Verdict is none.
//
// Detail is for operators: it goes to the log and the event, never to the client.
// Location is where a person is sent to meet a challenge; it must be a path on the same host.
// RetryAfter is told to the client when positive; so is Apart with ClockDiffers: by how much two clocks differ.
// StepUp, with mfa_required, says what proof is missing.
type Verdict struct {
	Reason     Reason
	Detail     string
	Location   string
	RetryAfter time.Duration
	Apart      time.Duration
	StepUp     *StepUp
}

// StepUp is what a request lacks that comes without enough proof (RFC 9470).
type StepUp struct {
	// MaxAge is how old the proof may be; zero with Ticket: made for this very request; zero without: of any age.
	MaxAge time.Duration
	// Ticket, when the proof must be for this very request, is what a program sends with it once it was given.
	Ticket string
	// Kept says that the request was kept, so that a person can be led away from it and back to it.
	Kept bool
}

// Given reports whether there is a verdict.
func (v Verdict) Given() bool { return v.Reason != "" }

// Error makes a verdict usable as the error a handler returns; it is for operators.
func (v Verdict) Error() string {
	if v.Detail == "" {
		return "refused: " + string(v.Reason)
	}
	return "refused: " + string(v.Reason) + ": " + v.Detail
}

// Grant is the permission to reach the backend. The zero Grant is no.
type Grant struct{ rule string }

// Mint makes a Grant. Only authz may call it (kept by the architecture test). rule names what allowed the request
// and must not be empty: a grant that nothing stands behind is none.
func Mint(rule string) Grant { return Grant{rule: rule} }

// Given reports whether the request may reach the backend.
func (g Grant) Given() bool { return g.rule != "" }

// Rule names what allowed the request.
func (g Grant) Rule() string { return g.rule }
