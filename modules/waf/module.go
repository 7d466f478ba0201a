package waf

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/verdict"
)

func init() {
	caddy.RegisterModule(Handler{})
	caddy.RegisterModule(BodyHandler{})
}

// defaultBodyLimit is how large an inspected body may be unless the site says otherwise.
const defaultBodyLimit = 10 << 20

// engines holds the *shared engine of each distinct configuration, keyed by Config.Key.
var engines = caddy.NewUsagePool()

// bodies is the one budget of the process.
var bodies = NewBudget(DefaultBudget)

// shared is an engine in the pool. Leaving the pool only means that no later site will find it there; Engine says
// when it is really released.
type shared struct{ *Engine }

// Destruct implements caddy.Destructor.
func (shared) Destruct() error { return nil }

// Handler is the head of the WAF: it judges the request line and the headers, and requests without a body entirely.
type Handler struct {
	// CRS's paranoia level, 1 to 4: how much is inspected, and how many false positives to expect. Default: 1.
	Paranoia int `json:"paranoia,omitempty"`

	// What follows from a match: "block" refuses the request, "detect" notes what would have been refused.
	// Default: block.
	Mode Mode `json:"mode,omitempty"`

	// The largest body, in bytes, of a type that is inspected (forms, JSON, XML, text). Larger ones are refused; other
	// types are streamed and not limited. At most 64 MiB. Default: 10 MiB.
	BodyLimit int64 `json:"body_limit,omitempty"`

	// The applications behind the site whose exclusions are loaded: node-red, wordpress, ….
	Apps []string `json:"apps,omitempty"`

	// How much of a body's text the rules are run over, in bytes, where each value counts for some more and uploaded
	// files for nothing; what costs more is refused. It bounds the time a request can take. Default: 256 KiB.
	InspectLimit int64 `json:"inspect_limit,omitempty"`

	// The most values a JSON body may have, 1,000 to 100,000. Default: 10,000.
	ArgLimit int `json:"argument_limit,omitempty"`

	// A directory with the site's own rules: the folders before and after hold .conf files that are loaded before and
	// after CRS. Changes are taken up within seconds; files that do not compile are reported and change nothing.
	Rules string `json:"rules,omitempty"`

	// Judge what the backend answers, too: status, headers, and of text the first ResponseLimit bytes, which are held
	// back until they are judged. Event streams, downloads and the like are never held.
	ResponseInspection bool `json:"response_inspection,omitempty"`

	// How much of an answer is inspected, in bytes. At most 8 MiB. Default: 512 KiB.
	ResponseLimit int64 `json:"response_limit,omitempty"`

	// What rules are taken away from, in which place.
	Exclude []Exclusion `json:"exclude,omitempty"`

	// Whether proof is tried that no rule can match, before the rules judge: on or off. It changes what a request costs,
	// never what becomes of it. Default: on.
	Prover Switch `json:"prover,omitempty"`

	// Parts of the site that are judged otherwise.
	Routes []Route `json:"routes,omitempty"`

	// Other rules to try beside these, without enforcing them.
	Shadow *ShadowConfig `json:"shadow,omitempty"`

	// Switches the WAF off for the site.
	InsecureOff bool `json:"insecure_waf_off,omitempty"`

	// Lets requests pass that could not be judged: the rules panicked, the budget is spent, too many are waiting. Each
	// is logged, counted and an event. What the rules or a limit refuse stays refused.
	InsecureFailOpen bool `json:"insecure_waf_fail_open,omitempty"`

	shadow *shadowing // nil without one

	live    *live    // nil when the WAF is off
	raised  *raised  // nil when the WAF is off; what an operator has raised it to, for a while
	options []string // the words of the site directive that were read
	logger  *zap.Logger
	house   *gatehouse.App  // nil only in tests
	site    *gatehouse.Site // whose WAF it is; nil in tests, and without a gate

	payloads gatehouse.PayloadKeeper // nil: what matched is not kept
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_waf", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds or compiles the engine.
func (h *Handler) Provision(ctx caddy.Context) error {
	logger := ctx.Logger()
	h.logger = logger
	if err := gatehouse.RegisterMetrics(ctx, collectors...); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if guest, err := ctx.AppIfConfigured("gatehouse"); err == nil {
		h.house = guest.(*gatehouse.App)
		h.site = h.house.Entered()
		h.payloads = h.house.Payloads()
	}
	if h.InsecureOff {
		logger.Warn("insecure_waf_off: the requests of a site are not inspected for attacks")
		h.attend(ctx, Config{})
		return nil
	}
	cfg, err := h.config()
	if err != nil {
		return gatehouse.Refused(err)
	}
	p, err := h.plan(cfg)
	if err != nil {
		if h.Rules != "" {
			err = cfg.locate(err)
		}
		return gatehouse.Refused(fmt.Errorf("waf: %w", err))
	}
	if err := h.draw(p); err != nil {
		h.release(p)
		return gatehouse.Refused(fmt.Errorf("waf: %w", err))
	}
	h.live = new(live)
	h.live.swap(p)
	if err := h.shade(ctx, cfg); err != nil {
		return gatehouse.Refused(fmt.Errorf("waf: %w", err))
	}
	h.warn(cfg)
	h.heedContainment(ctx, cfg)
	h.attend(ctx, cfg)
	return nil
}

// config is what the site says, with its rule files.
func (h *Handler) config() (Config, error) {
	cfg := Config{
		Paranoia:  cmp.Or(h.Paranoia, 1),
		Mode:      cmp.Or(h.Mode, Block),
		BodyLimit: cmp.Or(h.BodyLimit, defaultBodyLimit),
		Apps:      h.Apps,
		Exclude:   h.Exclude,
		Prover:    h.Prover,

		InspectLimit: h.InspectLimit, ArgLimit: h.ArgLimit,
	}
	if h.ResponseInspection {
		cfg.ResponseLimit = cmp.Or(h.ResponseLimit, DefaultResponseLimit)
	}
	if h.Rules != "" {
		files, err := ReadRules(os.DirFS(h.Rules))
		if err != nil {
			return cfg, fmt.Errorf("waf rules %s: %w", h.Rules, err)
		}
		cfg.Rules = files
	}
	return cfg, nil
}

// draw makes sure that the house's budget holds what the plan's engines may need, and gives it its size at start: a
// configuration that is refused changes nothing.
func (h *Handler) draw(p *plan) error {
	if h.house == nil {
		return nil
	}
	size := cmp.Or(h.house.WAFBudget, DefaultBudget)
	h.house.AtStart(func() { bodies.resize(size) })
	for _, part := range p.parts() {
		if err := part.engine.cfg.fits(size); err != nil {
			return err
		}
	}
	return nil
}

// warn says at start what of the site is judged more leniently than an operator may remember.
func (h *Handler) warn(cfg Config) {
	if cfg.Mode == Detect {
		h.logger.Warn("waf mode detect: attacks on a site are noted, not refused")
	}
	if h.InsecureFailOpen {
		h.logger.Warn("insecure_waf_fail_open: requests to a site that cannot be judged pass")
	}
	for _, r := range h.Routes {
		switch {
		case r.InsecureOff:
			h.logger.Warn("insecure_waf_off: the requests of a route are not inspected for attacks", zap.Stringer("route", r.Path))
		case r.Mode == Detect && cfg.Mode != Detect:
			h.logger.Warn("waf mode detect: attacks on a route are noted, not refused", zap.Stringer("route", r.Path))
		}
	}
}

// plan compiles cfg and the routes over it.
func (h *Handler) plan(cfg Config) (*plan, error) {
	return newPlan(cfg, h.Routes, func(cfg Config) (*Engine, string, error) { return compile(cfg, h.logger) }, h.release)
}

// release gives a plan's references back; its engines stay usable. A nil plan has none.
func (h *Handler) release(p *plan) {
	if p == nil {
		return
	}
	for _, key := range p.keys {
		if _, err := engines.Delete(key); err != nil {
			h.logger.Error("giving back an engine", zap.Error(err))
		}
	}
}

// compile takes the engine of cfg out of the pool, or puts it there. The reference is given back by its key.
func compile(cfg Config, logger *zap.Logger) (*Engine, string, error) {
	key := cfg.Key()
	found, known, err := engines.LoadOrNew(key, func() (caddy.Destructor, error) {
		e, err := New(cfg, bodies)
		return shared{e}, err
	})
	if err != nil {
		return nil, "", err
	}
	e := found.(shared).Engine
	if !known {
		on, why := e.Prover()
		logger.Info("compiled the WAF's rules", zap.Int("rules", e.Rules()), zap.Int("paranoia", cfg.Paranoia),
			zap.Duration("took", e.Elapsed()), zap.String("engine", key[:12]), zap.Bool("prover", on), zap.String("why_not", why))
		if e.proverState() == proverNone {
			logger.Warn("nothing can be proven about these rules: all of them judge every request, which costs more",
				zap.String("engine", key[:12]), zap.String("why", why))
		}
	}
	return e, key, nil
}

// choose returns what judges the request, and by what name it goes in notes. No engine and no error: the WAF is off.
func (h *Handler) choose(r *http.Request, req *gatehouse.Request) (part, error) {
	switch {
	case h.live == nil && h.InsecureOff:
		return part{}, nil
	case h.live == nil:
		return part{}, req.Deny(verdict.Internal, "the WAF was never provisioned")
	}
	if p, ok := r.Context().Value(canaryKey{}).(part); ok && req.Probe() {
		return p, nil
	}
	if p := h.raised.over(); p != nil {
		req.Note("waf_raised", strconv.Itoa(p.site.cfg.Paranoia))
		return p.choose(req.Path), nil
	}
	return h.live.plan.Load().choose(req.Path), nil
}

// Cleanup gives the references back. The engines stay usable: requests may still be in flight, or yet arrive.
func (h *Handler) Cleanup() error {
	if h.live == nil {
		return nil
	}
	if p, first := h.live.close(); first {
		h.release(p)
		h.unshade()
		h.unraise()
	}
	return nil
}

// off is what req.WAF holds on a site, or a route, whose WAF is switched off.
type off struct{}

// ServeHTTP judges the head, leaves the inspection in req.WAF for the body handler, and ends it when the rest of the
// row has returned.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	if req.WAF != nil {
		return req.Deny(verdict.Internal, "the WAF's head stands twice in the row")
	}
	by, err := h.choose(r, req)
	if err != nil {
		return err
	}
	if by.engine == nil {
		req.WAF = off{}
		if by.route != "" {
			noteOff(req, by.route)
		}
		return next.ServeHTTP(w, r)
	}
	i := by.engine.Inspect(req.ID)
	i.failOpen, i.digest, i.connection = h.InsecureFailOpen, h.digest, req.Connection
	i.site, i.teller = siteName(req), h
	i.takes = h.payloads != nil && !req.Probe()
	req.WAF = i
	offer := h.follow(r, req, i)
	defer func() {
		i.Close()
		note(req, i, by.route)
		h.tellFailure(req, i)
		h.tellDetected(r, req, i)
		h.remember(r, req, i)
		h.keepPayload(req, i)
		h.tellDistrust(req, by.engine)
		h.debug(req, i)
		offer()
	}()
	if v := i.Head(r, req.ClientIP); v.Given() {
		return req.Refuse(v)
	}
	return next.ServeHTTP(w, r)
}

// BodyHandler is the body of the WAF. It has no settings: which engine judges is the head's to say.
type BodyHandler struct{}

// CaddyModule returns the Caddy module information.
func (BodyHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_waf_body", New: func() caddy.Module { return new(BodyHandler) }}
}

// ServeHTTP judges the body of a request that may reach the backend.
func (BodyHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	if !req.Grant.Given() {
		return req.Deny(verdict.Internal, "the WAF's body stands before a grant was given")
	}
	switch i := req.WAF.(type) {
	case *Inspection:
		if v := i.Body(r); v.Given() {
			return req.Refuse(v)
		}
		if i.watches() {
			return respond(w, r, req, i, next)
		}
	case off:
	default:
		return req.Deny(verdict.Internal, "the WAF's body stands without its head")
	}
	return next.ServeHTTP(w, r)
}

// respond has the backend answer, and lets pass what the rules let pass.
func respond(rw http.ResponseWriter, r *http.Request, req *gatehouse.Request, i *Inspection, next caddyhttp.Handler) error {
	askForGzip(r.Header)
	w := newResponseWriter(rw, r, i)
	v, err := w.serve(next)
	noteResponse(req, i)
	if v.Given() {
		return req.Refuse(v)
	}
	return err
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*BodyHandler)(nil)
)
