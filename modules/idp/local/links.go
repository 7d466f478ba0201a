package local

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const (
	linkBucket  store.Bucket = "password_link"
	linkPurpose              = "local.password_link"
	// linkLifetime is how long a link to set a password works: an administrator passes it on by other means.
	linkLifetime = 72 * time.Hour
)

// PasswordLinks hands out the tokens with which people set a password without having one. A person has one at the most, and
// it works once. The store knows its hash, and whose it is, sealed.
type PasswordLinks struct {
	Store    store.Store
	Keys     *keyring.Ring
	Provider string
}

func (l PasswordLinks) key(token string) store.Key {
	sum := sha256.Sum256([]byte(l.Provider + "\x00" + token))
	return store.Key{Bucket: linkBucket, ID: hex.EncodeToString(sum[:])}
}

func (l PasswordLinks) index(name string) string {
	sum := sha256.Sum256([]byte(l.Provider + "\x00" + name))
	return "user:" + hex.EncodeToString(sum[:])
}

// Issue returns a new token of 256 random bits for the user. An earlier one stops working.
func (l PasswordLinks) Issue(ctx context.Context, name string) (string, error) {
	if err := l.Withdraw(ctx, name); err != nil {
		return "", err
	}
	secret := make([]byte, tokenBytes)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	token := base64.RawURLEncoding.EncodeToString(secret)
	key := l.key(token)
	_, err := l.Store.Put(ctx, key, l.Keys.Seal(linkPurpose, []byte(name), []byte(key.ID)),
		store.PutOptions{TTL: linkLifetime, Match: store.Absent, Index: []string{l.index(name)}})
	if err != nil {
		return "", fmt.Errorf("issuing a link to set a password: %w", err)
	}
	return token, nil
}

// Owner returns whose token it is, or ErrSetupToken.
func (l PasswordLinks) Owner(ctx context.Context, token string) (string, error) {
	item, err := l.Store.Get(ctx, l.key(token))
	return l.open(item, err)
}

// Redeem uses the token up and returns whose it was, or ErrSetupToken. Of any number of callers one gets the name.
func (l PasswordLinks) Redeem(ctx context.Context, token string) (string, error) {
	item, err := l.Store.Take(ctx, l.key(token))
	return l.open(item, err)
}

func (l PasswordLinks) open(item store.Item, err error) (string, error) {
	if errors.Is(err, store.ErrNotFound) {
		return "", ErrSetupToken
	}
	if err != nil {
		return "", fmt.Errorf("reading a link to set a password: %w", err)
	}
	name, err := l.Keys.OpenStored(linkPurpose, item.Value, []byte(item.Key.ID))
	if err != nil {
		return "", ErrSetupToken // of keys that are no more
	}
	return string(name), nil
}

// Withdraw makes the user's token stop working.
func (l PasswordLinks) Withdraw(ctx context.Context, name string) error {
	if _, err := l.Store.DeleteIndexed(ctx, linkBucket, l.index(name)); err != nil {
		return fmt.Errorf("withdrawing a link to set a password: %w", err)
	}
	return nil
}
