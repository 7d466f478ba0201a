package authn

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const sessionBucket store.Bucket = "session"

const (
	sessionPurpose = "authn.session"

	tokenBytes  = 32
	tokenLength = 43 // base64url without padding

	touchEvery = 30 * time.Second // a session's use is written at most so often
	flushEvery = time.Second      // and so long after it at the latest
	// storeSlack is how much longer the store keeps a session than it may stay unused, so that it is not gone before
	// its last use is written. The node judges; the store only cleans up.
	storeSlack = time.Minute

	tableLimit = 1 << 20 // sessions kept at hand; beyond it they are read from the store again
)

var errNoSession = errors.New("no such session")

// Limits bound sessions. All are positive; AdminIdle counts for whoever holds one of AdminRoles (control CER-03).
type Limits struct {
	Idle, AdminIdle, Max time.Duration
	AdminRoles           []string
}

// idle returns how long this user's session may stay unused: the strictest limit that applies.
func (l Limits) idle(roles []string) time.Duration {
	if slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(l.AdminRoles, r) }) {
		return min(l.Idle, l.AdminIdle)
	}
	return l.Idle
}

// record is a session as stored.
type record struct {
	Who     identity.Identity `json:"who"`
	Host    string            `json:"host"`
	Created time.Time         `json:"created"`
	// Idle is the limit at creation or at the last load: what the stored expiry was computed with.
	Idle time.Duration `json:"idle"`
}

// live is a session this node has at hand. Times are offsets on the process's monotonic clock.
type live struct {
	proof   identity.Proof
	host    string
	roles   []string
	idle    time.Duration // as recorded: what the stored expiry is computed with
	created time.Duration
	seen    atomic.Int64 // last use
	written atomic.Int64 // the last use that the stored expiry knows of
	queued  atomic.Bool  // waits for the next flush
}

// Sessions is the node's table of sessions in front of the store. Make one with [NewSessions]; it is safe for
// concurrent use and must be closed before the store.
type Sessions struct {
	store store.Store
	keys  *keyring.Ring
	epoch time.Time // carries a monotonic reading

	mu      sync.RWMutex
	table   map[[sha256.Size]byte]*live // guarded by mu
	changes uint64                      // guarded by mu; grows with everything that may have ended a session

	dirtyMu sync.Mutex
	dirty   map[[sha256.Size]byte]*live // guarded by dirtyMu

	stop context.CancelFunc
	done sync.WaitGroup
}

// NewSessions starts keeping the table fresh from the store's feed.
func NewSessions(st store.Store, keys *keyring.Ring) (*Sessions, error) {
	ctx, cancel := context.WithCancel(context.Background())
	feed, err := st.Watch(ctx, sessionBucket)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watching sessions: %w", err)
	}
	s := &Sessions{
		store: st, keys: keys, epoch: time.Now(), stop: cancel,
		table: map[[sha256.Size]byte]*live{}, dirty: map[[sha256.Size]byte]*live{},
	}
	s.done.Go(func() { s.follow(feed) })
	s.done.Go(func() { s.flushLoop(ctx) })
	return s, nil
}

// Destruct stops, having written when each session at hand was last used.
func (s *Sessions) Destruct() error {
	s.stop()
	s.done.Wait()
	s.mu.RLock()
	all := maps.Clone(s.table)
	s.mu.RUnlock()
	return s.write(context.Background(), all)
}

func (s *Sessions) now() time.Duration { return time.Since(s.epoch) }

// Create begins a session for who on host and returns the cookie's value, which is stored nowhere.
func (s *Sessions) Create(ctx context.Context, who identity.Identity, host string, l Limits) (token string, proof identity.Proof, err error) {
	raw := make([]byte, tokenBytes)
	rand.Read(raw) // never fails (crypto/rand)
	token = base64.RawURLEncoding.EncodeToString(raw)
	id := sumOf(token)
	rec := record{Who: who, Host: host, Created: time.Now().UTC(), Idle: l.idle(who.Roles)}
	value, err := json.Marshal(rec)
	if err != nil {
		return "", proof, fmt.Errorf("encoding a session: %w", err)
	}
	key := storeKey(id)
	box := s.keys.Seal(sessionPurpose, value, []byte(key.ID))
	_, err = s.store.Put(ctx, key, box, store.PutOptions{
		TTL: rec.Idle + storeSlack, Match: store.Absent, Index: []string{userIndex(who)},
	})
	if err != nil {
		return "", proof, fmt.Errorf("storing a session: %w", err)
	}
	proof = identity.Prove(who, logName(id), rec.Created)
	if !proof.Known() {
		return "", proof, errors.New("a session needs a provider and a subject")
	}
	return token, proof, nil
}

// Lookup returns who the cookie's value stands for on host and counts as a use. The error is errNoSession, or the
// store's when it cannot be asked.
func (s *Sessions) Lookup(ctx context.Context, token, host string, l Limits) (identity.Proof, error) {
	if len(token) != tokenLength {
		return identity.Proof{}, errNoSession
	}
	id := sumOf(token)
	s.mu.RLock()
	entry := s.table[id]
	s.mu.RUnlock()
	if entry == nil { // Slow path
		var err error
		if entry, err = s.load(ctx, id); err != nil {
			return identity.Proof{}, err
		}
	}
	// Fast path from here.
	now := s.now()
	if entry.host != host {
		return identity.Proof{}, errNoSession
	}
	if idle := now - time.Duration(entry.seen.Load()); idle > l.idle(entry.roles) || now-entry.created > l.Max {
		if err := s.End(ctx, token); err != nil {
			return identity.Proof{}, err
		}
		return identity.Proof{}, errNoSession
	}
	s.used(id, entry, now)
	return entry.proof, nil
}

// used notes a use; one use in a while is queued to be written, never on the request's time.
func (s *Sessions) used(id [sha256.Size]byte, e *live, now time.Duration) {
	e.seen.Store(int64(now))
	if now-time.Duration(e.written.Load()) < min(touchEvery, e.idle/10) || !e.queued.CompareAndSwap(false, true) {
		return
	}
	s.dirtyMu.Lock()
	s.dirty[id] = e
	s.dirtyMu.Unlock()
}

// End ends the session at once, durably; ending one that does not exist is no error.
func (s *Sessions) End(ctx context.Context, token string) error {
	id := sumOf(token)
	err := s.store.Delete(ctx, storeKey(id))
	s.forget(id) // after the delete: a load that read before it must not put the session back
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// load reads the session from the store into the table.
func (s *Sessions) load(ctx context.Context, id [sha256.Size]byte) (*live, error) {
	s.mu.RLock()
	before := s.changes
	s.mu.RUnlock()
	key := storeKey(id)
	item, err := s.store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoSession
	}
	if err != nil {
		return nil, fmt.Errorf("reading a session: %w", err)
	}
	entry := s.decode(id, item)
	if entry == nil {
		return nil, errNoSession
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.table[id]; other != nil {
		return other, nil
	}
	if s.changes != before {
		return entry, nil // something ended since we read, perhaps this one: serve this request, remember nothing
	}
	if len(s.table) >= tableLimit {
		for victim := range s.table { // any one: it is read again when it is used
			delete(s.table, victim)
			break
		}
	}
	s.table[id] = entry
	return entry, nil
}

// decode returns the session in a stored item, or nil when it is nobody's: sealed by another house, or with a key past
// its overlap.
func (s *Sessions) decode(id [sha256.Size]byte, item store.Item) *live {
	value, err := s.keys.Open(sessionPurpose, item.Value, []byte(item.Key.ID))
	if err != nil {
		return nil
	}
	var rec record
	if err := json.Unmarshal(value, &rec); err != nil {
		return nil
	}
	proof := identity.Prove(rec.Who, logName(id), rec.Created)
	if !proof.Known() {
		return nil
	}
	// The stored expiry says when the session was last used, whatever the clock did meanwhile: it is never taken for
	// later than now, nor the creation for later than now.
	now, wall := s.now(), time.Now()
	unused := max(rec.Idle+storeSlack-item.Expires.Sub(wall), 0)
	age := max(wall.Sub(rec.Created), 0)
	e := &live{proof: proof, host: rec.Host, roles: rec.Who.Roles, idle: rec.Idle, created: now - age}
	e.seen.Store(int64(now - unused))
	e.written.Store(int64(now - unused))
	return e
}

func (s *Sessions) forget(id [sha256.Size]byte) {
	s.mu.Lock()
	delete(s.table, id)
	s.changes++
	s.mu.Unlock()
}

// follow drops what changed elsewhere, so that the next request reads it again.
func (s *Sessions) follow(feed <-chan store.Event) {
	for e := range feed {
		if e.Kind == store.Resync {
			s.mu.Lock()
			clear(s.table)
			s.changes++
			s.mu.Unlock()
			continue
		}
		var id [sha256.Size]byte
		if len(e.Key.ID) != 2*len(id) {
			continue
		}
		if _, err := hex.Decode(id[:], []byte(e.Key.ID)); err == nil {
			s.forget(id)
		}
	}
}

func (s *Sessions) flushLoop(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.dirtyMu.Lock()
			due := s.dirty
			s.dirty = make(map[[sha256.Size]byte]*live, len(due))
			s.dirtyMu.Unlock()
			for _, e := range due {
				e.queued.Store(false)
			}
			// After an error the next use queues the session again; until then its stored expiry only comes too early.
			_ = s.write(ctx, due)
		}
	}
}

// write moves the stored expiries of these sessions to what their last use makes them.
func (s *Sessions) write(ctx context.Context, sessions map[[sha256.Size]byte]*live) error {
	now, wall := s.now(), time.Now()
	to := make(map[store.Key]time.Time, len(sessions))
	marks := make(map[*live]int64, len(sessions))
	for id, e := range sessions {
		if seen := e.seen.Load(); seen > e.written.Load() {
			to[storeKey(id)] = wall.Add(e.idle + storeSlack - (now - time.Duration(seen)))
			marks[e] = seen
		}
	}
	if len(to) == 0 {
		return nil
	}
	if err := s.store.Touch(ctx, to); err != nil {
		return fmt.Errorf("writing the use of %d sessions: %w", len(to), err)
	}
	for e, seen := range marks {
		e.written.Store(seen)
	}
	return nil
}

// sumOf names a session by its cookie, so that the store never holds one.
func sumOf(token string) [sha256.Size]byte {
	var buf [2 * tokenLength]byte // on the stack; tokens are of one length
	return sha256.Sum256(buf[:copy(buf[:], token)])
}

func storeKey(id [sha256.Size]byte) store.Key {
	return store.Key{Bucket: sessionBucket, ID: hex.EncodeToString(id[:])}
}

func userIndex(who identity.Identity) string { return "user:" + who.Provider + ":" + who.Subject }

// logName names a session in logs: neither the cookie nor the store key can be found from it.
func logName(id [sha256.Size]byte) string {
	sum := sha256.Sum256(append([]byte("log"), id[:]...))
	return hex.EncodeToString(sum[:8])
}
