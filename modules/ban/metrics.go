package ban

import "github.com/prometheus/client_golang/prometheus"

var (
	pronounced = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "pronounced_total",
		Help: "Bans pronounced by jails.",
	}, []string{"jail"})
	dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "dropped_handshakes_total",
		Help: "TLS handshakes of banned clients that were broken off.",
	})
)
