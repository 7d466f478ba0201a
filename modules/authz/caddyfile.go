package authz

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/reqpath"
)

// Option reads one of the words of the site directive that make up the policy, and reports whether it was one:
//
//	allow role <role...>
//	allow user <provider:subject...>
//	allow authenticated
//	public <path...>
//	route <path> {
//		allow ...
//	}
//
// A path is exact (/healthz) or a subtree (/assets/*).
func (h *Handler) Option(d *caddyfile.Dispenser) (bool, error) {
	switch d.Val() {
	case "allow":
		return true, h.Allow.option(d)
	case "public":
		args := d.RemainingArgs()
		if len(args) == 0 {
			return true, d.Err("public: name at least one path, such as `public /healthz /assets/*`")
		}
		for _, arg := range args {
			p, err := reqpath.ParsePattern(arg)
			if err != nil {
				return true, d.Errf("public: %v", err)
			}
			h.Public = append(h.Public, p)
		}
		return true, nil
	case "route":
		return true, h.routeOption(d)
	}
	return false, nil
}

func (h *Handler) routeOption(d *caddyfile.Dispenser) error {
	var text string
	if !d.Args(&text) || d.NextArg() {
		return d.Err("route: name one path, such as `route /admin/* { allow role admin }`")
	}
	path, err := reqpath.ParsePattern(text)
	if err != nil {
		return d.Errf("route: %v", err)
	}
	route := Route{Path: path}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "allow" {
			return d.Errf("unknown word %q in a route: the only one is allow", d.Val())
		}
		if err := route.Allow.option(d); err != nil {
			return err
		}
	}
	if route.Allow.Empty() {
		return d.Errf("route %s: nobody is allowed in: put `allow role <role>` into it", text)
	}
	h.Routes = append(h.Routes, route)
	return nil
}

func (r *Rule) option(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Err("allow: write `allow role <role...>`, `allow user <provider:subject...>` or `allow authenticated`")
	}
	kind, args := d.Val(), d.RemainingArgs()
	switch {
	case kind == "role" && len(args) > 0:
		r.Roles = append(r.Roles, args...)
	case kind == "user" && len(args) > 0:
		r.Users = append(r.Users, args...)
	case kind == "authenticated" && len(args) == 0:
		r.Authenticated = true
	default:
		return d.Err("allow: write `allow role <role...>`, `allow user <provider:subject...>` or `allow authenticated`")
	}
	return nil
}
