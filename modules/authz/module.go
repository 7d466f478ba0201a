package authz

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/verdict"
)

func init() { caddy.RegisterModule(Handler{}) }

// Handler lets pass what the site's policy allows, and mints the grant without which nothing reaches the backend.
type Handler struct {
	Policy
	// Preflights pass whoever sends them: the site's application answers them itself. admit has taken everything off
	// them but the question, so that they tell the application nothing about anybody.
	Preflights bool `json:"preflights,omitempty"`
	// Where the site's directive stands, for error messages: file:line.
	Source string `json:"source,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_authorize", New: func() caddy.Module { return new(Handler) }}
}

// Provision refuses a policy that needs a login where nobody can log in.
func (h *Handler) Provision(ctx caddy.Context) error {
	house, err := gatehouse.House(ctx)
	if err != nil {
		return err
	}
	if h.needsLogin() && len(house.Providers()) == 0 {
		return h.at(errors.New("nobody can log in: put `local` or `oidc <issuer> <client-id> <secret>` into the gatehouse global option"))
	}
	return nil
}

// Validate implements caddy.Validator.
func (h *Handler) Validate() error {
	if err := h.Policy.Validate(); err != nil {
		return h.at(err)
	}
	return nil
}

func (h *Handler) needsLogin() bool {
	for _, r := range h.Routes {
		if !r.Allow.Empty() {
			return true
		}
	}
	return !h.Allow.Empty()
}

// at refuses the configuration, naming the place.
func (h *Handler) at(err error) error {
	if h.Source != "" {
		err = fmt.Errorf("%s: %w", h.Source, err)
	}
	return gatehouse.Refused(err)
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	if strings.HasPrefix(req.Path.Folded+"/", gatehouse.PortalPrefix) { // the portal's, in any spelling; no backend's
		return req.Deny(verdict.NotFound, "the portal has no such page")
	}
	d := h.Decide(req.Path, req.Identity)
	switch {
	case h.Preflights && gatehouse.IsPreflight(r):
		req.Grant = verdict.Mint("preflight")
		return next.ServeHTTP(w, r)
	case d.Allowed:
		for _, o := range d.Obligations {
			if err := h.meet(o, r, req); err != nil {
				return err
			}
		}
		req.Grant = verdict.Mint(d.Rule)
		return next.ServeHTTP(w, r)
	case !req.Identity.Known():
		return req.ChallengeLogin(r, d.Rule)
	default:
		return req.Refuse(verdict.Verdict{Reason: verdict.Forbidden, Detail: d.Rule, Location: gatehouse.PortalPrefix + "logout"})
	}
}

// meet returns nil when the request meets the obligation, or the refusal that says how it can.
func (h *Handler) meet(o Obligation, _ *http.Request, req *gatehouse.Request) error {
	return req.Deny(verdict.Forbidden, fmt.Sprintf("the policy asks for %s, which nothing here can prove", o.Kind))
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
