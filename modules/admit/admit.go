package admit

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/verdict"
)

// methods are the ones any site accepts; a site may name further ones (WebDAV's, say), but never these three:
// CONNECT asks for a tunnel, TRACE reflects what other headers hold, TRACK is TRACE's old name.
var (
	methods       = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	neverAccepted = []string{"CONNECT", "TRACE", "TRACK"}
)

func acceptsMethod(method string, more []string) bool {
	return slices.Contains(methods, method) || slices.Contains(more, method)
}

// newID returns a request id: 26 characters of base32 with 130 random bits, so that it can neither collide nor be
// guessed, and needs no escaping anywhere.
func newID() string { return rand.Text() }

// checkUpgrade looks at a request that wants to leave HTTP. Only a well-formed WebSocket handshake over HTTP/1.1 may
// (RFC 6455 4.1), and only when no foreign page opened it: browsers send cookies with cross-origin WebSockets and no
// preflight protects them. Origins that are trusted with the person's session are not foreign. It reports whether the
// request is one. h2c is nothing that TLS clients need.
func checkUpgrade(r *http.Request, named origins) (websocket bool, refused verdict.Verdict) {
	upgrade := r.Header["Upgrade"]
	key := r.Header["Sec-Websocket-Key"]
	if len(upgrade) == 0 && len(key) == 0 {
		return false, verdict.Verdict{}
	}
	bad := func(why string) (bool, verdict.Verdict) {
		return false, verdict.Verdict{Reason: verdict.BadUpgrade, Detail: why}
	}
	switch {
	case len(upgrade) != 1 || !strings.EqualFold(strings.TrimSpace(upgrade[0]), "websocket"):
		return bad("upgrade to something other than websocket")
	case r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor != 1:
		return bad("a websocket handshake is a GET over HTTP/1.1")
	case !hasToken(r.Header["Connection"], "upgrade"):
		return bad("Upgrade without Connection: upgrade")
	case len(r.Header["Sec-Websocket-Version"]) != 1 || r.Header["Sec-Websocket-Version"][0] != "13":
		return bad("websocket version other than 13")
	case len(key) != 1 || !isNonce(key[0]):
		return bad("Sec-WebSocket-Key is not 16 bytes in base64")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return bad("a websocket handshake has no body")
	}
	if origin := r.Header["Origin"]; len(origin) > 1 || (len(origin) == 1 && !sameOrigin(origin[0], r.Host) && !named.trusts(r.Header)) {
		return false, verdict.Verdict{Reason: verdict.CrossOrigin, Detail: "websocket opened by a page of another origin"}
	}
	return true, verdict.Verdict{}
}

func isNonce(key string) bool {
	var nonce [18]byte
	if len(key) != 24 {
		return false
	}
	n, err := base64.StdEncoding.Decode(nonce[:], []byte(key))
	return err == nil && n == 16
}

// sameOrigin reports whether a serialised origin (RFC 6454 6.2) is https on the request's own host and port.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" || u.User != nil || (u.Path != "" && u.Path != "/") {
		return false
	}
	return strings.EqualFold(strings.TrimSuffix(u.Host, ":443"), strings.TrimSuffix(host, ":443"))
}

// guessed reports whether a browser only guesses that the person will want the page. A redirect would begin a login
// that nobody asked for; refused, the page is asked for again when the person wants it.
func guessed(h http.Header) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Moz"} {
		if v := h.Get(name); strings.HasPrefix(v, "prefetch") || strings.HasPrefix(v, "preview") || strings.HasPrefix(v, "prerender") {
			return true
		}
	}
	return false
}

// hasToken reports whether a comma-separated header names the token.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}
