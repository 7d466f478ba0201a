package authn

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const tableLimit = 1 << 20 // sessions kept at hand; beyond it they are read from the store again

var (
	errNoSession = errors.New("no such session")
	// errProviderDown says that the provider has not renewed its vouching for so long that it no longer counts. The
	// session is not ended by it.
	errProviderDown = errors.New("the identity provider has not renewed the session")
)

// live is a session this node has at hand. Times are readings of the node's clock.
type live struct {
	proof     identity.Proof
	host      string
	roles     []string
	span      time.Duration // as recorded
	created   int64
	until     int64 // when it ends at the latest, whatever the site says; 0: as the site says
	renew     int64 // when the provider wants to be asked again; 0: never
	renewFrom int64 // when that may begin

	factor    *identity.Factor // what was proven to us; nil: nothing
	vouchable bool             // a second factor could follow from what the provider says

	seen    atomic.Int64 // last use by a person
	written atomic.Int64 // the last use that the stored expiry knows of
	retry   atomic.Int64 // no renewal is tried before
	queued  atomic.Bool  // waits for the next flush
	stale   atomic.Bool  // the record changed: read it again before the next use
	rhythm  atomic.Pointer[rhythm]
	vouched atomic.Pointer[identity.Factor] // what follows from it, once it was asked for

	elsewhere atomic.Bool // when last tried, another node was renewing it
}

// unvouched reports whether the provider's word is too old to count.
func (e *live) unvouched(l Limits, now int64) bool {
	return e.renew != 0 && now >= e.renew+int64(l.Grace)
}

// over says why the session has ended by age, or "".
func (e *live) over(l Limits, now int64) string {
	switch {
	case now-e.seen.Load() > int64(l.idle(e.roles)):
		return "idle"
	case now > e.end(l):
		return "max"
	}
	return ""
}

// end is when the session ends, used or not.
func (e *live) end(l Limits) int64 {
	end := e.created + int64(l.Max)
	if e.until != 0 {
		end = min(end, e.until)
	}
	return end
}

// inherit takes over what this node knew of the session before it read it again.
func (e *live) inherit(old *live) {
	e.seen.Store(max(e.seen.Load(), old.seen.Load()))
	e.retry.Store(old.retry.Load())
	e.elsewhere.Store(old.elsewhere.Load())
	e.rhythm.Store(old.rhythm.Load())
}

// Sessions is the node's table of sessions in front of the store. Make one with [NewSessions]; it is safe for
// concurrent use and must be closed before the store.
type Sessions struct {
	store   store.Store
	keys    *keyring.Ring
	publish func(event.Event)
	clock   *clock
	names   names

	mu      sync.RWMutex
	table   map[sessionID]*live // guarded by mu
	changes uint64              // guarded by mu; grows with everything that may have changed a session

	dirtyMu sync.Mutex
	dirty   map[sessionID]*live // guarded by dirtyMu

	streams  streams
	renewals renewals

	// Saw, if not nil, is told what providers say of people at renewals. It is set before the first request.
	Saw func(ctx context.Context, who identity.Identity) error

	stop context.CancelFunc
	done sync.WaitGroup
}

// NewSessions starts keeping the table fresh from the store's feed. publish is told what ends sessions when nobody
// asked for it, and must not block; nil: nobody is told.
func NewSessions(st store.Store, keys *keyring.Ring, publish func(event.Event)) (*Sessions, error) {
	return newSessions(st, keys, publish, nil)
}

func newSessions(st store.Store, keys *keyring.Ring, publish func(event.Event), skew func() time.Duration) (*Sessions, error) {
	if publish == nil {
		publish = func(event.Event) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	feed, err := st.Watch(ctx, sessionBucket)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watching sessions: %w", err)
	}
	mark, err := readMark(ctx, st)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("reading the sessions' clock: %w", err)
	}
	s := &Sessions{
		store: st, keys: keys, publish: publish, clock: newClock(skew, mark), stop: cancel,
		table: map[sessionID]*live{}, dirty: map[sessionID]*live{},
	}
	s.streams.init()
	s.renewals.init()
	s.done.Go(func() { s.follow(feed) })
	s.done.Go(func() { s.tend(ctx) })
	s.done.Go(func() { s.guard(ctx) })
	return s, nil
}

// Destruct stops, having written when each session at hand was last used. A renewal under way is given a moment to
// end: what the provider has rotated meanwhile would be lost.
func (s *Sessions) Destruct() error {
	s.stop()
	s.renewals.close()
	s.done.Wait()
	return s.writeAll()
}

// Create begins a session on host for whom v vouches and returns the cookie's value, which is stored nowhere.
func (s *Sessions) Create(ctx context.Context, v vouching, host string, meta Meta, l Limits) (token string, proof identity.Proof, err error) {
	if len(v.Keep) > maxKeep {
		return "", proof, fmt.Errorf("a session that keeps %d bytes for its provider, more than %d", len(v.Keep), maxKeep)
	}
	token, id := newToken()
	now := s.clock.now()
	rec := record{
		Host: host, Created: time.Unix(0, now).UTC(), Span: l.Idle + storeSlack,
		Idle: l.idle(v.Identity.Roles), Max: l.Max, Agent: meta.Agent, Network: meta.Network,
		Expected: meta.Expected, ProvenFor: meta.ProvenFor,
	}
	if !v.Until.IsZero() { // by the wall clock, which need not be ours
		rec.Until = rec.Created.Add(max(time.Until(v.Until), 0))
	}
	rec.Who.Tenant = l.Tenant
	rec.vouched(v, now)
	proof = identity.Prove(rec.Who, logName(id), rec.Created)
	if !proof.Known() {
		return "", identity.Proof{}, errors.New("a session needs a provider and a subject")
	}
	box, err := s.seal(id, &rec)
	if err != nil {
		return "", identity.Proof{}, err
	}
	_, err = s.store.Put(ctx, storeKey(id), box, store.PutOptions{TTL: rec.Span, Match: store.Absent, Index: rec.indexes()})
	if err != nil {
		return "", identity.Proof{}, fmt.Errorf("storing a session: %w", err)
	}
	e := live{proof: proof, factor: rec.factor(now), vouchable: rec.vouchable()}
	return token, e.prove(l, now), nil
}

// newToken returns a cookie's value, and the session that it stands for.
func newToken() (token string, id sessionID) {
	raw := make([]byte, tokenBytes)
	rand.Read(raw) // never fails (crypto/rand)
	token = base64.RawURLEncoding.EncodeToString(raw)
	id, _ = sumOf(token)
	return token, id
}

// vouched takes over what the provider says, at a reading of the node's clock. Whose site it is and what the gateway has
// found out are no provider's to say.
func (rec *record) vouched(v vouching, now int64) {
	v.Identity.Tenant, v.Identity.Facts = rec.Who.Tenant, rec.Who.Facts
	rec.Who, rec.Keep, rec.SID = v.Identity, v.Keep, v.SID
	rec.Vouched, rec.Renew = time.Unix(0, now).UTC(), time.Time{}
	if !v.Renew.IsZero() { // by the wall clock, which need not be ours
		rec.Renew = rec.Vouched.Add(max(time.Until(v.Renew), 0))
	}
}

// Lookup returns who the cookie's value stands for on host, and counts the use. The error is errNoSession,
// errProviderDown, or the store's: then nothing is known.
func (s *Sessions) Lookup(ctx context.Context, token, host string, l Limits, u Use) (identity.Proof, error) {
	_, e, err := s.find(ctx, token, host, l, u)
	if err != nil {
		return identity.Proof{}, err
	}
	return e.prove(l, s.clock.now()), nil
}

func (s *Sessions) find(ctx context.Context, token, host string, l Limits, u Use) (sessionID, *live, error) {
	id, ok := sumOf(token)
	if !ok {
		return id, nil, errNoSession
	}
	now := s.clock.now()
	e, err := s.judge(ctx, id, host, l, now, true)
	if err == nil {
		s.used(id, e, u, now)
	}
	return id, e, err
}

// judge returns the session if it is alive on host under the limits. A renewal that is due begins; a session that can
// no longer do without it waits for it, if it may.
func (s *Sessions) judge(ctx context.Context, id sessionID, host string, l Limits, now int64, mayWait bool) (*live, error) {
	e, known, err := s.current(ctx, id)
	if err != nil {
		return nil, err
	}
	if e.host != host || e.proof.Tenant() != l.Tenant { // Fast path from here
		return nil, errNoSession
	}
	if known && e.over(l, now) == "idle" { // perhaps another node knows of a later use
		if e, err = s.load(ctx, id, e); err != nil {
			return nil, err
		}
	}
	if why := e.over(l, now); why != "" {
		s.expire(id, e, why, known)
		return nil, errNoSession
	}
	if e.renew == 0 || now < e.renewFrom {
		return e, nil
	}
	return s.renewing(ctx, id, e, l, now, mayWait)
}

// current returns the session at hand, or reads it; known says that the node had it.
func (s *Sessions) current(ctx context.Context, id sessionID) (e *live, known bool, err error) {
	s.mu.RLock()
	e = s.table[id]
	s.mu.RUnlock()
	if e != nil && !e.stale.Load() { // Fast path
		return e, true, nil
	}
	e, err = s.load(ctx, id, e)
	return e, false, err
}

// load reads the session from the store into the table, unless somebody else did since the caller found wanting there.
func (s *Sessions) load(ctx context.Context, id sessionID, wanting *live) (*live, error) {
	s.mu.RLock()
	before := s.changes
	s.mu.RUnlock()
	item, err := s.store.Get(ctx, storeKey(id))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("reading a session: %w", err)
	}
	var rec *record
	if err == nil {
		rec, err = s.open(item)
	}
	if err != nil {
		s.drop(id, "ended")
		return nil, errNoSession
	}
	e := s.enliven(id, rec, item)
	s.mu.Lock()
	old := s.table[id]
	if old != nil && old != wanting && !old.stale.Load() {
		s.mu.Unlock()
		return old, nil
	}
	if old != nil {
		e.inherit(old)
	}
	latest := s.changes == before
	if latest { // otherwise this one may have ended since: it serves this request, and is not remembered
		s.remember(id, e)
	}
	s.mu.Unlock()
	if latest {
		s.streams.changed(id, e)
	} else {
		s.streams.recheck(id)
	}
	return e, nil
}

// remember puts the session into the table. s.mu must be held.
func (s *Sessions) remember(id sessionID, e *live) {
	if _, there := s.table[id]; !there && len(s.table) >= tableLimit {
		for victim := range s.table { // any one: it is read again when it is used
			delete(s.table, victim)
			break
		}
	}
	s.table[id] = e
}

// enliven makes of a record what the node has at hand.
func (s *Sessions) enliven(id sessionID, rec *record, item store.Item) *live {
	now := s.clock.now()
	proof := identity.Prove(rec.Who, logName(id), rec.Created)
	e := &live{
		proof: proof, host: rec.Host, roles: rec.Who.Roles, span: rec.Span, created: min(rec.Created.UnixNano(), now),
	}
	if !rec.Until.IsZero() {
		e.until = rec.Until.UnixNano()
	}
	e.factor, e.vouchable = rec.factor(now), rec.vouchable()
	if !rec.Renew.IsZero() {
		e.renew = rec.Renew.UnixNano()
		e.renewFrom = e.renew - int64(rec.lead())
	}
	seen := rec.lastUse(item, now)
	e.seen.Store(seen)
	e.written.Store(seen)
	return e
}

// End ends the session at once, durably; ending one that does not exist is no error.
func (s *Sessions) End(ctx context.Context, token string) error {
	id, ok := sumOf(token)
	if !ok {
		return nil
	}
	return s.end(ctx, id)
}

func (s *Sessions) end(ctx context.Context, ids ...sessionID) error {
	keys := make([]store.Key, len(ids))
	for i, id := range ids {
		keys[i] = storeKey(id)
	}
	err := s.store.Delete(ctx, keys...)
	for _, id := range ids {
		s.forget(id) // after the delete: a load that read before it must not put the session back
	}
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// forget drops a session that is no more, whatever is being read of it just now.
func (s *Sessions) forget(id sessionID) {
	s.mu.Lock()
	s.changes++
	s.mu.Unlock()
	s.drop(id, "ended")
}

// drop takes a session out of the table and cuts what still runs in it.
func (s *Sessions) drop(id sessionID, why string) {
	s.mu.Lock()
	delete(s.table, id)
	s.mu.Unlock()
	s.streams.cut(id, why)
}

// expire drops a session that has ended by age. The store keeps what is left of it for a while, which every node judges
// the same way. Only the node that had it at hand says so, once.
func (s *Sessions) expire(id sessionID, e *live, why string, known bool) {
	s.drop(id, why)
	if known {
		s.ended(e.proof.Name(), e.proof.Session(), why)
	}
}

// ended says that a session has ended without its owner asking for it.
func (s *Sessions) ended(user, session, why string) {
	s.publish(event.Event{Time: time.Now(), Kind: event.SessionEnded, User: user, Session: session, Detail: why})
}
