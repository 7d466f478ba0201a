package gatehouse

import "net/http"

// IsPreflight reports whether the request is a CORS preflight (Fetch, 3.2.2): a browser that asks, before a script's
// request and without any cookie, whether the site lets scripts of that origin send it. An OPTIONS that lacks one of
// the two headers, or says one twice, is an ordinary request.
func IsPreflight(r *http.Request) bool {
	origin, method := r.Header["Origin"], r.Header["Access-Control-Request-Method"]
	return r.Method == http.MethodOptions &&
		len(origin) == 1 && origin[0] != "" && len(method) == 1 && method[0] != ""
}
