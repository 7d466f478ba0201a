package gatehouse

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/verdict"
)

// requestVar is the Caddy variable that holds the *Request; operators cannot set it from a placeholder key.
const requestVar = "gatehouse.request"

// Request is the one object that lives as long as a request does. Each field has one writer, kept by the
// architecture test: ID, Run, ClientIP, Path, Site, Start, Navigation and Connection admit; Certificate clientcert; WAF and Inspected waf;
// Identity and Challenger authn; Device verify; Grant, Granted and Audited authz. Everybody may read. It is used by one goroutine at a time, like the request itself.
type Request struct {
	ID         string       // unique, unguessable, safe in headers and pages
	Run        *running.Run // cuts it; r.Context() ends with it
	ClientIP   netip.Addr   // canonical: unmapped, no zone
	Path       reqpath.Path // the path judged, which is the path sent
	Site       *Site
	Start      time.Time
	Navigation bool     // a person's browser wants a page to show
	Connection []string // the header of this name as the client sent it: admit replaces it in the request

	Certificate *Certificate // the client's, verified for this site; nil: none, or the site asks for none

	WAF       any           // the waf room's own state between its phases
	Inspected time.Duration // how long the WAF took; zero until it is done

	Identity   identity.Proof
	Challenger Challenger
	Device     string // identity.DeviceKnown or DeviceUnknown; "" when nobody has found out

	Grant   verdict.Grant
	Granted []string // roles that the person holds here for a while, sorted, without those of their own

	Audited string // the route whose requests go on record before they are forwarded; "" where they need not

	verdict verdict.Verdict
	instead verdict.Verdict // what a challenge to log in is answered with
	attrs   []event.Attr
	watched []event.Kind
	probe   bool
	cookies []string
}

// Site is what admit knows of the site a request is for. It does not change after provisioning.
type Site struct {
	Name   string   // for logs, metrics and pages
	Hosts  []string // its names, as configured: wildcards, too
	Tenant string   // whose site it is, where a house serves several customers; "" where it does not
	House  *App
	// Version is of the site's configuration: it changes with the policy and every other word of the directive.
	Version string
	Source  string // file:line of the directive; "" when not known
}

// Attach puts req where later rooms find it. Only admit calls it.
func Attach(r *http.Request, req *Request) { caddyhttp.SetVar(r.Context(), requestVar, req) }

// FromContext returns the request's Request, or nil when admit has not seen it: the room must then answer 500, never
// pass.
func FromContext(ctx context.Context) *Request {
	req, _ := caddyhttp.GetVar(ctx, requestVar).(*Request)
	return req
}

// Of returns the Request of r, or the error with which a room must end a request that was never admitted (I1, I6).
func Of(r *http.Request) (*Request, error) {
	if req := FromContext(r.Context()); req != nil {
		return req, nil
	}
	return nil, caddyhttp.Error(http.StatusInternalServerError, errNotAdmitted)
}

// Deny records the verdict that this request is refused and returns it as the error the room must return.
// The first verdict wins. detail is for operators and never shown to the client.
func (q *Request) Deny(reason verdict.Reason, detail string) error {
	return q.Refuse(verdict.Verdict{Reason: reason, Detail: detail})
}

// Refuse is Deny with a whole verdict, such as one with a Retry-After.
func (q *Request) Refuse(v verdict.Verdict) error {
	if !v.Reason.Known() {
		v = verdict.Verdict{Reason: verdict.Internal, Detail: "unknown reason " + string(v.Reason) + ": " + v.Detail}
	}
	if !q.verdict.Given() {
		q.verdict = v
	}
	return q.verdict
}

// ChallengeLogin refuses the request because nobody is logged in, and says where a person can.
// Without authn in the row there is nowhere to log in, and the answer is a plain 401.
func (q *Request) ChallengeLogin(r *http.Request, detail string) error {
	v := verdict.Verdict{Reason: verdict.LoginRequired, Detail: detail}
	if q.instead.Given() {
		v = q.instead
	}
	if q.Challenger != nil {
		v.Location = q.Challenger.LoginLocation(r, q)
	}
	return q.Refuse(v)
}

// InsteadOfLogin has ChallengeLogin refuse with v: the request brought a credential that does not count here, which is what
// its sender must be told. Only authn calls it.
func (q *Request) InsteadOfLogin(v verdict.Verdict) { q.instead = v }

// GiveCookie has the answer set a cookie of the gateway's, whoever answers: line is a value of Set-Cookie, of a name that
// applications cannot set.
func (q *Request) GiveCookie(line string) { q.cookies = append(q.cookies, line) }

// Cookies returns what GiveCookie was given. The slice must not be changed.
func (q *Request) Cookies() []string { return q.cookies }

// Told returns whom the application may be told of: nobody while a login is not complete. Such a request comes so far on
// public paths alone.
func (q *Request) Told() identity.Proof {
	if q.Site == nil || q.Site.House == nil || !q.Identity.Known() || q.Site.House.Factors().Complete(q.Identity) {
		return q.Identity
	}
	return identity.Proof{}
}

// Verdict returns what was decided against the request, if anything.
func (q *Request) Verdict() (verdict.Verdict, bool) { return q.verdict, q.verdict.Given() }

// Note adds a fact to the request's log line and event. Keys are constants; values never hold secrets or bodies.
func (q *Request) Note(key, value string) {
	q.attrs = append(q.attrs, event.Attr{Key: key, Value: value})
}

// Notes returns what was noted, in order. The slice must not be changed.
func (q *Request) Notes() []event.Attr { return q.attrs }

// Watch has an event of this kind published when the request has ended, whatever became of it. "" is none.
func (q *Request) Watch(kind event.Kind) {
	if kind != "" {
		q.watched = append(q.watched, kind)
	}
}

// Watched returns what Watch was told. The slice must not be changed.
func (q *Request) Watched() []event.Kind { return q.watched }

// String names the request by its id, so that a stray placeholder cannot print who made it.
func (q *Request) String() string { return q.ID }

// Event returns an event of this kind that carries the request's id, site, client, user and session.
func (q *Request) Event(kind event.Kind) event.Event {
	e := event.Event{
		Time: time.Now(), Kind: kind, RequestID: q.ID, ClientIP: q.ClientIP,
		User: q.Identity.Name(), Session: q.Identity.Session(),
	}
	if q.Site != nil {
		e.Site, e.Tenant = q.Site.Name, q.Site.Tenant
	}
	return e
}
