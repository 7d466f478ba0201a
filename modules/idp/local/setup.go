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

	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/wholefile"
)

const (
	setupBucket   store.Bucket = "setup"
	setupLifetime              = 24 * time.Hour
	tokenBytes                 = 32
)

// ErrSetupToken says that a set-up token is wrong, used or too old.
var ErrSetupToken = errors.New("the set-up token is not valid")

// SetupLinks hands out the tokens with which the first user of a provider is made. The store knows only their hashes.
type SetupLinks struct {
	Store    store.Store
	Provider string
}

func (s SetupLinks) key(token string) store.Key {
	sum := sha256.Sum256([]byte(s.Provider + "\x00" + token))
	return store.Key{Bucket: setupBucket, ID: hex.EncodeToString(sum[:])}
}

func (s SetupLinks) index() string { return "provider:" + s.Provider }

// Issue returns a new token of 256 random bits. Every earlier one stops working.
func (s SetupLinks) Issue(ctx context.Context) (string, error) {
	if err := s.Withdraw(ctx); err != nil {
		return "", err
	}
	secret := make([]byte, tokenBytes)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	token := base64.RawURLEncoding.EncodeToString(secret)
	_, err := s.Store.Put(ctx, s.key(token), nil, store.PutOptions{TTL: setupLifetime, Match: store.Absent, Index: []string{s.index()}})
	if err != nil {
		return "", fmt.Errorf("issuing a set-up token: %w", err)
	}
	return token, nil
}

// Check returns nil when the token would work now, and ErrSetupToken when not.
func (s SetupLinks) Check(ctx context.Context, token string) error {
	_, err := s.Store.Get(ctx, s.key(token))
	return setupErr(err)
}

// Redeem uses the token up. Of any number of callers one gets nil.
func (s SetupLinks) Redeem(ctx context.Context, token string) error {
	_, err := s.Store.Take(ctx, s.key(token))
	return setupErr(err)
}

// Withdraw makes every token stop working.
func (s SetupLinks) Withdraw(ctx context.Context) error {
	if _, err := s.Store.DeleteIndexed(ctx, setupBucket, s.index()); err != nil {
		return fmt.Errorf("withdrawing set-up tokens: %w", err)
	}
	return nil
}

func setupErr(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return ErrSetupToken
	case err != nil:
		return fmt.Errorf("reading a set-up token: %w", err)
	}
	return nil
}

// writeLink puts the text into the file in one step, readable by its owner only.
func writeLink(path, text string) error {
	if err := wholefile.Replace(path, []byte(text)); err != nil {
		return fmt.Errorf("writing the set-up link: %w", err)
	}
	return nil
}
