package verify

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/mail"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/pseudonym"
	"gatehouse.internal/modules/internal/recent"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	deviceCookie = cookie.Ours + "-device"
	deviceFor    = cookie.MaxAge

	// freshLogin is how old a session may be at its first request whose login was itself the proof.
	freshLogin = 2 * time.Minute
	proofFor   = 10 * time.Minute
)

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	m := h.room
	if m == nil || req.Identity.Method() != identity.BySession || m.exempt[req.Identity.Provider()] {
		return next.ServeHTTP(w, r)
	}
	b, err := m.book()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	value, _ := cookie.Get(r.Header, deviceCookie)
	if device, ok := b.passes(m.desk, req.Identity.Session(), req.ClientIP, value, req.Start); ok { // Fast path
		req.Device = device
		return onward(b, w, r, req, next)
	}
	a := m.arrival(b, r, req, value)
	got, err := a.judge(r)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	judged.WithLabelValues(got.Outcome.String()).Inc()
	a.tell(r, got)
	if got.passes() {
		req.Device = got.Device
		return onward(b, w, r, req, next)
	}
	if got.Outcome != Deny && openToHeld(req.Path.Decoded) {
		return a.watch(w, r, next, got)
	}
	if got.Outcome == Deny && strings.HasPrefix(req.Path.Decoded, gatehouse.PortalPrefix+"logout") {
		return next.ServeHTTP(w, r)
	}
	return a.refuse(r, got)
}

// onward lets the request on. When the session becomes another one by it, as it does by its first second factor, the new one
// is not that of a login: whoever comes first with it has proven nothing by that.
func onward(b *book, w http.ResponseWriter, r *http.Request, req *gatehouse.Request, next caddyhttp.Handler) error {
	before := req.Identity.Session()
	err := next.ServeHTTP(w, r)
	if after := req.Identity.Session(); after != before && after != "" {
		b.first(after, time.Now())
	}
	return err
}

// arrival is one visit that is judged.
type arrival struct {
	*Room
	book   *book
	desk   *desk
	req    *gatehouse.Request
	person person
	visit  visit
	cookie string
	slot   uint32
	gen    uint64
}

// book returns the house's records, found once.
func (m *Room) book() (*book, error) {
	b, err := m.open.Of(m.house, bookOf)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// arrival makes sure that the browser has a device's cookie.
func (m *Room) arrival(b *book, r *http.Request, req *gatehouse.Request, value string) *arrival {
	a := m.look(b, r, req, value)
	if a.visit.Device != "" {
		return a
	}
	// A page's further requests may be under way before it has the cookie that the first was answered with.
	session := recent.KeyOf(req.Identity.Session())
	given, ok := b.issued.Get(session, req.Start)
	if !ok || given.addr != req.ClientIP {
		given = issued{addr: req.ClientIP, cookie: b.cookieOf()}
		b.issued.Put(session, given, req.Start, req.Start.Add(issuedFor))
	}
	line := http.Header{}
	_ = cookie.Set(line, deviceCookie, given.cookie, cookie.Options{MaxAge: deviceFor, SameSite: http.SameSiteLaxMode}) // of ours, and short
	req.GiveCookie(line.Get("Set-Cookie"))
	return m.look(b, r, req, given.cookie)
}

// look gathers what is known of the visit.
func (m *Room) look(b *book, r *http.Request, req *gatehouse.Request, value string) *arrival {
	who := req.Identity.Identity()
	slot := slotOf(keyOf(who.Provider, who.Subject).ID)
	d := *m.desk
	d.book = b
	return &arrival{
		Room: m, book: b, desk: &d, req: req, cookie: value, slot: slot, gen: b.gens[slot].Load(),
		person: person{who: who, tenant: req.Site.Tenant, since: req.Identity.Since(), hasRole: req.Identity.HasRole},
		visit: visit{
			Addr: req.ClientIP, Device: b.deviceOf(value, who.Provider, who.Subject), Agent: pseudonym.Agent(r.UserAgent()),
			Site: req.Site.Name, Email: who.Email, Now: req.Start,
		},
	}
}

// judge judges the visit, and remembers it if there is nothing to say.
func (a *arrival) judge(r *http.Request) (decision, error) {
	session, now := a.req.Identity.Session(), a.visit.Now
	fresh := a.book.first(session, now) && now.Sub(a.req.Identity.Since()) < freshLogin
	got, err := a.desk.judge(r.Context(), a.person, a.visit, func(since time.Time) bool { return fresh && a.proven(since) })
	if err == nil && got.passes() {
		a.book.remember(session, memo{by: a.Room.desk, addr: a.req.ClientIP, cookie: a.cookie, device: got.Device, slot: a.slot, gen: a.gen}, now)
	}
	return got, err
}

// proven reports whether the login itself, whose first request this is, was a proof: by a second factor just now, or with the
// provider's word that the person has logged in anew since the visit was held.
func (a *arrival) proven(since time.Time) bool {
	if a.req.Identity.Factor().Within(proofFor) {
		return true
	}
	who := a.person.who
	return !since.IsZero() && who.Dated && !who.AuthTime.Before(since) && a.asAsked(who)
}

// asAsked reports whether the provider's word has the authentication context class that it is asked for when somebody is to
// prove themselves, where it is asked for one.
func (a *arrival) asAsked(who identity.Identity) bool {
	for _, p := range a.house.Providers() {
		if p.Name() == who.Provider {
			s, steps := p.(gatehouse.StepUpProvider)
			return !steps || s.AnewBy(who.ACR)
		}
	}
	return false
}

// watch lets a held visit on to the portal, and notices when a second factor is proven in it: by this request, from this
// device and network, and no other that the session is used from.
func (a *arrival) watch(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, got decision) error {
	before := a.req.Identity.Factor()
	watched := &noting{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	failed := error(nil)
	watched.before = func() {
		after := a.req.Identity.Factor()
		if got.Outcome != StepUp || !after.Given() || after.Method == identity.ByProvider || after.At.Equal(before.At) {
			return
		}
		if failed = a.desk.pass(r.Context(), a.person, a.visit, got.Signals); failed == nil {
			a.publish(event.VerifyPassed, got, "by", "factor "+after.Method)
			proofs.WithLabelValues("proof", "proven").Inc()
		}
	}
	err := onward(a.book, watched, r, a.req, next)
	if failed != nil {
		a.req.Note("verify_failed", failed.Error()) // the person is asked once more
	}
	return err
}

// noting calls before once, when the answer begins.
type noting struct {
	*caddyhttp.ResponseWriterWrapper
	before func()
}

func (n *noting) begin() {
	if f := n.before; f != nil {
		n.before = nil
		f()
	}
}

// WriteHeader implements http.ResponseWriter.
func (n *noting) WriteHeader(status int) {
	n.begin()
	n.ResponseWriterWrapper.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (n *noting) Write(b []byte) (int, error) {
	n.begin()
	return n.ResponseWriterWrapper.Write(b)
}

// refuse says no, and where the person can prove themselves.
func (a *arrival) refuse(r *http.Request, got decision) error {
	detail := names(got.Signals)
	if got.Outcome == Deny {
		return a.req.Refuse(verdict.Verdict{Reason: verdict.VerifyDenied, Detail: detail, Location: gatehouse.PortalPrefix + "logout"})
	}
	v := verdict.Verdict{Reason: verdict.VerifyRequired, Detail: got.Outcome.String() + ": " + detail + ": held as " + got.Held.ID, Location: gatehouse.VerifyPath}
	if a.req.Navigation && r.Method == http.MethodGet {
		v.Location += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	return a.req.Refuse(v)
}

// tell notes what was found, and tells of it once.
func (a *arrival) tell(r *http.Request, got decision) {
	if len(got.Signals) == 0 {
		return
	}
	a.req.Note("verify", got.Outcome.String()+": "+names(got.Signals))
	switch {
	case got.Proven:
		a.publish(event.VerifyPassed, got, "by", "approval or a proof at the login")
		proofs.WithLabelValues("proof", "proven").Inc()
	case got.Outcome == Deny:
		a.publish(event.VerifyDenied, got)
	case got.News && got.Outcome == Notify:
		a.publish(event.VerifyNoticed, got)
		a.notify(r, got, false)
	case got.News && !got.passes():
		a.publish(event.VerifyHeld, got, "held", got.Held.ID)
		a.notify(r, got, true)
	}
}

// publish tells of the visit, in full.
func (a *arrival) publish(kind event.Kind, got decision, more ...string) {
	state, err := a.house.State()
	if err != nil {
		return // the access log still says it
	}
	e := a.req.Event(kind)
	e.Detail = names(got.Signals)
	e.Attrs = []event.Attr{
		{Key: "outcome", Value: got.Outcome.String()}, {Key: "network", Value: prefixOf(a.visit.Addr).String()},
		{Key: "device", Value: a.visit.Device}, {Key: "agent", Value: a.visit.Agent},
	}
	g, listed := a.desk.places.at(a.visit.Addr)
	if g.Country != "" {
		e.Attrs = append(e.Attrs, event.Attr{Key: "country", Value: g.Country})
	}
	if listed {
		e.Attrs = append(e.Attrs, event.Attr{Key: "listed", Value: "yes"})
	}
	for i := 0; i+1 < len(more); i += 2 {
		e.Attrs = append(e.Attrs, event.Attr{Key: more[i], Value: more[i+1]})
	}
	state.Bus.Publish(e)
}

// notify writes to the person that somebody has come, or wants to, with a link by which they say that it was not them.
func (a *arrival) notify(r *http.Request, got decision, waits bool) {
	if a.postman == nil || got.Email == "" {
		return
	}
	if err := a.book.mayMail(r.Context(), a.person.who.Provider, a.person.who.Subject); err != nil {
		a.req.Note("notice", err.Error())
		return
	}
	text, err := a.book.sealReport(report{
		Provider: a.person.who.Provider, Subject: a.person.who.Subject, Device: a.visit.Device, Prefix: prefixOf(a.visit.Addr), At: a.visit.Now,
	})
	if err != nil {
		a.req.Note("notice", err.Error())
		return
	}
	subject, body := page.VisitLetter{
		Site: a.req.Site.Name, Agent: a.visit.Agent, Network: prefixOf(a.visit.Addr).String(), At: a.visit.Now, Waits: waits,
		URL: "https://" + r.Host + gatehouse.ReportPath + "?" + reportParam + "=" + text,
	}.Text(r)
	a.post("notice", mail.Letter{To: []string{got.Email}, Subject: subject, Body: body})
}

// post has a letter sent, and says so when that fails.
func (a *arrival) post(kind string, l mail.Letter) {
	failed := a.req.Event(event.MessageFailed)
	l.Tell = func(err error) {
		if err == nil {
			messages.WithLabelValues(kind, "sent").Inc()
			return
		}
		messages.WithLabelValues(kind, "failed").Inc()
		house := a.house
		if next := gatehouse.Running(); next != nil { // since a reload, perhaps
			house = next
		}
		if state, closed := house.State(); closed == nil {
			failed.Time, failed.Detail = time.Now(), kind+": "+err.Error()
			state.Bus.Publish(failed)
		}
	}
	if err := a.postman.Post(l); err != nil {
		l.Tell(err)
	}
}
