package forward

import (
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
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

	known []string // both, sorted
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_forward", New: func() caddy.Module { return new(Handler) }}
}

// Provision fills in the default, and looks up the families.
func (h *Handler) Provision(ctx caddy.Context) error {
	if h.Fields == nil {
		h.Fields = defaultFields
	}
	house, err := gatehouse.House(ctx)
	if err != nil {
		return err
	}
	h.known = slices.Clone(h.Roles)
	for _, family := range h.Families {
		h.known = append(h.known, house.Roles.Families[family]...)
	}
	slices.Sort(h.known)
	return nil
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
	if err := apply(r.Header, h.Fields, h.known, req.Told()); err != nil {
		req.Note("roles_not_forwarded", err.Error())
	}
	return next.ServeHTTP(w, r)
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
