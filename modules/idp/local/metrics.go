package local

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/gatehouse"
)

var (
	hashed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "password", Name: "hashes_total",
		Help: "Password hashes that were asked for, by outcome: made; busy, when too many were waiting.",
	}, []string{"outcome"})
	hashWaiting = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "password", Name: "waiting",
		Help: "Logins that wait for their password to be checked.",
	})
)

func registerMetrics(ctx caddy.Context) error {
	return gatehouse.RegisterMetrics(ctx, hashed, hashWaiting)
}
