package admit

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/verdict"
)

// BenchmarkAccessLog is what the line about one request costs, ours against Caddy's own, with the same encoder, and nobody to write it to:
// a browser's request, answered 200.
func BenchmarkAccessLog(b *testing.B) {
	r := httptest.NewRequest(http.MethodGet, "https://app.test/orders/12345/edit?page=2", nil)
	r.Header = http.Header{
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"},
		"Accept":          {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
		"Accept-Encoding": {"gzip, deflate, br, zstd"},
		"Accept-Language": {"en-GB,en;q=0.9"},
		"Cookie":          {"__Host-gatehouse=abcdefghijklmnopqrstuvwxyz0123456789"},
		"Sec-Fetch-Site":  {"same-origin"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Priority": {"u=0, i"},
	}
	answer := http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Strict-Transport-Security": {"max-age=63072000"}, "X-Request-Id": {"YCUU67CIAE7Z4TUJGSNVQELQSG"}}
	config := zap.NewProductionEncoderConfig()
	logger := func() *zap.Logger {
		return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(config), zapcore.AddSync(io.Discard), zapcore.InfoLevel))
	}
	b.Run("ours", func(b *testing.B) {
		path, err := reqpath.Parse("/orders/12345/edit", reqpath.Options{})
		if err != nil {
			b.Fatal(err)
		}
		req := &gatehouse.Request{ID: "YCUU67CIAE7Z4TUJGSNVQELQSG", ClientIP: netip.MustParseAddr("198.51.100.7"), Path: path, Start: time.Now()}
		l := accessLog{logger: logger(), house: new(gatehouse.App), site: "app.test"}
		w := &writer{status: http.StatusOK, bytes: 5123}
		b.ReportAllocs()
		for b.Loop() {
			l.write(w, r, req, verdict.Verdict{})
		}
	})
	b.Run("caddy", func(b *testing.B) {
		to := logger()
		b.ReportAllocs()
		for b.Loop() { // as its server does
			log := to.WithLazy(zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r}))
			if c := log.Check(zapcore.InfoLevel, "handled request"); c != nil {
				c.Write(
					zap.Int("bytes_read", 0), zap.String("user_id", ""), zap.Duration("duration", time.Millisecond), zap.Int("size", 5123),
					zap.Int("status", http.StatusOK), zap.Object("resp_headers", caddyhttp.LoggableHTTPHeader{Header: answer}),
				)
			}
		}
	})
}
