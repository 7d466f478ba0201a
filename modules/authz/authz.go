package authz

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
)

// Rule says who may. Its entries are alternatives. The zero Rule allows nobody.
type Rule struct {
	// Anyone who is logged in.
	Authenticated bool `json:"authenticated,omitempty"`
	// Whoever holds one of these roles.
	Roles []string `json:"roles,omitempty"`
	// These users, as provider:subject.
	Users []string `json:"users,omitempty"`
}

// Empty reports whether the rule allows nobody.
func (r Rule) Empty() bool { return !r.Authenticated && len(r.Roles) == 0 && len(r.Users) == 0 }

// allows returns what in the rule lets this proof pass, or "".
func (r Rule) allows(p identity.Proof) string {
	if !p.Known() {
		return ""
	}
	for _, role := range r.Roles {
		if p.HasRole(role) {
			return "role:" + role
		}
	}
	for _, user := range r.Users {
		if p.Name() == user {
			return "user:" + user
		}
	}
	if r.Authenticated {
		return "authenticated"
	}
	return ""
}

func (r Rule) validate() error {
	for _, name := range slices.Concat(r.Roles, r.Users) {
		if name == "" || strings.TrimSpace(name) != name {
			return fmt.Errorf("a role or user is called %q", name)
		}
	}
	for _, user := range r.Users {
		if provider, subject, ok := strings.Cut(user, ":"); !ok || provider == "" || subject == "" {
			return fmt.Errorf("user %q: write provider:subject, such as local:ada", user)
		}
	}
	return nil
}

// Route is a part of the site with a rule of its own.
type Route struct {
	Path  reqpath.Pattern `json:"path"`
	Allow Rule            `json:"allow"`
	// What every request that is allowed here must meet besides.
	Require []Obligation `json:"require,omitempty"`
}

// Policy is what a site allows. The zero Policy allows nobody anything.
type Policy struct {
	// Who may use what no route and no public path names.
	Allow Rule `json:"allow,omitzero"`
	// What everyone may use, logged in or not.
	Public []reqpath.Pattern `json:"public,omitempty"`
	// Parts with rules of their own. The most specific one counts.
	Routes []Route `json:"routes,omitempty"`
	// What every request that is allowed, and needs somebody, must meet besides.
	Require []Obligation `json:"require,omitempty"`
}

// ErrNobody says that a policy lets nobody in, which is surely not meant.
var ErrNobody = errors.New("nobody is allowed in: add `allow role <role>`, `allow authenticated` or `public <path>`")

// Validate reports what is wrong with the policy, and sorts its routes, the most specific first.
func (p *Policy) Validate() error {
	nobody := p.Allow.Empty() && len(p.Public) == 0
	if err := p.Allow.validate(); err != nil {
		return err
	}
	for _, pattern := range p.Public {
		if pattern.String() == "" {
			return errors.New("public: a pattern is empty")
		}
	}
	for i, route := range p.Routes {
		if route.Path.String() == "" {
			return errors.New("a route has no path")
		}
		if err := route.Allow.validate(); err != nil {
			return fmt.Errorf("route %s: %w", route.Path, err)
		}
		nobody = nobody && route.Allow.Empty()
		for _, other := range p.Routes[:i] {
			if other.Path == route.Path {
				return fmt.Errorf("route %s stands twice: put its rules into one", route.Path)
			}
		}
		if slices.Contains(p.Public, route.Path) {
			return fmt.Errorf("%s is both public and a route: take one out", route.Path)
		}
	}
	if nobody {
		return ErrNobody
	}
	for _, o := range p.obligations() {
		if err := o.validate(); err != nil {
			return err
		}
	}
	slices.SortFunc(p.Routes, func(a, b Route) int { return a.Path.Compare(b.Path) })
	slices.SortFunc(p.Public, reqpath.Pattern.Compare)
	return nil
}

// Decide applies the policy, which must be valid.
func (p *Policy) Decide(path reqpath.Path, who identity.Proof) Decision {
	governing, certain := p.governing(path)
	if public, ok := p.public(path, governing); ok {
		return Decision{Allowed: true, Rule: "public:" + public.String()}
	}
	granted := ""
	for _, route := range governing {
		by := route.Allow.allows(who)
		if by == "" {
			return Decision{Rule: "route " + route.Path.String()}
		}
		granted = "route " + route.Path.String() + " " + by
	}
	if certain {
		return Decision{Allowed: true, Rule: granted, Obligations: p.required(path)}
	}
	by := p.Allow.allows(who)
	if by == "" {
		return Decision{Rule: "site"}
	}
	return Decision{Allowed: true, Rule: cmp.Or(granted, by), Obligations: p.required(path)}
}

// required returns what the site and every route that could hold the path ask for.
func (p *Policy) required(path reqpath.Path) []Obligation {
	asked := p.Require
	for _, route := range p.Routes {
		if len(route.Require) > 0 && route.Path.MatchFolded(path) {
			asked = join(asked, route.Require)
		}
	}
	return asked
}

// obligations returns all that the policy holds.
func (p *Policy) obligations() []Obligation {
	all := p.Require
	for _, route := range p.Routes {
		all = join(all, route.Require)
	}
	return all
}

// governing returns the routes whose rules the request must satisfy, the most specific first. A route counts if some
// server could take the path to be in it. Only one that every server takes it to be in (certain) overrides those
// around it, and the site's own rule: otherwise a route that is laxer than its surroundings would open, by its odd
// spelling, a path that is not in it.
func (p *Policy) governing(path reqpath.Path) (found []Route, certain bool) {
	var sure []Route
	for _, route := range p.Routes { // most specific first
		if !route.Path.MatchFolded(path) {
			continue
		}
		if slices.ContainsFunc(sure, func(inner Route) bool { return holds(route.Path, inner.Path) }) {
			continue
		}
		found = append(found, route)
		if route.Path.MatchAll(path) {
			sure = append(sure, route)
		}
	}
	return found, len(sure) > 0
}

// public returns the opening that covers the path in every reading, unless a route lies inside that opening.
func (p *Policy) public(path reqpath.Path, governing []Route) (reqpath.Pattern, bool) {
	for _, opening := range p.Public {
		if !opening.MatchAll(path) {
			continue
		}
		narrowed := slices.ContainsFunc(governing, func(r Route) bool { return !holds(r.Path, opening) })
		if !narrowed {
			return opening, true
		}
	}
	return reqpath.Pattern{}, false
}

// holds reports whether every path of inner is also in outer, and they differ.
func holds(outer, inner reqpath.Pattern) bool {
	root, subtree := strings.CutSuffix(outer.String(), "/*")
	if !subtree || outer == inner {
		return false
	}
	in, _ := strings.CutSuffix(inner.String(), "/*")
	in, root = strings.ToLower(in), strings.ToLower(root)
	return root == "" || in == root || strings.HasPrefix(in, root+"/")
}
