package alert

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/gatehouse"
)

// UnmarshalCaddyfile reads the house's word:
//
//	alert {
//		webhook <https url> {
//			secret   <placeholder>
//			name     <name>
//			severity warning|critical
//			classes  <class...>
//			ca       <file>
//			insecure_plain
//			insecure_tls12
//		}
//		mail <address...> {
//			smtp <host:port> {
//				...
//			}
//			name     <name>
//			severity warning|critical
//			classes  <class...>
//		}
//		repeat   <duration>
//		interval <duration>
//		runbooks <url>
//		without  <alert...>
//		node     <name>
//	}
func (s *Settings) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // alert
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		if err := s.option(d); err != nil {
			return err
		}
	}
	if err := s.check(); err != nil {
		return d.Errf("alert: %v", err)
	}
	return nil
}

func (s *Settings) option(d *caddyfile.Dispenser) error {
	switch word := d.Val(); word {
	case "webhook", "mail":
		return s.receiver(d)
	case "repeat", "interval":
		to := map[string]*caddy.Duration{"repeat": &s.Repeat, "interval": &s.Interval}[word]
		var text string
		if !d.Args(&text) || d.NextArg() {
			return d.ArgErr()
		}
		v, err := caddy.ParseDuration(text)
		if err != nil || v <= 0 {
			return d.Errf("alert: %s: %q is not a positive duration: write one like 4h", word, text)
		}
		*to = caddy.Duration(v)
	case "runbooks", "node":
		to := map[string]*string{"runbooks": &s.Runbooks, "node": &s.Node}[word]
		if !d.Args(to) || d.NextArg() {
			return d.ArgErr()
		}
	case "without":
		names := d.RemainingArgs()
		if len(names) == 0 {
			return d.ArgErr()
		}
		s.Without = append(s.Without, names...)
	default:
		return d.Errf("unknown alert option %q: the options are webhook, mail, repeat, interval, runbooks, without, node", word)
	}
	return nil
}

// receiver reads one receiver.
func (s *Settings) receiver(d *caddyfile.Dispenser) error {
	t := Target{Kind: d.Val()}
	args := d.RemainingArgs()
	switch {
	case t.Kind == "mail":
		t.To = args
	case len(args) == 1:
		t.URL = args[0]
	default:
		return d.Err("webhook: write `webhook <https url> { secret {env.ALERT_SECRET} }`")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if word == "smtp" && t.Kind == "mail" {
			if err := gatehouse.ParseSMTP(d, &t.SMTP); err != nil {
				return err
			}
			continue
		}
		switch args := d.RemainingArgs(); {
		case word == "name" && len(args) == 1:
			t.Name = args[0]
		case word == "severity" && len(args) == 1:
			t.Severity = args[0]
		case word == "classes" && len(args) > 0:
			t.Classes = append(t.Classes, args...)
		case word == "secret" && len(args) == 1 && t.Kind == "webhook":
			t.Secret = args[0]
		case word == "ca" && len(args) == 1 && t.Kind == "webhook":
			t.CA = args[0]
		case word == "insecure_plain" && len(args) == 0 && t.Kind == "webhook":
			t.InsecurePlain = true
		case word == "insecure_tls12" && len(args) == 0 && t.Kind == "webhook":
			t.InsecureTLS12 = true
		default:
			return d.Errf("%s: %q is no option, or has not the arguments that it needs: the options are name, severity, classes, and of a webhook secret, ca, insecure_plain, insecure_tls12, of mail smtp", t.Kind, word)
		}
	}
	s.Receivers = append(s.Receivers, t)
	return nil
}

var _ caddyfile.Unmarshaler = (*Settings)(nil)
