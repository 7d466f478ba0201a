package waf

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/reqpath"
)

// Option reads one option of the site directive, if the word that d stands on is this room's: a waf block,
// insecure_waf_off, or insecure_waf_fail_open.
func (h *Handler) Option(d *caddyfile.Dispenser) (bool, error) {
	word := d.Val()
	switch word {
	case "waf", "insecure_waf_off", "insecure_waf_fail_open":
	default:
		return false, nil
	}
	off := word == "insecure_waf_off"
	for _, before := range h.options {
		if before == word || off || before == "insecure_waf_off" {
			return true, d.Errf("%s after %s: a site has each once, and none beside insecure_waf_off", word, before)
		}
	}
	h.options = append(h.options, word)
	if word == "waf" {
		return true, h.parse(d)
	}
	if d.NextArg() {
		return true, d.ArgErr()
	}
	h.InsecureOff, h.InsecureFailOpen = h.InsecureOff || off, h.InsecureFailOpen || !off
	return true, nil
}

// UnmarshalCaddyfile reads
//
//	waf {
//		paranoia   1|2|3|4
//		mode       block|detect
//		body_limit <size>
//		inspect_limit <size>
//		argument_limit <number>
//		app        <name...>
//		exclude    <rule id or attack-... tag> <target> [<path>]
//		prover     on|off
//		response_inspection [<size>]
//		rules      <dir>
//		route <path> {
//			<any of the first eight>
//		}
//		route <path> {
//			insecure_waf_off
//		}
//		shadow {
//			paranoia 1|2|3|4
//			rules    <dir>
//			exclusions off
//			share    <percent>%
//		}
//	}
//
// Relative directories are relative to the Caddyfile. The words that weaken the whole site stand in the site directive,
// not in the block: insecure_waf_off, insecure_waf_fail_open.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return h.parse(d)
}

func (h *Handler) parse(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		if d.Val() == "off" {
			return switchedOff(d)
		}
		return d.Errf("waf takes a block, not %q: waf { paranoia 1 }", d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if err := once(d, seen, word); err != nil {
			return err
		}
		if err := h.parseOption(d, word); err != nil {
			return err
		}
	}
	if err := checkRoutes(h.Routes); err != nil {
		return d.Errf("waf: %v", err)
	}
	return nil
}

// once refuses a word that stands twice, but for those that make a list.
func once(d *caddyfile.Dispenser, seen map[string]bool, word string) error {
	if seen[word] && word != "route" && word != "exclude" {
		return d.Errf("waf option %s stands twice", word)
	}
	seen[word] = true
	return nil
}

func (h *Handler) parseOption(d *caddyfile.Dispenser, word string) error {
	if known, err := parseJudging(d, word, h.judging()); known || err != nil {
		return err
	}
	switch word {
	case "off":
		return switchedOff(d)
	case "insecure_waf_off", "insecure_waf_fail_open":
		return d.Errf("%s is a word of the site's gatehouse block, beside waf and not in it", word)
	case "rules":
		if !d.Args(&h.Rules) || d.NextArg() {
			return d.ArgErr()
		}
		if !filepath.IsAbs(h.Rules) && d.File() != "" {
			h.Rules = filepath.Join(filepath.Dir(d.File()), h.Rules)
		}
		return nil
	case "response_inspection":
		return h.parseResponse(d)
	case "route":
		return h.parseRoute(d)
	case "shadow":
		return h.parseShadow(d)
	}
	return d.Errf("unknown waf option %q: the options are paranoia, mode, body_limit, inspect_limit, argument_limit, app, exclude, prover, response_inspection, rules, route, shadow", word)
}

// parseRoute reads a part of the site and what is different there.
func (h *Handler) parseRoute(d *caddyfile.Dispenser) error {
	var text string
	if !d.Args(&text) || d.NextArg() {
		return d.Err("waf route: name one path, such as `route /editor/* { body_limit 20MiB }`")
	}
	path, err := reqpath.ParsePattern(text)
	if err != nil {
		return d.Errf("waf route: %v", err)
	}
	r, seen := Route{Path: path}, map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if err := once(d, seen, word); err != nil {
			return err
		}
		known, err := parseJudging(d, word, r.judging())
		switch {
		case err != nil:
			return err
		case known:
		case word == "insecure_waf_off":
			if r.InsecureOff = true; d.NextArg() {
				return d.ArgErr()
			}
		case word == "off":
			return switchedOffHere(d)
		default:
			return d.Errf("unknown word %q in a waf route: the words are paranoia, mode, body_limit, inspect_limit, argument_limit, app, exclude, prover, insecure_waf_off", word)
		}
	}
	h.Routes = append(h.Routes, r)
	return nil
}

// judging is where the words go that a site and a route have in common.
type judging struct {
	paranoia, args        *int
	mode                  *Mode
	bodyLimit, inspectLim *int64
	apps                  *[]string
	exclude               *[]Exclusion
	prover                *Switch
	route                 bool
}

func (h *Handler) judging() judging {
	return judging{&h.Paranoia, &h.ArgLimit, &h.Mode, &h.BodyLimit, &h.InspectLimit, &h.Apps, &h.Exclude, &h.Prover, false}
}

func (r *Route) judging() judging {
	return judging{&r.Paranoia, &r.ArgLimit, &r.Mode, &r.BodyLimit, &r.InspectLimit, &r.Apps, &r.Exclude, &r.Prover, true}
}

// parseJudging reads one of the words that say how requests are judged, and reports whether it was one.
func parseJudging(d *caddyfile.Dispenser, word string, to judging) (known bool, err error) {
	switch word {
	case "app":
		if *to.apps = d.RemainingArgs(); len(*to.apps) == 0 {
			return true, d.ArgErr()
		}
		if err := checkApps(*to.apps); err != nil {
			return true, d.Errf("waf %v", err)
		}
		return true, nil
	case "exclude":
		e, err := ParseExclusion(d.RemainingArgs())
		if err != nil {
			return true, d.Errf("waf %v", err)
		}
		*to.exclude = append(*to.exclude, e)
		return true, nil
	case "paranoia", "mode", "body_limit", "inspect_limit", "argument_limit", "prover":
		var value string
		if !d.Args(&value) || d.NextArg() {
			return true, d.ArgErr()
		}
		return true, parseValue(d, word, value, to)
	}
	return false, nil
}

func parseValue(d *caddyfile.Dispenser, word, value string, to judging) error {
	switch word {
	case "paranoia":
		level, err := strconv.Atoi(value)
		if err != nil || level < 1 || level > 4 {
			return d.Errf("waf paranoia %q: want 1, 2, 3 or 4", value)
		}
		*to.paranoia = level
	case "mode":
		switch *to.mode = Mode(value); *to.mode {
		case Block, Detect:
		case "off":
			if to.route {
				return switchedOffHere(d)
			}
			return switchedOff(d)
		default:
			return d.Errf("waf mode %q: want block or detect", value)
		}
	case "body_limit":
		size, ok := parseSize(value)
		if !ok {
			return d.Errf("waf body_limit %q: want a size such as 512KiB or 10MiB, at most %d MiB", value, MaxBodyLimit>>20)
		}
		*to.bodyLimit = size
	case "inspect_limit":
		size, ok := parseSize(value)
		if !ok {
			return d.Errf("waf inspect_limit %q: want a size such as 256KiB or 1MiB", value)
		}
		*to.inspectLim = size
	case "argument_limit":
		n, err := strconv.Atoi(value)
		if err != nil {
			return d.Errf("waf argument_limit %q: want a number from 1000 to 100000", value)
		}
		*to.args = n
	case "prover":
		switch *to.prover = Switch(value); *to.prover {
		case On, Off:
		default:
			return d.Errf("waf prover %q: want on or off", value)
		}
	}
	return nil
}

// parseResponse reads the rest of response_inspection: how much of an answer is inspected.
func (h *Handler) parseResponse(d *caddyfile.Dispenser) error {
	h.ResponseInspection = true
	if !d.NextArg() {
		return nil
	}
	size, ok := parseSize(d.Val())
	if !ok || size > maxResponseLimit {
		return d.Errf("waf response_inspection %q: want a size such as 512KiB, at most %d MiB", d.Val(), maxResponseLimit>>20)
	}
	if h.ResponseLimit = size; d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// parseSize reads a whole number of bytes, KiB or MiB that a body limit may be.
func parseSize(text string) (int64, bool) {
	unit := int64(1)
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = number, u
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n * unit, err == nil && n > 0 && n <= MaxBodyLimit/unit
}

func switchedOff(d *caddyfile.Dispenser) error {
	return d.Err("switching the WAF off is insecure: write insecure_waf_off in the site's gatehouse block instead of a waf block")
}

// switchedOffHere is switchedOff for a route.
func switchedOffHere(d *caddyfile.Dispenser) error {
	return d.Err("switching the WAF off is insecure: write insecure_waf_off into the route, alone")
}

var _ caddyfile.Unmarshaler = (*Handler)(nil)
