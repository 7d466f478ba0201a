package waf

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"gatehouse.internal/modules/internal/containment"
)

// raised is the plan of a site whose WAF an operator has raised for a while (`gatehouse contain paranoia`): the site as it would be
// with every level below that one brought up to it. It is compiled before it takes effect, never for a request.
type raised struct {
	plan atomic.Pointer[plan] // nil: the site is judged as it says

	mu     sync.Mutex
	cfg    Config // guarded by mu; the site's, with the rule files in force
	level  int    // guarded by mu; of the plan in force; 0: none
	ready  *plan  // guarded by mu; compiled, and not in force yet; nil: none
	at     int    // guarded by mu; the level of ready
	closed bool   // guarded by mu
}

// over returns the plan that judges instead of the site's own, or nil. A nil raised has none.
func (r *raised) over() *plan {
	if r == nil {
		return nil
	}
	return r.plan.Load()
}

// heedContainment has the site's WAF raised while a switch says so, from the house's start until ctx ends.
func (h *Handler) heedContainment(ctx caddy.Context, cfg Config) {
	if h.house == nil || h.site == nil || h.live == nil {
		return
	}
	h.raised = &raised{cfg: cfg}
	h.house.AtStart(func() {
		err := h.openBoard(ctx)
		if err == nil {
			return
		}
		h.logger.Error("whether the WAF is raised is not known yet", zap.Error(err))
		go func() {
			again := time.NewTicker(time.Second)
			defer again.Stop()
			for h.openBoard(ctx) != nil {
				select {
				case <-ctx.Done():
					return
				case <-again.C:
				}
			}
		}()
	})
}

func (h *Handler) openBoard(ctx caddy.Context) error {
	state, err := h.house.State()
	if err != nil {
		return err
	}
	board, err := state.Containment()
	if err == nil {
		h.followBoard(ctx, board)
	}
	return err
}

func (h *Handler) place() containment.Place {
	return containment.Place{Site: h.site.Name, Tenant: h.site.Tenant, Hosts: h.site.Hosts}
}

func (h *Handler) followBoard(ctx caddy.Context, board *containment.Board) {
	kick := make(chan struct{}, 1)
	level := func() int { return board.Level(h.place(), time.Now()) }
	unhear := board.OnChange(func() {
		if h.takeReady(level()) { // what was compiled for it counts at once
			return
		}
		select {
		case kick <- struct{}{}:
		default:
		}
	})
	unprepare := board.OnPrepare(func(s *containment.Switch) error {
		if s.Kind != containment.Paranoia || !s.Covers(h.place()) {
			return nil
		}
		return h.prepare(max(s.Level, level()))
	})
	h.raise(level())
	go func() {
		defer unhear()
		defer unprepare()
		for {
			select {
			case <-ctx.Done():
				return
			case <-kick:
				h.raise(level())
			}
		}
	}()
}

// raisedPlan compiles the site with this level as the lowest.
func (h *Handler) raisedPlan(cfg Config, level int) (*plan, error) {
	cfg.Paranoia = max(cfg.Paranoia, level)
	routes := slices.Clone(h.Routes)
	for i := range routes {
		if routes[i].Paranoia != 0 {
			routes[i].Paranoia = max(routes[i].Paranoia, level)
		}
	}
	return newPlan(cfg, routes, func(cfg Config) (*Engine, string, error) { return compile(cfg, h.logger) }, h.release)
}

// prepare compiles what judges at the level, and keeps it until it is in force.
func (h *Handler) prepare(level int) error {
	r := h.raised
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.level == level || r.ready != nil && r.at == level {
		return nil
	}
	p, err := h.raisedPlan(r.cfg, level)
	if err != nil {
		return fmt.Errorf("site %s: its WAF cannot be raised to level %d: %w", h.site.Name, level, err)
	}
	h.release(r.ready)
	r.ready, r.at = p, level
	return nil
}

// takeReady puts in force what is compiled for the level, if it is, and reports whether nothing is left to do.
func (h *Handler) takeReady(level int) bool {
	r := h.raised
	if !r.mu.TryLock() { // somebody compiles
		return false
	}
	defer r.mu.Unlock()
	return h.settleRaised(level)
}

// settleRaised puts in force what is ready for the level, or takes back what is. r.mu is held.
func (h *Handler) settleRaised(level int) bool {
	r := h.raised
	switch {
	case r.closed:
		return true
	case level == 0:
		h.release(r.plan.Swap(nil))
		r.level = 0
	case r.ready != nil && r.at == level:
		h.release(r.plan.Swap(r.ready))
		r.level, r.ready = level, nil
		h.logger.Info("the WAF of a site is raised", zap.Int("paranoia", level))
	case r.level != level:
		return false
	}
	h.release(r.ready)
	r.ready = nil
	return true
}

// raise has the WAF judge at the level, having compiled for it if nobody has. What does not compile leaves the level before.
func (h *Handler) raise(level int) {
	r := h.raised
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.settleRaised(level) {
		return
	}
	p, err := h.raisedPlan(r.cfg, level)
	if err != nil {
		h.logger.Error("the WAF of a site is not raised", zap.Int("paranoia", level), zap.Error(err))
		return
	}
	h.release(r.ready)
	r.ready, r.at = p, level
	h.settleRaised(level)
}

// reraise has what is raised judge by the site's rule files as they are now, too.
func (h *Handler) reraise(cfg Config) {
	r := h.raised
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cfg = cfg
	h.release(r.ready) // by the rules before
	r.ready = nil
	if r.level == 0 || r.closed {
		return
	}
	p, err := h.raisedPlan(cfg, r.level)
	if err != nil {
		h.logger.Error("what is raised keeps the rules before", zap.Error(err))
		return
	}
	h.release(r.plan.Swap(p))
}

// unraise gives the engines back; they stay usable.
func (h *Handler) unraise() {
	r := h.raised
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	h.release(r.plan.Load())
	h.release(r.ready)
	r.ready = nil
}
