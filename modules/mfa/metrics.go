package mfa

import "github.com/prometheus/client_golang/prometheus"

var (
	proofs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "mfa", Name: "proofs_total",
		Help: "Second factors that were to be proven, by method and outcome: proven, wrong, used_before, paused.",
	}, []string{"method", "outcome"})
	challenges = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "mfa", Name: "requests_total",
		Help: "Requests that needed a proof: challenged (they came without enough), redeemed (they came with their own), other (with another request's).",
	}, []string{"outcome"})
	users = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "mfa", Name: "users",
		Help: "People who have a second factor, and those who have logged in within 400 days without one.",
	}, []string{"factor"})
	ratio = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "mfa", Name: "enrolled_ratio",
		Help: "The share of people who have a second factor.",
	})
)

// tell says how many have a factor, and how many do not.
func tell(enrolled, bare int) {
	users.WithLabelValues("yes").Set(float64(enrolled))
	users.WithLabelValues("no").Set(float64(bare))
	if all := enrolled + bare; all > 0 {
		ratio.Set(float64(enrolled) / float64(all))
	}
}
