package verify

import (
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/gatehouse"
)

// UnmarshalCaddyfile reads the house's word
//
//	verify {
//		first_login|new_network|new_device|new_country|impossible_travel|listed_network|off_hours allow|notify|step_up|ask_admin|deny
//		for role <role...> {
//			<signal> <outcome>
//		}
//		for tenant <name...> {
//			<signal> <outcome>
//		}
//		hours <days> <span> <time zone>
//		roaming off
//		trusted <network...>
//		geoip <file...>
//		lists <file...>
//		remember <duration>
//		smtp <host:port> {
//			from <address>
//			user <name> <password>
//			implicit_tls
//			ca <file>
//			insecure_smtp_clear
//			insecure_smtp_tls12
//		}
//	}
func (m *Room) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // verify
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

func (m *Room) option(d *caddyfile.Dispenser) error {
	word := d.Val()
	if slices.Contains(Signals, Signal(word)) {
		return signal(d, &m.Policy)
	}
	lists := map[string]*[]string{"trusted": &m.Trusted, "geoip": &m.GeoIP, "lists": &m.Lists}
	if to := lists[word]; to != nil {
		args := d.RemainingArgs()
		if len(args) == 0 {
			return d.ArgErr()
		}
		*to = append(*to, args...)
		return nil
	}
	switch word {
	case "for":
		return m.part(d)
	case "hours":
		if m.Hours = d.RemainingArgs(); len(m.Hours) != 3 {
			return d.Err("hours: write `hours mon-fri 07:00-19:00 Europe/Berlin`")
		}
		if _, err := ParseHours(m.Hours[0], m.Hours[1], m.Hours[2]); err != nil {
			return d.WrapErr(err)
		}
	case "roaming":
		if !d.NextArg() || d.Val() != "off" || d.NextArg() {
			return d.Err("roaming: write `roaming off`, or leave it out: a known device may come from anywhere in a known network's neighbourhood")
		}
		m.NoRoaming = true
	case "remember":
		var text string
		if !d.Args(&text) || d.NextArg() {
			return d.ArgErr()
		}
		v, err := caddy.ParseDuration(text)
		if err != nil || v <= 0 {
			return d.Errf("remember: %q is not a positive duration: write one like 90d", text)
		}
		m.Remember = caddy.Duration(v)
	case "smtp":
		return gatehouse.ParseSMTP(d, &m.SMTP)
	default:
		return d.Errf("unknown verify option %q: the options are %s, for, hours, roaming, trusted, geoip, lists, remember, smtp", word, names(Signals))
	}
	return nil
}

func signal(d *caddyfile.Dispenser, to *Policy) error {
	s, args := Signal(d.Val()), d.RemainingArgs()
	if len(args) != 1 {
		return d.Errf("%s: write one outcome: allow, notify, step_up, ask_admin or deny", s)
	}
	var o Outcome
	if err := o.UnmarshalText([]byte(args[0])); err != nil {
		return d.Errf("%s: %v", s, err)
	}
	if *to == nil {
		*to = Policy{}
	}
	(*to)[s] = o
	return nil
}

func (m *Room) part(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	var p Part
	switch {
	case len(args) > 1 && args[0] == "role":
		p.Roles = args[1:]
	case len(args) > 1 && args[0] == "tenant":
		p.Tenants = args[1:]
	default:
		return d.Err("for: write `for role <role...> { ... }` or `for tenant <name...> { ... }`")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if !slices.Contains(Signals, Signal(d.Val())) {
			return d.Errf("unknown signal %q: the signals are %s", d.Val(), names(Signals))
		}
		if err := signal(d, &p.Policy); err != nil {
			return err
		}
	}
	m.Parts = append(m.Parts, p)
	return nil
}
