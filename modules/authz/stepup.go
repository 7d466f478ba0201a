package authz

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// option reads the word mfa, of a site or a route:
//
//	mfa [<max-age>]
//	mfa each [any_method]
//
// each asks for a proof of its own for every request but GET, HEAD and OPTIONS, which pass with one of the session;
// any_method for those, too.
func (o *Obligation) option(d *caddyfile.Dispenser) error {
	*o = Obligation{Kind: MFA}
	args := d.RemainingArgs()
	switch {
	case len(args) == 0:
		return nil
	case args[0] == "each" && len(args) == 1:
		o.Each = true
		return nil
	case args[0] == "each" && len(args) == 2 && args[1] == "any_method":
		o.Each, o.AnyMethod = true, true
		return nil
	case len(args) == 1:
		age, err := caddy.ParseDuration(args[0])
		if err == nil && age >= time.Second {
			o.MaxAge = age
			return nil
		}
	}
	return d.Errf("mfa: write `mfa`, `mfa <max-age>` such as `mfa 15m`, `mfa each` or `mfa each any_method`")
}
