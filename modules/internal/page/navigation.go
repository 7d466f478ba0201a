package page

import (
	"net/http"
	"strconv"
	"strings"
)

// negotiatedOn names the request headers that decide between page and problem document, and the page's language.
const negotiatedOn = "Accept, Accept-Language, Sec-Fetch-Mode, Sec-Fetch-Dest, X-Requested-With"

// Navigation reports whether a person's browser asks for a page to show, and not a script, an image or a program.
//
// Fetch Metadata decides where the browser sends it: scripts cannot forge it. Otherwise it is a GET, HEAD or
// form POST without X-Requested-With whose Accept header names HTML and does not prefer JSON; "*/*" alone is a program.
//
// A navigation may be a POST: whoever answers one with a redirect must look at the method too.
// The answer only chooses a format; nothing may be allowed because of it.
func Navigation(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	if mode != "" || dest != "" {
		switch dest {
		case "document", "iframe", "frame", "fencedframe":
			return mode == "" || mode == "navigate"
		case "", "empty": // "empty": a service worker that passes a navigation on
			return mode == "navigate"
		}
		return false
	}
	if r.Header.Get("X-Requested-With") != "" {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, "":
	case http.MethodPost:
		if !formType(r.Header.Get("Content-Type")) {
			return false
		}
	default:
		return false
	}
	return prefersHTML(r.Header["Accept"])
}

// formType reports whether a HTML form sends this content type.
func formType(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(media)
	return strings.EqualFold(media, "application/x-www-form-urlencoded") || strings.EqualFold(media, "multipart/form-data")
}

// prefersHTML reports whether the Accept header names HTML, and not JSON with a higher weight.
func prefersHTML(accept []string) bool {
	var html, json float64
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			media, params, _ := strings.Cut(part, ";")
			media = strings.ToLower(strings.TrimSpace(media))
			switch {
			case media == "text/html", media == "application/xhtml+xml":
				html = max(html, weight(params))
			case media == "application/json", strings.HasSuffix(media, "+json"):
				json = max(json, weight(params))
			}
		}
	}
	return html > 0 && html >= json
}

// weight returns the q of a media range (RFC 9110 12.4.2): 1 when absent, 0 when it is not a weight.
func weight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || !(q >= 0 && q <= 1) { // so written that NaN fails
			return 0
		}
		return q
	}
	return 1
}
