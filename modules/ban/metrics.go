package ban

import "github.com/prometheus/client_golang/prometheus"

var (
	pronounced = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "pronounced_total",
		Help: "Bans pronounced by jails.",
	}, []string{"jail"})
	cuts = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "cut_requests_total",
		Help: "Requests that were running when their client was banned, and were ended.",
	})
	dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "dropped_handshakes_total",
		Help: "Connections of banned clients that were closed before or in their TLS handshake.",
	})
	held = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "held",
		Help: "Connections and requests that are kept waiting (action tarpit).",
	})
	logOffences = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "log_offences_total",
		Help: "Lines of log files that a jail found to be offences.",
	}, []string{"jail"})
	logSkipped = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "log_skipped_bytes_total",
		Help: "Bytes of a log file that no jail has judged: lines that were too long, or came too fast.",
	}, []string{"file"})
	logReadable = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "log_readable",
		Help: "1 for a log file that jails can read, 0 for one that they cannot.",
	}, []string{"file"})
	listEntries = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "blocklist_entries",
		Help: "Networks in a blocklist.",
	}, []string{"list"})
	listUnread = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "blocklist_unread_lines",
		Help: "Lines of a blocklist that are neither an address nor a network.",
	}, []string{"list"})
	listConfirmed = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "ban", Name: "blocklist_confirmed_timestamp_seconds",
		Help: "When a blocklist was last known to be good.",
	}, []string{"list"})
)
