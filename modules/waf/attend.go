package waf

import (
	"fmt"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"gatehouse.internal/modules/internal/event"
)

// attend has the site's WAF tried, and its rule directories followed, from the house's start until ctx ends. cfg is what
// the engine was compiled from; it is not used when the WAF is off.
func (h *Handler) attend(ctx caddy.Context, cfg Config) {
	if h.site == nil {
		return // without a gate it answers 500
	}
	h.house.AtStart(func() {
		go (&canary{handler: h, site: h.site, publish: h.publish}).run(ctx)
		if h.live != nil && h.Rules != "" {
			go h.watcher(cfg, h.publish).run(ctx)
		}
		if h.shadow != nil && h.Shadow.Rules != "" {
			go h.shadowWatcher(cfg, h.publish).run(ctx)
		}
	})
}

// watcher returns what exchanges the site's engines when the rule directory changes, and those of a shadow that judges by
// the same rules.
func (h *Handler) watcher(cfg Config, publish func(event.Event)) *watcher {
	w := newWatcher(os.DirFS(h.Rules), cfg.Rules)
	w.load = func(files RuleFiles) (*Engine, error) {
		changed := cfg
		changed.Rules = files
		p, err := h.plan(changed)
		if err != nil {
			return nil, changed.locate(err)
		}
		h.release(h.live.swap(p))
		h.reraise(changed)
		if h.shadow != nil && h.Shadow.Rules == "" {
			if _, err := h.reshade(cfg, files); err != nil {
				h.logger.Error("the shadow keeps the rules before", zap.Error(err))
			}
		}
		return p.site, nil
	}
	h.toldOf(w, h.Rules, publish)
	return w
}

// shadowWatcher does the same for the directory of a candidate.
func (h *Handler) shadowWatcher(cfg Config, publish func(event.Event)) *watcher {
	w := newWatcher(os.DirFS(h.Shadow.Rules), h.shadow.files)
	w.load = func(files RuleFiles) (*Engine, error) { return h.reshade(cfg, files) }
	h.toldOf(w, "shadow "+h.Shadow.Rules, publish)
	return w
}

// toldOf has log, metric and bus told of what a watcher does.
func (h *Handler) toldOf(w *watcher, name string, publish func(event.Event)) {
	site := ""
	if h.site != nil {
		site = h.site.Name
	}
	tell := func(kind event.Kind, result, detail string) {
		ruleLoads.WithLabelValues(site, result).Inc()
		publish(event.Event{Time: time.Now(), Kind: kind, Site: site, Detail: detail})
	}
	w.accepted = func(e *Engine) {
		tell(event.RulesLoaded, "loaded", fmt.Sprintf("%s: %d rules", name, e.Rules()))
	}
	w.rejected = func(err error) {
		h.logger.Error("the changed rules were not loaded; those before stay", zap.String("rules", name), zap.Error(err))
		tell(event.RulesRejected, "rejected", fmt.Sprintf("%s: %v", name, err))
	}
}
