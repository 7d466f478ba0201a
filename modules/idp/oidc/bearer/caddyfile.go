package bearer

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
)

// Option reads the word of the site directive that says where programs come with access tokens, and reports whether it was
// it:
//
//	api <path...> {
//		issuer gatehouse {
//			lasts <duration>
//		}
//		issuer <name of an oidc provider of the house>
//		issuer <name> <https URL> {
//			jwks <https URL>
//			roles_claim <claim>
//			role <claim value> <role...>
//			trust_pem <file>
//			insecure_http
//		}
//		audience <name...>
//		scope <scope...>
//		algorithms <name...>
//		workspace_claim <claim>
//		workspace host <{workspace}.domain> | path </ws/{workspace}/*> | header <name>
//		tenant_claim <claim>
//		forward_token
//	}
func (a *Authenticator) Option(d *caddyfile.Dispenser) (bool, error) {
	if d.Val() != "api" {
		return false, nil
	}
	paths := d.RemainingArgs()
	if len(paths) == 0 {
		return true, d.Err("api: name at least one path, such as `api /api/* { … }`")
	}
	var api API
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := api.option(d); err != nil {
			return true, err
		}
	}
	for _, text := range paths {
		p, err := reqpath.ParsePattern(text)
		if err != nil {
			return true, d.Errf("api: %v", err)
		}
		for _, other := range a.APIs {
			if other.Path == p {
				return true, d.Errf("api %s stands twice: put it into one", text)
			}
		}
		api.Path = p
		a.APIs = append(a.APIs, api)
	}
	return true, nil
}

func (api *API) option(d *caddyfile.Dispenser) error {
	switch word := d.Val(); word {
	case "issuer":
		return api.issuerOption(d)
	case "audience":
		return list(d, &api.Audiences)
	case "scope":
		return list(d, &api.Scopes)
	case "algorithms":
		return list(d, &api.Algorithms)
	case "workspace_claim":
		return one(d, &api.WorkspaceClaim)
	case "tenant_claim":
		return one(d, &api.TenantClaim)
	case "workspace":
		return api.workspaceOption(d)
	case "forward_token":
		if api.ForwardToken = true; d.NextArg() {
			return d.ArgErr()
		}
		return nil
	default:
		return d.Errf("unknown word %q in api: the words are issuer, audience, scope, algorithms, workspace_claim, workspace, tenant_claim, forward_token", word)
	}
}

func (api *API) workspaceOption(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Err("workspace: write `workspace host {workspace}.example.com`, `workspace path /ws/{workspace}/*` or `workspace header X-Workspace`")
	}
	n := scope.Naming{}
	switch args[0] {
	case "host":
		n.Host = args[1]
	case "path":
		n.Path = args[1]
	case "header":
		n.Header = args[1]
	default:
		return d.Errf("workspace: %q is neither host, path nor header", args[0])
	}
	if err := n.Validate(); err != nil {
		return d.Errf("workspace: %v", err)
	}
	api.Workspaces = append(api.Workspaces, n)
	return nil
}

func (api *API) issuerOption(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 1 || len(args) > 2 || len(args) == 1 && strings.Contains(args[0], ":") {
		return d.Err("issuer: write `issuer <name of an oidc provider>`, or `issuer <name> <https URL>` for another one")
	}
	i := Issuer{Name: args[0]}
	if len(args) == 2 {
		i.URL, i.RolesClaim = args[1], "groups"
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if i.own() {
			if err := i.ownOption(d); err != nil {
				return err
			}
			continue
		}
		if i.URL == "" {
			return d.Errf("issuer %s: how its tokens are read is said where the provider is; a block is for `issuer <name> <https URL>`", i.Name)
		}
		if err := i.option(d); err != nil {
			return err
		}
	}
	api.Issuers = append(api.Issuers, i)
	return nil
}

// ownOption reads what is said of the gateway's own tokens.
func (i *Issuer) ownOption(d *caddyfile.Dispenser) error {
	if d.Val() != "lasts" {
		return d.Errf("unknown word %q in issuer gatehouse: the word is lasts", d.Val())
	}
	var text string
	if err := one(d, &text); err != nil {
		return err
	}
	lasts, err := caddy.ParseDuration(text)
	if err != nil || lasts <= 0 {
		return d.Errf("issuer gatehouse: lasts %q is no duration: write one like 10m", text)
	}
	i.Lasts = caddy.Duration(lasts)
	return nil
}

func (i *Issuer) option(d *caddyfile.Dispenser) error {
	switch word := d.Val(); word {
	case "jwks":
		return one(d, &i.JWKS)
	case "roles_claim":
		return one(d, &i.RolesClaim)
	case "trust_pem":
		return one(d, &i.TrustPEM)
	case "role":
		args := d.RemainingArgs()
		if len(args) < 2 {
			return d.Err("role: write `role <claim value> <role...>`")
		}
		if i.Roles == nil {
			i.Roles = map[string][]string{}
		}
		i.Roles[args[0]] = append(i.Roles[args[0]], args[1:]...)
		return nil
	case "insecure_http":
		if i.InsecureHTTP = true; d.NextArg() {
			return d.ArgErr()
		}
		return nil
	default:
		return d.Errf("unknown word %q in issuer: the words are jwks, roles_claim, role, trust_pem, insecure_http", word)
	}
}

func one(d *caddyfile.Dispenser, to *string) error {
	if !d.Args(to) || d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

func list(d *caddyfile.Dispenser, to *[]string) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.ArgErr()
	}
	*to = append(*to, args...)
	return nil
}
