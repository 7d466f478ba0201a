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
//		rules      <dir>
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
	case "paranoia", "mode", "body_limit", "rules":
		if !d.Args(&value) || d.NextArg() {
			return d.ArgErr()
		}
	default:
		return d.Errf("unknown waf option %q: the options are paranoia, mode, body_limit, rules", word)
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
	case "rules":
		h.Rules = value
		if !filepath.IsAbs(value) && d.File() != "" {
			h.Rules = filepath.Join(filepath.Dir(d.File()), value)
		}
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
