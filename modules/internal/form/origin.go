package form

import (
	"net/http"
	"net/url"
	"strings"
)

// TopLevel reports whether the browser shows the answer in a tab of its own, as far as it says so: a form in a frame, or a
// page that is loaded ahead, is nobody's who looks at it.
func TopLevel(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return (dest == "" || dest == "document") && r.Header.Get("Sec-Purpose") == ""
}

// SameOrigin reports whether the browser says that a page of this very site made the request, and nothing else.
func SameOrigin(r *http.Request) bool {
	site, origin := r.Header["Sec-Fetch-Site"], r.Header["Origin"]
	if len(site) == 0 && len(origin) == 0 {
		return false
	}
	for _, s := range site {
		if s != "same-origin" {
			return false
		}
	}
	for _, o := range origin {
		if !strings.EqualFold(strings.TrimSuffix(o, ":443"), "https://"+strings.TrimSuffix(r.Host, ":443")) {
			return false
		}
	}
	return true
}

// CameFrom returns path and query of the page of this site that holds the form, as far as the browser says so, or "/". It is
// a client's word: whoever leads somebody there checks it.
func CameFrom(r *http.Request) string {
	u, err := url.Parse(r.Referer())
	if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Host, r.Host) {
		return "/"
	}
	return u.RequestURI()
}
