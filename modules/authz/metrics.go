package authz

import "github.com/prometheus/client_golang/prometheus"

// shadowed outlives configurations (CADDY 49).
var shadowed = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "gatehouse", Subsystem: "policy", Name: "shadow_total",
	Help: "Requests that a candidate policy has judged, by what became of them and what would have by the candidate.",
}, []string{"site", "now", "then"})
