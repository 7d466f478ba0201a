package authn

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/store"
)

const (
	sessionBucket  = store.Bucket("session")
	sessionPurpose = "authn.session"

	tokenBytes  = 32
	tokenLength = 43 // base64url without padding

	// tombLife is how long after its end by age a session can still be asked who it was (see [Sessions.Expired]).
	tombLife = 30 * time.Minute
	// storeSlack is how much longer than it may stay unused the store keeps a session: its tomb, and the time that its
	// last use may take to be written. The node judges; the store only cleans up.
	storeSlack = tombLife + time.Minute
)

// sessionID names a session in the table and in the store: the SHA-256 of the cookie's value, so that the store never
// holds a cookie.
type sessionID [sha256.Size]byte

// record is a session as stored: JSON, sealed to its key.
type record struct {
	Who     identity.Identity `json:"who"`
	Host    string            `json:"host"`
	Created time.Time         `json:"created"`
	// Span is how long after the last use the store keeps the record. It never changes while the session lasts: a stored
	// expiry means the same to every node, whatever limits it has.
	Span time.Duration `json:"span"`
	// Idle and Max are the limits when this was written: for lists, which know no site. Requests are judged by their own site's.
	Idle time.Duration `json:"idle"`
	Max  time.Duration `json:"max"`

	Vouched time.Time `json:"vouched"`        // when the provider last vouched
	Renew   time.Time `json:"renew,omitzero"` // when it wants to be asked again; zero: never
	Until   time.Time `json:"until,omitzero"` // when the session ends at the latest, by its provider's word; zero: it said none
	Keep    []byte    `json:"keep,omitempty"`
	SID     string    `json:"sid,omitempty"`

	Agent   string `json:"agent,omitempty"`
	Network string `json:"network,omitempty"`

	// Factor is how a second factor was last proven in this session, by us, and FactorAt when; "" and zero: it was not.
	Factor   string    `json:"factor,omitempty"`
	FactorAt time.Time `json:"factor_at,omitzero"`
	// ProvenFor is the one request for which the provider had it proven; "" for none.
	ProvenFor string `json:"proven_for,omitempty"`
	// Expected says that the owner had a second factor when they logged in, so that the login is not complete without.
	Expected bool `json:"expected,omitempty"`

	// Ended marks what is left of a session that a compare-and-swap ended. It stands for nobody.
	Ended bool `json:"ended,omitempty"`
}

// lead is how long before Renew the renewal begins: a tenth of what the provider granted, a minute at the most.
func (rec *record) lead() time.Duration {
	return max(min(time.Minute, rec.Renew.Sub(rec.Vouched)/10), 0)
}

// indexes are what the session is found by when the cookie is not at hand. They stand in the store unsealed, so that
// they are hashes: of bounded length, and telling nobody's name.
func (rec *record) indexes() []string {
	ix := []string{userIndex(rec.Who.Provider, rec.Who.Subject)}
	if rec.SID != "" {
		ix = append(ix, sidIndex(rec.Who.Provider, rec.SID))
	}
	return ix
}

func userIndex(provider, subject string) string { return "user:" + provider + ":" + hashed(subject) }
func sidIndex(provider, sid string) string      { return "sid:" + provider + ":" + hashed(sid) }

func hashed(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (s *Sessions) seal(id sessionID, rec *record) ([]byte, error) {
	value, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("encoding a session: %w", err)
	}
	return s.keys.Seal(sessionPurpose, value, []byte(storeKey(id).ID)), nil
}

// errNobody says that a stored record stands for nobody: sealed by another house, with a key past its overlap, for
// another key, or the mark that a session left.
var errNobody = errors.New("the record is nobody's")

// open returns the record in a stored item, or errNobody.
func (s *Sessions) open(item store.Item) (*record, error) {
	value, err := s.keys.OpenStored(sessionPurpose, item.Value, []byte(item.Key.ID))
	if err != nil {
		return nil, errNobody
	}
	rec := new(record)
	if err := json.Unmarshal(value, rec); err != nil || rec.Ended || rec.Span <= 0 || rec.Who.Subject == "" {
		return nil, errNobody
	}
	s.names.identity(&rec.Who)
	rec.Host = s.names.host(rec.Host)
	return rec, nil
}

// lastUse says when the session in the item was last used, on the node's clock: never later than now, whatever the
// clocks did meanwhile.
func (rec *record) lastUse(item store.Item, now int64) int64 {
	return now - int64(max(rec.Span-time.Until(item.Expires), 0))
}

// limits are those that the record was written under, for whoever asks without a site.
func (rec *record) limits() Limits { return Limits{Idle: rec.Idle, AdminIdle: rec.Idle, Max: rec.Max} }

// sumOf returns the session that a cookie's value would stand for; no value of another length than ours stands for any.
func sumOf(token string) (sessionID, bool) {
	if len(token) != tokenLength {
		return sessionID{}, false
	}
	var buf [tokenLength]byte // on the stack
	copy(buf[:], token)
	return sha256.Sum256(buf[:]), true
}

func storeKey(id sessionID) store.Key {
	return store.Key{Bucket: sessionBucket, ID: hex.EncodeToString(id[:])}
}

// idOf is storeKey's inverse.
func idOf(key string) (id sessionID, ok bool) {
	if len(key) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(key))
	return id, err == nil
}

// logName names a session in logs and lists: neither the cookie nor the store key can be found from it.
func logName(id sessionID) string {
	sum := sha256.Sum256(append([]byte("log"), id[:]...))
	return hex.EncodeToString(sum[:8])
}

// user is what logs call the record's owner, as identity.Proof.Name does.
func (rec *record) user() string { return rec.Who.Provider + ":" + rec.Who.Subject }

// lost returns whether some role of the one is not in the other; both are sorted.
func lost(before, after []string) bool {
	return slices.ContainsFunc(before, func(role string) bool {
		_, found := slices.BinarySearch(after, role)
		return !found
	})
}
