package forward

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/verdict"
)

func init() { caddy.RegisterModule(Handler{}) }

// Handler sends the request on to the backend, which learns who the user is.
type Handler struct {
	// What the backend is told: user, provider, name, email, roles. Default: user and roles.
	Fields []Field `json:"fields"`
	// Of the user's roles, those that the backend is to know of; "*": all. The directive adds those that its rules name.
	Roles []string `json:"roles,omitempty"`
	// And those of these families of roles.
	Families []string `json:"families,omitempty"`

	// Tell it in a signed form too.
	Assertion *Assertion `json:"assertion,omitempty"`
	// Where the word stands, for error messages: file:line.
	Source string `json:"source,omitempty"`

	house  *gatehouse.App
	known  []string // both, sorted
	signer *signer  // nil: no assertion
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_forward", New: func() caddy.Module { return new(Handler) }}
}

// Provision fills in the default, and looks up the families.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	if h.Fields == nil {
		h.Fields = defaultFields
	}
	if h.house, err = gatehouse.House(ctx); err != nil {
		return err
	}
	h.known = slices.Clone(h.Roles)
	for _, family := range h.Families {
		h.known = append(h.known, h.house.Roles.Families[family]...)
	}
	slices.Sort(h.known)
	if h.Assertion != nil {
		site := h.house.Entered()
		if site == nil {
			return errors.New("forward: nothing before it in the row has admitted the request")
		}
		a := *h.Assertion
		if (a.Issuer == "" || a.Audience == "") && (len(site.Hosts) == 0 || strings.Contains(site.Hosts[0], "*")) {
			return gatehouse.Refused(fmt.Errorf("%sforward: the site has no host name of its own to stand in the assertion: write `assertion <audience> <issuer>`, such as `assertion https://app.example.com https://app.example.com`", h.where()))
		}
		if len(site.Hosts) > 0 {
			a.Issuer, a.Audience = cmp.Or(a.Issuer, "https://"+site.Hosts[0]), cmp.Or(a.Audience, "https://"+site.Hosts[0])
		}
		h.signer = newSigner(a)
	}
	return nil
}

func (h *Handler) where() string {
	if h.Source == "" {
		return ""
	}
	return h.Source + ": "
}

// Validate implements caddy.Validator.
func (h *Handler) Validate() error { return validate(h.Fields) }

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	if !req.Grant.Given() {
		return req.Deny(verdict.Internal, "forward was reached without a grant")
	}
	cookie.Strip(r.Header, cookie.Ours)
	delete(r.Header, gatehouse.StepUpHeader)
	if err := apply(r.Header, h.Fields, h.known, req.Told(), req.Granted...); err != nil {
		req.Note("roles_not_forwarded", err.Error())
	}
	if h.signer != nil && req.Told().Known() {
		if err := h.assert(r, req); err != nil { // an application that relies on it must not see the request without it
			return req.Deny(verdict.Unavailable, err.Error())
		}
	}
	if req.Audited != "" {
		if err := h.putOnRecord(r, req); err != nil {
			return req.Deny(verdict.Unavailable, "this route's requests go on record first, and they cannot: "+err.Error())
		}
	}
	return next.ServeHTTP(w, r)
}

// putOnRecord returns when it is durable who asks for what: nothing of the request has reached the application yet, and nothing else
// will refuse it. What became of it is told when it has ended.
func (h *Handler) putOnRecord(r *http.Request, req *gatehouse.Request) error {
	state, err := h.house.State()
	if err != nil {
		return err
	}
	e := req.Event(event.RouteRequested)
	e.Method, e.Path = event.Clip(r.Method, 32), event.Clip(req.Path.Decoded, 1024)
	e.Attrs = []event.Attr{{Key: "route", Value: req.Audited}, {Key: "grant", Value: req.Grant.Rule()}}
	return state.Bus.Record(e)
}

// assert adds the signed assertion.
func (h *Handler) assert(r *http.Request, req *gatehouse.Request) error {
	state, err := h.house.State()
	if err != nil {
		return err
	}
	token, err := h.signer.assert(state.Keys, h.Fields, h.known, req.Told(), time.Now(), req.Granted...)
	if err != nil {
		return err
	}
	r.Header[AssertionHeader] = []string{token}
	return nil
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
