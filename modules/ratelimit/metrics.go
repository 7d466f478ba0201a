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
		Help: "Requests refused, by site and what was exceeded: client, user, session, tenant, key, header, login, concurrent, cpu, body.",
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

var reportsDesc = prometheus.NewDesc("gatehouse_ratelimit_reports_total",
	"Reports to the gateways that share the limits, by what came of them: taken, short (a client had taken more than there was), failed (the store did not answer), dropped (too many at once).",
	[]string{"result"}, nil)

// sharing counts reports.
type sharing struct{}

func (sharing) Describe(to chan<- *prometheus.Desc) { to <- reportsDesc }

func (sharing) Collect(to chan<- prometheus.Metric) {
	n := counted.Load()
	if n == nil || n.shares == nil {
		return
	}
	for result, count := range map[string]uint64{
		"taken": n.shares.taken.Load(), "short": n.shares.short.Load(), "failed": n.shares.failed.Load(), "dropped": n.shares.dropped.Load(),
	} {
		to <- prometheus.MustNewConstMetric(reportsDesc, prometheus.CounterValue, float64(count), result)
	}
}

var apart = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
	Namespace: "gatehouse", Subsystem: "ratelimit", Name: "apart",
	Help: "Among how many gateways the limits are divided because their store does not answer; 0: they are shared.",
}, func() float64 {
	n := counted.Load()
	if n == nil || n.shares == nil {
		return 0
	}
	return float64(n.shares.apart.Load())
})
