package siem

import "github.com/prometheus/client_golang/prometheus"

var (
	sentRecords = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "siem", Name: "sent_records_total",
		Help: "Records that a collector has taken.",
	}, []string{"sink"})
	lostRecords = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "siem", Name: "lost_records_total",
		Help: "Records that a collector will never get.",
	}, []string{"sink", "why"})
	spoolBytes = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "siem", Name: "spool_bytes",
		Help: "Bytes of records that wait for a collector.",
	}, []string{"sink"})
	up = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "siem", Name: "up",
		Help: "1 while a collector takes records, 0 when it has not for three attempts.",
	}, []string{"sink"})
)
