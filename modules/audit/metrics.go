package audit

import "github.com/prometheus/client_golang/prometheus"

// They live as long as the process (CADDY 49). The label is a directory that the configuration names.
var (
	copyUp = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "audit", Name: "copy_up",
		Help: "1 while a copy of the audit log can be kept up to date. Alert when it is 0.",
	}, []string{"copy"})
	copySize = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "audit", Name: "copy_records",
		Help: "Records that are in a copy of the audit log.",
	}, []string{"copy"})
)
