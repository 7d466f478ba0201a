package authn

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/gatehouse"
)

var (
	renewed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "session", Name: "renewals_total",
		Help: "Renewals of sessions at identity providers, by outcome: renewed, ended, failed, elsewhere.",
	}, []string{"outcome"})
	logins = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Name: "logins_total",
		Help: "Logins by identity provider and outcome: succeeded, or the reason why not.",
	}, []string{"provider", "outcome"})
	cuts = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "session", Name: "cut_requests_total",
		Help: "Requests that were running when their session ended, and were ended with it.",
	})
)

func registerMetrics(ctx caddy.Context) error {
	return gatehouse.RegisterMetrics(ctx, renewed, logins, cuts)
}
