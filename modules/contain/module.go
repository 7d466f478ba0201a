package contain

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/containment"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/verdict"
)

func init() {
	caddy.RegisterModule(new(Handler))
	gatehouse.OnErase("containment switches", erase)
}

// Handler refuses what a switch has closed, and asks for second factors where one says so.
type Handler struct {
	house *gatehouse.App
	board gatehouse.Kept[containment.Board]
	place *containment.Place
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_contain", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the house, and the site whose row it is.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	if h.house, err = gatehouse.House(ctx); err != nil {
		return err
	}
	h.place = new(containment.Place)
	if site := h.house.Entered(); site != nil {
		*h.place = placeOf(site)
	}
	return gatehouse.RegisterMetrics(ctx, active)
}

func placeOf(site *gatehouse.Site) containment.Place {
	return containment.Place{Site: site.Name, Tenant: site.Tenant, Hosts: site.Hosts}
}

// open returns the house's switches.
func (h *Handler) open() (*containment.Board, error) {
	return h.board.Of(h.house, func(house *gatehouse.App) (*containment.Board, error) {
		state, err := house.State()
		if err != nil {
			return nil, err
		}
		return state.Containment()
	})
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	board, err := h.open()
	if err != nil { // nobody can say whether a switch is in force
		return req.Deny(verdict.Unavailable, err.Error())
	}
	a := containment.Asked{Place: h.place, Path: req.Path, Portal: portal(r, req), Writes: writes(r) && !within(req, gatehouse.LinkPath), Who: req.Identity}
	stay := board.Enter(req.Run, &a)
	defer stay.Leave()
	if s := board.Hits(&a, time.Now()); s != nil {
		if err := h.heed(r, req, s); err != nil {
			return err
		}
	}
	return next.ServeHTTP(w, r)
}

// heed returns the refusal of a request that a switch hits, or nil when it comes with the proof that is asked for.
func (h *Handler) heed(r *http.Request, req *gatehouse.Request, s *containment.Switch) error {
	req.Note("containment", s.ID)
	now := time.Now()
	if s.Kind != containment.StepUp {
		return req.Refuse(s.Verdict(now))
	}
	need := gatehouse.FactorNeed{Required: true, MaxAge: s.ProofWithin(now), Rule: s.Why()}
	if req.Identity.Method() != identity.BySession && !h.house.Factors().Meets(req.Identity, need) { // guests and keys can prove nothing
		v := s.Verdict(now)
		v.RetryAfter = 0
		return req.Refuse(v)
	}
	return h.house.Factors().Judge(r, req, need)
}

// portal reports whether the request is for pages that no switch closes: the gateway's own, but for those on which people let programs
// have keys and programs get tokens, and the button that uses up a link, which only a lock closes.
func portal(r *http.Request, req *gatehouse.Request) bool {
	return within(req, gatehouse.PortalPrefix) &&
		!(writes(r) && (within(req, gatehouse.PairPath) || within(req, gatehouse.TokenPath) || within(req, gatehouse.LinkPath)))
}

// within reports whether the request is for that page, or one below.
func within(req *gatehouse.Request, page string) bool {
	return strings.HasPrefix(req.Path.Folded+"/", strings.TrimSuffix(page, "/")+"/")
}

// writes reports whether the request may change something: by its method (RFC 9110 9.2.1), or because it opens a connection
// through which anything can be sent that nobody here reads (RFC 9110 7.8, RFC 6455).
func writes(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return len(r.Header["Upgrade"]) > 0
	}
	return true
}

// erase deletes the switches of a tenant that has left. What is in force still is lifted first, on record.
func erase(ctx context.Context, house *gatehouse.App, whose gatehouse.Whose, count bool) (int, error) {
	if whose.Tenant == "" {
		return 0, nil
	}
	state, err := house.State()
	if err != nil {
		return 0, err
	}
	board, err := state.Containment()
	if err != nil {
		return 0, err
	}
	theirs := func(s *containment.Switch) bool { return s.Tenant == whose.Tenant }
	for _, s := range board.Active(time.Now()) {
		if count || !theirs(s) {
			continue
		}
		lifted, err := board.Lift(ctx, s.ID, "offboarding", "the tenant has left")
		if lifted != nil {
			err = errors.Join(err, state.Bus.Record(gatehouse.ContainmentEvent(event.ContainmentLifted, *lifted)))
		}
		if err != nil {
			return 0, err
		}
	}
	return board.Erase(ctx, theirs, count)
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
