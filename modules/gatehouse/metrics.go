package gatehouse

import (
	"errors"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// RegisterMetrics puts package-level collectors into the registry of the configuration that ctx provisions. Caddy
// makes a new registry at each load, so that a collector made in Provision would start again from zero (CADDY 49).
func RegisterMetrics(ctx caddy.Context, collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		err := ctx.GetMetricsRegistry().Register(c)
		if are := (prometheus.AlreadyRegisteredError{}); err != nil && !errors.As(err, &are) {
			return err
		}
	}
	return nil
}
