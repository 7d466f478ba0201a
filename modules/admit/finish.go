package admit

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/verdict"
)

// accessLog writes the last line about each request of one site, and its event and metric.
type accessLog struct {
	logger *zap.Logger
	house  *gatehouse.App
	site   string
}

func newAccessLog(house *gatehouse.App, site string) accessLog {
	return accessLog{logger: house.AccessLog(), house: house, site: site}
}

func (h *Handler) finish(w *writer, r *http.Request, req *gatehouse.Request, v verdict.Verdict) {
	h.log.write(w, r, req, v)
}

// write is called exactly once a request (I3).
func (l accessLog) write(w *writer, r *http.Request, req *gatehouse.Request, v verdict.Verdict) {
	took := time.Since(req.Start)
	status := w.status
	if status == 0 { // nothing was written: the server sends an empty 200, or the error routes answer
		status = http.StatusOK
		if v.Given() {
			status = v.Reason.Status()
		}
	}
	count(l.site, status, v.Reason, took)
	if v.Given() && !w.told {
		l.publish(event.RequestRefused, req, r, v, status)
	}
	if kind := req.Watched(); kind != "" {
		l.publish(kind, req, r, v, status)
	}
	l.tell(w, r, req, v, status, took)
	line := l.logger.Check(zapcore.InfoLevel, "request")
	if line == nil {
		return
	}
	fields := make([]zap.Field, 0, 28)
	fields = append(fields,
		zap.String("request_id", req.ID),
		zap.String("site", l.site),
		zap.String("host", event.Clip(r.Host, 255)),
		zap.Stringer("client_ip", req.ClientIP),
		zap.String("proto", r.Proto),
		zap.String("method", event.Clip(r.Method, 32)),
		zap.String("path", loggedPath(r, req)),
		zap.Int("status", status),
		zap.Int64("bytes", w.bytes),
		zap.Float64("duration_ms", milliseconds(took)),
	)
	if req.Inspected > 0 {
		fields = append(fields, zap.Float64("waf_ms", milliseconds(req.Inspected)))
	}
	if upstream, ok := upstreamTime(r); ok {
		fields = append(fields, zap.Float64("upstream_ms", upstream))
	}
	if user := req.Identity.Name(); user != "" {
		fields = append(fields, zap.String("user", user), zap.String("session", req.Identity.Session()))
	}
	if rule := req.Grant.Rule(); rule != "" {
		fields = append(fields, zap.String("grant", rule))
	}
	if req.Site != nil && req.Site.Version != "" {
		fields = append(fields, zap.String("policy", req.Site.Version))
	}
	if trace := traceID(r.Header["Traceparent"]); trace != "" {
		fields = append(fields, zap.String("trace_id", trace))
	}
	if v.Given() {
		fields = append(fields, zap.String("reason", string(v.Reason)))
		if v.Detail != "" {
			fields = append(fields, zap.String("detail", event.Clip(v.Detail, 512)))
		}
	}
	for _, a := range req.Notes() {
		fields = append(fields, zap.String(a.Key, a.Value))
	}
	if agent := r.UserAgent(); agent != "" {
		fields = append(fields, zap.String("user_agent", event.Clip(agent, 256)))
	}
	line.Write(fields...)
}

// tell says to whom it may concern that the request has ended.
func (l accessLog) tell(w *writer, r *http.Request, req *gatehouse.Request, v verdict.Verdict, status int, took time.Duration) {
	told := l.house.Ended()
	if told == nil {
		return
	}
	a := event.Ended{
		Event: eventOf("", req, r, v, status), TraceID: traceID(r.Header["Traceparent"]), Host: event.Clip(r.Host, 255), Proto: r.Proto,
		Agent: event.Clip(r.UserAgent(), 256), Grant: req.Grant.Rule(), Bytes: w.bytes, Duration: took, WAF: req.Inspected,
	}
	if req.Site != nil {
		a.Policy = req.Site.Version
	}
	if ms, ok := upstreamTime(r); ok {
		a.Upstream = time.Duration(ms * float64(time.Millisecond))
	}
	told(a)
}

func eventOf(kind event.Kind, req *gatehouse.Request, r *http.Request, v verdict.Verdict, status int) event.Event {
	e := req.Event(kind)
	e.Method, e.Path, e.Status = event.Clip(r.Method, 32), loggedPath(r, req), status
	e.Reason, e.Detail, e.Attrs = v.Reason, event.Clip(v.Detail, 512), req.Notes()
	return e
}

func (l accessLog) publish(kind event.Kind, req *gatehouse.Request, r *http.Request, v verdict.Verdict, status int) {
	state, err := l.house.State()
	if err != nil {
		return // the access log still says it
	}
	e := eventOf(kind, req, r, v, status)
	if rule := req.Grant.Rule(); rule != "" {
		e.Attrs = append(slices.Clone(e.Attrs), event.Attr{Key: "grant", Value: rule})
	}
	state.Bus.Publish(e)
}

// loggedPath is the judged path, or what the client sent when it has none. Queries are never logged: they carry
// tokens and personal data.
func loggedPath(r *http.Request, req *gatehouse.Request) string {
	if req.Path.Decoded != "" {
		return event.Clip(req.Path.Decoded, 1024)
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	path, _, _ = strings.Cut(path, "#")
	return event.Clip(path, 1024)
}

// upstreamTime is how long the backend took to begin its answer.
func upstreamTime(r *http.Request) (float64, bool) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return 0, false
	}
	v, _ := repl.Get("http.reverse_proxy.upstream.latency")
	d, ok := v.(time.Duration)
	return milliseconds(d), ok
}

// traceID is the trace that the client says the request is part of (W3C Trace Context), or "".
func traceID(headers []string) string {
	if len(headers) != 1 || len(headers[0]) < 55 || headers[0][2] != '-' || headers[0][35] != '-' {
		return ""
	}
	id := headers[0][3:35]
	if strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
