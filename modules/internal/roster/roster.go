// Package roster knows what identity providers last said of people: for credentials that people leave with their devices,
// which must not be good for more than their owner is.
//
// # What
//
// An [Entry] for each person who has logged in, renewed with each login and each renewal of a session, in the store's bucket
// roster, sealed: one for each tenant on whose sites they log in. authn writes it.
//
// # Invariants
//
// Whoever reads an entry decides how old it may be. An entry nobody has written for [KeptFor] is gone. When an administrator
// ends somebody's sessions, what was said of them before counts no more: their next login says it anew.
//
// # Cost
//
// A login, and a renewal that brings something new or comes after a day, writes once. A read is a look-up in the ledger.
package roster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/store"
)

const (
	bucket store.Bucket = "roster"
	// KeptFor is how long an entry is kept after it was last written.
	KeptFor = 400 * 24 * time.Hour
	// again is after what time an entry is written though nothing is new.
	again = 24 * time.Hour
)

// Entry is what a provider last said of a person.
type Entry struct {
	Who  identity.Identity `json:"who"`
	Seen time.Time         `json:"seen"`
}

// Roster is safe for concurrent use. Make one with [Open].
type Roster struct{ *ledger.Ledger[Entry] }

// Open follows the roster from now on.
func Open(st store.Store, keys *keyring.Ring) (Roster, error) {
	l, err := ledger.Open(st, keys, ledger.Config[Entry]{
		Bucket: bucket, Most: 16384, TTL: func(*Entry) time.Duration { return KeptFor },
		Index: func(e *Entry) []string { return []string{idOf(e.Who.Provider, e.Who.Subject)} },
	})
	return Roster{l}, err
}

// Saw notes what a provider says of a person now, who uses the sites of a tenant ("": of no one's).
func (r Roster) Saw(ctx context.Context, who identity.Identity) error {
	now, id := time.Now().UTC().Truncate(time.Second), idOf(who.Provider, who.Subject, who.Tenant)
	old, err := r.Get(ctx, id)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	who.Normalize()
	if err == nil && now.Sub(old.Seen) < again && old.Who.Name == who.Name && old.Who.Email == who.Email &&
		slices.Equal(old.Who.Roles, who.Roles) && slices.Equal(old.Who.Groups, who.Groups) && maps.EqualFunc(old.Who.Claims, who.Claims, slices.Equal) {
		return nil
	}
	return r.Put(ctx, id, &Entry{Who: who, Seen: now})
}

// Last returns what was last said of a person on a tenant's sites, or ledger.ErrNotFound. It is shared and must not be written.
func (r Roster) Last(ctx context.Context, provider, subject, tenant string) (*Entry, error) {
	return r.Get(ctx, idOf(provider, subject, tenant))
}

// Forget removes what was said of a person, on whosever sites.
func (r Roster) Forget(ctx context.Context, provider, subject string) error {
	_, err := r.DeleteIndexed(ctx, idOf(provider, subject))
	return err
}

func idOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
