package forward

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// Option reads the word of the site directive that chooses what the backend is told:
//
//	forward <field...>
//
// `forward none` tells it nothing.
func (h *Handler) Option(d *caddyfile.Dispenser) (bool, error) {
	if d.Val() != "forward" {
		return false, nil
	}
	args := d.RemainingArgs()
	if len(args) == 0 {
		return true, d.Err("forward: name fields (user, provider, name, email, roles), or none")
	}
	h.Fields = []Field{}
	if len(args) == 1 && args[0] == "none" {
		return true, nil
	}
	for _, arg := range args {
		h.Fields = append(h.Fields, Field(arg))
	}
	if err := validate(h.Fields); err != nil {
		return true, d.Err(err.Error())
	}
	return true, nil
}
