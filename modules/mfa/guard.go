package mfa

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/store"
)

// guardBucket holds how often a person has tried, on every node together.
const guardBucket store.Bucket = "mfa.guard"

// How guessing is slowed down. Three codes of a million are right at any time; with so few attempts a day, whoever knows a
// password and guesses codes for a year is right with a probability of 5 %, and has made 18,000 events.
const (
	guardBurst = 5
	guardEvery = 15 * time.Second
	guardDay   = 50 // wrong ones in a day; after that only passkeys and backup codes are taken
)

var guardLimit = store.Limit{Burst: guardBurst, Every: guardEvery}

func guardKey(provider, subject string) store.Key {
	sum := sha256.Sum256([]byte("guard\x00" + provider + "\x00" + subject))
	return store.Key{Bucket: guardBucket, ID: hex.EncodeToString(sum[:])}
}

// attempt counts an attempt before it is judged, so that many made at once are not all the first one. wait, when positive,
// is how long to wait instead. A code of an application counts as wrong until [accounts.succeeded] takes that back.
func (s accounts) attempt(ctx context.Context, provider, subject string, guessable bool) (wait time.Duration, err error) {
	key := guardKey(provider, subject)
	got, retry, err := s.store.Lease(ctx, key, guardLimit, 1)
	if err != nil {
		return 0, fmt.Errorf("counting attempts: %w", err)
	}
	if got == 0 {
		return max(retry, time.Second), nil
	}
	if !guessable {
		return 0, nil
	}
	n, err := s.store.Incr(ctx, key, 1, 24*time.Hour)
	if err != nil {
		return 0, fmt.Errorf("counting attempts: %w", err)
	}
	if n > guardDay {
		return time.Hour, nil
	}
	return 0, nil
}

// succeeded takes back what attempt has counted.
func (s accounts) succeeded(ctx context.Context, provider, subject string) {
	// When it fails, somebody has one attempt less today.
	_, _ = s.store.Incr(ctx, guardKey(provider, subject), -1, 24*time.Hour)
}

// proveCode takes what was typed. codes is how many backup codes are left when it was one of them, else -1.
func (s accounts) proveCode(ctx context.Context, who identity.Identity, text string) (method string, codes int, wait time.Duration, err error) {
	code, spare := typed(text)
	if method, codes = identity.TOTP, -1; spare != "" {
		method = identity.BackupCode
	}
	if wait, err = s.attempt(ctx, who.Provider, who.Subject, spare == ""); err != nil || wait > 0 {
		return method, codes, wait, err
	}
	left := 0
	if _, left, err = s.useCode(ctx, who, text, time.Now().UTC()); err != nil {
		return method, codes, 0, err
	}
	if spare != "" {
		codes = left
	}
	if code != "" {
		s.succeeded(ctx, who.Provider, who.Subject)
	}
	return method, codes, 0, nil
}
