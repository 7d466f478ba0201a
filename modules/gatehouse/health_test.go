package gatehouse

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// A gateway that is about to stop says so while it still answers; a house without state is alive, and not ready.
func TestReadiness(t *testing.T) {
	app, site := new(App), new(Site)
	app.Enter(site)
	for _, tt := range []struct {
		path     string
		stopping bool
		ok       bool
	}{{LivePath, false, true}, {LivePath, true, true}, {ReadyPath, true, false}} {
		repl := caddy.NewReplacer()
		repl.Set("http.shutting_down", tt.stopping)
		r := httptest.NewRequest(http.MethodGet, "https://app.test"+tt.path, nil)
		r = r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, repl))
		err := app.Page(site, tt.path).ServePage(httptest.NewRecorder(), r, PageVisit{Request: &Request{ID: "x", Site: site}})
		if (err == nil) != tt.ok {
			t.Errorf("%s, stopping %v: %v", tt.path, tt.stopping, err)
		}
	}
}
