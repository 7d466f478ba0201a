package admit

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// What backends, frameworks and other proxies take for the word of the proxy in front of them: who the user is, where
// the request comes from, and what it really asks for. From a client it is a lie or a mistake, so it is dropped, in
// every spelling that some server folds onto the same name. Names are in folded form (see fold).
var (
	claimedNames = set(
		// who
		"x-user", "x-username", "x-user-id", "x-user-name", "x-user-email", "x-user-role", "x-user-roles", "x-user-groups",
		"x-email", "x-group", "x-groups", "x-role", "x-roles", "x-admin", "x-is-admin", "x-userid", "x-uid", "x-login",
		"x-auth-user", "x-auth-username", "x-auth-email", "x-auth-name", "x-auth-groups", "x-auth-roles", "x-auth-subject",
		"x-proxy-user", "x-proxy-remote-user", "x-iisnode-auth-user", "x-subject", "x-sub", "x-preferred-username",
		"x-client-cert", "x-client-dn", "x-client-verify", "x-client-subject", "client-cert", "client-cert-chain",
		"x-serviceaccount", "x-tenant", "x-tenant-id",
		// from where
		"forwarded", "x-forwarded", "x-real-ip", "x-client-ip", "client-ip", "true-client-ip", "x-true-client-ip",
		"cf-connecting-ip", "cf-connecting-ipv6", "fastly-client-ip", "x-cluster-client-ip", "x-originating-ip", "x-azure-clientip", "x-azure-socketip", "x-proxyuser-ip",
		"wl-proxy-client-ip", "proxy-client-ip", "http-client-ip", "x-original-forwarded-for", "x-original-remote-addr",
		"x-host", "x-original-host", "x-backend-host", "x-http-host-override", "front-end-https", "x-url-scheme", "x-scheme",
		"x-arr-ssl", "x-arr-clientcert", "x-request-id",
		// what
		"x-original-url", "x-original-uri", "x-rewrite-url", "x-override-url", "x-request-uri", "request-uri",
		"x-original-method", "x-http-method-override", "x-http-method", "x-method-override", "x-method",
		"x-proxy-url", "proxy-host", "base-url", "http-url", "x-http-destinationurl", "x-http-path-override",
		"x-original-path", "x-script-name", "x-middleware-subrequest", "proxy", "proxy-connection", "proxy-authorization",
	)
	claimedPrefixes = []string{
		"x-gatehouse-", "gatehouse-", "x-forwarded-", "x-auth-request-", "x-authenticated-", "x-authentik-", "x-authelia-",
		"x-webauth-", "x-ssl-", "ssl-", "x-tls-client-", "x-goog-authenticated-", "x-goog-iap-", "x-ms-client-principal",
		"x-amzn-oidc-", "cf-access-", "x-pomerium-", "x-vouch-", "oidc-", "x-oidc-", "x-envoy-", "x-accel-", "x-middleware-",
		"x-client-cert-", "x-ms-token-", "remote-", "x-remote-",
	}
	// neverKept may not be let through by a site's word: they are the gateway's own, or the frame of the message.
	neverKept = []string{
		"x-gatehouse-", "x-forwarded-", "forwarded", "x-request-id", "proxy", "connection", "upgrade", "te", "trailer",
		"transfer-encoding", "keep-alive",
	}
	// hopByHop never goes on (RFC 9110 7.6.1), but for the one thing that TE may say in HTTP/2. Connection is rewritten.
	hopByHop = []string{"Keep-Alive", "Te", "Trailer", "Proxy-Connection", "Proxy-Authenticate", "Transfer-Encoding"}
)

func set(names ...string) map[string]struct{} {
	m := make(map[string]struct{}, len(names))
	for _, n := range names {
		m[n] = struct{}{}
	}
	return m
}

// maxName is the longest header name that can be folded without allocating; no claimed name is longer.
const maxName = 64

// fold writes name the way the laxest backend reads it: lower case, and every byte that is neither letter nor digit a
// hyphen (CGI, WSGI and PHP fold them all onto one variable).
func fold(dst *[maxName]byte, name string) []byte {
	n := min(len(name), maxName)
	for i := range n {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			c = '-'
		}
		dst[i] = c
	}
	return dst[:n]
}

// claimed reports whether a header of this name could pass for the gateway's word.
func claimed(name string) bool {
	var buf [maxName]byte
	folded := fold(&buf, name)
	if _, ok := claimedNames[string(folded)]; ok { // does not allocate
		return true
	}
	for _, p := range claimedPrefixes {
		if len(folded) >= len(p) && string(folded[:len(p)]) == p {
			return true
		}
	}
	return false
}

// keepable reports whether a site may let clients send this header.
func keepable(name string) bool {
	var buf [maxName]byte
	folded := string(fold(&buf, name))
	for _, p := range neverKept {
		if strings.HasPrefix(folded, p) {
			return false
		}
	}
	return folded != ""
}

// cleanHead drops what a client may not claim, except the canonical names in keep, and replaces the hop-by-hop
// headers: whatever Connection named, the proxy would delete after identity was attached (CADDY 19).
// Trailers are dropped too: they arrive after everything was judged.
func cleanHead(r *http.Request, websocket bool, keep map[string]bool) {
	h := r.Header
	for name := range h {
		if claimed(name) && !keep[name] {
			delete(h, name)
		}
	}
	trailers := httpguts.HeaderValuesContainsToken(h["Te"], "trailers")
	for _, name := range hopByHop {
		delete(h, name)
	}
	if trailers { // says only what the answer may end with; gRPC servers refuse calls without it
		h["Te"] = []string{"trailers"}
	}
	delete(h, "Connection")
	delete(h, "Upgrade")
	if websocket {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	r.Trailer = nil
}
