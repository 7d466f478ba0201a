package authn

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/store"
)

// proveTries bounds how often a session is tried to be changed that another node renews just now.
const (
	proveTries = 20
	proveWait  = 100 * time.Millisecond

	// providerSkew is how far a provider's clock may be ahead of ours: what it says has just happened has just happened.
	providerSkew = time.Minute
)

// factor is what was proven to us in the session, or is expected; nil: nothing.
func (rec *record) factor(now int64) *identity.Factor {
	f := identity.Factor{Method: rec.Factor, For: rec.ProvenFor, Expected: rec.Expected}
	if f.Method != "" {
		f.At = time.Unix(0, min(rec.FactorAt.UnixNano(), now)).UTC()
	}
	if f == (identity.Factor{}) {
		return nil
	}
	return &f
}

// vouchable reports whether a second factor could follow from what the provider says.
func (rec *record) vouchable() bool {
	who := &rec.Who
	return who.ACR != "" || len(who.AMR) > 1 || len(who.AMR) == 1 && who.AMR[0] != "pwd"
}

// vouchedFactor is what follows from the provider's token, if that counts.
func (e *live) vouchedFactor() *identity.Factor {
	if f := e.vouched.Load(); f != nil {
		return f
	}
	f := identity.Factor{Method: identity.ByProvider}
	if e.factor != nil {
		f.For, f.Expected = e.factor.For, e.factor.Expected
	}
	if who := e.proof.Identity(); who.Dated {
		f.At = who.AuthTime
	}
	e.vouched.Store(&f)
	return &f
}

// prove is the session's proof for a request at this reading of the clock, with the second factor behind it. What the
// provider's token proves counts as far as the limits say; of two, the later one.
func (e *live) prove(l Limits, now int64) identity.Proof {
	f := e.factor
	if e.vouchable && l.Vouched != nil && l.Vouched(e.proof.Identity()) {
		if v := e.vouchedFactor(); f == nil || f.Method == "" || v.At.After(f.At) {
			f = v
		}
	}
	if f == nil { // Fast path
		return e.proof
	}
	age := time.Duration(0)
	if !f.At.IsZero() {
		age = time.Duration(now - f.At.UnixNano())
		if f.Method == identity.ByProvider && age < 0 && age >= -providerSkew {
			age = 0
		}
	}
	return identity.ProveFactor(e.proof, f, age)
}

// ProveFactor notes that the session's owner has just proven a second factor, durably, and returns the proof with it. The
// first factor of a session makes it another one, with the cookie's value in token: whoever has seen the old cookie has
// nothing of it (OWASP ASVS 7.2.4), and what runs in the old one is cut. Otherwise token is "". The error is errNoSession
// when it has ended.
//
// A renewal that is under way would lose what it is given, or this: so this waits for it.
func (s *Sessions) ProveFactor(ctx context.Context, token, host, method string, l Limits) (fresh string, proof identity.Proof, err error) {
	id, ok := sumOf(token)
	if !ok {
		return "", proof, errNoSession
	}
	lease := store.Key{Bucket: renewBucket, ID: hex.EncodeToString(id[:])}
	for try := 0; ; try++ {
		_, err := s.store.Put(ctx, lease, nil, store.PutOptions{Match: store.Absent, TTL: renewLease, Soft: true})
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrConflict) || try == proveTries {
			return "", proof, fmt.Errorf("leasing a session: %w", err)
		}
		select {
		case <-ctx.Done():
			return "", proof, ctx.Err()
		case <-time.After(proveWait):
		}
	}
	began := time.Now()
	defer func() {
		if time.Since(began) < renewLease { // else it may be another's by now
			_ = s.store.Delete(context.WithoutCancel(ctx), lease) // otherwise it expires
		}
	}()
	item, err := s.store.Get(ctx, storeKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return "", proof, errNoSession
	}
	if err != nil {
		return "", proof, fmt.Errorf("reading a session: %w", err)
	}
	rec, err := s.open(item)
	if err != nil || rec.Host != host {
		return "", proof, errNoSession
	}
	first, now := rec.Factor == "", s.clock.now()
	rec.Factor, rec.FactorAt = method, time.Unix(0, now).UTC()
	if !first {
		proof, err = s.replaceProven(ctx, id, item, rec, l, now)
		return "", proof, err
	}
	fresh, to := newToken()
	if err := s.move(ctx, id, to, item, rec); err != nil {
		return "", identity.Proof{}, err
	}
	return fresh, s.enliven(to, rec, store.Item{Expires: time.Now().Add(rec.Span)}).prove(l, now), nil
}

// replaceProven stores what a session has proven, in place.
func (s *Sessions) replaceProven(ctx context.Context, id sessionID, item store.Item, rec *record, l Limits, now int64) (identity.Proof, error) {
	stored := s.replace(ctx, id, item, rec)
	if stored != nil && !errors.Is(stored, errChanged) {
		return identity.Proof{}, stored
	}
	s.mu.RLock()
	old := s.table[id]
	s.mu.RUnlock()
	e, err := s.load(ctx, id, old)
	if err != nil {
		return identity.Proof{}, err
	}
	// The lease is held: only an end can have come between, or an earlier try that succeeded without saying so.
	if stored != nil && (e.factor == nil || !e.factor.At.Equal(rec.FactorAt)) {
		return identity.Proof{}, errNoSession
	}
	return e.prove(l, now), nil
}

// move gives a session another cookie: the new one is stored before the old one ends, and goes again when that fails.
func (s *Sessions) move(ctx context.Context, from, to sessionID, item store.Item, rec *record) error {
	box, err := s.seal(to, rec)
	if err != nil {
		return err
	}
	_, err = s.store.Put(ctx, storeKey(to), box, store.PutOptions{TTL: rec.Span, Match: store.Absent, Index: rec.indexes()})
	if err != nil {
		return fmt.Errorf("storing a session that has proven more: %w", err)
	}
	tomb, err := s.seal(from, &record{Ended: true})
	if err == nil {
		_, err = s.store.Put(ctx, storeKey(from), tomb, store.PutOptions{Match: store.Version, Version: item.Version, TTL: renewLease})
	}
	if err != nil {
		_ = s.store.Delete(context.WithoutCancel(ctx), storeKey(to)) // nobody has its cookie; otherwise it expires
		if errors.Is(err, store.ErrConflict) {
			return errNoSession
		}
		return fmt.Errorf("ending a session that has proven more: %w", err)
	}
	s.forget(from)
	return nil
}
