package ratelimit

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// counted is the node whose evictions the metric tells.
var counted atomic.Pointer[Node]

var (
	refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "ratelimit", Name: "refused_total",
		Help: "Requests refused, by site and what was exceeded: client, user, session, header, login, concurrent, cpu, body.",
	}, []string{"site", "key"})
	evicted = prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "ratelimit", Name: "evicted_total",
		Help: "Buckets given up before they were full again, because more keys asked than the table holds.",
	}, func() float64 {
		n := counted.Load()
		if n == nil {
			return 0
		}
		return float64(n.main.Evicted() + n.headers.Evicted())
	})
)
