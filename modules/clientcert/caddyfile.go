package clientcert

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Option reads the word of the site directive that says whose certificates clients may show, and reports whether it was it:
//
//	client_certificates {
//		ca <file...>
//		crl <file...>
//		required | optional
//	}
func (h *Handler) Option(d *caddyfile.Dispenser) (bool, error) {
	if d.Val() != "client_certificates" {
		return false, nil
	}
	if h.Configured() {
		return true, d.Err("there are two client_certificates blocks: put everything into one")
	}
	if d.NextArg() {
		return true, d.ArgErr()
	}
	said := ""
	h.Source = fmt.Sprintf("%s:%d", d.File(), d.Line())
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		args := d.RemainingArgs()
		switch {
		case word == "ca" && len(args) > 0:
			h.CA = append(h.CA, args...)
		case word == "crl" && len(args) > 0:
			h.CRL = append(h.CRL, args...)
		case (word == "required" || word == "optional") && len(args) == 0:
			if said != "" && said != word {
				return true, d.Err("client_certificates: a certificate is required or optional, not both")
			}
			said, h.Optional = word, word == "optional"
		default:
			return true, d.Errf("client_certificates: write `ca <file...>`, `crl <file...>`, `required` or `optional`, not %q", word)
		}
	}
	if len(h.CA) == 0 {
		return true, d.Err("client_certificates: name the authority whose certificates count: `ca /etc/gatehouse/clients-ca.pem`")
	}
	return true, nil
}
