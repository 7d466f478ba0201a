package backup

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// watched is the shelf of the configuration that started last, and its limits.
type watched struct {
	shelf         *Shelf
	every, within time.Duration
	carried       bool // a backup counts once it is elsewhere
}

var watching atomic.Pointer[watched]

func watch(w watched) { watching.Store(&w) }

// gauge is computed when it is asked for: what hangs does not keep it young. Without backups it is 0.
func gauge(o prometheus.GaugeOpts, value func(w *watched, b Logbook, now time.Time) time.Duration) prometheus.GaugeFunc {
	return prometheus.NewGaugeFunc(o, func() float64 {
		w := watching.Load()
		if w == nil {
			return 0
		}
		return max(value(w, w.shelf.Book(), time.Now()).Seconds(), 0)
	})
}

// They live as long as the process (CADDY 49).
var (
	ages = gauge(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "backup", Name: "age_seconds",
		Help: "Age of the last good backup, of the last that is elsewhere where a program carries them; without one, since when one has been due. 0: none is to be made. Alert beyond twice gatehouse_backup_every_seconds.",
	}, func(w *watched, b Logbook, now time.Time) time.Duration {
		last, since := b.Made, b.Since
		if w.carried {
			last, since = b.Last, b.CarrySince
		}
		if last != nil {
			return now.Sub(last.Time)
		}
		return now.Sub(since)
	})
	every = gauge(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "backup", Name: "every_seconds",
		Help: "How often a backup is made.",
	}, func(w *watched, _ Logbook, _ time.Time) time.Duration { return w.every })
	untested = gauge(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "backup", Name: "verified_age_seconds",
		Help: "Since when no backup was restored as a test. Alert beyond gatehouse_backup_verify_within_seconds.",
	}, func(_ *watched, b Logbook, now time.Time) time.Duration {
		if b.Verified != nil {
			return now.Sub(b.Verified.Time)
		}
		return now.Sub(b.Since)
	})
	within = gauge(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "backup", Name: "verify_within_seconds",
		Help: "How often a backup is to be restored as a test.",
	}, func(w *watched, _ Logbook, _ time.Time) time.Duration { return w.within })
	size = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "gatehouse", Subsystem: "backup", Name: "bytes",
		Help: "Size of the last backup.",
	})
)
