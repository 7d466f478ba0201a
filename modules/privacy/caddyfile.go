package privacy

import (
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile reads the house's word:
//
//	privacy {
//		payloads <age recipient...> {
//			retention <duration>
//			records   <number>
//		}
//		reveal role <role...> {
//			approvers <provider:subject...>
//		}
//		officers role <role...>
//	}
func (s *Settings) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // privacy
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		var err error
		switch d.Val() {
		case "payloads":
			err = s.parsePayloads(d)
		case "reveal":
			err = s.parseReveal(d)
		case "officers":
			args := d.RemainingArgs()
			if len(args) < 2 || args[0] != "role" || len(s.Officers) > 0 {
				return d.Err("officers: write `officers role <role...>` once, such as `officers role dpo`")
			}
			s.Officers = args[1:]
		default:
			err = d.Errf("unknown privacy option %q: the options are payloads, reveal, officers", d.Val())
		}
		if err != nil {
			return err
		}
	}
	if err := s.check(); err != nil {
		return d.Errf("privacy: %v", err)
	}
	return nil
}

func (s *Settings) parsePayloads(d *caddyfile.Dispenser) error {
	recipients := d.RemainingArgs()
	if len(recipients) == 0 || len(s.Recipients) > 0 {
		return d.Err("payloads: write `payloads <age recipient...>` once, such as `payloads age1…`")
	}
	s.Recipients = recipients
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name, args := d.Val(), d.RemainingArgs()
		if len(args) != 1 {
			return d.ArgErr()
		}
		switch name {
		case "retention":
			v, err := caddy.ParseDuration(args[0])
			if err != nil || v <= 0 {
				return d.Errf("retention: %q is not a positive duration: write one like 30d", args[0])
			}
			s.Retention = caddy.Duration(v)
		case "records":
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 {
				return d.Errf("records: %q is not a number of records, 1 or more", args[0])
			}
			s.Most = n
		default:
			return d.Errf("unknown payloads option %q: the options are retention, records", name)
		}
	}
	return nil
}

func (s *Settings) parseReveal(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 || args[0] != "role" || len(s.RevealRoles) > 0 {
		return d.Err("reveal: write `reveal role <role...>` once, such as `reveal role analyst`")
	}
	s.RevealRoles = args[1:]
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "approvers" {
			return d.Errf("unknown reveal option %q: the only one is approvers", d.Val())
		}
		if s.Approvers = append(s.Approvers, d.RemainingArgs()...); len(s.Approvers) == 0 {
			return d.ArgErr()
		}
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Settings)(nil)
