package authn

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
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
type Handler struct {
	service
	// Paths that pages ask for by themselves, again and again: such requests do not keep a session alive.
	Background []reqpath.Pattern `json:"background,omitempty"`
	// Which other credentials are accepted, in the order in which they are asked for.
	AuthenticatorsRaw []json.RawMessage `json:"authenticators,omitempty" caddy:"namespace=gatehouse.authenticators inline_key=authenticator"`

	asserted, ambient []gatehouse.Authenticator // ambient credentials are sent by browsers by themselves
	watched           atomic.Pointer[visits]
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_authenticate", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the house, and has it tell of leaked sessions.
func (h *Handler) Provision(ctx caddy.Context) error {
	if err := h.service.Provision(ctx); err != nil {
		return err
	}
	h.house.OnLeak(h.leaked)
	h.house.UseReview(h.review)
	h.house.UseSessions(h)
	h.house.AddDirectory("sessions", h)
	h.house.OnErase(gatehouse.SessionsErased, h.erase)
	if err := h.loadAuthenticators(ctx); err != nil {
		return err
	}
	return registerMetrics(ctx)
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	req.Challenger = h
	if done, err := h.byCredential(w, r, req, next, h.asserted); done {
		return err
	}
	token, ok := cookie.Get(r.Header, sessionCookie)
	if !ok {
		return h.withoutSession(w, r, req, next)
	}
	sessions, err := h.sessions()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	portal := strings.HasPrefix(req.Path.Decoded, gatehouse.PortalPrefix)
	var proof identity.Proof
	if portal { // its answers are short, and the one that ends a session must not be cut by it
		proof, err = sessions.Lookup(r.Context(), token, hostOf(r), h.limits, h.use(r, req))
	} else {
		var visit *Visit
		if visit, err = sessions.Enter(req.Run, token, hostOf(r), h.limits, h.use(r, req)); err == nil {
			defer visit.Leave()
			h.identify(req, visit.Proof)
			visit.Review(h.house.StillAllowed(r, req, visit.Proof))
			return next.ServeHTTP(w, r)
		}
	}
	switch {
	case err == nil:
		h.identify(req, proof)
	case errors.Is(err, errNoSession):
		return h.withoutSession(w, r, req, next)
	case !errors.Is(err, errProviderDown): // unknown is not nobody: a page load must not be sent to log in again
		return req.Deny(verdict.Unavailable, err.Error())
	case !portal: // where one can still log in another way
		return req.Refuse(verdict.Verdict{Reason: verdict.ProviderDown, Detail: err.Error(), RetryAfter: renewRetry})
	}
	return next.ServeHTTP(w, r)
}

// identify says who makes the request, unless they may not use the house any more, or the configuration has given up
// the provider: its word counts no more.
func (h *Handler) identify(req *gatehouse.Request, proof identity.Proof) {
	idp := h.find(proof.Provider())
	if idp == nil || !h.allowed(proof) {
		return
	}
	req.Identity = proof
	if e, ok := idp.(gatehouse.Emergency); ok {
		req.Watch(e.Watched())
		req.Note("break_glass", proof.Subject())
	}
}

// review ends what runs by this configuration and may not go on by the one that took over from it.
func (h *Handler) review() {
	if sessions, err := h.sessions(); err == nil {
		sessions.streams.review()
	}
	if visits, err := h.visits(); err == nil {
		visits.review()
	}
}

// use says what the request tells of the person. Asking how long the session lasts must not lengthen it.
func (h *Handler) use(r *http.Request, req *gatehouse.Request) Use {
	path := req.Path.Decoded
	tagged := path == sessionPath && r.Method != http.MethodPost ||
		slices.ContainsFunc(h.Background, func(p reqpath.Pattern) bool { return p.MatchAll(req.Path) })
	return classify(r, path, tagged)
}

// leaked ends the session of a request that others may have read.
func (h *Handler) leaked(r *http.Request) {
	token, ok := cookie.Get(r.Header, sessionCookie)
	if !ok {
		return
	}
	sessions, err := h.sessions()
	if err == nil {
		err = sessions.EndLeaked(r.Context(), token, "the cookie came over plain HTTP")
	}
	if err != nil {
		h.logger.Error("a session whose cookie leaked could not be ended", zap.Error(err))
	}
}

// LoginLocation implements [gatehouse.Challenger].
func (h *Handler) LoginLocation(r *http.Request, req *gatehouse.Request) string {
	if kept := h.keepPost(r, req); kept != "" {
		return loginPath + "?" + kept
	}
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
	// How long a login to this site lasts, where that differs from the house's.
	Session gatehouse.SessionPolicy `json:"session,omitzero"`

	house  *gatehouse.App
	site   *gatehouse.Site         // nil without admit in the row
	policy gatehouse.SessionPolicy // the house's, where Session leaves it open
	limits Limits
	logger *zap.Logger
	table  gatehouse.Kept[Sessions]
}

// Provision finds the house.
func (s *service) Provision(ctx caddy.Context) (err error) {
	if s.house, err = gatehouse.House(ctx); err != nil {
		return err
	}
	s.logger = ctx.Logger()
	s.policy = s.Session.Or(s.house.Session)
	if err := s.policy.Validate(); err != nil {
		return gatehouse.Refused(err)
	}
	s.limits = Limits{
		Idle: time.Duration(s.policy.Idle), AdminIdle: time.Duration(s.policy.AdminIdle), Max: time.Duration(s.policy.Max),
		Grace: time.Duration(s.policy.RenewalGrace), AdminRoles: s.policy.AdminRoles, Renewer: s.renewer, Vouched: s.house.Factors().Vouched,
	}
	if site := s.house.Entered(); site != nil { // without admit in the row, no request comes so far
		s.site, s.limits.Tenant = site, site.Tenant
	}
	return nil
}

// providers are those that vouch for people on this site.
func (s *service) providers() []gatehouse.IdentityProvider {
	return s.house.ProvidersOf(s.limits.Tenant)
}

// find returns the site's identity provider of this name, or nil.
func (s *service) find(name string) gatehouse.IdentityProvider {
	for _, idp := range s.providers() {
		if idp.Name() == name {
			return idp
		}
	}
	return nil
}

func (s *service) renewer(provider string) renewer {
	r, _ := s.find(provider).(renewer)
	return r
}

// sessions returns the node's table, which outlives configurations.
func (s *service) sessions() (*Sessions, error) { return s.table.Of(s.house, sessionsOf) }

func sessionsOf(house *gatehouse.App) (*Sessions, error) {
	state, err := house.State()
	if err != nil {
		return nil, err
	}
	people, err := state.Roster()
	if err != nil {
		return nil, err
	}
	kept, err := state.Keep("authn.sessions", func() (caddy.Destructor, error) {
		s, err := NewSessions(state.Store, state.Keys, state.Bus.Publish)
		if err != nil {
			return nil, err
		}
		s.Saw = people.Saw
		return s, nil
	})
	if err != nil {
		return nil, fmt.Errorf("opening the sessions: %w", err)
	}
	return kept.(*Sessions), nil
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ gatehouse.Challenger        = (*Handler)(nil)
)
