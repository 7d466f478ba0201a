package admit

import (
	"net/http"
	"net/url"
	"strings"

	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/identity"
)

// The shield keeps pages of other sites from acting in a person's name (CSRF). It stands before what changes state,
// and protects the one thing that the gateway adds to a request by itself: who the session cookie says it is from.
//
//   - As good as that cookie are the one of a link's guest, a client certificate, and an API key as the password of HTTP
//     Basic: browsers keep them and send them by themselves, too.
//   - A request without any of them passes: webhooks, programs and forms of the company's other sites have no more to
//     say on a public path than anybody. Where a login is needed they fail for want of one, and are told why: a browser
//     that sends a foreign form leaves the cookie out (SameSite=Lax), so that a login would not help.
//   - GET and HEAD pass: the foreign page cannot read the answer, and following a link is what the web is for. Whoever
//     changes state by GET is not protected. OPTIONS passes: preflights are asked by it.
//   - SameSite=Lax alone does not do it: to a browser a.example.com and b.example.com, or two ports, are one site.

// changes reports whether requests with this method are for changing something.
func changes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// ambient reports whether the request carries what authn may take for somebody's, and browsers send by themselves.
func ambient(r *http.Request) bool {
	for _, name := range [...]string{cookie.Ours, cookie.Guest} {
		if _, ok := cookie.Get(r.Header, name); ok {
			return true
		}
	}
	_, password, ok := r.BasicAuth()
	return ok && strings.HasPrefix(password, identity.KeyPrefix) || r.TLS != nil && len(r.TLS.PeerCertificates) > 0
}

// foreign reports whether a page of another origin had the browser send the request. A page cannot forge any of the
// headers that say so; what a program writes there does not matter, since it could leave the cookie out as well.
//
// Sec-Fetch-Site decides where it is sent, and covers redirects. Without it (Firefox before 90, Safari before 16.4,
// programs) Origin does, which those browsers send with every such request, as null where the page hides itself.
// Without both Referer does. Without all three it is a program: browsers that speak TLS 1.3, which is the floor, send
// one of them, but for Firefox 63 to 69 with a page that hides its address; those know SameSite, so that the page must
// be on a sibling host. A refusal there would hit every program that keeps cookies, such as curl.
func foreign(r *http.Request, named origins) bool {
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 {
		own := len(site) == 1 && (site[0] == "same-origin" || site[0] == "none")
		return !own && !named.trusts(r.Header) // a value nobody knows is foreign
	}
	if origin := r.Header["Origin"]; len(origin) > 0 {
		return !(len(origin) == 1 && sameOrigin(origin[0], r.Host)) && !named.trusts(r.Header)
	}
	if referer := r.Header["Referer"]; len(referer) > 0 {
		return !(len(referer) == 1 && sameOrigin(originOf(referer[0]), r.Host))
	}
	return false
}

// originOf returns the origin of an address, or "" when it has none.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
