package forward

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// Option reads the word of the site directive that chooses what the backend is told:
//
//	forward <field...> {
//		roles <role...> | *
//	}
//
// `forward none` tells it nothing. roles adds to those of the user's roles that it is told of; see [Handler.Named].
func (h *Handler) Option(d *caddyfile.Dispenser) (bool, error) {
	if d.Val() != "forward" {
		return false, nil
	}
	args := d.RemainingArgs()
	if len(args) == 0 {
		return true, d.Err("forward: name fields (user, provider, name, email, roles), or none")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "roles" {
			return true, d.Errf("unknown word %q in forward: the only one is roles", d.Val())
		}
		names := d.RemainingArgs()
		if len(names) == 0 {
			return true, d.Err("roles: name at least one role that the application is to know of, or * for all")
		}
		h.Roles = append(h.Roles, names...)
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

// Named adds the roles, and the families of roles, that the site's rules name: what it asks for itself, its application may
// know.
func (h *Handler) Named(roles, families []string) {
	h.Roles, h.Families = append(h.Roles, roles...), append(h.Families, families...)
}
