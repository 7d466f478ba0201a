package waf

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Proof is checked while it is in use: some of the requests that were shown to match nothing are put before all rules
// after all, beside the request path. A rule that matches then is the one kind of mistake a prover can make, and it is
// not asked again.

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
	id   string
	fed  [5]feed
	none bool // it cannot be kept
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
		if wrong := e.contradicts(x); wrong != "" {
			p.distrust(wrong)
		}
		c.done.Add(1)
		c.resting.Store(time.Now().Add(checkRest * time.Since(begin)).UnixNano())
	})
}

// contradicts returns what the rules say of x, if it is more than nothing.
func (e *Engine) contradicts(x *exhibit) (wrong string) {
	tx := e.waf.NewTransactionWithID(x.id)
	defer func() {
		if recover() != nil { // a panic in the rules says nothing about the prover, and tx is not to be used again
			return
		}
		_ = tx.Close() // fails only when a temporary file is gone already
	}()
	for n, f := range x.fed {
		if f == nil {
			continue
		}
		if stop := f.to(tx); stop != nil {
			return fmt.Sprintf("rule %d stops in phase %d what was shown to match nothing", stop.RuleID, n)
		}
	}
	if i := slices.IndexFunc(tx.MatchedRules(), wantsLog); i >= 0 {
		return fmt.Sprintf("rule %d matches what was shown to match nothing", tx.MatchedRules()[i].Rule().ID())
	}
	return ""
}
