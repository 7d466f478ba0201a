package alert

import "github.com/prometheus/client_golang/prometheus"

var (
	notices = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "alert", Name: "notices_total",
		Help: "Tries to tell receivers of alerts, by outcome: sent, failed, dropped (too many waited), given_up.",
	}, []string{"receiver", "outcome"})
	receiverUp = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "alert", Name: "up",
		Help: "1 while a receiver of alerts takes them. Alert when it is 0.",
	}, []string{"receiver"})
)
