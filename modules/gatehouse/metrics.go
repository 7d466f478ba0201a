package gatehouse

import (
	"errors"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/internal/egress"
	"gatehouse.internal/modules/internal/event"
)

// happened counts events. Its label is bounded: kinds are constants. What alerts ask for is there from the start, since the
// step from nothing to 1 is no increase.
var happened = func() *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Name: "events_total", Help: "What happened, by kind. Requests that were refused are in gatehouse_admit_requests_total.",
	}, []string{"kind"})
	for _, k := range []event.Kind{
		event.AdminDone, event.AdminRefused, event.BreakGlassAsked, event.BreakGlassUsed, event.SupportGranted, event.UserChanged,
		event.FactorsReset, event.UserCompromised, event.SessionsApart, event.ProtocolFlood, event.WAFCanaryFailed, event.WAFProverOff,
		event.WAFFailedOpen, event.ContainmentThrown, event.IncidentReport, event.BackupFailed, event.BackupUnfit, event.EgressDenied,
	} {
		c.WithLabelValues(string(k))
	}
	return c
}()

// deniedDials and deniedLookups count as the process does, whichever configuration runs.
var deniedDials, deniedLookups = denied("dial", func() uint64 { n, _ := egress.Denied(); return n }), denied("lookup", func() uint64 { _, n := egress.Denied(); return n })

func denied(kind string, count func() uint64) prometheus.CounterFunc {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: "gatehouse", Subsystem: "egress", Name: "denied_total", ConstLabels: prometheus.Labels{"kind": kind},
		Help: "Connections (dial) and look-ups of names (lookup) that the house's mode does not allow.",
	}, func() float64 { return float64(count()) })
}

func count(e event.Event) {
	if e.Kind != event.RequestRefused {
		happened.WithLabelValues(string(e.Kind)).Inc()
	}
}

// RegisterMetrics puts package-level collectors into the registry of the configuration that ctx provisions. Caddy
// makes a new registry at each load, so that a collector made in Provision would start again from zero (CADDY 49).
func RegisterMetrics(ctx caddy.Context, collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		err := ctx.GetMetricsRegistry().Register(c)
		if are := (prometheus.AlreadyRegisteredError{}); err != nil && !errors.As(err, &are) {
			return err
		}
	}
	return nil
}
