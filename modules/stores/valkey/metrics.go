package valkey

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// opened is the store that this process has open as a gateway. One that is opened when a configuration changes takes the place of the one
// before.
var opened atomic.Pointer[remote]

// gauges say how the store is, for as long as one is open. They live as long as the process (CADDY 49).
var gauges = sync.OnceValue(func() (all []prometheus.Collector) {
	for _, g := range []struct {
		name, help string
		value      func(*remote) float64
	}{
		{"feed", "1 while what other gateways do is heard. While it is 0, what this gateway knows is as old as that.", func(s *remote) float64 {
			if s.feeding.Load() {
				return 1
			}
			return 0
		}},
		{"answer_seconds", "How long the server took for its last answer to a beat, of which there is one a second.", func(s *remote) float64 {
			return float64(s.took.Load()) / 1e9
		}},
		{"clock_ahead_seconds", "By how much store time is ahead of this gateway's wall clock. Below a second is 0.", func(s *remote) float64 {
			return s.skew().Seconds()
		}},
		{"replicas", "How many replicas had the last change, where the store's block says replicas.", func(s *remote) float64 {
			return float64(s.replicas.Load())
		}},
		{"nodes", "The gateways that used the store at the last beat.", func(s *remote) float64 {
			return float64(len(s.Nodes()))
		}},
	} {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "gatehouse", Subsystem: "store", Name: g.name, Help: g.help}, func() float64 {
			if s := opened.Load(); s != nil {
				return g.value(s)
			}
			return 0
		}))
	}
	return all
})
