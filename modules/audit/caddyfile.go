package audit

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile reads the house's word:
//
//	audit {
//		retention <duration>
//		epoch     <duration>
//	}
func (s *Settings) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // audit
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		var to *caddy.Duration
		switch d.Val() {
		case "retention":
			to = &s.Retention
		case "epoch":
			to = &s.Epoch
		default:
			return d.Errf("unknown audit option %q: the options are retention, epoch", d.Val())
		}
		name := d.Val()
		var text string
		if !d.Args(&text) || d.NextArg() {
			return d.ArgErr()
		}
		v, err := caddy.ParseDuration(text)
		if err != nil || v <= 0 {
			return d.Errf("audit: %s: %q is not a positive duration: write one like 395d or 1h", name, text)
		}
		*to = caddy.Duration(v)
	}
	if err := s.Provision(caddy.Context{}); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Settings)(nil)
