package ratelimit

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/verdict"
)

func init() {
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(new(UserHandler))
}

// Handler keeps the limits of client networks and headers.
type Handler struct {
	door
	// How many requests of one client network may run at one time; WebSockets and event streams count as long as they
	// are open. Default: any number.
	MaxConcurrent int `json:"max_concurrent,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_rate_limit", New: func() caddy.Module { return new(Handler) }}
}

// Provision checks the limits, and adds the one for the gateway's own pages.
func (h *Handler) Provision(ctx caddy.Context) error {
	covered := false
	for i := range h.Limits {
		covered = covered || h.Limits[i].coversLogin()
	}
	if !covered {
		h.Limits = append(h.Limits, loginRule())
	}
	if h.MaxConcurrent < 0 {
		return h.at(fmt.Errorf("max_concurrent %d: want a positive number", h.MaxConcurrent))
	}
	return h.provision(ctx, true)
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	limiter, err := h.limiter(req)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if refusal := limiter.Judge(Asked{Path: req.Path, Client: req.ClientIP, Header: r.Header}, w.Header()); refusal != nil {
		return h.refuse(req, refusal)
	}
	if h.MaxConcurrent == 0 {
		return next.ServeHTTP(w, r)
	}
	leave, ok := limiter.Enter(req.ClientIP, h.MaxConcurrent)
	if !ok {
		refused.WithLabelValues(req.Site.Name, "concurrent").Inc()
		return req.Refuse(verdict.Verdict{
			Reason: verdict.RateLimited, RetryAfter: time.Second,
			Detail: fmt.Sprintf("%d requests of the client network run already (max_concurrent)", h.MaxConcurrent),
		})
	}
	defer leave()
	return next.ServeHTTP(w, r)
}

// UserHandler keeps the limits of users and sessions. It stands after authenticate.
type UserHandler struct{ door }

// CaddyModule returns the Caddy module information.
func (*UserHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_rate_limit_user", New: func() caddy.Module { return new(UserHandler) }}
}

// Provision checks the limits.
func (h *UserHandler) Provision(ctx caddy.Context) error { return h.provision(ctx, false) }

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *UserHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	if !req.Identity.Known() || len(h.Limits) == 0 {
		return next.ServeHTTP(w, r)
	}
	limiter, err := h.limiter(req)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	asked := Asked{Path: req.Path, Client: req.ClientIP, User: req.Identity.Name(), Session: req.Identity.Session()}
	if refusal := limiter.Judge(asked, w.Header()); refusal != nil {
		return h.refuse(req, refusal)
	}
	return next.ServeHTTP(w, r)
}

// door is what both handlers have in common.
type door struct {
	// The limits; each of them must have a token for a request to pass.
	Limits []Rule `json:"limits,omitempty"`
	// Where the site's directive stands, for error messages: file:line.
	Source string `json:"source,omitempty"`

	house *gatehouse.App
	made  atomic.Pointer[Limiter]
}

func (d *door) provision(ctx caddy.Context, early bool) (err error) {
	if d.house, err = gatehouse.House(ctx); err != nil {
		return err
	}
	for i := range d.Limits {
		r := &d.Limits[i]
		if err := r.compile(); err != nil {
			return d.at(fmt.Errorf("rate_limit: %w", err))
		}
		if r.early() != early {
			return d.at(fmt.Errorf("rate_limit: per %s belongs into the other of the room's two handlers, gatehouse_rate_limit (client, header) and gatehouse_rate_limit_user (user, session)", r.Per))
		}
	}
	return gatehouse.RegisterMetrics(ctx, refused, evicted)
}

// at refuses the configuration, naming the place.
func (d *door) at(err error) error {
	if d.Source != "" {
		err = fmt.Errorf("%s: %w", d.Source, err)
	}
	return gatehouse.Refused(err)
}

// limiter returns the site's limiter, whose buckets the house keeps.
func (d *door) limiter(req *gatehouse.Request) (*Limiter, error) {
	if l := d.made.Load(); l != nil { // Fast path
		return l, nil
	}
	state, err := d.house.State()
	if err != nil {
		return nil, err
	}
	kept, err := state.Keep("ratelimit.node", func() (caddy.Destructor, error) {
		n := NewNode()
		counted.Store(n)
		return n, nil
	})
	if err != nil {
		return nil, err
	}
	l := NewLimiter(kept.(*Node), req.Site.Name, append([]Rule(nil), d.Limits...))
	d.made.CompareAndSwap(nil, l)
	return d.made.Load(), nil
}

func (d *door) refuse(req *gatehouse.Request, r *Refusal) error {
	key := string(r.Rule.Per)
	if r.Rule.login {
		key = "login"
	}
	refused.WithLabelValues(req.Site.Name, key).Inc()
	what := []string{r.Rule.Rate, "burst", fmt.Sprint(r.Rule.Burst), "of", r.Whom}
	for _, p := range r.Rule.Paths {
		what = append(what, p.String())
	}
	return req.Refuse(verdict.Verdict{Reason: verdict.RateLimited, RetryAfter: r.Retry, Detail: strings.Join(what, " ")})
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddy.Provisioner           = (*UserHandler)(nil)
	_ caddyhttp.MiddlewareHandler = (*UserHandler)(nil)
)
