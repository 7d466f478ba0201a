package authz

import (
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/reqpath"
)

// Option reads one of the words of the site directive that make up the policy, and reports whether it was one:
//
//	allow <condition> [<condition>...]
//	deny <condition> [<condition>...]
//	public <path...>
//	route <path> {
//		allow ...
//		deny ...
//		sensitive
//		audit
//		mfa ...
//	}
//	policy_tests <file...>
//	policy_shadow {
//		...
//	}
//	mfa [<max-age>]
//	mfa each [any_method]
//
// A path is exact (/healthz) or a subtree (/assets/*). The conditions of a line must all hold; they may also stand in a
// block, one or several a line. A condition is [not] and one of the words in rule.go, with values of which one must fit.
//
// policy_tests <file...> names files of policy tests; a name is relative to the Caddyfile, and may be a glob.
func (h *Handler) Option(d *caddyfile.Dispenser) (bool, error) {
	switch d.Val() {
	case "policy_tests":
		files, dir := d.RemainingArgs(), filepath.Dir(d.File())
		if len(files) == 0 {
			return true, d.Err("policy_tests: name at least one file, such as `policy_tests policies/*.policytest`")
		}
		for _, file := range files {
			if !filepath.IsAbs(file) {
				file = filepath.Join(dir, file)
			}
			h.Tests = append(h.Tests, file)
		}
		return true, nil
	case "policy_shadow":
		return true, h.shadowOption(d)
	}
	return h.Policy.option(d)
}

// shadowOption reads a candidate policy: a block of the words that the site's own policy is made of.
func (h *Handler) shadowOption(d *caddyfile.Dispenser) error {
	if h.Shadow != nil || d.NextArg() {
		return d.Err("policy_shadow: write one block, with the candidate policy in it: allow, deny, public, route, mfa")
	}
	h.Shadow = new(Policy)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		known, err := h.Shadow.option(d)
		if err != nil {
			return err
		}
		if !known {
			return d.Errf("unknown word %q in policy_shadow: the words are allow, deny, public, route, mfa", d.Val())
		}
	}
	return nil
}

func (p *Policy) option(d *caddyfile.Dispenser) (bool, error) {
	switch d.Val() {
	case "allow", "deny":
		return true, ruleOption(d, &p.Rules)
	case "public":
		patterns, err := patternsOption(d)
		p.Public = append(p.Public, patterns...)
		return true, err
	case "route":
		return true, p.routeOption(d)
	case "mfa":
		var o Obligation
		err := o.option(d)
		p.Require = append(p.Require, o)
		return true, err
	}
	return false, nil
}

func patternsOption(d *caddyfile.Dispenser) (patterns []reqpath.Pattern, err error) {
	word, args := d.Val(), d.RemainingArgs()
	if len(args) == 0 {
		return nil, d.Errf("%s: name at least one path, such as `%s /healthz /assets/*`", word, word)
	}
	for _, arg := range args {
		p, err := reqpath.ParsePattern(arg)
		if err != nil {
			return nil, d.Errf("%s: %v", word, err)
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

func (p *Policy) routeOption(d *caddyfile.Dispenser) error {
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
		switch d.Val() {
		case "allow", "deny":
			err = ruleOption(d, &route.Rules)
		case "sensitive":
			if route.Sensitive = true; d.NextArg() {
				err = d.ArgErr()
			}
		case "audit":
			if route.Audit = true; d.NextArg() {
				err = d.ArgErr()
			}
		case "mfa":
			var o Obligation
			err = o.option(d)
			route.Require = append(route.Require, o)
		default:
			err = d.Errf("unknown word %q in a route: the words are allow, deny, sensitive, audit, mfa", d.Val())
		}
		if err != nil {
			return err
		}
	}
	p.Routes = append(p.Routes, route)
	if err := p.validateRoute(len(p.Routes)-1, route); err != nil {
		return d.Errf("%v", err)
	}
	return nil
}

// ruleOption reads a rule at the word allow or deny.
func ruleOption(d *caddyfile.Dispenser, to *[]Rule) error {
	verb := d.Val()
	rule := Rule{Deny: verb == "deny", Source: fmt.Sprintf("%s:%d", d.File(), d.Line())}
	if err := rule.parse(tokens(d)); err != nil {
		return d.Errf("%s: %v", verb, err)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		line := append([]Token{{d.Val(), d.Token().Quoted()}}, tokens(d)...)
		if err := rule.parse(line); err != nil {
			return d.Errf("%s: %v", verb, err)
		}
	}
	if err := rule.validate(); err != nil {
		return d.Errf("%v", err)
	}
	*to = append(*to, rule)
	return nil
}

// tokens returns the rest of the line.
func tokens(d *caddyfile.Dispenser) (line []Token) {
	for d.NextArg() {
		line = append(line, Token{d.Val(), d.Token().Quoted()})
	}
	return line
}
