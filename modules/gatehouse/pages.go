package gatehouse

import (
	"net/http"
	"strings"
)

// The places of the portal that rooms answer for.
const (
	// LinkPath is where whoever was given a link opens it.
	LinkPath = PortalPrefix + "link"
	// KeysPath is where people have the keys of their programs and devices.
	KeysPath = PortalPrefix + "account/keys"
	// PairPath is where programs ask for keys, and people let them have some.
	PairPath = PortalPrefix + "device"
	// TokenPath is where programs have their keys exchanged for access tokens.
	TokenPath = PortalPrefix + "token"
	// VerifyPath is where people prove that a device or a network is theirs.
	VerifyPath = PortalPrefix + "verify"
	// ReportPath is where people say that a visit was not theirs.
	ReportPath = VerifyPath + "/report"
	// DevicesPath is where people see and remove their devices and networks.
	DevicesPath = PortalPrefix + "account/devices"
)

// PortalPage answers for a place of a site's portal. Implementations are safe for concurrent use.
type PortalPage interface {
	// ServePage answers one request for the place, whoever makes it and with whatever method. An error refuses it, and then
	// nothing was written.
	ServePage(w http.ResponseWriter, r *http.Request, v PageVisit) error
}

// PageVisit is one request for a [PortalPage]. Its form is parsed, and no cache will keep the answer.
type PageVisit struct {
	Request *Request
	// CSRF goes into each form as csrf; "" when nobody is logged in. CheckCSRF refuses a form that this session was not shown.
	CSRF      string
	CheckCSRF func() error
	// Next returns the path on this site that a client's text names, or "/".
	Next func(text string) string
	// Anew is what the person's identity provider is called, and where it is asked to have them log in anew; "" when it cannot be
	// asked. It leads back to next.
	Anew func(next string) (label, address string)
}

// AddPage has p answer for the path of the portal on the site whose row is being provisioned. Only Provision may call it.
func (app *App) AddPage(path string, p PortalPage) {
	if app.pages == nil {
		app.pages = map[*Site]map[string]PortalPage{}
	}
	if app.pages[app.entered] == nil {
		app.pages[app.entered] = map[string]PortalPage{}
	}
	app.pages[app.entered][path] = p
}

// Page returns what answers for the path on the site, or nil.
func (app *App) Page(site *Site, path string) PortalPage { return app.pages[site][path] }

// SiteOf returns the site that answers for a host name, in lower case and without port; nil when there is none. A name
// counts before a wildcard, and that before a site without names, which answers for all.
func (app *App) SiteOf(host string) *Site {
	var best *Site
	fit := 0
	for _, s := range app.sites {
		if n := s.fits(host); n > fit {
			best, fit = s, n
		}
	}
	return best
}

// fits says how well the site's names fit a host: not at all (0), as every other would (1), by a wildcard (2), exactly (3).
func (s *Site) fits(host string) int {
	if len(s.Hosts) == 0 {
		return 1
	}
	fit := 0
	_, parent, _ := strings.Cut(host, ".")
	for _, name := range s.Hosts {
		switch {
		case strings.EqualFold(name, host):
			return 3
		case parent != "" && strings.EqualFold(name, "*."+parent):
			fit = 2
		}
	}
	return fit
}
