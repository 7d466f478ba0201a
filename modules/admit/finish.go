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
	for _, kind := range req.Watched() {
		l.publish(kind, req, r, v, status)
	}
	told, line := l.house.Ended(), l.logger.Check(zapcore.InfoLevel, "request")
	if told == nil && line == nil {
		return
	}
	e := ended(w, r, req, v, status, took)
	if told != nil {
		told(e)
	}
	if line != nil {
		l.say(line, &e)
	}
}

// say writes the line, which names nobody where the house wants that.
func (l accessLog) say(line *zapcore.CheckedEntry, e *event.Ended) {
	client, veiled := l.house.Veil(e)
	fields := make([]zap.Field, 0, 28)
	fields = append(fields,
		zap.String("request_id", e.RequestID),
		zap.String("site", l.site),
		zap.String("host", e.Host),
	)
	fields = gatehouse.AppendClient(fields, e.ClientIP, client, veiled)
	fields = append(fields,
		zap.String("proto", e.Proto),
		zap.String("method", e.Method),
		zap.String("path", e.Path),
		zap.Int("status", e.Status),
		zap.Int64("bytes", e.Bytes),
		zap.Float64("duration_ms", milliseconds(e.Duration)),
	)
	if e.WAF > 0 {
		fields = append(fields, zap.Float64("waf_ms", milliseconds(e.WAF)))
	}
	if e.Upstream > 0 {
		fields = append(fields, zap.Float64("upstream_ms", milliseconds(e.Upstream)))
	}
	text := func(key, value string) {
		if value != "" {
			fields = append(fields, zap.String(key, value))
		}
	}
	text("user", e.User)
	if e.User != "" {
		fields = append(fields, zap.String("session", e.Session))
	}
	text("grant", e.Grant)
	text("policy", e.Policy)
	text("trace_id", e.TraceID)
	text("reason", string(e.Reason))
	text("detail", e.Detail)
	for _, a := range e.Attrs {
		fields = append(fields, zap.String(a.Key, a.Value))
	}
	text("user_agent", e.Agent)
	line.Write(fields...)
}

// ended is what is known of the request.
func ended(w *writer, r *http.Request, req *gatehouse.Request, v verdict.Verdict, status int, took time.Duration) event.Ended {
	e := event.Ended{
		Event: eventOf("", req, r, v, status), TraceID: traceID(r.Header["Traceparent"]), Host: event.Clip(r.Host, 255), Proto: r.Proto,
		Agent: event.Clip(r.UserAgent(), 256), Grant: req.Grant.Rule(), Bytes: w.bytes, Duration: took, WAF: req.Inspected,
	}
	if req.Site != nil {
		e.Policy = req.Site.Version
	}
	e.Upstream = upstreamTime(r)
	return e
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
	if kind == event.RouteAnswered {
		e.Attrs = append(slices.Clone(e.Attrs), event.Attr{Key: "route", Value: req.Audited})
	}
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

// upstreamTime is how long the backend took to begin its answer; 0 if it was not asked.
func upstreamTime(r *http.Request) time.Duration {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return 0
	}
	v, _ := repl.Get("http.reverse_proxy.upstream.latency")
	d, _ := v.(time.Duration)
	return d
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
