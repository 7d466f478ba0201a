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

	// A directory with the site's own rules: the folders before and after hold .conf files that are loaded before and
	// after CRS. It is read when the configuration is loaded; `reload --force` reads it again.
	Rules string `json:"rules,omitempty"`

	// Switches the WAF off for the site.
	InsecureOff bool `json:"insecure_waf_off,omitempty"`

	engine *Engine
	key    string // of our reference in the pool; "" when there is none
	option string // which word of the site directive was read
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_waf", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds or compiles the engine.
func (h *Handler) Provision(ctx caddy.Context) error {
	logger := ctx.Logger()
	if err := gatehouse.RegisterMetrics(ctx, collectors...); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if h.InsecureOff {
		logger.Warn("insecure_waf_off: the requests of a site are not inspected for attacks")
		return nil
	}
	cfg := Config{
		Paranoia:  cmp.Or(h.Paranoia, 1),
		Mode:      cmp.Or(h.Mode, Block),
		BodyLimit: cmp.Or(h.BodyLimit, defaultBodyLimit),
	}
	if h.Rules != "" {
		files, err := ReadRules(os.DirFS(h.Rules))
		if err != nil {
			return gatehouse.Refused(fmt.Errorf("waf rules %s: %w", h.Rules, err))
		}
		cfg.Rules = files
	}
	key := cfg.Key()
	found, known, err := engines.LoadOrNew(key, func() (caddy.Destructor, error) {
		e, err := New(cfg, bodies)
		return shared{e}, err
	})
	if err != nil {
		return gatehouse.Refused(fmt.Errorf("waf: %w", err))
	}
	h.engine, h.key = found.(shared).Engine, key
	if !known {
		logger.Info("compiled the WAF's rules", zap.Int("rules", h.engine.Rules()), zap.Int("paranoia", cfg.Paranoia),
			zap.Duration("took", h.engine.Elapsed()), zap.String("engine", key[:12]))
	}
	if cfg.Mode == Detect {
		logger.Warn("waf mode detect: attacks on a site are noted, not refused")
	}
	return nil
}

// Cleanup gives the reference back. The engine stays usable: requests may still be in flight, or yet arrive.
func (h *Handler) Cleanup() error {
	if h.key == "" {
		return nil
	}
	_, err := engines.Delete(h.key)
	h.key = ""
	return err
}

// off is what req.WAF holds on a site whose WAF is switched off.
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
	if h.engine == nil {
		if !h.InsecureOff {
			return req.Deny(verdict.Internal, "the WAF was never provisioned")
		}
		req.WAF = off{}
		return next.ServeHTTP(w, r)
	}
	i := h.engine.Inspect(req.ID)
	req.WAF = i
	defer func() {
		i.Close()
		note(req, i)
	}()
	if v := i.Head(r, req.ClientIP); v.Given() {
		return req.Refuse(v)
	}
	return next.ServeHTTP(w, r)
}

// note puts into log and metrics what was found, and never what it was found in.
func note(req *gatehouse.Request, i *Inspection) {
	site := ""
	if req.Site != nil {
		site = req.Site.Name
	}
	count(site, i)
	if len(i.found.Rules) > 0 {
		req.Note("waf_score", strconv.Itoa(i.found.Score))
		req.Note("waf_rules", i.found.RuleList())
		req.Note("waf_message", i.found.Message)
	}
	if i.outcome == Detected || (i.outcome == Failed && !i.decided.Given()) {
		req.Note("waf_mode", string(Detect)) // it would have been refused
	}
	if i.skipped != "" {
		req.Note("waf_skipped", i.skipped)
	}
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
	case off:
	default:
		return req.Deny(verdict.Internal, "the WAF's body stands without its head")
	}
	return next.ServeHTTP(w, r)
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*BodyHandler)(nil)
)
