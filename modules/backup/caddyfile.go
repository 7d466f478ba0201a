package backup

import (
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile reads the house's word:
//
//	backup {
//		recipient     <age recipient...>
//		to            <directory>
//		every         <duration>
//		keep          <number>
//		verify_within <duration>
//		carry         <program> <argument...>
//		without_keys
//	}
func (s *Settings) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // backup
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		word, args := d.Val(), d.RemainingArgs()
		if want := word != "without_keys"; want != (len(args) > 0) || len(args) > 1 && word != "recipient" && word != "carry" {
			return d.ArgErr()
		}
		var err error
		switch word {
		case "recipient":
			s.Recipients = append(s.Recipients, args...)
		case "to":
			s.Dir = args[0]
		case "every":
			s.Every, err = atLeastAnHour(d, args[0])
		case "verify_within":
			s.VerifyWithin, err = atLeastAnHour(d, args[0])
		case "carry":
			s.Carry = args
		case "keep":
			if s.Keep, err = strconv.Atoi(args[0]); err != nil || s.Keep < 1 {
				err = d.Errf("keep: %q is not a number of backups, 1 or more", args[0])
			}
		case "without_keys":
			s.WithoutKeys = true
		default:
			err = d.Errf("unknown backup option %q: the options are recipient, to, every, keep, verify_within, carry, without_keys", word)
		}
		if err != nil {
			return err
		}
	}
	if err := s.check(); err != nil {
		return d.Errf("backup: %v", err)
	}
	return nil
}

func atLeastAnHour(d *caddyfile.Dispenser, text string) (caddy.Duration, error) {
	v, err := caddy.ParseDuration(text)
	if err != nil || v < time.Hour {
		return 0, d.Errf("%s: %q is not a duration of an hour or more: write one like 24h or 90d", d.Val(), text)
	}
	return caddy.Duration(v), nil
}

var _ caddyfile.Unmarshaler = (*Settings)(nil)
