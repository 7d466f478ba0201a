package waf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
)

// ShadowConfig says by what other rules a share of the site's requests is judged once more, beside the request path.
// Nothing is enforced; disagreements are logged and counted.
type ShadowConfig struct {
	// The paranoia level to try. Default: the site's.
	Paranoia int `json:"paranoia,omitempty"`
	// A candidate for the site's rule directory. Default: the site's. Changes are taken up within seconds.
	Rules string `json:"rules,omitempty"`
	// Leave out the site's own exclusions, in words and in rule files: what they are for is what the shadow then finds.
	NoExclusions bool `json:"no_exclusions,omitempty"`
	// The share of requests, from 0 to 1. Default: 0.1.
	Share float64 `json:"share,omitempty"`
}

// defaultShare is what a shadow takes unless told otherwise; its own pace limits it further.
const defaultShare = 0.1

// shadowPeriod is how often a shadow says how much it has judged.
const shadowPeriod = 10 * time.Minute

// String says in a word or two what is tried.
func (c ShadowConfig) String() string {
	var words []string
	if c.Paranoia != 0 {
		words = append(words, fmt.Sprintf("paranoia %d", c.Paranoia))
	}
	if c.Rules != "" {
		words = append(words, "rules "+c.Rules)
	}
	if c.NoExclusions {
		words = append(words, noExclusions)
	}
	return strings.Join(words, ", ")
}

// noExclusions is how the log names a shadow that judges without the site's exclusions; lint looks for it.
const noExclusions = "no exclusions"

// shadowing is a site's shadow, with the plan that says which of its engines judges which path.
type shadowing struct {
	*Shadow
	live  live
	files RuleFiles // what its engines were first compiled from, with exclusions
}

// shade makes the site's shadow, which runs from the house's start until ctx ends. It is the site as it would be with
// these words, its routes included: what a route says for itself stays as it is there.
func (h *Handler) shade(ctx caddy.Context, cfg Config) error {
	c := h.Shadow
	if c == nil {
		return nil
	}
	share := cmp.Or(c.Share, defaultShare)
	if share < 0 || share > 1 {
		return fmt.Errorf("shadow: a share of %v: want more than 0 and at most 1", share)
	}
	if c.Rules != "" {
		files, err := ReadRules(os.DirFS(c.Rules))
		if err != nil {
			return fmt.Errorf("shadow rules %s: %w", c.Rules, err)
		}
		cfg.Rules = files
	}
	p, err := h.shadowPlan(cfg)
	if err != nil {
		return fmt.Errorf("shadow: %w", err)
	}
	h.shadow = &shadowing{Shadow: NewShadow(p.site, share), files: cfg.Rules}
	h.shadow.live.swap(p)
	h.shadow.digest = h.digest
	if h.house != nil {
		h.house.AtStart(func() {
			go h.shadow.Run(ctx, h.tellDifference)
			go h.tellShadow(ctx)
		})
	}
	return nil
}

// shadowPlan compiles the shadow of a site with this configuration, whose rules are the shadow's.
func (h *Handler) shadowPlan(cfg Config) (*plan, error) {
	cfg.Paranoia = cmp.Or(h.Shadow.Paranoia, cfg.Paranoia)
	routes := h.Routes
	if h.Shadow.NoExclusions {
		cfg.Rules, cfg.Exclude = cfg.Rules.withoutExclusions(), nil
		routes = slices.Clone(routes)
		for n := range routes {
			routes[n].Exclude = nil
		}
	}
	return newPlan(cfg, routes, func(cfg Config) (*Engine, string, error) {
		cfg.Mode, cfg.ResponseLimit = Detect, 0
		return compile(cfg, h.logger)
	}, h.release)
}

// reshade has the shadow judge by other rules from now on. Those before stay when these do not compile.
func (h *Handler) reshade(cfg Config, files RuleFiles) (*Engine, error) {
	cfg.Rules = files
	p, err := h.shadowPlan(cfg)
	if err != nil {
		return nil, cfg.locate(err)
	}
	h.release(h.shadow.live.swap(p))
	return p.site, nil
}

// unshade gives the shadow's engines back.
func (h *Handler) unshade() {
	if h.shadow == nil {
		return
	}
	if p, first := h.shadow.live.close(); first {
		h.release(p)
	}
}

// follow copies the request for the shadow, if chance says so, and returns what hands the copy over once the request
// has been judged.
func (h *Handler) follow(r *http.Request, req *gatehouse.Request, i *Inspection) func() {
	if h.shadow == nil || req.Probe() {
		return func() {}
	}
	c := h.shadow.Take(r, req.ClientIP)
	if c != nil {
		c.engine, c.connection = h.shadow.live.plan.Load().choose(req.Path).engine, req.Connection
	}
	i.copy = c
	return func() {
		h.shadow.Offer(c, Difference{
			RequestID: req.ID, Site: siteName(req), Method: event.Clip(r.Method, 32), Path: event.Clip(req.Path.Decoded, 1024),
			ClientIP: req.ClientIP.String(), User: req.Identity.Name(), Live: i.found,
		})
	}
}

// tellDifference logs and counts what the shadow would have decided otherwise.
func (h *Handler) tellDifference(d Difference) {
	result := "rules"
	switch {
	case d.Agrees():
		shadowed.WithLabelValues(d.Site, "agreed").Inc()
		return
	case d.Worse():
		result = "would_refuse"
	case d.Live.Blocking && !d.Shadow.Blocking:
		result = "would_pass"
	}
	shadowed.WithLabelValues(d.Site, result).Inc()
	fields := []zap.Field{zap.String("request_id", d.RequestID), zap.String("site", d.Site)}
	user, path, matched := d.User, d.Path, FormatMatches(d.Shadow.Matches)
	address, _ := netip.ParseAddr(d.ClientIP)
	client, veiled := "", false
	if h.house != nil {
		e := event.Ended{Event: event.Event{Time: time.Now(), Site: d.Site, ClientIP: address, User: user, Path: path, Method: d.Method, Detail: matched}}
		if client, veiled = h.house.Veil(&e); veiled {
			address, user, path, d.Method, matched = e.ClientIP, e.User, e.Path, e.Method, e.Detail
		}
	}
	fields = gatehouse.AppendClient(fields, address, client, veiled)
	h.logger.Named("shadow").Info(result, append(fields,
		zap.String("method", d.Method), zap.String("path", path), zap.String("user", user), zap.Int("waf_score", d.Live.Score),
		zap.String("waf_rules", d.Live.RuleList()), zap.Int("shadow_score", d.Shadow.Score),
		zap.String("shadow_rules", d.Shadow.RuleList()), zap.String("shadow_matched", matched),
		zap.String("shadow", h.Shadow.String()))...)
}

// tellShadow says every shadowPeriod, and at the end, how much was judged since: what disagreements are to be read against.
func (h *Handler) tellShadow(ctx context.Context) {
	site := ""
	if s := h.site; s != nil {
		site = s.Name
	}
	tick := time.NewTicker(shadowPeriod)
	defer tick.Stop()
	judgedBefore, droppedBefore := uint64(0), uint64(0)
	for over := false; !over; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			over = true
		}
		judged, dropped := h.shadow.Counts()
		if judged == judgedBefore && dropped == droppedBefore {
			continue
		}
		shadowed.WithLabelValues(site, "dropped").Add(float64(dropped - droppedBefore))
		h.logger.Named("shadow").Info("judged", zap.String("site", site), zap.String("shadow", h.Shadow.String()),
			zap.Uint64("judged", judged-judgedBefore), zap.Uint64("dropped", dropped-droppedBefore))
		judgedBefore, droppedBefore = judged, dropped
	}
}

// parseShadow reads
//
//	shadow {
//		paranoia 1|2|3|4
//		rules    <dir>
//		exclusions off
//		share    <percent>%
//	}
func (h *Handler) parseShadow(d *caddyfile.Dispenser) error {
	h.Shadow = new(ShadowConfig)
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, value := d.Val(), ""
		if !d.Args(&value) || d.NextArg() {
			return d.ArgErr()
		}
		if err := h.Shadow.option(d.File(), word, value); err != nil {
			return d.Errf("waf shadow: %v", err)
		}
	}
	if h.Shadow.String() == "" {
		return d.Err("waf shadow: say what is to be tried: `paranoia 2`, `rules <dir>`, or `exclusions off`")
	}
	return nil
}

func (c *ShadowConfig) option(file, word, value string) error {
	switch word {
	case "paranoia":
		level, err := strconv.Atoi(value)
		if err != nil || level < 1 || level > 4 {
			return fmt.Errorf("paranoia %q: want 1, 2, 3 or 4", value)
		}
		c.Paranoia = level
	case "rules":
		if c.Rules = value; !filepath.IsAbs(value) && file != "" {
			c.Rules = filepath.Join(filepath.Dir(file), value)
		}
	case "exclusions":
		if value != "off" {
			return fmt.Errorf("exclusions %q: want off", value)
		}
		c.NoExclusions = true
	case "share":
		number, ok := strings.CutSuffix(value, "%")
		percent, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil || !(percent > 0 && percent <= 100) {
			return fmt.Errorf("share %q: want a percentage such as 10%%", value)
		}
		c.Share = percent / 100
	default:
		return errors.New("the options are paranoia, rules, exclusions, share")
	}
	return nil
}
