package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

const flowBucket store.Bucket = "flow"

var errFlowUsed = errors.New("the login flow was used before")

// firstAnswer reports whether no answer to this flow has come to this node before.
func (p *Portal) firstAnswer(f flow) (bool, error) {
	state, err := p.house.State()
	if err != nil {
		return false, err
	}
	kept, err := state.Keep("authn.answered", func() (caddy.Destructor, error) { return new(answered), nil })
	if err != nil {
		return false, err
	}
	return kept.(*answered).first(f.ID), nil
}

// claim marks the flow as used, durably and on every node: it yields one session at the most. It comes after the
// identity was proven, so that only people who can log in can make the gateway write.
func (p *Portal) claim(r *http.Request, f flow) error {
	state, err := p.house.State()
	if err != nil {
		return err
	}
	// Twice the lifetime, since the clocks of two nodes may differ.
	_, err = state.Store.Put(r.Context(), store.Key{Bucket: flowBucket, ID: f.ID}, nil,
		store.PutOptions{Match: store.Absent, TTL: 2 * flowLifetime})
	switch {
	case errors.Is(err, store.ErrConflict):
		return errFlowUsed
	case err != nil:
		return fmt.Errorf("claiming a login flow: %w", err)
	}
	return nil
}

// again answers a login step whose flow could not be claimed. Whoever is logged in already, after a double click or
// a reload of the callback, just goes where the login was to lead.
func (p *Portal) again(w http.ResponseWriter, req *gatehouse.Request, f flow, err error) error {
	if !errors.Is(err, errFlowUsed) {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if req.Identity.Known() {
		seeOther(w, p.afterLogin(f))
		return nil
	}
	return req.Refuse(verdict.Verdict{Reason: verdict.LoginExpired, Detail: err.Error(), Location: loginAgain(f.ReturnTo)})
}

// succeed makes the session. The one the browser had before ends: whoever planted it must not share the new one. But when
// another tab of the same person has logged in while this one was under way, its session is as good, and what already
// runs in it is not cut.
func (p *Portal) succeed(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, v gatehouse.Vouching, f flow) error {
	if before := req.Identity; f.Step == "" && before.Known() && before.Since().After(f.Started) && samePerson(before.Identity(), v.Identity) {
		p.arrive(w, r, req, f)
		return nil
	}
	state, err := p.house.State()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if v, ok := p.mayLogIn(r, req, state, v.Identity, f); !ok {
		return req.Refuse(v)
	}
	sessions, err := p.sessions()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	seen := p.see(r.Context(), sessions, v.Identity)
	meta := metaOf(r, req.ClientIP)
	meta.ProvenFor = provenFor(f, v.Identity)
	if meta.Expected, err = p.greet(r, v.Identity, &f); err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	token, proof, err := sessions.Create(r.Context(), v, hostOf(r), meta, p.limits)
	if err := errors.Join(err, <-seen); err != nil { // nobody has the session then, and it ends by itself
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if err := p.bound(r, req, state, sessions, token, proof); err != nil {
		return err
	}
	err = cookie.Set(w.Header(), sessionCookie, token, cookie.Options{SameSite: http.SameSiteLaxMode})
	if err != nil {
		return req.Deny(verdict.Internal, err.Error())
	}
	if err := p.end(r); err != nil { // last, since it may end this request's context too
		_ = cookie.Clear(w.Header(), sessionCookie) // nobody has the new one then, and it ends by itself
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if req.Identity.Known() {
		p.publishEnd(req, req.Identity.Session(), "replaced")
	}
	for _, kind := range []event.Kind{event.LoginSucceeded, event.SessionCreated} {
		e := req.Event(kind)
		e.User, e.Session = proof.Name(), proof.Session()
		state.Bus.Publish(e)
	}
	logins.WithLabelValues(proof.Provider(), "succeeded").Inc()
	req.Note("login", proof.Name())
	if h, err := p.hops(); err == nil {
		h.note(browserOf(r), time.Now())
	}
	p.arrive(w, r, req, f)
	return nil
}

// see notes what the provider says of the person, while the session is stored: a slow store is not waited for twice.
func (p *Portal) see(ctx context.Context, sessions *Sessions, who identity.Identity) <-chan error {
	seen := make(chan error, 1)
	if _, ok := p.find(who.Provider).(gatehouse.Emergency); ok || sessions.Saw == nil { // no key outlives an emergency
		seen <- nil
		return seen
	}
	who.Tenant = p.limits.Tenant
	go func() { seen <- sessions.Saw(ctx, who) }()
	return seen
}

func samePerson(a, b identity.Identity) bool {
	return a.Provider == b.Provider && a.Issuer == b.Issuer && a.Subject == b.Subject
}

// arrive leads to where the login was to lead, through the browser's memory of the fragment if it has one.
func (p *Portal) arrive(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, f flow) {
	to := p.afterLogin(f)
	if f.Fragment == "" || f.Kept != "" {
		seeOther(w, to)
		return
	}
	page.Write(w, r, http.StatusOK, page.Hop{Site: req.Site.Name, RequestID: req.ID, To: to, Key: f.Fragment, Back: true})
}

// afterLogin is where the login leads: to the form that waits, or to where it began.
func (p *Portal) afterLogin(f flow) string {
	if f.Kept == "" {
		return f.ReturnTo
	}
	return keptPath + "?id=" + f.Kept + "&next=" + url.QueryEscape(f.ReturnTo)
}

// hops returns the node's memory of who has logged in just now.
func (p *Portal) hops() (*hops, error) {
	state, err := p.house.State()
	if err != nil {
		return nil, err
	}
	kept, err := state.Keep("authn.hops", func() (caddy.Destructor, error) { return new(hops), nil })
	if err != nil {
		return nil, err
	}
	return kept.(*hops), nil
}

// publishFailed says that a login failed, as an event of its own (NAT-08).
func (p *Portal) publishFailed(req *gatehouse.Request, reason verdict.Reason, detail string, attrs ...event.Attr) {
	state, err := p.house.State()
	if err != nil {
		return // the access log still says it
	}
	provider := ""
	for _, a := range attrs {
		if a.Key == "provider" { // one that is configured: metrics stay bounded
			provider = a.Value
		}
	}
	logins.WithLabelValues(provider, string(reason)).Inc()
	e := req.Event(event.LoginFailed)
	e.Reason, e.Status, e.Detail, e.Attrs = reason, reason.Status(), detail, attrs
	state.Bus.Publish(e)
}

// failed tells the person, in the form they came from where that helps.
func (p *Portal) failed(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, idp gatehouse.IdentityProvider, at step, err error) error {
	var le *gatehouse.LoginError
	if !errors.As(err, &le) {
		return req.Deny(verdict.Internal, "identity provider "+idp.Name()+": "+err.Error())
	}
	p.publishFailed(req, le.Reason, le.Error(),
		event.Attr{Key: "provider", Value: idp.Name()}, event.Attr{Key: "attempted_user", Value: le.User})
	if le.Message != "" && idp.Form() && page.Navigation(r) {
		req.Note("login_failed", string(le.Reason))
		if s := retryAfter(le.After); s != "" {
			w.Header().Set("Retry-After", s)
		}
		p.showLogin(w, r, le.Reason.Status(), page.Login{
			Site: req.Site.Name, RequestID: req.ID, Flow: at.token, FragmentKey: at.fragmentKey(),
			Error: page.Message(le.Message), Wait: le.After,
		}, le.User)
		return nil
	}
	return req.Refuse(verdict.Verdict{
		Reason: le.Reason, Detail: idp.Name() + ": " + le.Error(), Location: loginAgain(at.ReturnTo), RetryAfter: le.After, Apart: le.Apart,
	})
}

// retryAfter is the header's value: whole seconds, rounded up; "" when there is nothing to wait for.
func retryAfter(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
