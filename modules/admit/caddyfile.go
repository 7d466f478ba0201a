package admit

import (
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/reqpath"
)

// Option reads one of the words of the site directive that say what requests look like, and reports whether it was
// one:
//
//	name <name>
//	tenant <name>
//	encoded_slashes
//	empty_segments
//	methods <METHOD...>
//	keep_header <name...>
//	max_headers <n>
//	cors <origin...> {
//		credentials
//		methods <METHOD...>
//		headers <name...>
//		max_age <duration>
//	}
//	cors backend
//	cross_site <path...>
//	security_txt [<file>] {
//		contact         <address...>
//		expires         <day>
//		policy          <address>
//		encryption      <address>
//		acknowledgments <address>
//		languages       <language...>
//	}
//
// A path is exact (/callback) or a subtree (/saml/*).
func (h *Handler) Option(d *caddyfile.Dispenser) (bool, error) {
	switch word := d.Val(); word {
	case "name":
		if !d.Args(&h.Name) || d.NextArg() {
			return true, d.ArgErr()
		}
	case "tenant":
		if !d.Args(&h.Tenant) || d.NextArg() {
			return true, d.Err("tenant: write whose site it is, such as `tenant acme`")
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
	case "max_headers":
		var text string
		n := 0
		if d.Args(&text) && !d.NextArg() {
			n, _ = strconv.Atoi(text)
		}
		if h.MaxHeaders = n; n <= 0 {
			return true, d.Err("max_headers: write how many header fields a request may have, such as `max_headers 200`")
		}
	case "cors":
		return true, h.corsOption(d)
	case "cross_site":
		return true, h.crossSiteOption(d)
	case "security_txt":
		return true, h.securityOption(d)
	default:
		return false, nil
	}
	return true, nil
}

func (h *Handler) corsOption(d *caddyfile.Dispenser) error {
	s := Sharing{Origins: d.RemainingArgs()}
	if len(s.Origins) == 1 && s.Origins[0] == "backend" {
		h.CORSBackend = true
		if d.NextBlock(d.Nesting()) {
			return d.Err("cors backend: the application answers preflights: it has no options here")
		}
		return nil
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := s.option(d); err != nil {
			return err
		}
	}
	h.CORS = append(h.CORS, s)
	if _, err := share(h.CORS); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (s *Sharing) option(d *caddyfile.Dispenser) error {
	switch word := d.Val(); word {
	case "credentials":
		s.Credentials = true
		return noArgs(d)
	case "methods", "headers":
		args := d.RemainingArgs()
		if len(args) == 0 {
			return d.ArgErr()
		}
		if word == "methods" {
			s.Methods = append(s.Methods, args...)
		} else {
			s.Headers = append(s.Headers, args...)
		}
		return nil
	case "max_age":
		var text string
		if !d.Args(&text) || d.NextArg() {
			return d.ArgErr()
		}
		age, err := caddy.ParseDuration(text)
		if err != nil || age < time.Second || age > maxShareAge*time.Second {
			return d.Errf("max_age: %q is not between a second and a day: write one like 10m", text)
		}
		s.MaxAge = int(age / time.Second)
		return nil
	}
	return d.Errf("unknown word %q in cors: the words are credentials, methods, headers, max_age", d.Val())
}

func (h *Handler) crossSiteOption(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("cross_site: name at least one path that other sites may send forms to, such as `cross_site /payments/callback`")
	}
	for _, arg := range args {
		p, err := reqpath.ParsePattern(arg)
		if err != nil {
			return d.Errf("cross_site: %v", err)
		}
		h.CrossSite = append(h.CrossSite, p)
	}
	return nil
}

func (h *Handler) securityOption(d *caddyfile.Dispenser) error {
	if h.SecurityTxt != nil {
		return d.Err("security_txt: it stands here twice: put everything into one")
	}
	h.SecurityTxt = new(SecurityTxt)
	s := h.SecurityTxt
	if d.NextArg() {
		s.File = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		list, one := map[string]*[]string{"contact": &s.Contact, "languages": &s.Languages}[word],
			map[string]*string{"expires": &s.Expires, "policy": &s.Policy, "encryption": &s.Encryption, "acknowledgments": &s.Acknowledgments}[word]
		switch {
		case list == nil && one == nil:
			return d.Errf("unknown word %q in security_txt: the words are contact, expires, policy, encryption, acknowledgments, languages", word)
		case len(args) == 0 || one != nil && len(args) > 1:
			return d.ArgErr()
		case one != nil:
			*one = args[0]
		default:
			*list = append(*list, args...)
		}
	}
	if s.File == "" && len(s.Contact) == 0 && s.Expires == "" {
		return d.Err("security_txt: write `security_txt <file>`, or a block with contact and expires")
	}
	return nil
}

func noArgs(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}
