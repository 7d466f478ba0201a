package authn

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/reqpath"
)

// Option reads one of the words of the site directive that say how logins to the site last, and reports whether it was
// one:
//
//	session {
//		idle <duration>
//		...
//	}
//	background <path...>
//
// session is the house's word, for one site.
func (h *Handler) Option(d *caddyfile.Dispenser) (bool, error) {
	switch d.Val() {
	case "session":
		return true, h.Session.Parse(d)
	case "background":
		args := d.RemainingArgs()
		if len(args) == 0 {
			return true, d.Err("background: name at least one path, such as `background /api/poll /live/*`")
		}
		for _, arg := range args {
			p, err := reqpath.ParsePattern(arg)
			if err != nil {
				return true, d.Errf("background: %v", err)
			}
			h.Background = append(h.Background, p)
		}
		return true, nil
	}
	return false, nil
}

// Portal returns the portal that goes with this handler in a site's row.
func (h *Handler) Portal() *Portal {
	p := new(Portal)
	p.Session = h.Session
	return p
}
