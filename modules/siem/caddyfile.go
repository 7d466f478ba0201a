package siem

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// UnmarshalCaddyfile reads the house's word:
//
//	siem {
//		node          <name>
//		personal_data pseudonyms | clear [<tenant...>]
//		paths         words | hidden
//		epoch         <duration>
//		send file     <path> { ... }
//		send stdout   { ... }
//		send syslog   tls://<host>:<port> { ... }
//		send splunk | elasticsearch | loki | otlp  https://<host>[:<port>][/<path>] {
//			name    <name>
//			format  json|ecs|ocsf|cef|leef|gelf|syslog|csv
//			streams access|waf|audit|system ...
//			ca      <file>
//			token   <credential>
//			token_type ApiKey|Bearer|Basic
//			index   <name>
//			spool   <size> [<duration>]
//			roll    <MiB> [<files> [<duration>]]
//			insecure_plain
//			insecure_tls12
//		}
//	}
func (s *Settings) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // siem
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		if err := s.word(d); err != nil {
			return err
		}
	}
	if err := s.check(); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

func (s *Settings) word(d *caddyfile.Dispenser) error {
	word, args := d.Val(), d.RemainingArgs()
	one := func(to *string) error {
		if len(args) != 1 {
			return d.ArgErr()
		}
		*to = args[0]
		return nil
	}
	switch word {
	case "node":
		return one(&s.Node)
	case "epoch":
		return oneDuration(d, word, args, &s.Epoch)
	case "personal_data":
		switch {
		case len(args) == 1 && args[0] == "pseudonyms":
			s.ClearTenants = nil
		case len(args) == 1 && args[0] == "clear":
			s.ClearTenants = []string{"*"}
		case len(args) > 1 && args[0] == "clear":
			s.ClearTenants = args[1:]
		default:
			return d.Err("personal_data: write `personal_data pseudonyms`, `personal_data clear`, or `personal_data clear <tenant...>`")
		}
		return nil
	case "paths":
		if len(args) != 1 || args[0] != "words" && args[0] != "hidden" {
			return d.Err("paths: write `paths words` or `paths hidden`")
		}
		s.HidePaths = args[0] == "hidden"
		return nil
	case "send":
		return s.send(d, args)
	}
	return d.Errf("unknown siem option %q: the options are node, personal_data, paths, epoch, send", word)
}

func (s *Settings) send(d *caddyfile.Dispenser, args []string) error {
	if len(args) == 0 || len(args) > 2 {
		return d.Err("send: write `send <kind> <address>`, such as `send syslog tls://siem.example.com:6514`")
	}
	k := Sink{Kind: args[0]}
	if len(args) > 1 {
		k.Address = args[1]
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := k.word(d); err != nil {
			return err
		}
	}
	s.Sinks = append(s.Sinks, k)
	return nil
}

func (k *Sink) word(d *caddyfile.Dispenser) error {
	word, args := d.Val(), d.RemainingArgs()
	texts := map[string]*string{
		"name": &k.Name, "format": &k.Format, "ca": &k.CAFile, "token": &k.Token, "token_type": &k.TokenType, "index": &k.Index,
	}
	if to := texts[word]; to != nil {
		if len(args) != 1 {
			return d.ArgErr()
		}
		*to = args[0]
		return nil
	}
	switch word {
	case "streams":
		if len(args) == 0 {
			return d.ArgErr()
		}
		k.Streams = args
	case "insecure_plain", "insecure_tls12":
		if len(args) > 0 {
			return d.ArgErr()
		}
		*map[string]*bool{"insecure_plain": &k.InsecurePlain, "insecure_tls12": &k.InsecureTLS12}[word] = true
	case "spool":
		if len(args) == 0 || len(args) > 2 {
			return d.ArgErr()
		}
		size, err := humanize.ParseBytes(args[0])
		if err != nil || size < 1<<20 || size > 1<<50 {
			return d.Errf("spool: %q is no size of 1MiB or more, such as 1GiB", args[0])
		}
		if k.SpoolSize = int64(size); len(args) > 1 {
			return oneDuration(d, word, args[1:], &k.SpoolKeep)
		}
	case "roll":
		return k.roll(d, args)
	default:
		return d.Errf("unknown option %q of send: the options are name, format, streams, ca, token, token_type, index, spool, roll, insecure_plain, insecure_tls12", word)
	}
	return nil
}

func (k *Sink) roll(d *caddyfile.Dispenser, args []string) (err error) {
	if len(args) == 0 || len(args) > 3 {
		return d.ArgErr()
	}
	for i, to := range []*int{&k.RollMiB, &k.RollKeep} {
		if i >= len(args) {
			return nil
		}
		if *to, err = strconv.Atoi(strings.TrimSuffix(args[i], "MiB")); err != nil || *to < 1 {
			return d.Errf("roll: %q is no positive number: write `roll <MiB> <files> <duration>`, such as `roll 100 10 30d`", args[i])
		}
	}
	if len(args) > 2 {
		return oneDuration(d, "roll", args[2:], &k.RollFor)
	}
	return nil
}

func oneDuration(d *caddyfile.Dispenser, word string, args []string, to *caddy.Duration) error {
	if len(args) != 1 {
		return d.ArgErr()
	}
	v, err := caddy.ParseDuration(args[0])
	if err != nil || v <= 0 {
		return d.Errf("%s: %q is not a positive duration: write one like 90d or 12h", word, args[0])
	}
	*to = caddy.Duration(v)
	return nil
}

var _ caddyfile.Unmarshaler = (*Settings)(nil)
