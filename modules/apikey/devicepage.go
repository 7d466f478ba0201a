package apikey

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/backoff"
	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/verdict"
)

func personOf(provider, subject string) owner.Person {
	return owner.Person{Provider: provider, Subject: subject}
}

// servePairing is the page on which people pair a program (RFC 8628 3.3).
func (a *Authenticator) servePairing(w http.ResponseWriter, r *http.Request, v gatehouse.PageVisit) error {
	req := v.Request
	if !req.Identity.Known() || req.Identity.Kind() != identity.Person {
		return req.ChallengeLogin(r, "pairing of a device")
	}
	book, err := a.opened()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	typed := r.Form.Get("user_code")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if typed == "" {
			page.Write(w, r, http.StatusOK, a.pairPage(req, v, nil))
			return nil
		}
	case http.MethodPost:
		if err := v.CheckCSRF(); err != nil {
			return err
		}
	default:
		return badMethod(w, req, "GET, HEAD, POST")
	}
	need := gatehouse.FactorNeed{Required: a.Device.MFA, MaxAge: time.Duration(a.Device.MFAMaxAge), Rule: "device_pairing"}
	if err := a.house.Factors().Judge(r, req, need); err != nil {
		return err
	}
	p, err := a.typed(r, req, book, typed)
	switch {
	case errors.Is(err, errNoPairing):
		view := a.pairPage(req, v, nil)
		view.Error = page.DeviceCodeWrong
		page.Write(w, r, verdict.LinkInvalid.Status(), view)
		return nil
	case err != nil:
		return err
	case r.Method == http.MethodPost:
		return a.decide(w, r, req, book, p)
	}
	page.Write(w, r, http.StatusOK, a.pairPage(req, v, p))
	return nil
}

// typed returns the pairing of a user code, errNoPairing, or the error with which the request ends.
func (a *Authenticator) typed(r *http.Request, req *gatehouse.Request, book *Book, typed string) (*Pairing, error) {
	key := backoff.KeyOf(req.Identity.Name())
	if wait := book.guesses.Begin(key); wait > 0 {
		return nil, req.Refuse(verdict.Verdict{Reason: verdict.TooManyAttempts, RetryAfter: wait, Detail: "user codes that were wrong"})
	}
	code := UserCode(typed)
	if code == "" {
		return nil, errNoPairing
	}
	p, err := book.pairings.Waiting(r.Context(), code, scope.Hostname(r.Host), req.Site.Tenant, time.Now())
	switch {
	case errors.Is(err, errNoPairing):
		return nil, err
	case err != nil:
		book.guesses.Undo(key)
		return nil, req.Deny(verdict.Unavailable, err.Error())
	}
	book.guesses.Succeeded(key)
	return p, nil
}

// pairPage asks for a code, or, of a pairing, for a decision.
func (a *Authenticator) pairPage(req *gatehouse.Request, v gatehouse.PageVisit, p *Pairing) page.Device {
	view := page.Device{Site: req.Site.Name, RequestID: req.ID, Action: devicePath, CSRF: v.CSRF, AccountURL: gatehouse.PortalPrefix + "account"}
	if p == nil {
		return view
	}
	who := req.Identity.Identity()
	if view.Name = who.Name; view.Name == "" {
		view.Name = who.Subject
	}
	view.UserCode, view.Client, view.Address, view.Host = shown(p.UserCode), p.Client, p.From.String(), p.Host
	view.Far = clientip.Network(p.From) != clientip.Network(req.ClientIP)
	view.Lasts, view.Scopes, view.Methods = time.Duration(a.Device.Lasts), p.Scopes, a.Device.Methods
	for _, pattern := range a.Device.Paths {
		view.Paths = append(view.Paths, pattern.String())
	}
	return view
}

// decide notes what the person says. That it was approved is on record before it counts.
func (a *Authenticator) decide(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, book *Book, p *Pairing) error {
	approve := r.PostForm.Get("do") == "approve"
	if !approve && r.PostForm.Get("do") != "deny" {
		return req.Deny(verdict.BadRequest, "what is decided about the device is not said")
	}
	state, err := a.house.State()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	who := personOf(req.Identity.Provider(), req.Identity.Subject())
	_, err = book.people.Last(r.Context(), who.Provider, who.Subject, req.Site.Tenant)
	if errors.Is(err, ledger.ErrNotFound) && approve { // such as in an emergency: no key outlives it
		return req.Deny(verdict.Forbidden, "whoever pairs a device must have logged in with an account of their own")
	}
	if err != nil && approve {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	told := req.Event(event.DeviceDenied)
	if approve {
		told.Kind = event.DeviceApproved
	}
	told.Attrs = []event.Attr{{Key: "device", Value: p.Client}, {Key: "device_address", Value: p.From.String()}, {Key: "host", Value: p.Host}}
	if err := state.Bus.Record(told); err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	err = book.pairings.Decide(r.Context(), p.ID, who, approve, time.Now())
	if errors.Is(err, errNoPairing) {
		return req.Deny(verdict.LoginExpired, "the pairing was decided, or is over")
	}
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	of := page.DeviceDenied
	if approve {
		of = page.DevicePaired
	}
	page.Write(w, r, http.StatusOK, page.Notice{Site: req.Site.Name, RequestID: req.ID, Of: of, URL: gatehouse.KeysPath})
	return nil
}

// serveKeys shows a person their keys, and revokes those that they want gone.
func (a *Authenticator) serveKeys(w http.ResponseWriter, r *http.Request, v gatehouse.PageVisit) error {
	req := v.Request
	if !req.Identity.Known() {
		return req.ChallengeLogin(r, "keys")
	}
	book, err := a.opened()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		if err := v.CheckCSRF(); err != nil {
			return err
		}
		return a.revokeMine(w, r, req, book)
	default:
		return badMethod(w, req, "GET, HEAD, POST")
	}
	keys, _, err := book.List(r.Context(), req.Identity.Name(), maxOfOwner)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	view := page.Keys{
		Site: req.Site.Name, RequestID: req.ID, Action: gatehouse.KeysPath, CSRF: v.CSRF, Now: time.Now(),
		AccountURL: gatehouse.PortalPrefix + "account", Done: r.Form.Get("done") != "",
	}
	if a.Device != nil {
		view.PairURL = devicePath
	}
	for _, k := range keys {
		if k.Tenant != req.Site.Tenant || !view.Now.Before(k.Expires) {
			continue
		}
		view.Keys = append(view.Keys, page.Key{
			ID: k.ID, Name: strings.TrimPrefix(k.Note, "device: "), Hosts: slices.Clone(k.Scope.Hosts), Created: k.Created, Used: k.LastUsed, Expires: k.Expires,
		})
	}
	page.Write(w, r, http.StatusOK, view)
	return nil
}

func (a *Authenticator) revokeMine(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, book *Book) error {
	k, err := book.Revoke(r.Context(), r.PostForm.Get("revoke"), req.Identity.Name())
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if state, err2 := a.house.State(); err == nil && err2 == nil {
		e := req.Event(event.APIKeyRevoked)
		e.Session, e.Detail = k.ID, "by its owner"
		state.Bus.Publish(e)
	}
	w.Header().Set("Location", gatehouse.KeysPath+"?"+url.Values{"done": {"1"}}.Encode())
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
