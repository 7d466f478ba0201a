package waf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"gatehouse.internal/modules/internal/verdict"
)

// retryAfter is what clients are told when the budget is spent or the queue is full.
const retryAfter = 5 * time.Second

// obtain returns what of the body is to be inspected: read whole, put back as it came, decompressed, and found to cost
// no more than the limits allow. In detect mode, which refuses nothing, skipped says why there is nothing.
func (i *Inspection) obtain(r *http.Request) ([]byte, verdict.Verdict) {
	limit := i.engine.cfg.InspectLimit
	if i.processor() == "MULTIPART" {
		limit = i.engine.cfg.BodyLimit // what is no file of it is counted below
	}
	limit = min(limit, i.engine.cfg.BodyLimit)
	coding, err := encoding(r.Header)
	if err != nil {
		return nil, i.unread("encoding", verdict.Verdict{Reason: verdict.BodyUnreadable, Detail: err.Error()})
	}
	data, v := i.take(r, limit)
	if v.Given() || i.skipped != "" {
		return nil, v
	}
	if coding != "" && len(data) > 0 {
		plain, charged, err := inflate(data, limit, i.engine.budget)
		i.lent += charged
		if err != nil {
			return nil, i.unreadErr(r.Context(), err, limit)
		}
		data = plain
	}
	i.cost += bodyCosts(i.processor(), r.Header.Get("Content-Type"), data)
	if i.cost > i.engine.cfg.InspectLimit {
		return nil, i.unreadErr(r.Context(), errTooLarge, i.engine.cfg.InspectLimit)
	}
	held := int64(len(data)) * (bodyCost - 1)
	if !i.engine.budget.take(held) {
		return nil, i.unread("budget", overBudget())
	}
	i.lent += held
	return data, verdict.Verdict{}
}

// repay gives back what was held while the body was judged.
func (i *Inspection) repay() {
	i.engine.budget.give(i.lent)
	i.lent = 0
}

// take reads the body into memory, at most limit bytes, and puts a replay in its place.
func (i *Inspection) take(r *http.Request, limit int64) ([]byte, verdict.Verdict) {
	data, charged, err := slurp(r.Body, r.ContentLength, limit, i.engine.budget)
	i.owed += charged
	if err == nil {
		r.Body = replayed(data, nil, r.Body)
		return data, verdict.Verdict{}
	}
	v := i.unreadErr(r.Context(), err, limit)
	if !v.Given() {
		r.Body = replayed(data, r.Body, r.Body)
	}
	return nil, v
}

// unreadErr is the verdict on a body that could not be had, or that there is none because the mode is detect.
func (i *Inspection) unreadErr(ctx context.Context, err error, limit int64) verdict.Verdict {
	switch {
	case errors.Is(err, errTooLarge):
		return i.unread("too_large", verdict.Verdict{
			Reason: verdict.BodyTooLarge,
			Detail: fmt.Sprintf("more than %d bytes to inspect", limit),
		})
	case errors.Is(err, errOverBudget):
		return i.unread("budget", overBudget())
	case errors.Is(err, errGarbled):
		return i.unread("encoding", verdict.Verdict{Reason: verdict.BodyUnreadable, Detail: err.Error()})
	}
	return unreadable(ctx, err)
}

// unread refuses with v or, in detect mode, notes why the body is not inspected. A body that did not arrive is refused
// in any mode, not through here: there is nothing to pass on.
func (i *Inspection) unread(why string, v verdict.Verdict) verdict.Verdict {
	if v = i.exempt(v); !v.Given() {
		i.skipped = why
	}
	return v
}

// exempt drops what detect mode must not refuse, and what a site wants to pass that could not be judged: what a panic,
// the budget or the queue stopped, never what the rules or a limit refused.
func (i *Inspection) exempt(v verdict.Verdict) verdict.Verdict {
	switch {
	case i.engine.cfg.Mode == Detect:
		return verdict.Verdict{}
	case i.failOpen && v.Reason == verdict.WAFFailed:
		i.failure = v.Detail
		return verdict.Verdict{}
	}
	return v
}

// enterHead waits for a place for what a stranger has sent, unless it is more than is inspected of strangers.
func (i *Inspection) enterHead(r *http.Request) (leave func(), v verdict.Verdict) {
	if i.cost > headLimit {
		return nil, i.unread("too_large", verdict.Verdict{
			Reason: verdict.HeadersTooLarge,
			Detail: fmt.Sprintf("request line and headers cost %d of %d", i.cost, headLimit),
		})
	}
	return i.enter(r.Context(), i.engine.budget.heads)
}

// enter waits for a place in the cap if the inspection is expensive. leave is never nil when no verdict is given.
func (i *Inspection) enter(ctx context.Context, c *Cap) (leave func(), v verdict.Verdict) {
	if i.cost < cheap {
		return func() {}, v
	}
	leave, err := c.enter(ctx)
	switch {
	case err == nil:
		i.measure()
		return leave, v
	case errors.Is(err, errBusy):
		v = verdict.Verdict{Reason: verdict.WAFFailed, Detail: err.Error(), RetryAfter: retryAfter}
		return func() {}, i.unread("busy", v)
	}
	return nil, verdict.Verdict{Reason: verdict.ClientClosed}
}

// variables are the transaction's, which must be open.
func (i *Inspection) variables() plugintypes.TransactionVariables {
	return i.tx.(plugintypes.TransactionState).Variables() // New has made sure
}

// processor is the name of Coraza's parser for this body; "" means that it is read as text.
func (i *Inspection) processor() string { return i.variables().RequestBodyProcessor().Get() }

func overBudget() verdict.Verdict {
	return verdict.Verdict{Reason: verdict.WAFFailed, Detail: errOverBudget.Error(), RetryAfter: retryAfter}
}

// unreadable is the verdict on a body that could not be read to its end.
func unreadable(ctx context.Context, err error) verdict.Verdict {
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return verdict.Verdict{Reason: verdict.ClientClosed}
	case errors.As(err, &tooLarge): // an operator's request_body directive
		return verdict.Verdict{Reason: verdict.BodyTooLarge, Detail: fmt.Sprintf("more than %d bytes", tooLarge.Limit)}
	case errors.As(err, &timeout) && timeout.Timeout():
		return verdict.Verdict{Reason: verdict.RequestTimeout, Detail: "the body came too slowly"}
	}
	return verdict.Verdict{Reason: verdict.BodyUnreadable, Detail: "the body ended early"}
}
