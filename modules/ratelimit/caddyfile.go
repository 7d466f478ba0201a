package ratelimit

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/reqpath"
)

// Site is what a site's directive says to the room's two handlers.
type Site struct {
	Early Handler
	Late  UserHandler
}

// Option reads the words of the site directive that bound how often somebody may ask, and reports whether it was one:
//
//	rate_limit <n>r/s|r/m|r/h [burst <n>] [per client|user|session|header <name>] [<path...>]
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
			return d.Errf("rate_limit: unknown word %q: the words are burst <n>, per client|user|session|header <name>, and paths, which begin with /", word)
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
