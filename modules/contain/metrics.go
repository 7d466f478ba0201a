package contain

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/containment"
)

// active counts the switches in force when it is asked: they end by themselves.
var active prometheus.Collector = gauge{prometheus.NewDesc("gatehouse_contain_active", "Containment switches in force.", []string{"switch"}, nil)}

type gauge struct{ desc *prometheus.Desc }

// Describe implements prometheus.Collector.
func (g gauge) Describe(to chan<- *prometheus.Desc) { to <- g.desc }

// Collect implements prometheus.Collector. While nobody can say what is in force, it says nothing.
func (g gauge) Collect(to chan<- prometheus.Metric) {
	_, state, err := gatehouse.RunningState()
	if err != nil {
		return
	}
	board, err := state.Containment()
	if err != nil {
		return
	}
	count := map[containment.Kind]int{}
	for _, s := range board.Active(time.Now()) {
		count[s.Kind]++
	}
	for _, kind := range containment.Kinds {
		to <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(count[kind]), string(kind))
	}
}
