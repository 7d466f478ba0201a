package local

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile reads
//
//	local {
//		name <name>
//		label <text>
//		first_user_roles <role...>
//		password_min <characters, 12 or more>
//		password_hash owasp|owasp_46m|owasp_12m|owasp_9m|owasp_7m|rfc9106
//		breached_list <file>
//		register
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // local
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		word := d.Val()
		args := d.RemainingArgs()
		if word == "register" {
			if p.Register = true; len(args) != 0 {
				return d.ArgErr()
			}
			continue
		}
		if len(args) == 0 || len(args) > 1 && word != "first_user_roles" {
			return d.ArgErr()
		}
		switch word {
		case "name":
			p.ProviderName = args[0]
		case "label":
			p.Title = args[0]
		case "first_user_roles":
			p.FirstUserRoles = args
		case "password_min":
			n, err := strconv.Atoi(args[0])
			if err != nil {
				return d.Errf("password_min: %q is not a number of characters", args[0])
			}
			p.PasswordMin = n
		case "password_hash":
			p.PasswordHash = args[0]
		case "breached_list":
			p.BreachedList = args[0]
		default:
			return d.Errf("unknown local option %q: the options are name, label, first_user_roles, password_min, password_hash, breached_list, register", word)
		}
	}
	return nil
}
