package authz

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/support"
	"gatehouse.internal/modules/internal/verdict"
)

func init() { caddy.RegisterModule(new(Handler)) }

// errNoDevices refuses a condition that would never hold, which nobody means.
var errNoDevices = errors.New("device: the gateway tells devices apart only where the house says `verify`: put it into the gatehouse global option")

// Handler lets pass what the site's policy allows, and mints the grant without which nothing reaches the backend.
type Handler struct {
	Policy
	// Preflights pass whoever sends them: the site's application answers them itself. admit has taken everything off
	// them but the question, so that they tell the application nothing about anybody.
	Preflights bool `json:"preflights,omitempty"`
	// Files of policy tests, which the policy must pass; a name may be a glob.
	Tests []string `json:"tests,omitempty"`
	// How the site's paths may be spelled: as its admit handler has it. Only questions in words need to know.
	EncodedSlashes bool `json:"encoded_slashes,omitempty"`
	EmptySegments  bool `json:"empty_segments,omitempty"`
	// Where the site's directive stands, for error messages: file:line.
	Source string `json:"source,omitempty"`

	// A candidate policy, judged beside the one in force; nothing that it says is done.
	Shadow *Policy `json:"shadow,omitempty"`

	oracle  oracle
	shadow  *shadow // nil: there is no candidate
	house   *gatehouse.App
	factors gatehouse.SecondFactor
	support atomic.Pointer[support.Grants]
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_authorize", New: func() caddy.Module { return new(Handler) }}
}

// Provision makes the policy ready, and refuses one that needs a login where nobody can log in.
func (h *Handler) Provision(ctx caddy.Context) error {
	house, err := gatehouse.House(ctx)
	if err != nil {
		return err
	}
	h.factors = house.Factors()
	if h.oracle, err = h.ready(Families(house.Roles.Families)); err != nil {
		return h.at(err)
	}
	if site := house.Entered(); site != nil {
		h.oracle.site, h.oracle.hosts, h.oracle.tenant = site.Name, site.Hosts, site.Tenant
	}
	if h.needsLogin() && len(house.ProvidersOf(h.oracle.tenant)) == 0 {
		return h.at(errors.New("nobody can log in: put `local` or `oidc <issuer> <client-id> <secret>` into the gatehouse global option"))
	}
	if len(h.oracle.who.facts) > 0 && house.Room("verify") == nil {
		return h.at(errNoDevices)
	}
	if h.Shadow != nil {
		candidate, err := readyPolicy(h.Shadow, Families(house.Roles.Families))
		if err != nil {
			return h.at(fmt.Errorf("policy_shadow: %w", err))
		}
		if len(candidate.who.facts) > 0 && house.Room("verify") == nil {
			return h.at(fmt.Errorf("policy_shadow: %w", errNoDevices))
		}
		h.shadow = newShadow(candidate)
		house.Read(candidate.reads.Claims, candidate.reads.Groups, candidate.reads.AllGroups)
		if err := gatehouse.RegisterMetrics(ctx, shadowed); err != nil {
			return err
		}
	}
	if _, err := h.oracle.runFiles(h.Tests); err != nil {
		return gatehouse.Refused(err)
	}
	house.UseJudge(h.allows)
	h.house = house
	addHandler(house, h)
	house.Read(h.oracle.reads.Claims, h.oracle.reads.Groups, h.oracle.reads.AllGroups)
	return nil
}

// Cleanup implements caddy.CleanerUpper.
func (h *Handler) Cleanup() error {
	if h.house != nil {
		dropHandler(h.house, h)
	}
	return nil
}

// ready makes the policy ready to be asked.
func (h *Handler) ready(families Families) (oracle, error) {
	p, err := readyPolicy(&h.Policy, families)
	return oracle{
		program: p, portal: gatehouse.PortalPrefix,
		paths: reqpath.Options{AllowEncodedSlash: h.EncodedSlashes, AllowEmptySegments: h.EmptySegments},
	}, err
}

func readyPolicy(p *Policy, families Families) (*program, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return compile(p, families)
}

// at refuses the configuration, naming the place.
func (h *Handler) at(err error) error {
	if h.Source != "" && !strings.HasPrefix(err.Error(), h.Source[:strings.LastIndexByte(h.Source, ':')+1]) {
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
	if h.Preflights && gatehouse.IsPreflight(r) {
		req.Grant = verdict.Mint("preflight")
		return next.ServeHTTP(w, r)
	}
	q := Query{
		Path: req.Path, Method: r.Method, Host: r.Host, Client: req.ClientIP, Now: req.Start,
		Who: req.Identity, Tenant: req.Site.Tenant, Device: req.Device,
	}
	held, err := h.held(req, q.Now)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if len(held.Roles) > 0 {
		q.Granted, req.Granted = held.Roles, held.Roles
		req.Note("support_ticket", strings.Join(held.Tickets, " "))
	}
	d := h.oracle.decide(&q)
	if h.shadow != nil {
		then, differs := h.shadow.compare(&q, &d, req.ID)
		shadowed.WithLabelValues(req.Site.Name, string(d.Outcome()), string(then.Outcome())).Inc()
		if differs {
			req.Note("policy_shadow", judgedBy(&then))
		}
	}
	if d.Sensitive {
		req.Note("sensitive", d.Part)
	}
	if req.Audited = d.Audited; d.Audited != "" {
		req.Watch(event.RouteAnswered)
	}
	if !d.Allowed {
		return h.refuse(r, req, &d)
	}
	byGrant := len(held.Roles) > 0 && !h.allowedAnyway(q)
	if byGrant {
		h.demand(&d, req)
	}
	if err := h.meet(&d, r, req); err != nil {
		return err
	}
	if byGrant {
		d.Until = earliest(d.Until, held.Until)
		defer h.support.Load().Enter(req.Run, held)()
	}
	req.Grant = verdict.Mint(d.Rule)
	if !d.Until.IsZero() {
		req.Run.Until(d.Until, running.Cut{Note: "policy_cut", Why: "the time is over for which " + d.Rule + " allows it"})
	}
	return next.ServeHTTP(w, r)
}

// allows reports whether the policy lets a request go on now that an earlier configuration let in: it is allowed, and meets
// what is asked of it besides. When its time is over is not asked again: a later change of the configuration will.
func (h *Handler) allows(r *http.Request, req *gatehouse.Request) bool {
	q := Query{
		Path: req.Path, Method: r.Method, Host: r.Host, Client: req.ClientIP, Now: time.Now(),
		Who: req.Identity, Tenant: req.Site.Tenant, Device: req.Device,
	}
	held, err := h.held(req, q.Now)
	if err != nil {
		return false
	}
	q.Granted, req.Granted = held.Roles, held.Roles
	d := h.oracle.decide(&q)
	if d.Allowed && len(held.Roles) > 0 && !h.allowedAnyway(q) {
		h.demand(&d, req)
	}
	return d.Allowed && h.meets(&d, r.Method, req.Identity)
}

// held returns which roles whoever is logged in holds here for a while. Credentials that they have left with programs get
// none of it.
func (h *Handler) held(req *gatehouse.Request, now time.Time) (held support.Held, err error) {
	if req.Identity.Method() != identity.BySession {
		return held, nil
	}
	grants := h.support.Load()
	if grants == nil {
		state, err := h.house.State()
		if err != nil {
			return held, err
		}
		if grants, err = state.Support(); err != nil {
			return held, err
		}
		h.support.Store(grants)
	}
	site := support.Site{Name: req.Site.Name, Tenant: req.Site.Tenant, Hosts: req.Site.Hosts}
	return grants.Of(req.Identity.Provider(), req.Identity.Subject(), site, now), nil
}

// allowedAnyway reports whether the query would be allowed without what is held for a while.
func (h *Handler) allowedAnyway(q Query) bool {
	q.Granted = nil
	d := h.oracle.decide(&q)
	return d.Allowed
}

// demand has a request that is allowed by roles held for a while meet what the house asks of people who have such roles.
func (h *Handler) demand(d *Decision, req *gatehouse.Request) {
	who := req.Identity.Identity()
	who.Roles = slices.Concat(who.Roles, req.Granted)
	if !h.factors.Complete(identity.Suppose(who, req.Identity.Credential())) {
		d.Obligations = append(slices.Clone(d.Obligations), Obligation{Kind: MFA})
	}
}

// refuse says no: with a login where that could help, with the reasons for whoever reads the log.
func (h *Handler) refuse(r *http.Request, req *gatehouse.Request, d *Decision) error {
	if !req.Identity.Known() {
		if d.LoginHelps {
			return req.ChallengeLogin(r, d.Rule)
		}
		return req.Deny(verdict.Forbidden, d.Summary())
	}
	return req.Refuse(verdict.Verdict{Reason: verdict.Forbidden, Detail: d.Summary(), Location: gatehouse.PortalPrefix + "logout"})
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
