package oidc

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// UnmarshalCaddyfile reads
//
//	oidc <issuer> <client id> <client secret> {
//		name <name>
//		label <text>
//		scopes <scope...>
//		roles_claim <claim or path>
//		role <value of the claim> <role of the house...>
//		trust_pem <file>
//		insecure_http
//	}
//
// role may be repeated; with any, the values it does not name give no role.
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // oidc
	if !d.Args(&p.Issuer, &p.ClientID, &p.ClientSecret) || d.NextArg() {
		return d.Err("oidc: write `oidc <issuer> <client id> <client secret>`")
	}
	for d.NextBlock(0) {
		if err := p.parseOption(d); err != nil {
			return err
		}
	}
	return nil
}

func (p *Provider) parseOption(d *caddyfile.Dispenser) error {
	word := d.Val()
	args := d.RemainingArgs()
	one := map[string]*string{"name": &p.ProviderName, "label": &p.Title, "roles_claim": &p.RolesClaim, "trust_pem": &p.TrustPEM}
	if to := one[word]; to != nil {
		if len(args) != 1 || args[0] == "" {
			return d.ArgErr()
		}
		*to = args[0]
		return nil
	}
	switch word {
	case "scopes":
		if len(args) == 0 {
			return d.ArgErr()
		}
		p.Scopes = args
	case "role":
		if len(args) < 2 {
			return d.Err("role: write `role <value of the claim> <role of the house...>`")
		}
		if p.Roles == nil {
			p.Roles = map[string][]string{}
		}
		p.Roles[args[0]] = append(p.Roles[args[0]], args[1:]...)
	case "insecure_http":
		if len(args) != 0 {
			return d.ArgErr()
		}
		p.InsecureHTTP = true
	default:
		return d.Errf("unknown oidc option %q: the options are name, label, scopes, roles_claim, role, trust_pem, insecure_http", word)
	}
	return nil
}
