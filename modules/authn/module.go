package authn

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/verdict"
)

func init() {
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(new(Portal))
}

const (
	sessionCookie = cookie.Ours
	bindingCookie = cookie.Ours + "-login"
)

// Handler finds out who makes the request: the proven identity, or nobody.
type Handler struct{ service }

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_authenticate", New: func() caddy.Module { return new(Handler) }}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	req.Challenger = h
	token, ok := cookie.Get(r.Header, sessionCookie)
	if !ok {
		return next.ServeHTTP(w, r)
	}
	sessions, err := h.sessions()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	proof, err := sessions.Lookup(r.Context(), token, hostOf(r), h.limits)
	switch {
	case err == nil:
		req.Identity = proof
	case !errors.Is(err, errNoSession): // unknown is not nobody: a page load must not be sent to log in again
		return req.Deny(verdict.Unavailable, err.Error())
	}
	return next.ServeHTTP(w, r)
}

// LoginLocation implements [gatehouse.Challenger].
func (h *Handler) LoginLocation(r *http.Request, _ *gatehouse.Request) string {
	next := "/"
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		next = r.URL.RequestURI() // canonical since admit
	}
	if next == "/" || len(next) > maxReturnTo {
		return loginPath
	}
	return loginPath + "?next=" + url.QueryEscape(next)
}

// hostOf names the site in the browser's terms; it equals the TLS server name, which has no case.
func hostOf(r *http.Request) string { return strings.ToLower(r.Host) }

// service is what authenticate and the portal have in common.
type service struct {
	house  *gatehouse.App
	limits Limits
	table  atomic.Pointer[Sessions]
}

// Provision finds the house.
func (s *service) Provision(ctx caddy.Context) (err error) {
	if s.house, err = gatehouse.House(ctx); err != nil {
		return err
	}
	p := s.house.Session
	s.limits = Limits{
		Idle: time.Duration(p.Idle), AdminIdle: time.Duration(p.AdminIdle), Max: time.Duration(p.Max),
		AdminRoles: p.AdminRoles,
	}
	return nil
}

// sessions returns the node's table, which outlives configurations.
func (s *service) sessions() (*Sessions, error) {
	if t := s.table.Load(); t != nil { // Fast path
		return t, nil
	}
	state, err := s.house.State()
	if err != nil {
		return nil, err
	}
	kept, err := state.Keep("authn.sessions", func() (caddy.Destructor, error) {
		return NewSessions(state.Store, state.Keys)
	})
	if err != nil {
		return nil, fmt.Errorf("opening the sessions: %w", err)
	}
	s.table.Store(kept.(*Sessions))
	return kept.(*Sessions), nil
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ gatehouse.Challenger        = (*Handler)(nil)
)
