package breakglass

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/gatehouse"
)

var (
	left = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "break_glass", Name: "seals",
		Help: "Break-glass codes that nobody has used, as this node last knew.",
	})
	uses = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "break_glass", Name: "uses_total",
		Help: "Break-glass codes that were used.",
	})
)

func registerMetrics(ctx caddy.Context) error { return gatehouse.RegisterMetrics(ctx, left, uses) }
