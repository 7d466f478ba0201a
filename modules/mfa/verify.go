package mfa

import (
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/verdict"
)

// elsewhereFor is how young what an identity provider has proven must be, for somebody who comes back from there.
const elsewhereFor = 2 * time.Minute

// errand is what a proof is wanted for: a request that waits (c), or whatever stands in next.
type errand struct {
	text string // the sealed challenge; "": none
	challenge
	form *keptForm // nil: none, or no longer
}

// errand reads what the request says that the proof is for. A challenge that is of no use any more is left out.
func (v *visit) errand() (e errand, err error) {
	text := v.r.Form.Get("challenge")
	if text == "" {
		return e, nil
	}
	c, err := v.tickets.open(text, v.who, strings.ToLower(v.r.Host), time.Now())
	if err != nil {
		v.req.Note("step_up", "the request that waits is not known, or waited too long")
		return e, nil
	}
	e.text, e.challenge = text, c
	if e.form, err = v.tickets.peek(v.r.Context(), c); err != nil {
		return e, v.req.Deny(verdict.Unavailable, err.Error())
	}
	return e, nil
}

// ask asks the person for a factor, sends whoever has none to set one up, and lets pass who has just proven one at their
// identity provider.
func (v *visit) ask() error {
	a, err := v.account()
	if err != nil {
		return err
	}
	e, err := v.errand()
	if err != nil {
		return err
	}
	tried := v.r.Form.Get("tried") != ""
	if f := v.req.Identity.Factor(); tried && f.Method == identity.ByProvider {
		if e.text != "" && f.For == e.ID || e.text == "" && f.Within(elsewhereFor) {
			return v.proceed(v.w, v.r, v.FactorVisit, e, f.Method, -1)
		}
	}
	if !a.enrolled() && (v.Provider == "" || tried) {
		v.seeOther(gatehouse.FactorPath + "?next=" + url.QueryEscape(v.here(e)))
		return nil
	}
	if !a.enrolled() {
		v.w.Header().Set("Location", v.ProviderURL(e.ID, v.here(e)+"&tried=1"))
		v.w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	return v.writeVerify(a, e, "", 0)
}

// here is this page again, for this errand.
func (v *visit) here(e errand) string {
	q := url.Values{}
	for _, name := range []string{"next", "window"} {
		if value := v.r.Form.Get(name); value != "" {
			q.Set(name, value)
		}
	}
	q.Set("next", v.next())
	if e.text != "" {
		q.Set("challenge", e.text)
	}
	return verifyPath + "?" + q.Encode()
}

func (v *visit) writeVerify(a account, e errand, say page.Message, wait time.Duration) error {
	view := page.Verify{
		Site: v.req.Site.Name, RequestID: v.req.ID, Action: verifyPath, CSRF: v.CSRF, Next: v.next(), Challenge: e.text,
		Window: v.r.Form.Get("window") != "", Code: a.TOTP != nil, Backup: left(a.Codes) > 0, Error: say, Wait: wait, CancelURL: "/",
	}
	if v.m.policy.demands(v.req.Identity) != "" && !v.req.Identity.Factor().Given() {
		view.CancelURL = logoutPath
	}
	if e.text != "" {
		view.CancelURL = v.Next(e.challenge.Next)
		view.For = &page.Errand{Method: e.Act.Method, URI: e.Act.URI}
		if e.form != nil {
			view.For.Fields = fieldsOf(e.form)
		}
	}
	options, secret, err := v.site().beginGet(&a)
	if err == nil && options != "" {
		view.Options = options
		view.Flow, err = sealFlow(v.state.Keys, flow{Kind: askPasskey, At: time.Now(), Secret: secret}, v.bound())
	}
	if err != nil {
		return v.req.Deny(verdict.Internal, err.Error())
	}
	if v.Provider != "" {
		view.Elsewhere = &page.Button{Label: v.Provider, URL: v.ProviderURL(e.ID, v.here(e)+"&tried=1")}
	}
	if wait > 0 {
		v.w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	page.Write(v.w, v.r, statusOf(say), view)
	return nil
}

func fieldsOf(k *keptForm) []page.Field {
	fields := make([]page.Field, len(k.Fields))
	for i, f := range k.Fields {
		fields[i] = page.Field(f)
	}
	return fields
}

// prove judges what the person has sent to prove a factor.
func (v *visit) prove() (*gatehouse.FactorProven, error) {
	e, err := v.errand()
	if err != nil {
		return nil, err
	}
	method, codes := identity.Passkey, -1
	var wait time.Duration
	if credential := v.r.PostForm.Get("credential"); credential != "" {
		err = v.provePasskey(credential)
	} else {
		method, codes, wait, err = v.accounts.proveCode(v.r.Context(), v.who, v.r.PostForm.Get("code"))
	}
	switch {
	case err == nil && wait == 0:
	case wait > 0:
		return nil, v.failed(e, method, "paused", "too many attempts", page.Paused, wait)
	case errors.Is(err, errCode):
		return nil, v.failed(e, method, "wrong", err.Error(), page.CodeWrong, 0)
	case errors.Is(err, errUsed):
		return nil, v.failed(e, method, "used_before", err.Error(), page.CodeUsed, 0)
	case errors.Is(err, errPasskey):
		return nil, v.failed(e, method, "wrong", err.Error(), page.PasskeyWrong, 0)
	case errors.Is(err, errStale):
		return nil, v.failed(e, method, "used_before", err.Error(), page.FactorStale, 0)
	default:
		return nil, v.req.Deny(verdict.Unavailable, err.Error())
	}
	proofs.WithLabelValues(method, "proven").Inc()
	v.publish(event.FactorUsed, "", event.Attr{Key: "factor", Value: method})
	if method == identity.BackupCode {
		v.publish(event.BackupCodeUsed, "", event.Attr{Key: "left", Value: strconv.Itoa(codes)})
	}
	v.req.Note("factor", method)
	return &gatehouse.FactorProven{Method: method, Then: func(w http.ResponseWriter, r *http.Request, fv gatehouse.FactorVisit) error {
		return v.proceed(w, r, fv, e, method, codes)
	}}, nil
}

// provePasskey takes the browser's answer: it must fit what was asked, once.
func (v *visit) provePasskey(credential string) error {
	now, text := time.Now(), v.r.PostForm.Get("flow")
	if len(credential) > maxCredential {
		return errPasskey
	}
	f, err := openFlow(v.state.Keys, text, askPasskey, v.bound(), now)
	if err != nil {
		return err
	}
	a, err := v.accounts.get(v.r.Context(), v.who)
	if err != nil {
		return err
	}
	if _, err := v.site().finishGet(&a, f.Secret, credential, now.UTC()); err != nil {
		return err
	}
	if err := claim(v.r.Context(), v.state.Store, text); err != nil {
		return err
	}
	return v.accounts.update(v.r.Context(), v.who, func(a *account) error {
		_, err := v.site().finishGet(a, f.Secret, credential, now.UTC())
		return err
	})
}

// failed says so, in an event and on the page, which asks again.
func (v *visit) failed(e errand, method, outcome, detail string, say page.Message, wait time.Duration) error {
	proofs.WithLabelValues(method, outcome).Inc()
	v.publish(event.FactorFailed, detail, event.Attr{Key: "factor", Value: method}, event.Attr{Key: "outcome", Value: outcome})
	v.req.Note("factor_failed", outcome)
	a, err := v.account()
	if err != nil {
		return err
	}
	return v.writeVerify(a, e, say, wait)
}

// proceed goes on from a proof, which the portal has noted in the session: fv is of the session as it is now.
func (v *visit) proceed(w http.ResponseWriter, r *http.Request, fv gatehouse.FactorVisit, e errand, method string, codes int) error {
	req := fv.Request
	view := page.Proven{Site: req.Site.Name, RequestID: req.ID, CodesLeft: codes}
	if codes >= 0 && codes <= backupFew {
		view.CodesURL = gatehouse.FactorPath
	}
	if e.text == "" {
		if v.r.Form.Get("window") == "" {
			view.URL = v.next()
		}
		return show(w, r, view)
	}
	if e.Each {
		if err := v.issue(w, req, e.challenge, method); err != nil {
			return err
		}
	}
	k, err := v.tickets.take(r.Context(), e.challenge)
	switch {
	case err != nil:
		return req.Deny(verdict.Unavailable, err.Error())
	case k != nil:
		view.Errand = &page.Errand{Method: e.Act.Method, URI: e.Act.URI, Fields: fieldsOf(k)}
		view.Enctype = k.Enctype
	case e.Nav && e.Act.Method == http.MethodPost: // what was not kept the person sends again, from the page that it is on
		view.URL, view.Again = v.Next(e.challenge.Next), true
	case e.Nav:
		view.URL = e.Act.URI
	}
	return show(w, r, view)
}

// issue gives the ticket for the request that waits.
func (v *visit) issue(w http.ResponseWriter, req *gatehouse.Request, c challenge, method string) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	t := ticket{User: c.User, Session: req.Identity.Session(), Act: c.Act, Method: method, At: now}
	if err := v.tickets.issue(v.r.Context(), c, t); err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if c.Nav {
		err := cookie.Set(w.Header(), ticketCookie, c.ID, cookie.Options{MaxAge: ticketFor, SameSite: http.SameSiteLaxMode})
		if err != nil {
			return req.Deny(verdict.Internal, err.Error())
		}
	}
	path, _, _ := strings.Cut(c.Act.URI, "?")
	e := req.Event(event.StepUpSucceeded)
	e.Method, e.Path, e.Attrs = c.Act.Method, path, proofFacts(method, now, c.Act)
	v.state.Bus.Publish(e)
	return nil
}

// proofFacts say how and when a request was confirmed, and which: the query and the body only by their hash.
func proofFacts(method string, at time.Time, a act) []event.Attr {
	return []event.Attr{
		{Key: "factor", Value: method}, {Key: "factor_at", Value: at.UTC().Format(time.RFC3339Nano)},
		{Key: "body_sha256", Value: hex.EncodeToString(a.Sum)},
	}
}

// show shows the page that leads on, or leads on at once when there is nothing to read on it.
func show(w http.ResponseWriter, r *http.Request, view page.Proven) error {
	if view.Errand == nil && view.URL != "" && view.CodesLeft < 0 && !view.Again {
		w.Header().Set("Location", view.URL)
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	page.Write(w, r, http.StatusOK, view)
	return nil
}
