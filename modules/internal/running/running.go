// Package running holds requests that may be cut while they run.
//
// # What
//
// A [Run] is one request for as long as it runs: a page, a download, a stream of events, a websocket. Whatever let it in
// may end before it does: a session, a grant for a while, the client's good name. Whoever sees that end cuts the run:
// politely by its context, and by force when it has not returned soon after. Admit makes one for each request; the rooms
// that let requests in keep account of those that run by their word.
//
// # Invariants
//
// The first cut is the one that counts. Nothing is severed after [Run.Leave] has returned, so that the answer's writer is
// never touched when it is somebody else's.
//
// # Cost
//
// Two allocations for a run and its context. A timer only for a run that has an end, or was cut.
package running

import (
	"context"
	"errors"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/verdict"
)

// severAfter is how long a request that was cut may take to return by itself.
const severAfter = 250 * time.Millisecond

// Cut is why a run was ended, and the cause of its cancelled context.
type Cut struct {
	Note   string         // the key under which the log says so
	Why    string         // for operators
	Reason verdict.Reason // of the refusal, where the answer had not begun; zero: forbidden
	Until  time.Time      // when it may be tried again; zero: that is not known
}

func (c Cut) Error() string { return "cut while it ran: " + c.Why }

// Verdict is what is left to say to a client that has no answer yet.
func (c Cut) Verdict() verdict.Verdict {
	v := verdict.Verdict{Reason: c.Reason, Detail: c.Error()}
	if !v.Given() {
		v.Reason = verdict.Forbidden
	}
	if !c.Until.IsZero() {
		v.RetryAfter = time.Until(c.Until)
	}
	return v
}

// Run is one request that runs. Make one with [New]. Its methods may be called from any goroutine.
type Run struct {
	context.Context // cancelled when the run is cut, or its request has returned

	cancel context.CancelCauseFunc

	mu    sync.Mutex
	sever func()      // guarded by mu; nil once done, or once the request has returned
	timer *time.Timer // guarded by mu; of the end, then of severing
	cut   bool        // guarded by mu
}

// New begins a run. sever ends its request by force; it must not block, is called once at the most and never after
// [Run.Leave] has returned; nil where there is nothing to sever.
func New(parent context.Context, sever func()) *Run {
	if sever == nil {
		sever = func() {}
	}
	r := &Run{sever: sever}
	r.Context, r.cancel = context.WithCancelCause(parent)
	return r
}

// Until cuts the run at t. It has one end: that which was set first counts.
func (r *Run) Until(t time.Time, c Cut) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sever != nil && r.timer == nil {
		r.timer = time.AfterFunc(time.Until(t), func() { r.Cut(c) })
	}
}

// Cut ends the run now, and reports whether it did: it may have ended, or been cut, before.
func (r *Run) Cut(c Cut) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sever == nil || r.cut {
		return false
	}
	r.cut = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.cancel(c)
	r.timer = time.AfterFunc(severAfter, r.force)
	return true
}

func (r *Run) force() {
	r.mu.Lock()
	defer r.mu.Unlock() // held while severing, so that Leave waits: afterwards the answer's writer is not ours any more
	if r.sever != nil {
		r.sever()
		r.sever = nil
	}
}

// Leave ends the run because its request has returned. It must be called once.
func (r *Run) Leave() {
	r.mu.Lock()
	r.sever = nil
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	r.cancel(nil)
}

// WasCut returns why the run was cut, if it was.
func (r *Run) WasCut() (Cut, bool) {
	var c Cut
	return c, errors.As(context.Cause(r.Context), &c)
}
