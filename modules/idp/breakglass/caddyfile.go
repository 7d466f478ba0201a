package breakglass

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile reads
//
//	break_glass {
//		roles <role...>
//		lasts <duration>
//	}
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // break_glass
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		word := d.Val()
		args := d.RemainingArgs()
		switch {
		case len(args) == 0:
			return d.ArgErr()
		case word == "roles":
			p.Roles = args
		case word == "lasts" && len(args) == 1:
			lasts, err := caddy.ParseDuration(args[0])
			if err != nil {
				return d.Errf("lasts: %q is not a duration: write one like 30m", args[0])
			}
			p.Lasts = caddy.Duration(lasts)
		default:
			return d.Errf("unknown break_glass option %q: the options are roles, lasts", word)
		}
	}
	return nil
}
