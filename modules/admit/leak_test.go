package admit

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/verdict"
)

// A request in the clear has shown its cookie to whoever listened: the house is told, and of no other request.
func TestPlainHTTPIsALeak(t *testing.T) {
	var leaked []*http.Request
	house := new(gatehouse.App)
	house.OnLeak(func(r *http.Request) { leaked = append(leaked, r) })
	h := &Handler{site: &gatehouse.Site{House: house}}
	for _, plain := range []bool{true, false} {
		r := httptest.NewRequest(http.MethodGet, "https://app.test/", nil)
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: "192.0.2.1"}))
		r.TLS = &tls.ConnectionState{HandshakeComplete: true}
		if plain {
			r.TLS = nil
		}
		req := new(gatehouse.Request)
		err := h.admit(r, req)
		if v, _ := req.Verdict(); (v.Reason == verdict.PlainHTTP) != plain || (err != nil) != plain {
			t.Errorf("in the clear: %v; refused: %v, %v", plain, v, err)
		}
		if plain && (len(leaked) != 1 || leaked[0] != r) || !plain && len(leaked) != 1 {
			t.Errorf("in the clear: %v; told of %d requests", plain, len(leaked))
		}
	}
}
