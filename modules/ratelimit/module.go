package ratelimit

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

func init() {
	caddy.RegisterModule(new(Settings))
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(new(UserHandler))
}

// off is what a setting is that bounds nothing; zero is its default.
const off = -1

// Settings are the house's words about what one client may take of the node, over all sites.
type Settings struct {
	// How many TCP connections one client network may have. Default: 4096.
	Connections int `json:"connections,omitempty"`
	// How many TCP connections there may be together. Default: 16384.
	AllConnections int `json:"all_connections,omitempty"`
	// How many bytes a second a body must come with, on the average, while it is waited for; -1: any. Default: 500.
	BodyRate int64 `json:"body_rate,omitempty"`
	// How long a body may keep the gateway waiting at first, and so long at the most whatever it sent before. Default: 20s.
	BodyGrace caddy.Duration `json:"body_grace,omitempty"`
	// How much of all processors the WAF may take for one client network, in percent; -1: any. Default: 50.
	CPU int `json:"cpu,omitempty"`
	// How many bytes of bodies a second one client network may send, after BodyBurst. Default: any.
	Body int64 `json:"body,omitempty"`
	// How many at once. Default: a minute's.
	BodyBurst int64 `json:"body_burst,omitempty"`
}

const (
	patience        = 24 * time.Hour // with silent calls
	defaultBodyRate = 500            // as Apache's mod_reqtimeout
	bodyGrace       = 20 * time.Second
	defaultCPU      = 50               // percent
	cpuBurst        = 10 * time.Second // of the share
	bodyBurst       = 60               // seconds' worth
	bodyUnit        = 1 << 10
)

// CaddyModule returns the Caddy module information.
func (*Settings) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.client_limits", New: func() caddy.Module { return new(Settings) }}
}

// Provision checks the words.
func (s *Settings) Provision(caddy.Context) error {
	switch {
	case s.Connections < 0 || s.AllConnections < 0:
		return errors.New("client_limits: there is no gateway without connections: want a positive number")
	case s.CPU > 100 || s.CPU < off:
		return errors.New("client_limits: cpu: want a share from 1% to 100%")
	case s.BodyGrace < 0 || s.BodyRate < off || s.Body < 0 || s.BodyBurst < 0 || s.Body > maxBody || s.BodyBurst > maxBody*bodyBurst:
		return errors.New("client_limits: body: want rates up to 100GiB, and a positive grace")
	}
	return nil
}

// maxBody bounds what can be written, so that sums stay far from overflowing.
const maxBody = 100 << 30

// budgets are what the words come to on this machine.
func (s *Settings) budgets() (cpu, bytes Budget) {
	if share := int64(cmp.Or(s.CPU, defaultCPU)); share > 0 {
		second := share * int64(runtime.GOMAXPROCS(0)) * time.Second.Microseconds() / 100
		cpu = newBudget(budgetCPU, second, second*int64(cpuBurst/time.Second))
	}
	if s.Body > 0 {
		second := max(s.Body/bodyUnit, 1)
		bytes = newBudget(budgetBody, second, max(cmp.Or(s.BodyBurst/bodyUnit, second*bodyBurst), 1))
	}
	return cpu, bytes
}

// Handler keeps the limits of client networks and headers.
type Handler struct {
	door
	// How many requests of one client network may run at one time; WebSockets and event streams count as long as they
	// are open. Default: any number.
	MaxConcurrent int `json:"max_concurrent,omitempty"`

	cpu, bytes Budget
	bodyRate   int64
	bodyGrace  time.Duration
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
	if err := h.provision(ctx, true); err != nil {
		return err
	}
	said, ok := h.house.Room("client_limits").(*Settings)
	if !ok {
		said = new(Settings)
	}
	h.house.BoundConnections(said.AllConnections, said.Connections)
	h.cpu, h.bytes = said.budgets()
	h.bodyRate, h.bodyGrace = max(cmp.Or(said.BodyRate, defaultBodyRate), 0), cmp.Or(time.Duration(said.BodyGrace), bodyGrace)
	return nil
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
	if err := h.inDebt(req, limiter.node); err != nil {
		return err
	}
	if refusal := limiter.Judge(Asked{Path: req.Path, Client: req.ClientIP, Header: r.Header}, w.Header()); refusal != nil {
		return h.refuse(req, refusal)
	}
	h.account(r, req, limiter.node)
	defer func() { limiter.node.Spend(h.cpu, req.ClientIP, req.Inspected.Microseconds()) }()
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

// inDebt refuses the request of a client network that has taken more than its share.
func (h *Handler) inDebt(req *gatehouse.Request, n *Node) error {
	for _, b := range []*Budget{&h.cpu, &h.bytes} {
		if wait := n.Owes(*b, req.ClientIP); wait > 0 {
			refused.WithLabelValues(req.Site.Name, b.key).Inc()
			return req.Refuse(verdict.Verdict{
				Reason: verdict.RateLimited, RetryAfter: wait,
				Detail: fmt.Sprintf("%s of client network %s (client_limits)", b.what, clientip.Network(req.ClientIP)),
			})
		}
	}
	return nil
}

// account charges the client for the body, as it is read, and cuts the request when it comes too slowly. Calls of gRPC
// may be silent for as long as they like: what they have not sent is not waited for. So may what was upgraded, which is
// no body.
func (h *Handler) account(r *http.Request, req *gatehouse.Request, n *Node) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	b := &body{ReadCloser: r.Body}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		if idle, ok := r.Body.(*caddyhttp.IdleTimeoutReader); ok { // Caddy's own limit, of a minute
			idle.Override(patience, 0)
		}
	} else {
		b.pace = newPace(h.bodyRate, h.bodyGrace)
		b.slow = func() {
			req.Run.Cut(running.Cut{Note: "slow_body", Why: fmt.Sprintf("its body comes with less than %d bytes a second", h.bodyRate), Reason: verdict.RequestTimeout})
		}
	}
	if h.bytes.bounds() {
		b.charge = func(read int64) { n.Spend(h.bytes, req.ClientIP, (read+bodyUnit-1)/bodyUnit) }
	}
	r.Body = b
}

// UserHandler keeps the limits of users, sessions, tenants and API keys. It stands after authenticate.
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
	asked := Asked{
		Path: req.Path, Client: req.ClientIP,
		User: req.Identity.Name(), Session: req.Identity.Session(), Tenant: req.Identity.Tenant(),
	}
	if req.Identity.Method() == identity.ByAPIKey {
		asked.Key = req.Identity.Session()
	}
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
	made  gatehouse.Kept[Limiter]
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
			return d.at(fmt.Errorf("rate_limit: per %s belongs into the other of the room's two handlers, gatehouse_rate_limit (client, header) and gatehouse_rate_limit_user (user, session, tenant, key)", r.Per))
		}
	}
	return gatehouse.RegisterMetrics(ctx, refused, evicted, sharing{}, apart)
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
	return d.made.Of(d.house, func(house *gatehouse.App) (*Limiter, error) {
		state, err := house.State()
		if err != nil {
			return nil, err
		}
		kept, err := state.Keep("ratelimit.node", func() (caddy.Destructor, error) {
			var shares *Shares
			if _, several := store.Nodes(state.Store); several {
				shares = NewShares(state.Store, func() int {
					nodes, _ := store.Nodes(state.Store)
					return len(nodes)
				})
			}
			n := NewNode(shares)
			counted.Store(n)
			return n, nil
		})
		if err != nil {
			return nil, err
		}
		return NewLimiter(kept.(*Node), req.Site.Name, slices.Clone(d.Limits)), nil
	})
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
