package ban

import (
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/reqpath"
)

// UnmarshalCaddyfile reads the house's word:
//
//	ban {
//		jail <name> <maxretry> in <findtime> for <bantime> [escalate] [scope <scope>] [action <action>] [on <event|reason|app_404|app_4xx...>] {
//			path        <pattern...>
//			logpath     <file...>
//			failregex   <RE2 pattern with <HOST>...>
//			ignoreregex <RE2 pattern...>
//		}
//		jail <name> off
//		allow <address, CIDR or name...>
//		honeypot <path...>
//		blocklist <name> <file or https URL> {
//			every       <duration>
//			stale_after <duration>
//			signed_by   <Ed25519 public key in base64>
//			ca          <file>
//			action      ban | tarpit | step_up | score [<weight>]
//			insecure_tls12
//		}
//		blocklist <name> crowdsec <URL of its local API> {
//			key   <placeholder>
//			every | stale_after | ca | action | insecure_tls12 as above
//		}
//		nftables <file>
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
		case "nftables":
			if !d.AllArgs(&s.Nftables) {
				err = d.ArgErr()
			}
		case "include_private":
			if s.IncludePrivate = true; d.NextArg() {
				err = d.ArgErr()
			}
		default:
			err = d.Errf("unknown ban option %q: the options are jail, allow, honeypot, blocklist, nftables, include_private", d.Val())
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
	if len(rest) > 1 && rest[0] == "scope" {
		j.Scope, rest = Scope(rest[1]), rest[2:]
		if j.Scope == "client" {
			j.Scope = ByClient
		}
	}
	if len(rest) > 1 && rest[0] == "action" {
		var known bool
		if j.Action, known = readAction(rest[1]); !known {
			return d.Errf("jail %s: action %q: the actions are ban, tarpit, step_up", j.Name, rest[1])
		}
		rest = rest[2:]
	}
	if len(rest) > 0 {
		if rest[0] != "on" || len(rest) == 1 {
			return d.Errf("jail %s: unknown word %q: what follows is, in this order, escalate, scope, action, and `on` with events and reasons", j.Name, rest[0])
		}
		j.On = rest[1:]
	}
	if err := j.parseBlock(d); err != nil {
		return err
	}
	s.Jails = append(s.Jails, j)
	return nil
}

// parseBlock reads what may stand behind a jail's line.
func (j *Jail) parseBlock(d *caddyfile.Dispenser) error {
	log := new(LogFilter)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		if len(args) == 0 {
			return d.Errf("jail %s: %s: say which", j.Name, word)
		}
		switch word {
		case "path":
			for _, arg := range args {
				p, err := reqpath.ParsePattern(arg)
				if err != nil {
					return d.Errf("jail %s: path: %v", j.Name, err)
				}
				j.Paths = append(j.Paths, p)
			}
			continue
		case "logpath":
			log.Files = append(log.Files, args...)
		case "failregex":
			log.Fail = append(log.Fail, args...)
		case "ignoreregex":
			log.Ignore = append(log.Ignore, args...)
		default:
			return d.Errf("jail %s: unknown option %q: the options are path, logpath, failregex, ignoreregex", j.Name, word)
		}
		j.Log = log
		_, err := compileAll(word, args, word == "failregex")
		if word != "logpath" && err != nil {
			return d.Errf("jail %s: %v", j.Name, err)
		}
	}
	return nil
}

func (s *Settings) parseBlocklist(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	fromAPI := len(args) == 3 && args[1] == "crowdsec"
	if len(args) != 2 && !fromAPI {
		return d.Err("blocklist: write `blocklist <name> <file or https URL>`, such as `blocklist drop https://www.spamhaus.org/drop/drop.txt`, or `blocklist <name> crowdsec http://127.0.0.1:8080`")
	}
	b := Blocklist{Name: args[0]}
	if fromAPI {
		b.CrowdSec = args[2]
	} else if strings.Contains(args[1], "://") {
		b.URL = args[1]
	} else {
		b.File = args[1]
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if word == "action" {
			if err := b.parseAction(d); err != nil {
				return err
			}
			continue
		}
		if word == "insecure_tls12" {
			if b.InsecureTLS12 = true; d.NextArg() {
				return d.ArgErr()
			}
			continue
		}
		into := map[string]*string{"every": &b.Every, "stale_after": &b.StaleAfter, "signed_by": &b.SignedBy, "ca": &b.CAFile, "key": &b.Key}[word]
		if into == nil {
			return d.Errf("unknown blocklist option %q: the options are every, stale_after, signed_by, ca, key, action, insecure_tls12", word)
		}
		if !d.AllArgs(into) {
			return d.ArgErr()
		}
	}
	s.Blocklists = append(s.Blocklists, b)
	return nil
}

func (b *Blocklist) parseAction(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	known, fits := false, len(args) == 1
	if len(args) > 0 {
		b.Action, known = readAction(args[0])
	}
	if b.Action == Score && len(args) == 2 {
		n, err := strconv.Atoi(args[1])
		b.Weight, fits = n, err == nil && n > 0
	}
	if !known || !fits {
		return d.Errf("blocklist %s: write `action ban`, `action tarpit`, `action step_up`, or `action score <weight>` such as `action score 4`", b.Name)
	}
	return nil
}

func (s *Settings) parseAllow(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("allow: name addresses or networks that are never banned, such as `allow 192.0.2.0/24`")
	}
	for _, arg := range args {
		w, err := ParseWhom(arg)
		switch {
		case err != nil || w.Scope == ByClient && w.Network.Bits() == 0:
			return d.Errf("allow %q: want an address or a network without bits behind its length, such as 192.0.2.0/24, or user:<provider>:<subject>, session:<name>, key:<id>, tenant:<name>", arg)
		case w.Scope == ByClient:
			s.Allow = append(s.Allow, w.Network)
		default:
			s.AllowNames = append(s.AllowNames, arg)
		}
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

var _ caddyfile.Unmarshaler = (*Settings)(nil)
