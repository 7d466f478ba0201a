package admit

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/internal/verdict"
)

// The collectors live as long as the process, so that a reload does not start them again from zero (CADDY 49).
var (
	requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "admit", Name: "requests_total",
		Help: "Requests ended, by site, status class and the reason of the refusal (none when there was none).",
	}, []string{"site", "outcome", "reason"})
	seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "gatehouse", Subsystem: "admit", Name: "duration_seconds",
		Help:    "Time from the first handler to the end of the answer, by site.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
	}, []string{"site"})
)

func count(site string, status int, reason verdict.Reason, took time.Duration) {
	if reason == "" {
		reason = "none"
	}
	requests.WithLabelValues(site, strconv.Itoa(status/100)+"xx", string(reason)).Inc()
	seconds.WithLabelValues(site).Observe(took.Seconds())
}
