package waf

import (
	"errors"
	"fmt"
	"slices"

	"gatehouse.internal/modules/internal/reqpath"
)

// Route is a part of a site that is judged otherwise. What it does not say is as the site says; Apps and Exclude add to
// the site's. Of several routes that hold a path, the most specific counts, alone.
type Route struct {
	// The part: one path, or a subtree.
	Path reqpath.Pattern `json:"path"`

	Paranoia     int         `json:"paranoia,omitempty"`
	Mode         Mode        `json:"mode,omitempty"`
	BodyLimit    int64       `json:"body_limit,omitempty"`
	InspectLimit int64       `json:"inspect_limit,omitempty"`
	ArgLimit     int         `json:"argument_limit,omitempty"`
	Apps         []string    `json:"apps,omitempty"`
	Exclude      []Exclusion `json:"exclude,omitempty"`
	Prover       Switch      `json:"prover,omitempty"`

	// Switches the WAF off for the part. It is logged at start, and noted with every request.
	InsecureOff bool `json:"insecure_waf_off,omitempty"`
}

// over returns the configuration of the route on a site with this one. Exclusions without a path hold in the route.
func (r Route) over(site Config) Config {
	cfg := site
	if r.Paranoia != 0 {
		cfg.Paranoia = r.Paranoia
	}
	if r.Mode != "" {
		cfg.Mode = r.Mode
	}
	if r.BodyLimit != 0 {
		cfg.BodyLimit = r.BodyLimit
	}
	if r.InspectLimit != 0 {
		cfg.InspectLimit = r.InspectLimit
	}
	if r.ArgLimit != 0 {
		cfg.ArgLimit = r.ArgLimit
	}
	if r.Prover != "" {
		cfg.Prover = r.Prover
	}
	cfg.Apps = slices.Concat(site.Apps, r.Apps)
	cfg.Exclude = slices.Concat(site.Exclude, r.Exclude)
	return cfg
}

// strictest returns what is at least as strict as the site and each of its routes: it judges the paths that one server
// could take to be in a route and another not. What routes add (applications, exclusions) opens, so that it is left out.
func strictest(site Config, routes []Config) Config {
	cfg := site.complete()
	for _, r := range routes {
		r = r.complete()
		cfg.Paranoia = max(cfg.Paranoia, r.Paranoia)
		if r.Mode == Block {
			cfg.Mode = Block
		}
		cfg.BodyLimit = min(cfg.BodyLimit, r.BodyLimit)
		cfg.InspectLimit = min(cfg.InspectLimit, r.InspectLimit)
		cfg.ArgLimit = min(cfg.ArgLimit, r.ArgLimit)
		if r.Prover == Off {
			cfg.Prover = Off
		}
	}
	return cfg
}

// checkRoutes refuses routes that say nothing, or the same path twice.
func checkRoutes(routes []Route) error {
	for i, r := range routes {
		empty := Route{Path: r.Path}
		says := r.Paranoia != 0 || r.Mode != "" || r.BodyLimit != 0 || r.InspectLimit != 0 || r.ArgLimit != 0 || r.Prover != "" || len(r.Apps)+len(r.Exclude) > 0
		switch {
		case empty.Path == reqpath.Pattern{}:
			return errors.New("a route without a path")
		case !says && !r.InsecureOff:
			return fmt.Errorf("route %s says nothing: put what is different there into it, such as `paranoia 2`", r.Path)
		case says && r.InsecureOff:
			return fmt.Errorf("route %s: nothing else counts beside insecure_waf_off", r.Path)
		case slices.ContainsFunc(routes[:i], func(o Route) bool { return o.Path.Compare(r.Path) == 0 }):
			return fmt.Errorf("route %s stands twice", r.Path)
		}
	}
	return nil
}

// plan is which engine judges which path of one site. It does not change once made.
type plan struct {
	site   *Engine
	strict *Engine   // nil without routes
	routes []planned // most specific first
	keys   []string  // of our references in the pool
}

// planned is one route's place in a plan.
type planned struct {
	path   reqpath.Pattern
	engine *Engine // nil: off
}

// part names one engine of a plan; route is "" for the site's own.
type part struct {
	engine *Engine
	route  string
}

// choose returns what judges a path; a nil engine means that the route is off.
//
// A path that only some server takes to be in the most specific of its routes is judged by the strictest of all: a
// route opens (less paranoia, an exclusion) for what everybody takes to be in it, and restricts whatever anybody could
// (decisions/0004). Routes after the first that could hold the path are less specific: in no reading do they count.
func (p *plan) choose(path reqpath.Path) part {
	for _, r := range p.routes {
		if !r.path.MatchFolded(path) {
			continue
		}
		if r.path.MatchAll(path) {
			return part{r.engine, r.path.String()}
		}
		return part{p.strict, r.path.String()}
	}
	return part{p.site, ""}
}

// parts are all engines of the plan, the site's first.
func (p *plan) parts() []part {
	all := []part{{p.site, ""}}
	for _, r := range p.routes {
		if r.engine != nil {
			all = append(all, part{r.engine, r.path.String()})
		}
	}
	if p.strict != nil {
		all = append(all, part{p.strict, "of paths with two readings"})
	}
	return all
}

// newPlan compiles the site's configuration and its routes'. compile gives the engine of a configuration and the key of
// a reference to it; release gives references back, which newPlan does when it fails.
func newPlan(site Config, routes []Route, compile func(Config) (*Engine, string, error), release func(*plan)) (_ *plan, err error) {
	if err := checkRoutes(routes); err != nil {
		return nil, err
	}
	p := new(plan)
	defer func() {
		if err != nil {
			release(p)
		}
	}()
	engine := func(cfg Config) (*Engine, error) {
		e, key, err := compile(cfg)
		if err == nil {
			p.keys = append(p.keys, key)
		}
		return e, err
	}
	if p.site, err = engine(site); err != nil || len(routes) == 0 {
		return p, err
	}
	var configs []Config
	for _, r := range slices.SortedFunc(slices.Values(routes), func(a, b Route) int { return a.Path.Compare(b.Path) }) {
		var e *Engine
		if !r.InsecureOff {
			cfg := r.over(site)
			configs = append(configs, cfg)
			if e, err = engine(cfg); err != nil {
				return nil, fmt.Errorf("route %s: %w", r.Path, err)
			}
		}
		p.routes = append(p.routes, planned{r.Path, e})
	}
	p.strict, err = engine(strictest(site, configs))
	return p, err
}
