package ratelimit

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"gatehouse.internal/modules/internal/reqpath"
)

// UnmarshalCaddyfile reads the house's word:
//
//	client_limits {
//		connections <n>
//		all_connections <n>
//		body_rate <size> [grace <duration>] | off
//		cpu <share>% | off
//		body <size> [burst <size>]
//	}
func (s *Settings) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // client_limits
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		var err error
		switch word := d.Val(); word {
		case "connections":
			s.Connections, err = number(d)
		case "all_connections":
			s.AllConnections, err = number(d)
		case "body_rate":
			err = s.bodyRate(d)
		case "cpu":
			s.CPU, err = share(d)
		case "body":
			err = s.body(d)
		default:
			err = d.Errf("unknown client_limits option %q: the options are connections, all_connections, body_rate, cpu, body", word)
		}
		if err != nil {
			return err
		}
	}
	if err := s.Provision(caddy.Context{}); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

func number(d *caddyfile.Dispenser) (int, error) {
	var text string
	if !d.Args(&text) || d.NextArg() {
		return 0, d.ArgErr()
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return 0, d.Errf("%q is not a positive number", text)
	}
	return n, nil
}

func (s *Settings) bodyRate(d *caddyfile.Dispenser) (err error) {
	args := d.RemainingArgs()
	switch {
	case len(args) == 1 && args[0] == "off":
		s.BodyRate = off
		return nil
	case len(args) != 1 && (len(args) != 3 || args[1] != "grace"):
		return d.Err("body_rate: write how many bytes a second a body must come with, such as `body_rate 500B` or `body_rate 2KiB grace 10s`, or off")
	}
	if s.BodyRate, err = size(d, args[0]); err != nil || len(args) == 1 {
		return err
	}
	grace, err := caddy.ParseDuration(args[2])
	if err != nil || grace <= 0 {
		return d.Errf("body_rate: %q is not a positive duration: write one like 10s", args[2])
	}
	s.BodyGrace = caddy.Duration(grace)
	return nil
}

func size(d *caddyfile.Dispenser, text string) (int64, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > maxBody*bodyBurst {
		return 0, d.Errf("%q is not a size: write one like 500B, 20MiB or 1GiB", text)
	}
	return int64(n), nil
}

// share reads a share of all processors.
func share(d *caddyfile.Dispenser) (int, error) {
	var text string
	if !d.Args(&text) || d.NextArg() {
		return 0, d.ArgErr()
	}
	if text == "off" {
		return off, nil
	}
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || !percent || n < 1 || n > 100 {
		return 0, d.Errf("cpu: %q is not a share of the machine: write one from 1%% to 100%%, or off", text)
	}
	return n, nil
}

func (s *Settings) body(d *caddyfile.Dispenser) (err error) {
	args := d.RemainingArgs()
	if len(args) != 1 && (len(args) != 3 || args[1] != "burst") {
		return d.Err("body: write how many bytes a second one client network may send, such as `body 20MiB` or `body 20MiB burst 1GiB`")
	}
	if s.Body, err = size(d, args[0]); err == nil && len(args) == 3 {
		s.BodyBurst, err = size(d, args[2])
	}
	return err
}

// Site is what a site's directive says to the room's two handlers.
type Site struct {
	Early Handler
	Late  UserHandler
}

// Option reads the words of the site directive that bound how often somebody may ask, and reports whether it was one:
//
//	rate_limit <n>r/s|r/m|r/h [burst <n>] [per client|user|session|tenant|key|header <name>] [<path...>]
//	max_concurrent <n>
//
// Lines add up: each limit must have a token.
func (s *Site) Option(d *caddyfile.Dispenser) (bool, error) {
	switch d.Val() {
	case "rate_limit":
		return true, s.rateLimit(d)
	case "max_concurrent":
		var text string
		if !d.Args(&text) || d.NextArg() {
			return true, d.Err("max_concurrent: write how many requests of one client network may run at one time, such as `max_concurrent 50`")
		}
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			return true, d.Errf("max_concurrent: %q is not a positive number", text)
		}
		s.Early.MaxConcurrent = n
		return true, nil
	}
	return false, nil
}

func (s *Site) rateLimit(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("rate_limit: write a rate, such as `rate_limit 50r/s burst 100` or `rate_limit 300r/m per user /api/*`")
	}
	rule := Rule{Rate: args[0]}
	for args = args[1:]; len(args) > 0; {
		word := args[0]
		switch {
		case strings.HasPrefix(word, "/"):
			p, err := reqpath.ParsePattern(word)
			if err != nil {
				return d.Errf("rate_limit: %v", err)
			}
			rule.Paths, args = append(rule.Paths, p), args[1:]
			continue
		case word != "burst" && word != "per":
			return d.Errf("rate_limit: unknown word %q: the words are burst <n>, per client|user|session|tenant|key|header <name>, and paths, which begin with /", word)
		case len(args) < 2:
			return d.Errf("rate_limit: %s what?", word)
		case word == "burst":
			n, err := strconv.Atoi(args[1])
			if err != nil || n <= 0 {
				return d.Errf("rate_limit: burst %q is not a positive number", args[1])
			}
			rule.Burst = n
		default:
			rule.Per = Per(args[1])
			if rule.Per == PerHeader && len(args) > 2 {
				rule.Header, args = args[2], args[1:]
			}
		}
		args = args[2:]
	}
	checked := rule
	if err := checked.compile(); err != nil {
		return d.Errf("rate_limit: %v", err)
	}
	if checked.early() {
		s.Early.Limits = append(s.Early.Limits, rule)
	} else {
		s.Late.Limits = append(s.Late.Limits, rule)
	}
	return nil
}
