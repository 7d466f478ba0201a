package apikey

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	devicePath     = gatehouse.PairPath
	deviceCodePath = devicePath + "/code"
	deviceToken    = devicePath + "/token"
	deviceMetadata = gatehouse.PortalPrefix + ".well-known/oauth-authorization-server"

	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

	defaultPairedLife = 30 * 24 * time.Hour
)

// Device says what the keys are for that programs get on a site by their users' approval (RFC 8628).
type Device struct {
	// The paths. Default: all.
	Paths []reqpath.Pattern `json:"paths,omitempty"`
	// The methods. Default: all that the site takes.
	Methods []string `json:"methods,omitempty"`
	// The scopes that a program may ask for. Default: none.
	Scopes []string `json:"scopes,omitempty"`
	// How long a key is good. Default: 30d.
	Lasts caddy.Duration `json:"lasts,omitempty"`
	// Approval takes a second factor, not older than that if it says so.
	MFA       bool           `json:"mfa,omitempty"`
	MFAMaxAge caddy.Duration `json:"mfa_max_age,omitempty"`
}

// draft is the key that a pairing leads to.
func (d *Device) draft(p *Pairing, now time.Time) *Key {
	k := &Key{
		Person: p.Person, Tenant: p.Tenant, Scopes: p.Scopes, Expires: now.Add(time.Duration(d.Lasts)),
		Scope: scope.Scope{Hosts: []string{p.Host}, Paths: d.Paths, Methods: slices.Clone(d.Methods)},
		Note:  "device: " + p.Client,
	}
	k.By = k.Owner()
	return k
}

// provision fills in what is left open, and takes the places of the site's portal.
func (d *Device) provision(a *Authenticator) error {
	if len(d.Paths) == 0 {
		all, err := reqpath.ParsePattern("/*")
		if err != nil {
			return err
		}
		d.Paths = []reqpath.Pattern{all}
	}
	if d.Lasts == 0 {
		d.Lasts = caddy.Duration(defaultPairedLife)
	}
	try := d.draft(&Pairing{Host: "host.example", Scopes: d.Scopes, Person: personOf("local", "somebody")}, time.Now())
	if err := try.check(time.Now()); err != nil {
		return gatehouse.Refused(fmt.Errorf("device_pairing: %w", err))
	}
	for path, serve := range map[string]servePage{
		devicePath: a.servePairing, deviceCodePath: a.serveCode, deviceToken: a.serveToken, deviceMetadata: a.serveMetadata,
	} {
		a.house.AddPage(path, serve)
	}
	return nil
}

// servePage is a place of the portal.
type servePage func(w http.ResponseWriter, r *http.Request, v gatehouse.PageVisit) error

// ServePage implements [gatehouse.PortalPage].
func (f servePage) ServePage(w http.ResponseWriter, r *http.Request, v gatehouse.PageVisit) error {
	return f(w, r, v)
}

// serveMetadata says where things are, as RFC 8414 has it.
func (a *Authenticator) serveMetadata(w http.ResponseWriter, r *http.Request, v gatehouse.PageVisit) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return badMethod(w, v.Request, "GET, HEAD")
	}
	origin := "https://" + r.Host
	said := map[string]any{"issuer": issuerName(r), "response_types_supported": []string{}, "token_endpoint_auth_methods_supported": []string{"none"}}
	var grants, scopes []string
	if d := a.Device; d != nil {
		grants, scopes = append(grants, deviceGrant), d.Scopes
		said["device_authorization_endpoint"], said["token_endpoint"] = origin+deviceCodePath, origin+deviceToken
	}
	if slices.ContainsFunc(a.APIs, func(api API) bool { return api.Tokens != nil }) {
		grants = append(grants, clientGrant, exchangeGrant)
		said["token_endpoint"], said["jwks_uri"] = origin+tokenPath, origin+tokenKeys
		said["token_endpoint_auth_methods_supported"] = []string{"none", "client_secret_basic", "client_secret_post"}
	}
	said["grant_types_supported"], said["scopes_supported"] = grants, append([]string{}, scopes...)
	return answer(w, http.StatusOK, said)
}

// serveCode is the device authorization endpoint (RFC 8628 3.1).
func (a *Authenticator) serveCode(w http.ResponseWriter, r *http.Request, v gatehouse.PageVisit) error {
	req := v.Request
	if r.Method != http.MethodPost {
		return badMethod(w, req, "POST")
	}
	client, err := clientName(r.PostForm.Get("client_id"))
	if err != nil {
		return oauthError(w, req, "invalid_request", err.Error())
	}
	scopes := strings.Fields(r.PostForm.Get("scope"))
	for _, s := range scopes {
		if !slices.Contains(a.Device.Scopes, s) {
			return oauthError(w, req, "invalid_scope", "the scopes here are: "+strings.Join(a.Device.Scopes, " "))
		}
	}
	book, err := a.opened()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	p := &Pairing{Client: client, From: req.ClientIP, Host: scope.Hostname(r.Host), Tenant: req.Site.Tenant, Scopes: scopes}
	code, err := book.pairings.Ask(r.Context(), p, time.Now().UTC())
	if errors.Is(err, errManyAsking) {
		return req.Refuse(verdict.Verdict{Reason: verdict.RateLimited, RetryAfter: pairFor, Detail: "too many programs wait to be paired"})
	}
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	req.Note("device_client", client)
	at := "https://" + r.Host + devicePath
	return answer(w, http.StatusOK, map[string]any{
		"device_code": code, "user_code": shown(p.UserCode), "verification_uri": at,
		"verification_uri_complete": at + "?user_code=" + shown(p.UserCode),
		"expires_in":                int(pairFor / time.Second), "interval": int(pollInterval / time.Second),
	})
}

// serveToken is the token endpoint (RFC 8628 3.4). The token is an API key.
func (a *Authenticator) serveToken(w http.ResponseWriter, r *http.Request, v gatehouse.PageVisit) error {
	req := v.Request
	if r.Method != http.MethodPost {
		return badMethod(w, req, "POST")
	}
	if r.PostForm.Get("grant_type") != deviceGrant {
		return oauthError(w, req, "unsupported_grant_type", "the grant here is "+deviceGrant)
	}
	book, err := a.opened()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	now := time.Now().UTC()
	p, err := book.pairings.Poll(r.Context(), r.PostForm.Get("device_code"), r.PostForm.Get("client_id"), scope.Hostname(r.Host), req.Site.Tenant, now)
	for _, known := range []error{errPending, errSlowDown, errDenied, errTooLate, errNoPairing} {
		if errors.Is(err, known) {
			return oauthError(w, req, known.Error(), "")
		}
	}
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	return a.deliver(w, r, req, book, p, now)
}

// deliver makes the key that a person has approved, and gives it to the program: once, since it is stored nowhere.
func (a *Authenticator) deliver(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, book *Book, p *Pairing, now time.Time) error {
	draft := a.Device.draft(p, now)
	_, err := book.people.Last(r.Context(), p.Person.Provider, p.Person.Subject, p.Tenant)
	var text string
	if err == nil {
		text, err = book.Issue(r.Context(), draft)
	}
	switch {
	case errors.Is(err, store.ErrDown):
		return req.Deny(verdict.Unavailable, err.Error())
	case errors.Is(err, ledger.ErrNotFound): // their sessions were ended since
		return oauthError(w, req, errDenied.Error(), "whoever approved may not use the gateway any more")
	case err != nil:
		return oauthError(w, req, errDenied.Error(), err.Error())
	}
	if state, err := a.house.State(); err == nil {
		e := req.Event(event.APIKeyCreated)
		e.User, e.Session, e.Attrs = draft.Owner(), draft.ID, []event.Attr{{Key: "device", Value: p.Client}}
		state.Bus.Publish(e)
	}
	return answer(w, http.StatusOK, map[string]any{
		"access_token": text, "token_type": "Bearer", "expires_in": int(time.Duration(a.Device.Lasts) / time.Second),
		"scope": strings.Join(draft.Scopes, " "),
	})
}

func badMethod(w http.ResponseWriter, req *gatehouse.Request, allow string) error {
	w.Header().Set("Allow", allow)
	return req.Deny(verdict.BadMethod, "")
}

// oauthError answers as RFC 6749 5.2 has it.
func oauthError(w http.ResponseWriter, req *gatehouse.Request, code, description string) error {
	req.Note("device_error", code)
	body := map[string]string{"error": code}
	if description != "" {
		body["error_description"] = description
	}
	return answer(w, http.StatusBadRequest, body)
}

func answer(w http.ResponseWriter, status int, body any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(body)
}
