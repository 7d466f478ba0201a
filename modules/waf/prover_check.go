package waf

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/corazawaf/coraza/v3/types"
)

// Proof is checked while it is in use: some of the requests that were shown to match nothing are put before all rules
// after all, beside the request path, with Coraza's own @rx (checkable). A rule that matches then is the one kind of
// mistake a prover can make: it is not asked again, the request is kept, sealed (mistake.go), and the house is told.

const (
	checkShare = 256      // one request in so many is a candidate
	checkBody  = 64 << 10 // larger bodies are not kept, and their requests not checked
	checkRest  = 99       // an engine rests so many times as long as a check took: one hundredth of a core
)

// checks are one engine's. At most one runs at a time, so that what they keep is one request.
type checks struct {
	share   uint32       // 0: checkShare
	busy    atomic.Bool  // one runs
	resting atomic.Int64 // until when, in nanoseconds of Unix time
	done    atomic.Uint64
	running sync.WaitGroup
}

// exhibit is a request, with its answer if that was judged, that can be judged once more after it is gone.
type exhibit struct {
	id     string
	site   string
	teller teller
	fed    [5]feed
	none   bool // it cannot be kept
}

// teller is who is told that an engine's prover was wrong. It may be called by any goroutine.
type teller interface{ tellMistake(Mistake) }

// exhibit returns an empty exhibit of the inspected request.
func (i *Inspection) exhibit() *exhibit {
	return &exhibit{id: i.trial.parser.ID(), site: i.site, teller: i.teller}
}

// choose reports whether chance picks a request.
func (c *checks) choose() bool {
	share := c.share
	if share == 0 {
		share = checkShare
	}
	return rand.Uint32N(share) == 0
}

// keep keeps what a phase was fed; bodies are copied.
func (x *exhibit) keep(n int, f feed) {
	if size(f) > checkBody {
		x.none = true
		return
	}
	switch body := f.(type) {
	case requestBody:
		body.data = slices.Clone(body.data)
		f = body
	case responseBody:
		f = slices.Clone(body)
	}
	x.fed[n] = f
}

// check judges x by all rules of e, unless a check runs or e rests.
func (e *Engine) check(x *exhibit) {
	p := e.innocence
	c := &p.checks
	if x.none || time.Now().UnixNano() < c.resting.Load() || !c.busy.CompareAndSwap(false, true) {
		return
	}
	c.running.Go(func() {
		defer c.busy.Store(false)
		begin := time.Now()
		result := "agreed"
		if m := e.contradicts(x); m != nil {
			result = "contradicted"
			e.mistaken(x, m)
		}
		proofChecks.WithLabelValues(result).Inc()
		c.done.Add(1)
		c.resting.Store(time.Now().Add(checkRest * time.Since(begin)).UnixNano())
	})
}

// mistaken stops the prover from being asked, and tells so the first time.
func (e *Engine) mistaken(x *exhibit, m *Mistake) {
	if e.innocence.distrust(fault{m.Why, true}) && x.teller != nil {
		x.teller.tellMistake(*m)
	}
}

// contradicts returns what the rules say of x, if it is more than nothing.
func (e *Engine) contradicts(x *exhibit) (m *Mistake) {
	tx := e.waf.NewTransactionWithID(checkMark + x.id)
	defer func() {
		if recover() != nil { // a panic in the rules says nothing about the prover, and tx is not to be used again
			return
		}
		_ = tx.Close() // fails only when a temporary file is gone already
	}()
	for _, f := range x.fed {
		if f == nil {
			continue
		}
		if stop := f.to(tx); stop != nil {
			return e.mistake(x, tx, stop)
		}
	}
	return e.mistake(x, tx, nil)
}

// mistake describes what the rules have found in x, which they were shown to find nothing in; nil if they have not.
func (e *Engine) mistake(x *exhibit, tx types.Transaction, stop *types.Interruption) *Mistake {
	var f Findings
	for _, m := range tx.MatchedRules() {
		f.log(m)
	}
	if stop != nil && !slices.Contains(f.Logged, stop.RuleID) {
		f.Logged = append(f.Logged, stop.RuleID)
	}
	if len(f.Logged) == 0 {
		return nil
	}
	lost := ""
	if x.none {
		lost = " (a body of it is too long to be kept)"
	}
	return &Mistake{
		Time: time.Now().UTC(), Site: x.site, RequestID: x.id, Paranoia: e.cfg.Paranoia, Rules: f.Logged, Matches: matches(tx, nil),
		Why:     fmt.Sprintf("rule %d matches what was shown to match nothing%s", f.Logged[0], lost),
		Request: x.request(), Answer: x.answer(),
	}
}
