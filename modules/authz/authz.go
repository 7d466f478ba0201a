package authz

import (
	"errors"
	"fmt"
	"slices"

	"gatehouse.internal/modules/internal/reqpath"
)

// Route is a part of the site with rules of its own. Those that allow replace the rules of what is around it; those that
// deny add to them.
type Route struct {
	Path  reqpath.Pattern `json:"path"`
	Rules []Rule          `json:"rules"`
	// What every request that is allowed here must meet besides.
	Require []Obligation `json:"require,omitempty"`
	// What happens here matters: only rules that name who may are accepted, and each request is marked in the log
	// (control CAL-05).
	Sensitive bool `json:"sensitive,omitempty"`
	// Who asks for what here is on record before the application hears of it, or it does not; what came of it afterwards
	// (control CER-12).
	Audit bool `json:"audit,omitempty"`
}

// Policy is what a site allows. The zero Policy allows nobody anything. A rule that denies wins over all that allow.
type Policy struct {
	// Who may use what no route and no public path names; and who may not use any of it.
	Rules []Rule `json:"rules,omitempty"`
	// What everyone may use, logged in or not, as long as no rule denies it.
	Public []reqpath.Pattern `json:"public,omitempty"`
	// Parts with rules of their own. The most specific one counts.
	Routes []Route `json:"routes,omitempty"`
	// What every request that is allowed, and needs somebody, must meet besides.
	Require []Obligation `json:"require,omitempty"`
}

// ErrNobody says that a policy lets nobody in, which is surely not meant.
var ErrNobody = errors.New("nobody is allowed in: add `allow role <role>`, `allow authenticated` or `public <path>`")

// Validate reports what is wrong with the policy, whatever families the house has.
func (p *Policy) Validate() error {
	nobody := len(p.Public) == 0
	for _, part := range p.parts() {
		for _, rule := range part.Rules {
			if err := rule.validate(); err != nil {
				return at(rule.Source, err)
			}
			nobody = nobody && rule.Deny
		}
		for _, o := range part.Require {
			if err := o.validate(); err != nil {
				return err
			}
		}
	}
	for _, pattern := range p.Public {
		if pattern.String() == "" {
			return errors.New("public: a pattern is empty")
		}
	}
	for i, route := range p.Routes {
		if err := p.validateRoute(i, route); err != nil {
			return err
		}
	}
	if nobody {
		return ErrNobody
	}
	return nil
}

func (p *Policy) validateRoute(i int, route Route) error {
	if route.Path.String() == "" {
		return errors.New("a route has no path")
	}
	for _, other := range p.Routes[:i] {
		if other.Path == route.Path {
			return fmt.Errorf("route %s stands twice: put its rules into one", route.Path)
		}
	}
	if slices.Contains(p.Public, route.Path) {
		return fmt.Errorf("%s is both public and a route: take one out", route.Path)
	}
	if !slices.ContainsFunc(route.Rules, func(r Rule) bool { return !r.Deny }) {
		return fmt.Errorf("route %s: nobody is allowed in: put `allow role <role>` into it", route.Path)
	}
	for _, rule := range route.Rules {
		if route.Sensitive && !rule.Deny && !rule.narrow() {
			return at(rule.Source, fmt.Errorf("route %s is sensitive: `%s` lets in everybody: name roles, groups or users", route.Path, rule))
		}
	}
	return nil
}

// parts returns the site's own part and its routes.
func (p *Policy) parts() []Route {
	return append([]Route{{Rules: p.Rules, Require: p.Require}}, p.Routes...)
}

// needsLogin reports whether somebody has to log in for some of it.
func (p *Policy) needsLogin() bool {
	return slices.ContainsFunc(p.parts(), func(part Route) bool {
		return slices.ContainsFunc(part.Rules, func(r Rule) bool { return !r.Deny && !r.anyone() })
	})
}
