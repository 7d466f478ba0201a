package authz

import (
	"context"
	"errors"
	"sync"
	"time"
)

// severAfter is how long a request that was cut may take to return by itself.
const severAfter = 250 * time.Millisecond

// errCut is why a request ended that ran when what had let it in was over.
type errCut string

func (e errCut) Error() string { return "no longer allowed: " + string(e) }

// run is a request that may be cut while it runs: politely by its context, and by force when it does not return. It is for
// requests that were allowed for a while only.
type run struct {
	context.Context
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	sever func()      // guarded by mu; nil once done, or once the request has returned
	timer *time.Timer // guarded by mu
}

// newRun begins one. sever must not block; it is called once at the most, and never after leave has returned.
func newRun(ctx context.Context, sever func()) *run {
	r := &run{sever: sever}
	r.Context, r.cancel = context.WithCancelCause(ctx)
	return r
}

// until cuts the run at t.
func (r *run) until(t time.Time, why string) {
	r.after(time.Until(t), func() { r.cut(why) })
}

// cut ends the run now. It may be called from any goroutine, more than once.
func (r *run) cut(why string) {
	r.cancel(errCut(why))
	r.after(severAfter, r.force)
}

func (r *run) after(d time.Duration, f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sever == nil {
		return
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	r.timer = time.AfterFunc(d, f)
}

func (r *run) force() {
	r.mu.Lock()
	defer r.mu.Unlock() // held while severing, so that leave waits: afterwards the answer's writer is not ours any more
	if r.sever != nil {
		r.sever()
		r.sever = nil
	}
}

// leave ends the run because the request has returned. It must be called once.
func (r *run) leave() {
	r.mu.Lock()
	r.sever = nil
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	r.cancel(nil)
}

// why returns why the run was cut, or "".
func (r *run) why() string {
	var cut errCut
	if errors.As(context.Cause(r.Context), &cut) {
		return string(cut)
	}
	return ""
}
