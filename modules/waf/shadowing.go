package waf

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
)

// ShadowConfig says by what other rules a share of the site's requests is judged once more, beside the request path.
// Nothing is enforced; disagreements are logged and counted.
type ShadowConfig struct {
	// The paranoia level to try. Default: the site's.
	Paranoia int `json:"paranoia,omitempty"`
	// A candidate for the site's rule directory. Default: the site's.
	Rules string `json:"rules,omitempty"`
	// The share of requests, from 0 to 1. Default: 0.1.
	Share float64 `json:"share,omitempty"`
}

// defaultShare is what a shadow takes unless told otherwise; its own pace limits it further.
const defaultShare = 0.1

// shadowing is a site's shadow, with the plan that says which of its engines judges which path.
type shadowing struct {
	*Shadow
	plan *plan
}

// shade makes the site's shadow, which runs from the house's start until ctx ends. It is the site as it would be with
// these words, its routes included: what a route says for itself stays as it is there.
func (h *Handler) shade(ctx caddy.Context, cfg Config) error {
	c := h.Shadow
	if c == nil {
		return nil
	}
	if c.Paranoia != 0 {
		cfg.Paranoia = c.Paranoia
	}
	if c.Rules != "" {
		files, err := ReadRules(os.DirFS(c.Rules))
		if err != nil {
			return fmt.Errorf("shadow rules %s: %w", c.Rules, err)
		}
		cfg.Rules = files
	}
	share := c.Share
	if share == 0 {
		share = defaultShare
	}
	if share < 0 || share > 1 {
		return fmt.Errorf("shadow: a share of %v: want more than 0 and at most 1", share)
	}
	p, err := newPlan(cfg, h.Routes, func(cfg Config) (*Engine, string, error) {
		cfg.Mode, cfg.ResponseLimit = Detect, 0
		return compile(cfg, h.logger)
	}, h.release)
	if err != nil {
		return fmt.Errorf("shadow: %w", err)
	}
	h.shadow = &shadowing{NewShadow(p.site, share), p}
	h.shadow.digest = h.digest
	if h.house != nil {
		h.house.AtStart(func() { go h.shadow.Run(ctx, h.tellDifference) })
	}
	return nil
}

// unshade gives the shadow's engines back.
func (h *Handler) unshade() {
	if h.shadow != nil {
		h.release(h.shadow.plan)
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
		c.engine, c.connection = h.shadow.plan.choose(req.Path).engine, req.Connection
	}
	i.copy = c
	return func() {
		h.shadow.Offer(c, Difference{
			RequestID: req.ID, Site: siteName(req), Method: r.Method, Path: req.Path.Decoded, User: req.Identity.Name(), Live: i.found,
		})
	}
}

// tellDifference logs and counts what the shadow would have decided otherwise.
func (h *Handler) tellDifference(d Difference) {
	result := "rules"
	switch {
	case d.Worse():
		result = "would_refuse"
	case d.Live.Blocking && !d.Shadow.Blocking:
		result = "would_pass"
	}
	shadowed.WithLabelValues(d.Site, result).Inc()
	h.logger.Named("shadow").Info(result,
		zap.String("request_id", d.RequestID), zap.String("site", d.Site), zap.String("method", d.Method),
		zap.String("path", d.Path), zap.String("user", d.User), zap.Int("waf_score", d.Live.Score),
		zap.String("waf_rules", d.Live.RuleList()), zap.Int("shadow_score", d.Shadow.Score),
		zap.String("shadow_rules", d.Shadow.RuleList()), zap.String("shadow_matched", FormatMatches(d.Shadow.Matches)))
}

// parseShadow reads
//
//	shadow {
//		paranoia 1|2|3|4
//		rules    <dir>
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
	if h.Shadow.Paranoia == 0 && h.Shadow.Rules == "" {
		return d.Err("waf shadow: say what is to be tried: `paranoia 2`, or `rules <dir>`")
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
	case "share":
		number, ok := strings.CutSuffix(value, "%")
		percent, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil || !(percent > 0 && percent <= 100) {
			return fmt.Errorf("share %q: want a percentage such as 10%%", value)
		}
		c.Share = percent / 100
	default:
		return errors.New("the options are paranoia, rules, share")
	}
	return nil
}
