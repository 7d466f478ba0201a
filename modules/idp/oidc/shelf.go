package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const (
	shelfBucket  store.Bucket = "oidc"
	shelfPurpose              = "oidc.shelf"       // of the house's keys
	lastGoodFor               = 7 * 24 * time.Hour // how long metadata and keys serve that cannot be fetched anew
	successorFor              = time.Hour          // how long a rotated token is kept for a renewal that could not be finished
	shelfWait                 = 2 * time.Second    // the most a store may keep us waiting
)

// shelf is where a client keeps what must outlive the program, in the house's store: sealed, so that nobody who can write
// there can give us keys. An item opens under its own key only.
type shelf struct {
	store store.Store
	keys  *keyring.Ring
	name  string // of client and provider, hashed: items of another are never met
}

// The kinds of item.
const (
	keptMetadata = "metadata"
	keptKeys     = "keys"
	keptNext     = "next"
)

// key is the item of a kind; of is secret or long, and is hashed.
func (s *shelf) key(kind, of string) store.Key {
	sum := sha256.Sum256([]byte(s.name + "\x00" + of))
	return store.Key{Bucket: shelfBucket, ID: kind + ":" + hex.EncodeToString(sum[:])}
}

func (s *shelf) put(ctx context.Context, k store.Key, value []byte, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, shelfWait)
	defer cancel()
	_, err := s.store.Put(ctx, k, s.keys.Seal(shelfPurpose, value, []byte(k.ID)), store.PutOptions{TTL: ttl})
	return err
}

func (s *shelf) get(ctx context.Context, k store.Key) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, shelfWait)
	defer cancel()
	item, err := s.store.Get(ctx, k)
	if err != nil {
		return nil, err
	}
	return s.keys.OpenStored(shelfPurpose, item.Value, []byte(k.ID))
}

// Shelve gives the client a store, and takes from it the provider's metadata and keys as they last were: a gateway that
// starts while its provider is down still verifies its logout tokens and knows where to ask. The error says why there
// were none of use; the client works on.
func (c *Client) Shelve(ctx context.Context, st store.Store, keys *keyring.Ring) error {
	sum := sha256.Sum256([]byte(c.cfg.Name + "\x00" + c.cfg.Issuer + "\x00" + c.cfg.ClientID))
	s := &shelf{store: st, keys: keys, name: hex.EncodeToString(sum[:])}
	c.shelf.Store(s)
	raw, err1 := s.get(ctx, s.key(keptMetadata, ""))
	if m := new(metadata); err1 == nil {
		if err1 = json.Unmarshal(raw, m); err1 == nil {
			err1 = m.check(&c.cfg) // the configuration may have changed
		}
		if err1 == nil {
			c.meta.seed(m)
		}
	}
	raw, err2 := s.get(ctx, s.key(keptKeys, ""))
	if err2 == nil {
		var set jwks
		var keys []jose.JSONWebKey
		if err2 = json.Unmarshal(raw, &set); err2 == nil {
			keys, err2 = set.usable()
		}
		if err2 == nil {
			c.keys.doc.seed(keys)
		}
	}
	if err := errors.Join(err1, err2); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("the provider's last good metadata and keys: %w", err)
	}
	return nil
}

// keepGood shelves a document that just came. A store that fails costs no more than that: the next one is shelved too.
func (c *Client) keepGood(kind string, document any) {
	s := c.shelf.Load()
	if raw, err := json.Marshal(document); err == nil && s != nil {
		_ = s.put(context.Background(), s.key(kind, ""), raw, lastGoodFor)
	}
}

func (c *Client) keepMetadata(m *metadata) { c.keepGood(keptMetadata, m) }
func (c *Client) keepKeys(keys []jose.JSONWebKey) {
	c.keepGood(keptKeys, jose.JSONWebKeySet{Keys: keys})
}

// successor returns what k was to be replaced with when an earlier renewal could not be finished; nil when there is none.
func (c *Client) successor(ctx context.Context, k *kept) *kept {
	s := c.shelf.Load()
	if s == nil {
		return nil
	}
	raw, err := s.get(ctx, s.key(keptNext, k.refresh))
	if err != nil {
		return nil
	}
	next, err := decodeKept(raw)
	if err != nil || next.subject != k.subject {
		return nil
	}
	return next
}

// setSuccessor keeps a refresh token that came in place of old's, though the renewal cannot be finished now: the old one
// is spent. It goes on when the caller has given up, since nothing else knows the new one.
func (c *Client) setSuccessor(ctx context.Context, old, next *kept) error {
	s := c.shelf.Load()
	if s == nil {
		return nil
	}
	return s.put(context.WithoutCancel(ctx), s.key(keptNext, old.refresh), next.encode(), successorFor)
}
