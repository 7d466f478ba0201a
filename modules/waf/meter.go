package waf

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"gatehouse.internal/modules/internal/verdict"
)

// What an inspection will cost is estimated before it begins (cost.go), and what it does cost is bounded here: a body
// that neither the prover can clear nor the rules get through in time is refused, never passed half judged. The time is
// that of the processor, so that a busy machine refuses nothing more. decisions/0010 has the argument.

const (
	// cpuLimit is what judging a request may take at DefaultInspectLimit; a larger one allows as much more. It is
	// somewhat below the 250 ms that are promised, because it is looked at between two expressions.
	cpuLimit = 175 * time.Millisecond

	// meterBytes is how much expressions read between two looks at the clock, and evalBytes what each counts at least.
	meterBytes = 16 << 10
	evalBytes  = 64

	// turnTime is how long an inspection runs before it lets others have the processor. Go would take it away after
	// 10 ms, which a small request would meet at each of its steps.
	turnTime = time.Millisecond
)

// meter measures the CPU time of one inspection. It is used by one goroutine at a time.
type meter struct {
	limit time.Duration // 0: nothing is measured
	spent time.Duration // in phases that have ended
	lap   time.Duration // the thread's clock when this phase began
	turn  time.Duration // and when others had their turn
	fed   int           // bytes since the last look
	tx    plugintypes.TransactionState
}

// threadTime is the clock; tests have their own.
var threadTime = cpuClock

// metered are the meters of running inspections, by transaction: expressions know no more than that.
var metered struct {
	count  atomic.Int64
	meters sync.Map // plugintypes.TransactionState to *meter
}

// overtime is what a rule panics with to end an inspection that took too long.
type overtime struct{}

// measured runs one phase of an expensive inspection, whose goroutine keeps its thread meanwhile: only threads have a
// clock.
func (m *meter) measured(judge func() *types.Interruption) *types.Interruption {
	if m.limit == 0 {
		return judge()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m.lap = threadTime()
	m.turn = m.lap
	metered.count.Add(1)
	defer func() {
		m.forget()
		metered.count.Add(-1)
		m.spent += threadTime() - m.lap
	}()
	return judge()
}

// watch has the expressions that judge tx look at the clock.
func (m *meter) watch(tx types.Transaction) {
	if m.limit == 0 {
		return
	}
	m.forget()
	m.tx = tx.(plugintypes.TransactionState) // New has made sure
	metered.meters.Store(m.tx, m)
}

func (m *meter) forget() {
	if m.tx != nil {
		metered.meters.Delete(m.tx)
		m.tx = nil
	}
}

// spend counts an expression that is about to read n bytes. It does not return when the time is over.
func spend(tx plugintypes.TransactionState, n int) {
	if metered.count.Load() == 0 { // Fast path
		return
	}
	if m, ok := metered.meters.Load(tx); ok {
		m.(*meter).count(n)
	}
}

func (m *meter) count(n int) {
	if m.fed += max(n, evalBytes); m.fed < meterBytes {
		return
	}
	m.fed = 0
	now := threadTime()
	if m.spent+now-m.lap > m.limit {
		panic(overtime{})
	}
	if now-m.turn > turnTime {
		runtime.Gosched()
		m.turn = now
	}
}

// measure bounds the CPU time of the rest of the inspection. Without a prover nothing is bounded but the bytes:
// everything is expensive then, and what people save would be refused.
func (i *Inspection) measure() {
	if i.trial.by != nil && !raced {
		i.meter.limit = i.engine.cfg.timeLimit()
	}
}

// timeLimit is how much CPU time an inspection may take.
func (cfg Config) timeLimit() time.Duration {
	return max(cpuLimit, time.Duration(float64(cpuLimit)*float64(cfg.InspectLimit)/float64(DefaultInspectLimit)))
}

// outOfTime is the verdict on what took too long: refused when the score says so already, since it only grows. Otherwise a
// request could not be judged, and an answer was judged in part, as one is that is too long.
func (i *Inspection) outOfTime() (v verdict.Verdict) {
	if i.answer.begun {
		i.answer.unread = unreadTime
		return i.answerSoFar()
	}
	i.late = true
	v = failed(fmt.Sprintf("more than %v of CPU time to inspect", i.meter.limit))
	defer func() { _ = recover() }() // the transaction is in the middle of a rule: if it can not be read, v stands
	f := findings(i.tx, i.digest)
	if score, threshold := i.scoreSoFar("inbound"); threshold > 0 && score >= threshold {
		f.Score, f.Blocking = max(f.Score, score), true
		v = verdict.Verdict{Reason: verdict.WAFBlocked, Detail: fmt.Sprintf("score %d, and more than %v of CPU time to inspect", score, i.meter.limit)}
	}
	i.found = f
	return v
}

func (i *Inspection) answerSoFar() (v verdict.Verdict) {
	defer func() { _ = recover() }()
	f := responseFindings(i.tx, i.answer.before)
	if score, threshold := i.scoreSoFar("outbound"); threshold > 0 && score >= threshold {
		f.Score, f.Blocking = max(f.Score, score), true
		if i.engine.cfg.Mode == Block {
			v = verdict.Verdict{Reason: verdict.ResponseBlocked, Detail: fmt.Sprintf("response score %d", score)}
		}
	}
	i.answer.found = f
	return v
}

// scoreSoFar is the score that is refused by, before CRS has added it up: inbound for requests, outbound for answers.
func (i *Inspection) scoreSoFar(direction string) (score, threshold int) {
	all := i.variables().TX()
	number := func(name string) (n int) {
		for _, text := range all.Get(direction + "_anomaly_score_" + name) {
			n, _ = strconv.Atoi(text)
		}
		return n
	}
	for level := 1; level <= i.engine.cfg.Paranoia; level++ {
		score += number("pl" + strconv.Itoa(level))
	}
	return score, number("threshold")
}
