package waf

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/waf/rx"
)

var (
	proofs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_proofs_total",
		Help: "Requests by what the prover made of them, by site: proven (no rule can match), doubted (the rules judged), " +
			"none (there is no prover, or it was not asked).",
	}, []string{"site", "result"})

	doubts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_doubts_total",
		Help: "Requests that the prover did not clear, by the first rule that may match: its id, or bounds (too much to look " +
			"at), parser (before it was asked), other (one of the rules that are not among the first 64 here).",
	}, []string{"rule"})

	proofChecks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_proof_checks_total",
		Help: "Proven requests that were put before all rules after all, by result: agreed, contradicted.",
	}, []string{"result"})

	automataBytes = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_automata_bytes",
		Help: "Memory of the automata of provers and rules, in engines in use.",
	}, func() float64 {
		sum := rx.Use().Bytes // which engines share
		eachEngine(func(e *Engine) { sum += e.ProverStats().AutomataBytes })
		return float64(sum)
	})

	rememberedBytes = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_remembered_bytes",
		Help: "Memory of the values that provers remember, in engines in use.",
	}, func() (sum float64) {
		eachEngine(func(e *Engine) { sum += float64(e.ProverStats().MemoBytes) })
		return sum
	})
)

var proverCollectors = []prometheus.Collector{proofs, doubts, proofChecks, proverEngines{}, automataBytes, rememberedBytes}

// proverEngines counts the engines in use by what their provers do.
type proverEngines struct{}

var proverEnginesDesc = prometheus.NewDesc("gatehouse_waf_prover_engines",
	"Rule sets in use by what the prover does for them: on, off (prover off), none (nothing can be proven about them), "+
		"wrong (it was contradicted and is not asked any more: see the event waf.prover_off).", []string{"state"}, nil)

// Describe implements prometheus.Collector.
func (proverEngines) Describe(to chan<- *prometheus.Desc) { to <- proverEnginesDesc }

// Collect implements prometheus.Collector.
func (proverEngines) Collect(to chan<- prometheus.Metric) {
	count := map[string]float64{proverOn: 0, proverOff: 0, proverNone: 0, proverWrong: 0}
	eachEngine(func(e *Engine) { count[e.proverState()]++ })
	for state, n := range count {
		to <- prometheus.MustNewConstMetric(proverEnginesDesc, prometheus.GaugeValue, n, state)
	}
}

// doubtedRules gives the first rules that are doubted a label each, and all others one: operators may have thousands,
// and each label costs memory for as long as the process lives.
var doubtedRules = labels{limit: 64}

// labels is a bounded set of rule ids. It is safe for concurrent use.
type labels struct {
	limit int
	mu    sync.Mutex
	known map[int]string // guarded by mu
}

func (l *labels) of(rule int) string {
	switch rule {
	case byParser:
		return "parser"
	case 0:
		return "bounds"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if name, ok := l.known[rule]; ok {
		return name
	}
	if len(l.known) >= l.limit {
		return "other"
	}
	if l.known == nil {
		l.known = map[int]string{}
	}
	l.known[rule] = strconv.Itoa(rule)
	return l.known[rule]
}

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
		doubts.WithLabelValues(doubtedRules.of(t.doubt)).Inc()
	}
	proofs.WithLabelValues(site, result).Inc()
}
