package testenv

import (
	"bytes"
	"net/http"
	"testing"
	"time"
)

// TestClusterLimits: a rate limit holds over all gateways, also while their store does not answer.
// CAL-11: two nodes admit the limit and the documented slack at the most.
func TestClusterLimits(t *testing.T) {
	t.Parallel()
	const (
		gateways = 3
		burst    = 160
		slack    = gateways * (2*burst/16 + 3) // see modules/decisions/0023; three requests of one client within a round trip
		small    = 30
	)
	be, r := startBackend(t), startRedis(t)
	g := startClusterWith(t, gateways, r, config{
		Backend: be.Listen,
		Site:    defaultSite + "\n\t\trate_limit 60r/m burst 160 /assets/*\n\t\trate_limit 1r/h burst 30 /healthz\n\t\tpublic /ready\n\t\trate_limit 1000r/s burst 16 /ready\n\t\trate_limit 1000r/s burst 1000 /.gatehouse/*",
	})
	var clients []*client
	for _, one := range g {
		clients = append(clients, one.newClient())
	}
	wave := func(path string, n int) (passed int, took time.Duration) {
		begin := time.Now()
		for i := range n {
			switch a := clients[i%gateways].must(t, request{Path: path}); a.Status {
			case http.StatusTooManyRequests:
				if a.Header.Get("Retry-After") == "" {
					t.Fatal("a refusal does not say when to come again")
				}
			default:
				passed++
			}
		}
		return passed, time.Since(begin)
	}

	passed, took := wave("/assets/app.js", 3*burst)
	most := burst + int(took.Seconds()) + 1 + slack
	t.Logf("%d gateways, limit 60 a minute, burst %d: %d of %d requests passed in %v, at most %d", gateways, burst, passed, 3*burst, took, most)
	if passed < burst || passed > most {
		t.Errorf("%d requests passed, want %d to %d", passed, burst, most)
	}

	for _, one := range g { // what each keeps alone is a part of as many as it knows
		eventually(t, readyIn, "the gateway knows the others", func() bool {
			body, err := one.adminGet("/metrics")
			return err == nil && bytes.Contains(body, []byte("gatehouse_store_nodes 3"))
		})
	}
	r.kill9()
	for i, one := range g {
		eventually(t, readyIn, "the gateway keeps its part alone", func() bool {
			clients[i].must(t, request{Path: "/ready"})
			body, err := one.adminGet("/metrics")
			return err == nil && bytes.Contains(body, []byte("gatehouse_ratelimit_apart 3"))
		})
	}
	passed, _ = wave("/healthz", 5*small)
	t.Logf("without the store, limit 1 an hour, burst %d: %d of %d requests passed", small, passed, 5*small)
	if passed != small {
		t.Errorf("%d requests passed without the store, want %d", passed, small)
	}
}
