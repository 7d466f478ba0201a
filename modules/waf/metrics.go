package waf

import (
	"github.com/prometheus/client_golang/prometheus"
)

// The collectors live as long as the process, so that a reload does not reset them.
var (
	inspections = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_inspections_total",
		Help: "Requests the WAF has seen, by site and outcome: passed, detected, refused, failed, open.",
	}, []string{"site", "outcome"})

	duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gatehouse_waf_duration_seconds",
		Help:    "Time spent in the rules for one request, head and body together, without waiting for the body.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 4, 9), // 50 µs to 3.3 s
	}, []string{"site"})

	panicked = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "gatehouse_waf_panics_total",
		Help: "Requests during whose inspection the rules panicked. Each is a bug to report.",
	})

	heldBytes = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_body_bytes",
		Help: "Bytes of the body budget in use.",
	}, func() float64 { return float64(bodies.Used()) })

	openEngines = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_engines",
		Help: "Compiled rule sets in memory.",
	}, func() float64 { return float64(open.Load()) })
)

var collectors = []prometheus.Collector{inspections, duration, panicked, heldBytes, openEngines}

// count records a finished inspection.
func count(site string, i *Inspection) {
	inspections.WithLabelValues(site, string(i.outcome)).Inc()
	duration.WithLabelValues(site).Observe(i.spent.Seconds())
	if i.panics {
		panicked.Inc()
	}
}
