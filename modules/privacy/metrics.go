package privacy

import "github.com/prometheus/client_golang/prometheus"

// lostRecords lives as long as the process (CADDY 49).
var lostRecords = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "gatehouse", Subsystem: "privacy", Name: "lost_total",
	Help: "Records of matched data that were not kept: too many at once (queue), the disk takes none (disk), too large (size), error.",
}, []string{"why"})
