package verify

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/form"
	"gatehouse.internal/modules/internal/mail"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	// reportParam brings the sealed report in the address that is sent to people. Queries are in no log.
	reportParam = "t"
	reportEnded = "the person has reported a visit that was not theirs"
)

// pages are the room's places in the portal.
type pages struct {
	room *Room
	path string
}

// request is one request for a page.
type request struct {
	gatehouse.PageVisit
	room *Room
	book *book
	w    http.ResponseWriter
	r    *http.Request
	req  *gatehouse.Request
}

// ServePage implements [gatehouse.PortalPage].
func (p *pages) ServePage(w http.ResponseWriter, r *http.Request, v gatehouse.PageVisit) error {
	req := v.Request
	b, err := p.room.book()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	q := request{PageVisit: v, room: p.room, book: b, w: w, r: r, req: req}
	post := r.Method == http.MethodPost
	switch {
	case !post && r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, POST")
		return req.Deny(verdict.BadMethod, "")
	case p.path == gatehouse.ReportPath:
		return q.report(post)
	case !req.Identity.Known():
		return req.ChallengeLogin(r, "devices and networks")
	case post:
		if err := v.CheckCSRF(); err != nil {
			return err
		}
	}
	if p.path == gatehouse.DevicesPath {
		return q.devices(post)
	}
	return q.verify(post)
}

func (q *request) seeOther(path string) error {
	q.w.Header().Set("Location", path)
	q.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// arrival is the visit that this request is part of.
func (q *request) arrival() *arrival {
	value, _ := cookie.Get(q.r.Header, deviceCookie)
	return q.room.look(q.book, q.r, q.req, value)
}

// verify asks the person to prove themselves, or leads on when nothing is held.
func (q *request) verify(post bool) error {
	a, next := q.arrival(), q.Next(q.r.Form.Get("next"))
	h, email, err := a.desk.held(q.r.Context(), a.person, a.visit)
	if err != nil {
		return q.req.Deny(verdict.Unavailable, err.Error())
	}
	if h == nil || h.Approved || a.visit.Device == "" {
		return q.seeOther(next)
	}
	view := page.Verification{
		Site: q.req.Site.Name, RequestID: q.req.ID, Held: h.ID, Action: gatehouse.VerifyPath, CSRF: q.CSRF, Next: next,
		LogoutURL: gatehouse.PortalPrefix + "logout", Wait: h.Outcome != StepUp,
	}
	for _, s := range h.Signals {
		view.Why = append(view.Why, string(s))
	}
	byMail := !view.Wait && q.room.postman != nil && email != ""
	if post && byMail {
		done, err := q.mail(a, h, email, &view)
		if done || err != nil {
			return err
		}
	}
	if !view.Wait {
		greeting, err := q.room.house.Factors().Greet(q.r.Context(), a.person.who)
		if err != nil {
			return q.req.Deny(verdict.Unavailable, err.Error())
		}
		if greeting.Enrolled {
			view.FactorURL = gatehouse.FactorPath + "/verify?next=" + url.QueryEscape(next)
		}
		view.Provider, view.ProviderURL = q.Anew(next)
	}
	if byMail {
		view.MailTo = masked(email)
		view.Sent = view.Sent || len(h.Code) > 0 && time.Since(h.CodeAt) < codeFor
	}
	page.Write(q.w, q.r, http.StatusOK, view)
	return nil
}

// mail sends a code, or takes one. It reports whether it has answered.
func (q *request) mail(a *arrival, h *held, email string, view *page.Verification) (bool, error) {
	got := decision{Outcome: StepUp, Signals: h.Signals}
	if q.r.PostForm.Get("do") == "send" {
		code, err := a.desk.code(q.r.Context(), a.person, a.visit)
		switch {
		case errors.Is(err, errTooMany):
			return true, q.req.Refuse(verdict.Verdict{Reason: verdict.TooManyAttempts, Detail: err.Error(), RetryAfter: time.Hour})
		case errors.Is(err, errNothing):
			return true, q.seeOther(view.Next)
		case err != nil:
			return true, q.req.Deny(verdict.Unavailable, err.Error())
		}
		subject, body := page.CodeLetter{Site: q.req.Site.Name, Code: code, Lasts: codeFor, Agent: a.visit.Agent, Network: prefixOf(a.visit.Addr).String()}.Text(q.r)
		a.post("code", mail.Letter{To: []string{email}, Subject: subject, Body: body})
		view.Sent = true
		return false, nil
	}
	signals, err := a.desk.useCode(q.r.Context(), a.person, a.visit, q.r.PostForm.Get("code"))
	switch {
	case errors.Is(err, errNothing):
		return true, q.seeOther(view.Next)
	case errors.Is(err, errCode):
		proofs.WithLabelValues("mail", "wrong").Inc()
		a.publish(event.VerifyFailed, got)
		view.Error = page.CodeWrong
		return false, nil
	case err != nil:
		return true, q.req.Deny(verdict.Unavailable, err.Error())
	}
	proofs.WithLabelValues("mail", "proven").Inc()
	got.Signals = signals
	a.publish(event.VerifyPassed, got, "by", "mail")
	return true, q.seeOther(view.Next)
}

// masked is an address as its owner recognises it: a…@example.com.
func masked(email string) string {
	name, domain, ok := strings.Cut(email, "@")
	for i := range name {
		if i > 0 {
			name = name[:i]
			break
		}
	}
	if !ok {
		return name + "…"
	}
	return name + "…@" + domain
}

// report takes a person's word that a visit was not theirs. Who has the link needs no login: perhaps they are kept from it. A
// page that is only looked at, as programs that check mail do, does nothing.
func (q *request) report(post bool) error {
	text := q.r.Form.Get(reportParam)
	rep, ok := q.book.openReport(text, time.Now())
	if !ok {
		return q.req.Deny(verdict.LinkInvalid, "the link of a notice is too old, or none of ours")
	}
	view := page.VisitReport{
		Site: q.req.Site.Name, RequestID: q.req.ID, Action: gatehouse.ReportPath, Token: text, Network: rep.Prefix.String(), At: rep.At,
	}
	q.w.Header().Set("Referrer-Policy", "no-referrer")
	if !post {
		page.Write(q.w, q.r, http.StatusOK, view)
		return nil
	}
	if !form.SameOrigin(q.r) {
		return q.req.Deny(verdict.CrossOrigin, "the form of a notice")
	}
	who := standing.Person{Provider: rep.Provider, Subject: rep.Subject}
	state, err := q.room.house.State()
	if err != nil {
		return q.req.Deny(verdict.Unavailable, err.Error())
	}
	e := q.req.Event(event.IncidentReport)
	e.User, e.Session = who.String(), ""
	e.Detail = "all sessions end; the device and the network are forgotten"
	e.Attrs = []event.Attr{{Key: "network", Value: rep.Prefix.String()}, {Key: "device", Value: rep.Device}, {Key: "visit", Value: rep.At.UTC().Format(time.RFC3339)}}
	if err := state.Bus.Record(e); err != nil {
		return q.req.Deny(verdict.Unavailable, err.Error())
	}
	ended, err := q.room.house.EndSessions(q.r.Context(), who, "", reportEnded)
	if err != nil {
		return q.req.Deny(verdict.Unavailable, err.Error())
	}
	err = q.book.change(q.r.Context(), who, q.room.remember, func(r *record) error {
		r.forget(rep.Device)
		r.forget(rep.Prefix.String())
		v := visit{Addr: rep.Prefix.Addr(), Device: rep.Device, Now: time.Now()}
		h := r.hold(v, rand.Text()[:10], []Signal{NewDevice, NewNetwork}, StepUp)
		h.Approved, h.Denied = false, true
		return nil
	})
	if err != nil {
		return q.req.Deny(verdict.Unavailable, err.Error())
	}
	view.Done, view.Ended = true, ended
	page.Write(q.w, q.r, http.StatusOK, view)
	return nil
}

// devices shows the person's devices and networks, and removes one.
func (q *request) devices(post bool) error {
	a := q.arrival()
	if post {
		who := standing.Person{Provider: a.person.who.Provider, Subject: a.person.who.Subject}
		what := q.r.PostForm.Get("forget")
		err := q.book.forget(q.r.Context(), who, what, q.room.remember)
		if err != nil && !errors.Is(err, errNothing) {
			return q.req.Deny(verdict.Unavailable, err.Error())
		}
		if err == nil {
			a.publish(event.VerifyForgot, decision{Outcome: Allow}, "forgot", what)
		}
		return q.seeOther(gatehouse.DevicesPath)
	}
	r, err := q.book.get(q.r.Context(), a.person.who.Provider, a.person.who.Issuer, a.person.who.Subject)
	if err != nil {
		return q.req.Deny(verdict.Unavailable, err.Error())
	}
	r.prune(time.Now(), q.room.remember)
	view := page.Visits{
		Site: q.req.Site.Name, RequestID: q.req.ID, Action: gatehouse.DevicesPath, CSRF: q.CSRF, AccountURL: gatehouse.PortalPrefix + "account", Now: time.Now(),
	}
	for _, d := range r.Devices {
		view.Devices = append(view.Devices, page.VisitRow{ID: d.ID, Name: d.Agent, Used: d.Last, This: d.ID == a.visit.Device})
	}
	for _, n := range r.Networks {
		view.Networks = append(view.Networks, page.VisitRow{ID: n.Prefix.String(), Name: n.Prefix.String(), Used: n.Last, This: n.Prefix == prefixOf(a.visit.Addr)})
	}
	page.Write(q.w, q.r, http.StatusOK, view)
	return nil
}
