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
//		logs      <file> [<duration>]
//		copy      <directory>
//	}
func (s *Settings) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // audit
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		if err := s.word(d); err != nil {
			return err
		}
	}
	if err := s.Provision(caddy.Context{}); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

func (s *Settings) word(d *caddyfile.Dispenser) error {
	word, args := d.Val(), d.RemainingArgs()
	duration := func(text string, to *caddy.Duration) error {
		v, err := caddy.ParseDuration(text)
		if err != nil || v <= 0 {
			return d.Errf("audit: %s: %q is not a positive duration: write one like 395d or 1h", word, text)
		}
		*to = caddy.Duration(v)
		return nil
	}
	switch {
	case word == "retention" && len(args) == 1:
		return duration(args[0], &s.Retention)
	case word == "epoch" && len(args) == 1:
		return duration(args[0], &s.Epoch)
	case word == "logs" && (len(args) == 1 || len(args) == 2):
		l := Log{File: args[0]}
		if len(args) == 2 {
			if err := duration(args[1], &l.Keep); err != nil {
				return err
			}
		}
		s.Logs = append(s.Logs, l)
		return nil
	case word == "copy" && len(args) == 1:
		s.Copies = append(s.Copies, args[0])
		return nil
	}
	return d.Errf("audit: %q is no option, or has not the arguments that it needs: the options are retention <duration>, epoch <duration>, logs <file> [<duration>], copy <directory>", word)
}

var _ caddyfile.Unmarshaler = (*Settings)(nil)
