package authn

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/store"
)

// renewBucket holds a lease for each session that a node renews just now: providers rotate what a renewal needs, so
// that two at once would look like a theft to them.
const renewBucket store.Bucket = "renew"

const (
	renewTimeout = 15 * time.Second // for the provider's answer
	storeTimeout = 10 * time.Second // for storing it, over and over if need be
	renewLease   = renewTimeout + storeTimeout + 5*time.Second

	renewRetry  = 3 * time.Second // after a renewal that failed, the next
	retryLease  = time.Second     // after another node's lease was in the way
	renewalWait = 5 * time.Second // how long a request waits that cannot go on without
	renewalStop = 5 * time.Second // how long a stopping node lets renewals end
	maxRenewals = 256             // at once; beyond it, the next request tries again
)

var (
	errElsewhere = errors.New("another node renews the session")
	errChanged   = errors.New("the session changed meanwhile")
)

// renewals are those under way on this node, one a session.
type renewals struct {
	ctx    context.Context // of the calls to providers
	cancel context.CancelFunc

	mu      sync.Mutex
	flights map[sessionID]chan struct{} // guarded by mu; closed when it has landed
	closed  bool                        // guarded by mu
	running sync.WaitGroup
}

func (rs *renewals) init() {
	rs.ctx, rs.cancel = context.WithCancel(context.Background())
	rs.flights = map[sessionID]chan struct{}{}
}

// close lets no renewal begin any more, and waits for those under way, a moment.
func (rs *renewals) close() {
	rs.mu.Lock()
	rs.closed = true
	rs.mu.Unlock()
	timer := time.AfterFunc(renewalStop, rs.cancel)
	rs.running.Wait()
	timer.Stop()
	rs.cancel()
}

// begin returns the session's renewal under way, having run it on a goroutine of its own if there was none; nil when
// none can be begun now.
func (rs *renewals) begin(id sessionID, run func(context.Context)) <-chan struct{} {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if landed, ok := rs.flights[id]; ok {
		return landed
	}
	if rs.closed || len(rs.flights) >= maxRenewals {
		return nil
	}
	landed := make(chan struct{})
	rs.flights[id] = landed
	rs.running.Go(func() {
		run(rs.ctx)
		rs.mu.Lock()
		delete(rs.flights, id)
		rs.mu.Unlock()
		close(landed)
	})
	return landed
}

// renewing sees to it that the session's renewal, which is due, is under way. The request goes on with what is known
// until the grace is over. From then on it waits for the renewal, a moment: whoever comes back after a pause longer than
// the grace must not be refused because nobody asked the provider meanwhile, nor because another node asks just now.
func (s *Sessions) renewing(ctx context.Context, id sessionID, e *live, l Limits, now int64, mayWait bool) (*live, error) {
	landed := s.launch(id, e, l, now)
	if !e.unvouched(l, now) {
		return e, nil
	}
	if !mayWait {
		return nil, errProviderDown
	}
	ctx, cancel := context.WithTimeoutCause(ctx, renewalWait, errProviderDown)
	defer cancel()
	for {
		var again <-chan time.Time
		if landed == nil {
			if !e.elsewhere.Load() {
				return nil, errProviderDown
			}
			again = time.After(max(time.Duration(e.retry.Load()-now), retryLease/10))
		}
		select {
		case <-landed:
		case <-again:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		var err error
		if e, _, err = s.current(ctx, id); err != nil {
			return nil, err
		}
		now = s.clock.now()
		switch {
		case e.over(l, now) != "":
			return nil, errProviderDown
		case !e.unvouched(l, now):
			return e, nil
		}
		landed = s.launch(id, e, l, now)
	}
}

// launch returns the session's renewal under way, having begun it if it may begin; nil: it may not now. A node whose
// configuration has nobody who could renew leaves it, and the lease, to those that have.
func (s *Sessions) launch(id sessionID, e *live, l Limits, now int64) <-chan struct{} {
	by := l.renewer(e.proof.Provider())
	if by == nil || now < e.retry.Load() {
		return nil
	}
	return s.renewals.begin(id, func(ctx context.Context) { s.fly(ctx, id, l, by) })
}

// fly renews the session once, and says when to try again if that failed.
func (s *Sessions) fly(ctx context.Context, id sessionID, l Limits, by renewer) {
	err := s.renew(ctx, id, l, by)
	if err == nil {
		return
	}
	wait, outcome, elsewhere := renewRetry, "failed", errors.Is(err, errElsewhere)
	if elsewhere {
		wait, outcome = retryLease, "elsewhere"
	}
	renewed.WithLabelValues(outcome).Inc()
	s.mu.RLock()
	if e := s.table[id]; e != nil {
		e.elsewhere.Store(elsewhere)
		e.retry.Store(s.clock.now() + int64(wait))
	}
	s.mu.RUnlock()
}

// renew asks the provider whether it still vouches for the session. What it says is stored, by compare-and-swap, before
// anybody uses it. nil: this node knows what is true now; otherwise nothing has changed.
//
// The lease keeps other nodes from asking too. It is no lock: one that expired under a node that was stopped is caught
// by the compare-and-swap, and by reading the session again before it is ended.
func (s *Sessions) renew(ctx context.Context, id sessionID, l Limits, by renewer) error {
	lease := store.Key{Bucket: renewBucket, ID: hex.EncodeToString(id[:])}
	_, err := s.store.Put(ctx, lease, nil, store.PutOptions{Match: store.Absent, TTL: renewLease, Soft: true})
	if errors.Is(err, store.ErrConflict) {
		return errElsewhere
	}
	if err != nil {
		return fmt.Errorf("leasing a renewal: %w", err)
	}
	began := time.Now()
	defer func() {
		if time.Since(began) < renewLease { // else it may be another's by now
			_ = s.store.Delete(context.WithoutCancel(ctx), lease) // otherwise it expires
		}
	}()
	item, err := s.store.Get(ctx, storeKey(id))
	if errors.Is(err, store.ErrNotFound) {
		s.drop(id, "ended")
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a session to renew: %w", err)
	}
	rec, err := s.open(item)
	if err != nil {
		s.drop(id, "ended")
		return nil
	}
	if now := s.clock.now(); rec.Renew.IsZero() || now < rec.Renew.UnixNano()-int64(rec.lead()) {
		return s.adopt(ctx, id) // another node has done it
	}
	return s.ask(ctx, id, item, rec, l, by)
}

// ask asks the provider, and does what it says.
func (s *Sessions) ask(ctx context.Context, id sessionID, item store.Item, rec *record, l Limits, by renewer) error {
	asking, cancel := context.WithTimeout(ctx, renewTimeout)
	v, err := by.Renew(asking, rec.Keep)
	cancel()
	storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	switch {
	case errors.Is(err, errVouchingEnded):
		return s.disown(storing, id, item, rec, "the identity provider no longer vouches for it")
	case err != nil:
		return fmt.Errorf("renewing a session: %w", err)
	case v == nil || len(v.Keep) > maxKeep:
		return errors.New("renewing a session: the identity provider vouches for nothing, or keeps too much")
	case v.Identity.Subject != rec.Who.Subject || v.Identity.Issuer != rec.Who.Issuer:
		return s.disown(storing, id, item, rec, "the identity provider vouches for somebody else")
	}
	provider, sid, now := rec.Who.Provider, rec.SID, s.clock.now()
	rec.vouched(*v, now)
	rec.Who.Provider = provider
	if rec.SID == "" {
		rec.SID = sid // an answer need not repeat it
	}
	rec.Who.Normalize()
	rec.Idle, rec.Max = l.idle(rec.Who.Roles), l.Max
	err = s.replace(storing, id, item, rec)
	if err != nil && !errors.Is(err, errChanged) {
		return err
	}
	renewed.WithLabelValues("renewed").Inc()
	if s.Saw != nil {
		_ = s.Saw(storing, rec.Who) // the next renewal says it again
	}
	return s.adopt(storing, id)
}

// disown ends a session for which nobody vouches any more, if it is still the one that was asked for: another node may
// have got a newer answer, and a provider refuses what it has rotated.
func (s *Sessions) disown(ctx context.Context, id sessionID, item store.Item, rec *record, why string) error {
	box, err := s.seal(id, &record{Ended: true})
	if err != nil {
		return err
	}
	_, err = s.store.Put(ctx, storeKey(id), box, store.PutOptions{Match: store.Version, Version: item.Version, TTL: renewLease})
	if errors.Is(err, store.ErrConflict) {
		return s.adopt(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	renewed.WithLabelValues("ended").Inc()
	s.forget(id)
	s.ended(rec.user(), logName(id), why)
	return nil
}

// replace stores what was renewed, over and over until the store has it or the time is over: it holds what the provider
// will ask for next time. errChanged: the session ended, or another node renewed it.
func (s *Sessions) replace(ctx context.Context, id sessionID, item store.Item, rec *record) error {
	box, err := s.seal(id, rec)
	if err != nil {
		return err
	}
	for {
		ttl := time.Until(s.expiry(id, item, rec))
		if ttl <= 0 {
			return errChanged
		}
		_, err := s.store.Put(ctx, storeKey(id), box, store.PutOptions{
			Match: store.Version, Version: item.Version, TTL: ttl, Index: rec.indexes(),
		})
		switch {
		case errors.Is(err, store.ErrConflict): // an earlier try may have succeeded after all; adopting it is right either way
			return errChanged
		case err == nil:
			return nil
		case ctx.Err() != nil || !errors.Is(err, store.ErrDown):
			return fmt.Errorf("storing a renewed session: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// expiry is what the last use known to anyone makes it, by the wall clock: a renewal is no use.
func (s *Sessions) expiry(id sessionID, item store.Item, rec *record) time.Time {
	expires := item.Expires
	s.mu.RLock()
	e := s.table[id]
	s.mu.RUnlock()
	if e == nil {
		return expires
	}
	if own := time.Now().Add(rec.Span - time.Duration(s.clock.now()-e.seen.Load())); own.After(expires) {
		return own
	}
	return expires
}

// adopt reads what the store has now.
func (s *Sessions) adopt(ctx context.Context, id sessionID) error {
	s.mu.RLock()
	e := s.table[id]
	s.mu.RUnlock()
	if _, err := s.load(ctx, id, e); err != nil && !errors.Is(err, errNoSession) {
		return err
	}
	return nil
}
