package waf

import (
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/gatehouse"
)

// The collectors live as long as the process, so that a reload does not reset them.
var (
	inspections = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_inspections_total",
		Help: "Requests the WAF has seen, by site and outcome: passed, detected, refused, failed, open.",
	}, []string{"site", "outcome"})

	responses = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_responses_total",
		Help: "Answers the WAF has judged, by site, outcome (passed, detected, refused, failed), and why the body was not " +
			"read or not all of it (type, partial and others; empty: it was).",
	}, []string{"site", "outcome", "unread"})

	duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gatehouse_waf_duration_seconds",
		Help:    "Time spent in the rules for one request, head, body and answer together, without waiting for them.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 4, 9), // 50 µs to 3.3 s
	}, []string{"site"})

	panicked = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "gatehouse_waf_panics_total",
		Help: "Requests during whose inspection the rules panicked. Each is a bug to report.",
	})

	canaryGauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gatehouse_waf_canary",
		Help: "1 if a known attack, sent through the site's WAF every five minutes, was refused; 0 if not, as in detect " +
			"mode or with the WAF off.",
	}, []string{"site"})

	ruleLoads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_rule_loads_total",
		Help: "Changes of a site's rule files that were taken up while running, by result: loaded, rejected.",
	}, []string{"site", "result"})

	shadowed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_shadow_total",
		Help: "Requests on which shadow rules disagree, by site and result: would_refuse, would_pass, rules (other rules matched).",
	}, []string{"site", "result"})

	heldBytes = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_body_bytes",
		Help: "Bytes of the body budget in use.",
	}, func() float64 { return float64(bodies.Used()) })

	waitingNow = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_waiting",
		Help: "Requests that wait for a place to be inspected, being expensive.",
	}, func() float64 { return float64(bodies.bodies.Waiting() + bodies.heads.Waiting()) })

	openEngines = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_engines",
		Help: "Compiled rule sets in memory.",
	}, func() float64 { return float64(open.Load()) })
)

var collectors = []prometheus.Collector{shadowed, inspections, responses, canaryGauge, ruleLoads, duration, panicked, heldBytes, waitingNow, openEngines}

// count records a finished inspection.
func count(site string, i *Inspection) {
	inspections.WithLabelValues(site, string(i.outcome)).Inc()
	duration.WithLabelValues(site).Observe(i.spent.Seconds())
	if i.panics {
		panicked.Inc()
	}
}

// countResponse records a judged answer.
func countResponse(site *gatehouse.Site, a answer) {
	if a.outcome == "" {
		return // there was none to judge
	}
	name := ""
	if site != nil {
		name = site.Name
	}
	responses.WithLabelValues(name, string(a.outcome), string(a.unread)).Inc()
}
