package mfa

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/form"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	verifyPath = gatehouse.FactorPath + "/verify"

	// ticketCookie brings the ticket of a form, which cannot carry a header. It begins as all cookies that no backend sees.
	ticketCookie = cookie.Ours + "-step-up"
)

// Complete implements [gatehouse.SecondFactor].
func (m *Module) Complete(who identity.Proof) bool {
	return who.Factor().Given() || m.policy.demands(who) == ""
}

// Meets implements [gatehouse.SecondFactor].
func (m *Module) Meets(who identity.Proof, need gatehouse.FactorNeed) bool {
	switch {
	case need.MaxAge > 0 && !need.Each:
		return who.Factor().Within(need.MaxAge)
	case need.Required:
		return who.Factor().Given()
	}
	return m.Complete(who)
}

// Judge implements [gatehouse.SecondFactor].
func (m *Module) Judge(r *http.Request, req *gatehouse.Request, need gatehouse.FactorNeed) error {
	switch {
	case need.Each:
		return m.judgeEach(r, req, need)
	case m.Meets(req.Identity, need): // Fast path
		return nil
	case need.Rule == "":
		need.Rule = m.policy.demands(req.Identity)
	}
	return m.challenge(r, req, need)
}

// challenge refuses a request whose session has proven too little, and says where a person can prove more. A form is kept
// meanwhile.
func (m *Module) challenge(r *http.Request, req *gatehouse.Request, need gatehouse.FactorNeed) error {
	challenges.WithLabelValues("challenged").Inc()
	v := verdict.Verdict{
		Reason: verdict.MFARequired, Detail: "no second factor, or too long ago: " + need.Rule, Location: verifyPath + "?window=1",
		StepUp: &verdict.StepUp{MaxAge: need.MaxAge},
	}
	switch {
	case !req.Navigation:
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		v.Location = verifyPath + "?next=" + url.QueryEscape(r.URL.RequestURI())
	default:
		v.Location = verifyPath + "?next=" + url.QueryEscape(form.CameFrom(r))
		ours := strings.HasPrefix(req.Path.Folded+"/", gatehouse.PortalPrefix) // whose forms carry what works once
		if r.Method == http.MethodPost && r.ContentLength <= form.MaxBytes && !ours {
			body, err := buffer(r, form.MaxBytes)
			if err != nil && !errors.Is(err, errTooLong) {
				return req.Deny(verdict.BodyUnreadable, err.Error())
			}
			if err == nil {
				m.lead(r, req, &v, body, false)
			}
		}
	}
	return req.Refuse(v)
}

// judgeEach lets a request pass that comes with a ticket of its own, and otherwise asks for the proof that gives one.
func (m *Module) judgeEach(r *http.Request, req *gatehouse.Request, need gatehouse.FactorNeed) error {
	body, err := buffer(r, maxEach)
	switch {
	case errors.Is(err, errTooLong):
		return req.Deny(verdict.BodyTooLarge, "what needs a proof of its own may have 1 MiB")
	case err != nil:
		return req.Deny(verdict.BodyUnreadable, err.Error())
	}
	passed, err := m.redeem(r, req, need, actOf(r, body))
	if passed || err != nil {
		return err
	}
	challenges.WithLabelValues("challenged").Inc()
	v := verdict.Verdict{
		Reason: verdict.MFARequired, Detail: "no proof for this request: " + need.Rule, Location: verifyPath + "?window=1",
		StepUp: &verdict.StepUp{},
	}
	m.lead(r, req, &v, body, true)
	return req.Refuse(v)
}

// lead has the verdict lead to where a proof is given for this very request, or, without each, to where the request waits
// until one was given. What cannot be kept the person does again.
func (m *Module) lead(r *http.Request, req *gatehouse.Request, v *verdict.Verdict, body []byte, each bool) {
	accounts, state, err := m.accounts()
	if err != nil || len(r.URL.RequestURI()) > maxURI {
		return
	}
	tickets := tickets{store: accounts.store, keys: state.Keys}
	c := newChallenge(req.Identity.Identity(), actOf(r, body), each, time.Now())
	if c.Nav = req.Navigation; c.Nav && r.Method == http.MethodPost {
		if c.Next = form.CameFrom(r); len(c.Next) > maxFrom {
			c.Next = "/"
		}
		enctype, fields, err := form.Parse(r.Header.Get("Content-Type"), body)
		if err == nil && form.TopLevel(r) && form.SameOrigin(r) {
			err = tickets.keep(r.Context(), &c, req.Identity.Session(), enctype, fields)
		}
		if err != nil { // with each, sending it once more from the page that it is on uses the ticket
			req.Note("form_not_kept", err.Error())
		}
		if c.Kept == "" && !each {
			return
		}
	}
	sealed, err := tickets.seal(c)
	if err != nil {
		return
	}
	v.Location = verifyPath + "?challenge=" + sealed
	v.StepUp.Kept = c.Kept != ""
	if each {
		v.StepUp.Ticket = sealed
	}
}

// redeem reports whether the request comes with the ticket for it, which is used up then.
func (m *Module) redeem(r *http.Request, req *gatehouse.Request, need gatehouse.FactorNeed, a act) (bool, error) {
	header := r.Header.Get(gatehouse.StepUpHeader)
	id, fromForm := cookie.Get(r.Header, ticketCookie)
	if header == "" && !fromForm {
		return false, nil
	}
	accounts, state, err := m.accounts()
	if err != nil {
		return false, req.Deny(verdict.Unavailable, err.Error())
	}
	tickets, who := tickets{store: accounts.store, keys: state.Keys}, req.Identity.Identity()
	if header != "" {
		c, err := tickets.open(header, who, a.Host, time.Now())
		if err != nil {
			return false, nil
		}
		id = c.ID
	}
	t, err := tickets.redeem(r.Context(), id, userOf(who), req.Identity.Session(), a)
	switch {
	case errors.Is(err, errOther):
		challenges.WithLabelValues("other").Inc()
		req.Note("step_up", "the ticket is for another request, or for this one with another body")
		if header != "" { // a page has put it there; a cookie comes by itself
			err = tickets.void(r.Context(), id)
		} else {
			err = nil
		}
	case err == nil && t != nil && (need.MaxAge == 0 || time.Since(t.At) <= need.MaxAge):
		challenges.WithLabelValues("redeemed").Inc()
		m.passed(r, req, state, t)
		return true, nil
	}
	if err != nil {
		return false, req.Deny(verdict.Unavailable, err.Error())
	}
	return false, nil
}

// passed says which proof a request has passed with.
func (m *Module) passed(r *http.Request, req *gatehouse.Request, state *gatehouse.State, t *ticket) {
	facts := proofFacts(t.Method, t.At, t.Act)
	for _, f := range facts {
		req.Note(f.Key, f.Value)
	}
	e := req.Event(event.StepUpRedeemed)
	e.Method, e.Path, e.Attrs = r.Method, req.Path.Decoded, facts
	state.Bus.Publish(e)
}

var errTooLong = errors.New("the body is too long")

// buffer reads the request's body, up to a limit, and leaves it to be read again.
func buffer(r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > limit {
		return nil, errTooLong
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	rest := io.Reader(bytes.NewReader(body))
	if int64(len(body)) > limit {
		rest, err = io.MultiReader(rest, r.Body), errTooLong
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{rest, r.Body}
	return body, err
}

func actOf(r *http.Request, body []byte) act {
	sum := form.Digest(r.Header.Get("Content-Type"), body)
	return act{Host: strings.ToLower(r.Host), Method: r.Method, URI: r.URL.RequestURI(), Sum: sum[:]}
}
