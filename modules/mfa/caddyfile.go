package mfa

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile reads the house's word
//
//	mfa {
//		admin_roles <role...>
//		required_for role <role...>
//		issuer_label <text>
//		aaguid <id...>
//		nudge <number>
//		amr <method...>
//		deny_amr <method...>
//		acr <value...>
//		insecure_admins_without_factor
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // mfa
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		if err := m.option(d); err != nil {
			return err
		}
	}
	return nil
}

func (m *Module) option(d *caddyfile.Dispenser) error {
	word, args := d.Val(), d.RemainingArgs()
	lists := map[string]*[]string{
		"admin_roles": &m.AdminRoles, "aaguid": &m.AAGUIDs, "amr": &m.AMR, "deny_amr": &m.DenyAMR, "acr": &m.ACR,
	}
	if to := lists[word]; to != nil {
		if len(args) == 0 {
			return d.ArgErr()
		}
		*to = append(*to, args...)
		return nil
	}
	switch word {
	case "required_for":
		if len(args) < 2 || args[0] != "role" {
			return d.Err("required_for: write `required_for role <role...>`")
		}
		m.RequiredRoles = append(m.RequiredRoles, args[1:]...)
	case "issuer_label":
		if len(args) != 1 {
			return d.ArgErr()
		}
		m.IssuerLabel = args[0]
	case "nudge":
		if len(args) != 1 {
			return d.ArgErr()
		}
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 0 {
			return d.Errf("nudge: %q is not a number: write how often people without a second factor are asked to set one up", args[0])
		}
		m.Nudge = n
	case "insecure_admins_without_factor":
		if len(args) != 0 {
			return d.ArgErr()
		}
		m.InsecureAdmins = true
	default:
		return d.Errf("unknown mfa option %q: the options are admin_roles, required_for, issuer_label, aaguid, nudge, amr, deny_amr, acr, insecure_admins_without_factor", word)
	}
	return nil
}
