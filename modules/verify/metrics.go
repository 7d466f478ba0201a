package verify

import "github.com/prometheus/client_golang/prometheus"

var (
	judged = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "verify", Name: "judged_total",
		Help: "Visits that were looked at, since the address or the device of a session was another or an hour had passed, by outcome.",
	}, []string{"outcome"})
	proofs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "verify", Name: "proofs_total",
		Help: "Proofs that a held visit was its owner's, by way (proof, mail) and outcome (proven, wrong).",
	}, []string{"way", "outcome"})
	messages = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "verify", Name: "messages_total",
		Help: "Messages to people, by kind (code, notice) and outcome (sent, failed).",
	}, []string{"kind", "outcome"})
)
