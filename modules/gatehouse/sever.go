package gatehouse

import (
	"net/http"
	"time"
)

// Sever ends a request by force, whatever its handler waits for: the connection of HTTP/1, tunnels included, or the
// stream of HTTP/2 and 3, whose connection other requests share. It may be called from another goroutine, but only as
// long as the handler has not returned. w and r are the handler's.
func Sever(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok && r.ProtoMajor == 1 {
		_ = c.Close() // there is nobody to tell
		return
	}
	// The server's own writer: those around it, such as Caddy's idle time-out, belong to the handler's goroutine.
	for {
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = outer.Unwrap()
	}
	past := time.Unix(1, 0)
	control := http.NewResponseController(w)
	// What a protocol does not support leaves the request to its cancelled context.
	_ = control.SetReadDeadline(past)
	_ = control.SetWriteDeadline(past)
}
