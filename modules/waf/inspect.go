package waf

import (
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/corazawaf/coraza/v3/types"

	"gatehouse.internal/modules/internal/verdict"
)

// Inspection is the judging of one request: Head, then Body if the head left it open, then Close. It is used by one
// goroutine at a time.
type Inspection struct {
	engine *Engine
	tx     types.Transaction // nil once everything is judged: its memory goes back while the backend works
	spent  time.Duration     // inside Coraza
	owed   int64             // to the budget, until Close
	lent   int64             // by the budget, while the body is judged
	cost   int64             // of all that is inspected, as cost.go estimates it

	found   Findings
	skipped string // why a body was not inspected; "" when it was, or there was none
	outcome Outcome
	decided verdict.Verdict // once outcome is not Open
	headed  bool            // Head was called
	judged  bool            // the rules, or proof, were given the head
	answer  answer
	trial   trial // what stands before the rules: a prover, for most engines
	copy    *Copy // what a shadow keeps; nil for most requests
	panics  bool
	late    bool  // it took too long, and was ended
	meter   meter // of its CPU time; measures nothing for most

	connection []string            // the client's own header, which admit has replaced; nil: it had none
	failOpen   bool                // what could not be judged passes: see exempt
	failure    string              // what passed for that reason
	digest     func(string) string // of matched values; nil: none
	takes      bool                // matched values are wanted, to be sealed
	taken      []Taken             // of the request and of its answer; nil unless takes

	site   string // whose request it is, for teller
	teller teller // who is told of a mistake of the prover; nil: nobody
}

// Outcome says in one word how an inspection ended; it is a metric label.
type Outcome string

// The outcomes.
const (
	Open     Outcome = "open"     // the body was never judged, because something else ended the request first
	Passed   Outcome = "passed"   // nothing that counts
	Detected Outcome = "detected" // would have been refused, in detect mode
	Refused  Outcome = "refused"  // by the rules or a limit, or the body did not arrive
	Failed   Outcome = "failed"   // could not be judged
)

// Inspect begins the judging of the request with this id.
func (e *Engine) Inspect(id string) *Inspection {
	i := &Inspection{engine: e, outcome: Open}
	i.guard(func() *types.Interruption {
		i.begin(id)
		return nil
	})
	return i
}

// Head judges the request line and the headers, and everything when there is no body. client may be invalid when it
// is unknown. A given verdict is what the request must be refused with.
func (i *Inspection) Head(r *http.Request, client netip.Addr) verdict.Verdict {
	i.headed = true
	head := requestHead{describe(r, client).asSent(i.connection)}
	i.cost = head.cost()
	leave, v := i.enterHead(r)
	if v.Given() || i.skipped != "" {
		return i.settle(nil, v)
	}
	defer leave()
	i.judged = true
	blocked, v := i.guard(func() *types.Interruption {
		if stop := i.run(1, head); stop != nil || hasBody(r) {
			return stop
		}
		return i.run(2, requestBody{})
	})
	if v.Given() || blocked != nil || !hasBody(r) {
		return i.settle(blocked, v)
	}
	return verdict.Verdict{}
}

// Body judges the body, if Head left it open, and replaces r.Body by one that reads the same bytes again. It must
// come after Head let the request pass.
func (i *Inspection) Body(r *http.Request) verdict.Verdict {
	if i.outcome != Open {
		return i.decided
	}
	var data []byte
	var v verdict.Verdict
	defer i.repay()
	switch {
	case !i.headed:
		v = failed("the body was reached without the head")
	case !i.tx.IsRequestBodyAccessible():
		i.skipped = "rule"
	case streams(r.Header):
		data, v = i.beginning(r)
	default:
		data, v = i.obtain(r)
		i.copy.Body(data)
	}
	if v.Given() {
		return i.settle(nil, v)
	}
	leave, v := i.enter(r.Context(), i.engine.budget.bodies)
	if v.Given() {
		return i.settle(nil, v)
	}
	defer leave()
	if i.skipped != "" && i.skipped != skippedType {
		data = nil
	}
	blocked, v := i.guard(func() *types.Interruption { return i.run(2, requestBody{data, i.processor()}) })
	return i.settle(blocked, v)
}

// Close ends the inspection. What Body put into the request must not be needed any more. It may be called twice.
func (i *Inspection) Close() {
	i.engine.budget.give(i.owed)
	i.owed = 0
	i.drop()
}

// guard runs judge, which calls Coraza, and turns a panic into a verdict. The transaction is then never used again,
// not even closed, since its state is unknown and closing would put it back into Coraza's pool.
func (i *Inspection) guard(judge func() *types.Interruption) (blocked *types.Interruption, v verdict.Verdict) {
	begin := time.Now()
	defer func() {
		i.spent += time.Since(begin)
		switch p := recover().(type) {
		case nil:
		case overtime:
			blocked, v = nil, i.outOfTime()
			i.tx = nil // it is in the middle of a rule
		default:
			i.tx, i.panics = nil, true
			// Where it was and its type: the value of a panic in a rule may quote the request.
			blocked, v = nil, failed(fmt.Sprintf("the rules panicked at %s (%T)", panicSite(), p))
		}
	}()
	return judge(), v
}

// settle ends the judging: it takes what was found, lets go of the transaction, and returns the verdict.
func (i *Inspection) settle(blocked *types.Interruption, v verdict.Verdict) verdict.Verdict {
	if i.tx != nil {
		open := blocked == nil && !v.Given() && i.watches() // the answer will be judged by the same transaction
		_, broken := i.guard(func() *types.Interruption {
			if i.trial.stands() || !i.judged {
				return nil // no rule has matched
			}
			if !open {
				i.tx.ProcessLogging()
			}
			i.found = findings(i.tx, i.digest)
			if i.takes && len(i.found.Rules) > 0 {
				i.taken = take(i.tx.MatchedRules())
			}
			return nil
		})
		if broken.Given() && blocked == nil && !v.Given() {
			v = broken
		}
		if !open {
			i.drop()
		}
	}
	if blocked != nil {
		v = i.found.verdict(blocked)
	}
	switch {
	case i.panics:
		v = i.exempt(v)
	case i.late:
		v = i.unread("time", v)
	}
	switch {
	case i.panics || i.late && !i.found.Blocking || v.Reason == verdict.WAFFailed || i.failure != "" && !v.Given():
		i.outcome = Failed
	case v.Given():
		i.outcome = Refused
	case i.found.Blocking:
		i.outcome = Detected
	default:
		i.outcome = Passed
	}
	i.decided = v
	return v
}

// drop lets go of the transaction.
func (i *Inspection) drop() {
	if i.tx == nil {
		return
	}
	i.guard(func() *types.Interruption {
		i.endTrial()
		_ = i.tx.Close() // fails only when a temporary file is gone already
		return nil
	})
	i.tx = nil
}

// panicSite returns file:line of the code that panicked. It must be called by a deferred function.
func panicSite() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
	}
	return "an unknown place"
}

func failed(detail string) verdict.Verdict {
	return verdict.Verdict{Reason: verdict.WAFFailed, Detail: detail}
}
