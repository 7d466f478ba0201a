package admit

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// Option reads one of the words of the site directive that say what requests look like, and reports whether it was
// one:
//
//	name <name>
//	encoded_slashes
//	empty_segments
//	methods <METHOD...>
//	keep_header <name...>
func (h *Handler) Option(d *caddyfile.Dispenser) (bool, error) {
	switch word := d.Val(); word {
	case "name":
		if !d.Args(&h.Name) || d.NextArg() {
			return true, d.ArgErr()
		}
	case "encoded_slashes":
		h.EncodedSlashes = true
		return true, noArgs(d)
	case "empty_segments":
		h.EmptySegments = true
		return true, noArgs(d)
	case "methods", "keep_header":
		args := d.RemainingArgs()
		if len(args) == 0 {
			return true, d.ArgErr()
		}
		if word == "methods" {
			h.Methods = append(h.Methods, args...)
		} else {
			h.KeepHeaders = append(h.KeepHeaders, args...)
		}
	default:
		return false, nil
	}
	return true, nil
}

func noArgs(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}
