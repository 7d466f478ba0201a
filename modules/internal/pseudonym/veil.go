package pseudonym

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/event"
)

// Veil says how what happened is told of one tenant's sites, so that it names nobody.
type Veil struct {
	*Namer
	HidePaths bool // tell nothing of paths but their pseudonyms
}

// Over replaces what names people. Only what is known to be nobody's in particular stays: of the address its network; of hosts
// those that are the site's. It returns the address's pseudonym, "" if there is none.
func (v Veil) Over(e *event.Ended, hosts []string) (client string) {
	n, at := v.Namer, e.Time
	known := []string{e.User}
	if e.ClientIP.IsValid() {
		known = append(known, e.ClientIP.String())
	}
	if i := strings.LastIndexByte(e.User, ':'); i >= 0 {
		known = append(known, e.User[i+1:])
	}
	if local, _, ok := strings.Cut(e.User, "@"); ok {
		known = append(known, local)
	}
	client = n.Address(e.ClientIP, at)
	e.ClientIP = Network(e.ClientIP).Addr()
	e.User, e.Session = n.User(e.User, at), n.Session(e.Session, at)
	e.Agent, e.Grant = Agent(e.Agent), n.Text(e.Grant, at, known...)
	if strings.HasPrefix(string(e.Kind), "user.") { // it may say what somebody is called now
		e.Detail = n.Value(e.Detail, at)
	} else {
		e.Detail = n.Text(e.Detail, at, known...)
	}
	if v.HidePaths {
		e.Path = n.Value(e.Path, at)
	} else {
		e.Path = n.Path(e.Path, at, known...)
	}
	if e.Host != "" && !slices.Contains(hosts, hostname(e.Host)) {
		e.Host = n.Value(e.Host, at)
	}
	if !isMethod(e.Method) {
		e.Method = n.Value(e.Method, at)
	}
	e.Attrs = slices.Clone(e.Attrs) // others have it, too
	for i, a := range e.Attrs {
		e.Attrs[i].Value = n.attr(a, at, known)
	}
	return client
}

// impersonal are the attributes whose values come from us and name nobody.
var impersonal = []string{
	"waf_rules", "waf_response_rules", "waf_score", "waf_response_score",
	"waf_skipped", "waf_route", "waf_mode", "waf_response", "waf_response_mode", "factor", "factor_failed", "factor_at", "body_sha256", "left",
	"action", "limit", "form_kept", "sensitive", "route", "outcome", "login_failed", "credential", "provider", "jail", "until", "count", "number",
	"voided", "roles", "sink", "alert", "class", "severity", "subject", "since", "receiver", "seconds", "house", "pseudonym",
}

// attr is an attribute's value as it may be told.
func (n *Namer) attr(a event.Attr, at time.Time, known []string) string {
	switch {
	case slices.Contains(impersonal, a.Key), strings.HasPrefix(a.Key, "site "):
		return a.Value
	case slices.Contains([]string{"attempted_user", "login", "operator", "peer", "by", "user", "owner", "break_glass"}, a.Key):
		return n.User(a.Value, at)
	case slices.Contains([]string{"email", "display_name"}, a.Key): // words are names here
		return n.Value(a.Value, at)
	case a.Key == "other_session":
		return n.Session(a.Value, at)
	case a.Key == "network", a.Key == "other_network":
		if p, err := netip.ParsePrefix(a.Value); err == nil {
			if wide := Network(p.Addr()); wide.Bits() < p.Bits() {
				p = wide
			}
			return p.Masked().String()
		}
	}
	return n.Text(a.Value, at, known...)
}

// hostname is the name in a Host field, without the port.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return strings.ToLower(host)
}

func isMethod(m string) bool {
	return slices.Contains([]string{"", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
		"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"}, m)
}
