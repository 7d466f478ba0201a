package oidc

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile reads
//
//	oidc <issuer> <client id> [<client secret>] {
//		name <name>
//		label <text>
//		scopes <scope...>
//		roles_claim <claim or path>
//		role <value of the claim> <role of the house...>
//		refresh offline|off
//		client_key <file>
//		client_key_id <kid>
//		client_key_audience token_endpoint
//		par off
//		acr <value...>
//		max_age <duration>
//		prompt <login|consent|select_account...>
//		groups_overage graph [<base URL>]
//		approve_new
//		step_up [<acr...>]
//		trust_pem <file>
//		insecure_http
//	}
//
// role may be repeated; with any, the values it does not name give no role. client_key stands in place of the secret.
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // oidc
	args := d.RemainingArgs()
	if len(args) < 2 || len(args) > 3 {
		return d.Err("oidc: write `oidc <issuer> <client id> <client secret>`, or a client_key in place of the secret")
	}
	p.Issuer, p.ClientID = args[0], args[1]
	if len(args) == 3 {
		p.ClientSecret = args[2]
	}
	for d.NextBlock(0) {
		if err := p.parseOption(d); err != nil {
			return err
		}
	}
	if (len(args) == 3) == (p.ClientKey != "") {
		return d.Err("oidc: give the client secret as the third argument or a `client_key <file>`, one of them")
	}
	return nil
}

func (p *Provider) parseOption(d *caddyfile.Dispenser) error {
	word := d.Val()
	args := d.RemainingArgs()
	one := map[string]*string{
		"name": &p.ProviderName, "label": &p.Title, "roles_claim": &p.RolesClaim, "trust_pem": &p.TrustPEM,
		"client_key": &p.ClientKey, "client_key_id": &p.ClientKeyID,
		"client_key_audience": &p.ClientKeyAudience, "refresh": &p.Refresh, "par": &p.PAR,
	}
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
	case "acr", "prompt":
		if len(args) == 0 {
			return d.ArgErr()
		}
		if word == "acr" {
			p.ACR = args
		} else {
			p.Prompt = args
		}
	case "max_age":
		if len(args) != 1 {
			return d.ArgErr()
		}
		age, err := caddy.ParseDuration(args[0])
		if err != nil || age < time.Second {
			return d.Errf("max_age %q: write how long ago the person may have logged in at the provider, such as 8h, or `prompt login` for a new login each time", args[0])
		}
		p.MaxAge = caddy.Duration(age)
	case "role":
		if len(args) < 2 {
			return d.Err("role: write `role <value of the claim> <role of the house...>`")
		}
		if p.Roles == nil {
			p.Roles = map[string][]string{}
		}
		p.Roles[args[0]] = append(p.Roles[args[0]], args[1:]...)
	case "groups_overage":
		if len(args) == 0 || len(args) > 2 || args[0] != "graph" {
			return d.Err("groups_overage: write `groups_overage graph`, or with the base URL of a national cloud")
		}
		p.GroupsOverage = defaultGraph
		if len(args) == 2 {
			p.GroupsOverage = args[1]
		}
	case "approve_new":
		if len(args) != 0 {
			return d.ArgErr()
		}
		p.ApproveNew = true
	case "step_up":
		p.StepUp, p.StepUpACR = true, append(p.StepUpACR, args...)
	case "insecure_http":
		if len(args) != 0 {
			return d.ArgErr()
		}
		p.InsecureHTTP = true
	default:
		return d.Errf("unknown oidc option %q: the options are name, label, scopes, roles_claim, role, refresh, client_key, client_key_id, client_key_audience, par, acr, max_age, prompt, groups_overage, approve_new, step_up, trust_pem, insecure_http", word)
	}
	return nil
}
