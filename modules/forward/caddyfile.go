package forward

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Option reads the word of the site directive that chooses what the backend is told:
//
//	forward <field...> {
//		roles <role...> | *
//		assertion [<audience> [<issuer>]]
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
		if d.Val() == "assertion" {
			if err := h.assertion(d); err != nil {
				return true, err
			}
			continue
		}
		if d.Val() != "roles" {
			return true, d.Errf("unknown word %q in forward: the words are roles and assertion", d.Val())
		}
		names := d.RemainingArgs()
		if len(names) == 0 {
			return true, d.Err("roles: name at least one role that the application is to know of, or * for all")
		}
		h.Roles = append(h.Roles, names...)
	}
	h.Fields = []Field{}
	if len(args) == 1 && args[0] == "none" {
		if h.Assertion != nil {
			return true, d.Err("forward none tells the application nothing: take out assertion, or name what it may know")
		}
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

func (h *Handler) assertion(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) > 2 || h.Assertion != nil {
		return d.Err("assertion: write it once, as `assertion [<audience> [<issuer>]]`")
	}
	h.Source = d.File() + ":" + strconv.Itoa(d.Line())
	h.Assertion = new(Assertion)
	if len(args) > 0 {
		h.Assertion.Audience = args[0]
	}
	if len(args) > 1 {
		h.Assertion.Issuer = args[1]
	}
	return nil
}
