package ban

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/reqpath"
)

// UnmarshalCaddyfile reads the house's word:
//
//	ban {
//		jail <name> <maxretry> in <findtime> for <bantime> [escalate] [on <event|reason|app_404|app_400...>]
//		jail <name> off
//		allow <address or CIDR...>
//		honeypot <path...>
//		blocklist <name> <file or https URL> {
//			every       <duration>
//			stale_after <duration>
//			signed_by   <Ed25519 public key in base64>
//			ca          <file>
//		}
//		include_private
//	}
func (s *Settings) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // ban
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		var err error
		switch d.Val() {
		case "jail":
			err = s.parseJail(d)
		case "allow":
			err = s.parseAllow(d)
		case "honeypot":
			err = s.parseHoneypot(d)
		case "blocklist":
			err = s.parseBlocklist(d)
		case "include_private":
			if s.IncludePrivate = true; d.NextArg() {
				err = d.ArgErr()
			}
		default:
			err = d.Errf("unknown ban option %q: the options are jail, allow, honeypot, blocklist, include_private", d.Val())
		}
		if err != nil {
			return err
		}
	}
	if _, err := jails(s.Jails); err != nil {
		return d.Errf("ban: %v", err)
	}
	if err := checkLists(slices.Clone(s.Blocklists)); err != nil {
		return d.Errf("ban: %v", err)
	}
	return nil
}

func (s *Settings) parseJail(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 2 && args[1] == "off" {
		s.Jails = append(s.Jails, Jail{Name: args[0], Off: true})
		return nil
	}
	if len(args) < 6 || args[2] != "in" || args[4] != "for" {
		return d.Err("jail: write `jail <name> <maxretry> in <findtime> for <bantime>`, such as `jail login 5 in 10m for 1h escalate`, or `jail <name> off`")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return d.Errf("jail %s: %q is no number of offences", args[0], args[1])
	}
	j := Jail{Name: args[0], MaxRetry: n, FindTime: args[3], BanTime: args[5]}
	rest := args[6:]
	if len(rest) > 0 && rest[0] == "escalate" {
		j.Escalate, rest = true, rest[1:]
	}
	if len(rest) > 0 {
		if rest[0] != "on" || len(rest) == 1 {
			return d.Errf("jail %s: unknown word %q: what follows is escalate, then `on` with events and reasons", j.Name, rest[0])
		}
		j.On = rest[1:]
	}
	s.Jails = append(s.Jails, j)
	return nil
}

func (s *Settings) parseBlocklist(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Err("blocklist: write `blocklist <name> <file or https URL>`, such as `blocklist drop https://www.spamhaus.org/drop/drop.txt`")
	}
	b := Blocklist{Name: args[0]}
	if strings.Contains(args[1], "://") {
		b.URL = args[1]
	} else {
		b.File = args[1]
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		into := map[string]*string{"every": &b.Every, "stale_after": &b.StaleAfter, "signed_by": &b.SignedBy, "ca": &b.CAFile}[word]
		if into == nil {
			return d.Errf("unknown blocklist option %q: the options are every, stale_after, signed_by, ca", word)
		}
		if !d.AllArgs(into) {
			return d.ArgErr()
		}
	}
	s.Blocklists = append(s.Blocklists, b)
	return nil
}

func (s *Settings) parseAllow(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("allow: name addresses or networks that are never banned, such as `allow 192.0.2.0/24`")
	}
	for _, arg := range args {
		p, err := network(arg)
		if err != nil || p.Bits() == 0 {
			return d.Errf("allow %q: want an address or a network without bits behind its length, such as 192.0.2.0/24", arg)
		}
		s.Allow = append(s.Allow, p)
	}
	return nil
}

func (s *Settings) parseHoneypot(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("honeypot: name paths that nobody has a reason to ask for, such as `honeypot /wp-login.php /.env`")
	}
	for _, arg := range args {
		p, err := reqpath.ParsePattern(arg)
		if err != nil {
			return d.Errf("honeypot: %v", err)
		}
		if p.Root() == "" || p.Root() == "/" {
			return d.Errf("honeypot %s: that is where everybody begins", arg)
		}
		s.Honeypot = append(s.Honeypot, p)
	}
	return nil
}

// network reads an address or a network in canonical form.
func network(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return netip.Prefix{}, errNetwork
	}
	return p, nil
}

var _ caddyfile.Unmarshaler = (*Settings)(nil)
