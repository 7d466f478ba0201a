package waf

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Option reads one option of the site directive, if the word that d stands on is this room's: a waf block, or
// insecure_waf_off.
func (h *Handler) Option(d *caddyfile.Dispenser) (bool, error) {
	word := d.Val()
	if word != "waf" && word != "insecure_waf_off" {
		return false, nil
	}
	if h.option != "" {
		return true, d.Errf("%s after %s: a site has one of waf and insecure_waf_off, once", word, h.option)
	}
	h.option = word
	if word == "waf" {
		return true, h.parse(d)
	}
	if d.NextArg() {
		return true, d.ArgErr()
	}
	h.InsecureOff = true
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
//		response_inspection [<size>]
//		app        <name...>
//		rules      <dir>
//		shadow {
//			paranoia 1|2|3|4
//			rules    <dir>
//			share    <percent>%
//		}
//	}
//
// Relative directories are relative to the Caddyfile. The word that switches the WAF off stands in the site directive
// instead of the block: insecure_waf_off.
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
		if seen[word] {
			return d.Errf("waf option %s stands twice", word)
		}
		seen[word] = true
		if err := h.parseOption(d, word); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) parseOption(d *caddyfile.Dispenser, word string) error {
	var value string
	switch word {
	case "off":
		return switchedOff(d)
	case "paranoia", "mode", "body_limit", "inspect_limit", "argument_limit", "rules":
		if !d.Args(&value) || d.NextArg() {
			return d.ArgErr()
		}
	case "app":
		if h.Apps = d.RemainingArgs(); len(h.Apps) == 0 {
			return d.ArgErr()
		}
		if err := checkApps(h.Apps); err != nil {
			return d.Errf("waf %v", err)
		}
		return nil
	case "response_inspection":
		return h.parseResponse(d)
	case "shadow":
		return h.parseShadow(d)
	default:
		return d.Errf("unknown waf option %q: the options are paranoia, mode, body_limit, inspect_limit, argument_limit, response_inspection, app, rules, shadow", word)
	}
	switch word {
	case "paranoia":
		level, err := strconv.Atoi(value)
		if err != nil || level < 1 || level > 4 {
			return d.Errf("waf paranoia %q: want 1, 2, 3 or 4", value)
		}
		h.Paranoia = level
	case "mode":
		switch h.Mode = Mode(value); h.Mode {
		case Block, Detect:
		case "off":
			return switchedOff(d)
		default:
			return d.Errf("waf mode %q: want block or detect", value)
		}
	case "body_limit":
		size, ok := parseSize(value)
		if !ok {
			return d.Errf("waf body_limit %q: want a size such as 512KiB or 10MiB, at most %d MiB", value, MaxBodyLimit>>20)
		}
		h.BodyLimit = size
	case "inspect_limit":
		size, ok := parseSize(value)
		if !ok {
			return d.Errf("waf inspect_limit %q: want a size such as 256KiB or 1MiB", value)
		}
		h.InspectLimit = size
	case "argument_limit":
		n, err := strconv.Atoi(value)
		if err != nil {
			return d.Errf("waf argument_limit %q: want a number from 1000 to 100000", value)
		}
		h.ArgLimit = n
	case "rules":
		h.Rules = value
		if !filepath.IsAbs(value) && d.File() != "" {
			h.Rules = filepath.Join(filepath.Dir(d.File()), value)
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

var _ caddyfile.Unmarshaler = (*Handler)(nil)
