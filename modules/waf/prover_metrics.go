package waf

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/internal/event"
)

// ProverOff is the event of an engine whose prover was wrong.
const ProverOff event.Kind = "waf.prover_off"

var (
	proofs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_proofs_total",
		Help: "Requests by what the prover made of them, by site: proven (no rule can match), doubted (the rules judged), " +
			"none (there is no prover, or it was not asked).",
	}, []string{"site", "result"})

	doubts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_doubts_total",
		Help: "Requests that the prover did not clear, by the first rule that may match; 0: its bounds, parser: before it was asked.",
	}, []string{"rule"})

	proverChecks = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_proof_checks",
		Help: "Proven requests that engines in use have put before all rules after all.",
	}, func() (sum float64) {
		eachEngine(func(e *Engine) {
			if e.innocence != nil {
				sum += float64(e.innocence.checks.done.Load())
			}
		})
		return sum
	})

	proversOff = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_provers_off",
		Help: "Engines in use that judge every request by all rules, because there is no prover for their rules or it was wrong.",
	}, func() (sum float64) {
		eachEngine(func(e *Engine) {
			if on, _ := e.Prover(); !on {
				sum++
			}
		})
		return sum
	})

	proverBytes = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_prover_bytes",
		Help: "Memory of the provers' automata and of the values that they remember, in engines in use.",
	}, func() (sum float64) {
		eachEngine(func(e *Engine) {
			s := e.ProverStats()
			sum += float64(s.AutomataBytes) + float64(s.MemoBytes)
		})
		return sum
	})
)

var proverCollectors = []prometheus.Collector{proofs, doubts, proverChecks, proversOff, proverBytes}

// eachEngine calls f with the engines that sites use now.
func eachEngine(f func(*Engine)) {
	engines.Range(func(_, value any) bool {
		if s, ok := value.(shared); ok {
			f(s.Engine)
		}
		return true
	})
}

// countProof records what the prover made of a finished inspection.
func countProof(site string, t *trial) {
	result := "none"
	switch {
	case t.stands():
		result = "proven"
	case t.turned:
		result = "doubted"
		rule := "parser"
		if t.doubt != byParser {
			rule = strconv.Itoa(t.doubt)
		}
		doubts.WithLabelValues(rule).Inc()
	}
	proofs.WithLabelValues(site, result).Inc()
}
