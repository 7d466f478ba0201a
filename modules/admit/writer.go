package admit

import (
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
)

// hsts is two years, as control CAL-01 promises. The slice is shared by all answers and never written.
var hsts = []string{"max-age=63072000; includeSubDomains"}

// writer puts the gateway's headers on the answer at the last moment, over whatever the backend said, and counts.
// It keeps Caddy's ReadFrom and Unwrap, so that flushing, hijacking and deadlines reach the connection (CADDY 24).
type writer struct {
	caddyhttp.ResponseWriterWrapper
	id     []string
	req    *gatehouse.Request
	named  origins // whose scripts may read answers; nil: the application says that itself, or nobody does
	by     *shared // what the origin of this request may do; nil: nothing
	tls    bool    // HSTS must not be sent over plain HTTP (RFC 6797 7.2)
	status int     // 0 until the final header was written
	bytes  int64
	told   bool // the event of the refusal is out
}

func newWriter(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) *writer {
	return &writer{
		ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		id:                    []string{req.ID}, req: req, tls: r.TLS != nil,
	}
}

func (w *writer) stamp() {
	h := w.Header()
	if w.tls {
		h["Strict-Transport-Security"] = hsts
	}
	h["X-Request-Id"] = w.id
	if w.req.Grant.Given() {
		dropOwnCookies(h)
	}
	for _, line := range w.req.Cookies() { // after that, so that they stay
		if !slices.Contains(h["Set-Cookie"], line) {
			h.Add("Set-Cookie", line)
		}
	}
}

// share lets the scripts of named origins read what the application answers. An application that says itself who may
// is not corrected. It is for the final header only: the proxy takes the backend's headers of a 1xx answer away again,
// but not ours.
func (w *writer) share() {
	h := w.Header()
	if w.named == nil || !w.req.Grant.Given() || len(h["Access-Control-Allow-Origin"]) > 0 {
		return
	}
	varyOnOrigin(h)
	if w.by != nil {
		w.by.allow(h)
	}
}

// dropOwnCookies keeps a backend from setting or clearing the gateway's cookies.
func dropOwnCookies(h http.Header) {
	own := func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		return len(name) >= len(cookie.Ours) && strings.EqualFold(name[:len(cookie.Ours)], cookie.Ours)
	}
	if lines := h["Set-Cookie"]; slices.ContainsFunc(lines, own) {
		h["Set-Cookie"] = slices.DeleteFunc(slices.Clone(lines), own)
	}
}

// WriteHeader implements http.ResponseWriter. 1xx answers pass and do not count as the answer; 101 is final.
func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.stamp()
		if status >= 200 || status == http.StatusSwitchingProtocols {
			w.status = status
			w.share()
		}
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriterWrapper.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	w.begin()
	n, err := w.ResponseWriterWrapper.ReadFrom(r)
	w.bytes += n
	return n, err
}

// FlushError sends the header if nothing did, which http.ResponseController would otherwise do behind our back.
func (w *writer) FlushError() error {
	w.begin()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *writer) begin() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
}

var (
	_ http.ResponseWriter = (*writer)(nil)
	_ io.ReaderFrom       = (*writer)(nil)
)
