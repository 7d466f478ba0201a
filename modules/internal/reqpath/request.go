package reqpath

import (
	"net/http"
	"net/url"
	"strings"
)

// FromRequest parses the path of a server request from r.RequestURI, the
// target as it came off the wire in HTTP/1.1, 2 and 3 alike.
//
// Origin-form and, as RFC 9112 §3.2.2 requires, absolute-form with scheme
// http or https and without userinfo are accepted; "*", authority-form
// (CONNECT) and an empty RequestURI are [ErrForm]. If r.URL no longer says
// the same as r.RequestURI, a handler before us rewrote one of them and it is
// unclear which one will be sent: [ErrMismatch].
//
// r is not changed; see [Path.Apply].
func FromRequest(r *http.Request, o Options) (Path, error) {
	target, err := originForm(r)
	if err != nil {
		return Path{}, err
	}
	p, err := Parse(target, o)
	if err != nil {
		return Path{}, err
	}
	path := r.URL.Path
	if path == "" && r.URL.Host != "" {
		path = "/" // RFC 9110 §4.2.3: an absolute URI without path
	}
	_, query, _ := strings.Cut(target, "?")
	if path != p.Decoded || query != r.URL.RawQuery {
		return Path{}, ErrMismatch
	}
	return p, nil
}

// originForm returns the path and query of the request-target.
func originForm(r *http.Request) (string, error) {
	uri := r.RequestURI
	switch {
	case r.URL == nil || r.URL.Opaque != "":
		return "", ErrForm
	case strings.HasPrefix(uri, "/"):
		return uri, nil
	case r.URL.Scheme != "http" && r.URL.Scheme != "https", r.URL.Host == "", r.URL.User != nil:
		return "", ErrForm
	}
	_, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return "", ErrForm
	}
	switch i := strings.IndexAny(rest, "/?"); {
	case i < 0:
		return "/", nil
	case rest[i] == '?':
		return "/" + rest[i:], nil
	default:
		return rest[i:], nil
	}
}

// Apply writes the canonical spelling into r: URL.Path, URL.RawPath and
// RequestURI. The query stays as it is. An absolute-form target becomes
// origin-form; r.Host, where net/http has put its authority, is not touched.
// p must come from FromRequest on r. r must not be shared yet.
func (p Path) Apply(r *http.Request) {
	u := r.URL
	u.Scheme, u.Host, u.User, u.Opaque, u.OmitHost = "", "", nil, "", false
	u.Path, u.RawPath = p.Decoded, ""
	if u.EscapedPath() != p.Escaped {
		u.RawPath = p.Escaped // like net/url, only where Path alone would be spelled otherwise
	}
	if !sameTarget(r.RequestURI, p.Escaped, u) {
		r.RequestURI = u.RequestURI()
	}
}

// sameTarget reports whether uri is already escaped followed by u's query.
func sameTarget(uri, escaped string, u *url.URL) bool {
	rest, ok := strings.CutPrefix(uri, escaped)
	if !ok || rest == "" {
		return ok && u.RawQuery == "" && !u.ForceQuery
	}
	return rest[0] == '?' && rest[1:] == u.RawQuery && (u.RawQuery != "" || u.ForceQuery)
}
