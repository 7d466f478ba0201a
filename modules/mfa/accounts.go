package mfa

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const (
	accountBucket  store.Bucket = "mfa"
	accountPurpose              = "mfa.account"

	// enrolledIndex and bareIndex tell the records of those who have a factor from the others', so that they can be counted.
	enrolledIndex = "enrolled"
	bareIndex     = "bare"

	bareFor   = 400 * 24 * time.Hour // without a factor, a record is kept after the last login
	seenEvery = 30 * 24 * time.Hour  // a login is written down so often

	// rivals bounds how often a write starts over because another one was faster.
	rivals = 64
)

var (
	errCode    = errors.New("the code is wrong")
	errUsed    = errors.New("the code was used before")
	errNone    = errors.New("there is no such factor")
	errMany    = errors.New("there are as many passkeys as there can be")
	errStale   = errors.New("the form is too old, was used before, or is somebody else's")
	errPasskey = errors.New("the passkey proves nothing")
	errKind    = errors.New("passkeys of this kind are not accepted")
	errRivals  = errors.New("the record changes all the time")
)

// account is what is kept of one person, sealed. The zero account has no factor.
type account struct {
	Provider  string    `json:"provider"`
	Issuer    string    `json:"issuer"`
	Subject   string    `json:"subject"`
	Handle    []byte    `json:"handle,omitempty"` // what passkeys call the person (WebAuthn 14.6.1): random
	TOTP      *totp     `json:"totp,omitempty"`
	Passkeys  []passkey `json:"passkeys,omitempty"`
	Salt      []byte    `json:"salt,omitempty"`
	Codes     []backup  `json:"codes,omitempty"`
	Dismissed int       `json:"dismissed,omitempty"` // so often the person did not want one
	Seen      time.Time `json:"seen,omitzero"`       // a login, to the day

	version uint64 // of the stored record; 0: there is none
}

// enrolled reports whether there is a factor. Backup codes alone are none: they go with one.
func (a *account) enrolled() bool { return a.TOTP != nil || len(a.Passkeys) > 0 }

// passkeysAt returns the passkeys that work at the site.
func (a *account) passkeysAt(site string) (found []passkey) {
	for _, p := range a.Passkeys {
		if p.Site == site {
			found = append(found, p)
		}
	}
	return found
}

// complete gives a person with a factor backup codes if they have none, and takes them from one without. It returns what to
// show of new ones.
func (a *account) complete() (shown []string) {
	switch {
	case !a.enrolled():
		a.Codes, a.Salt = nil, nil
	case a.Codes == nil:
		return a.renewCodes()
	}
	return nil
}

func (a *account) renewCodes() (shown []string) {
	a.Salt = make([]byte, 16)
	rand.Read(a.Salt) // never fails (crypto/rand)
	shown, a.Codes = newBackups(a.Salt)
	return shown
}

// accounts keeps them. It is safe for concurrent use, on any number of nodes.
type accounts struct {
	store store.Store
	keys  *keyring.Ring
}

// keyOf names a person's record by a hash, so that the store's file does not list who has one.
func keyOf(provider, subject string) store.Key {
	sum := sha256.Sum256([]byte("mfa\x00" + provider + "\x00" + subject))
	return store.Key{Bucket: accountBucket, ID: hex.EncodeToString(sum[:])}
}

// get returns the person's record, or one without factors. A record of a provider of the same name and another issuer is
// somebody else's.
func (s accounts) get(ctx context.Context, who identity.Identity) (account, error) {
	fresh := account{Provider: who.Provider, Issuer: who.Issuer, Subject: who.Subject}
	a, err := s.read(ctx, keyOf(who.Provider, who.Subject))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fresh, nil
	case err != nil:
		return account{}, err
	case a.Issuer != who.Issuer:
		fresh.version = a.version
		return fresh, nil
	}
	return a, nil
}

// read returns a stored record. One that cannot be opened is an error: unknown is not none.
func (s accounts) read(ctx context.Context, key store.Key) (account, error) {
	item, err := s.store.Get(ctx, key)
	if err != nil {
		return account{}, fmt.Errorf("reading second factors: %w", err)
	}
	return s.open(item)
}

func (s accounts) open(item store.Item) (account, error) {
	plain, err := s.keys.OpenStored(accountPurpose, item.Value, []byte(item.Key.ID))
	if err != nil {
		return account{}, fmt.Errorf("opening a record of second factors: %w", err)
	}
	var a account
	if err := json.Unmarshal(plain, &a); err != nil {
		return account{}, fmt.Errorf("a record of second factors: %w", store.ErrCorrupt)
	}
	a.version = item.Version
	return a, nil
}

// update changes the person's record, by compare-and-swap: change may be called several times, each time with what is
// stored then. What it returns as an error is returned, and nothing is written.
func (s accounts) update(ctx context.Context, who identity.Identity, change func(*account) error) error {
	for range rivals {
		a, err := s.get(ctx, who)
		if err != nil {
			return err
		}
		if err := change(&a); err != nil {
			return err
		}
		err = s.write(ctx, a)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return errRivals
}

func (s accounts) write(ctx context.Context, a account) error {
	plain, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("writing second factors: %w", err)
	}
	key := keyOf(a.Provider, a.Subject)
	o := store.PutOptions{Match: store.Version, Version: a.version, Index: []string{enrolledIndex}}
	if a.version == 0 {
		o.Match = store.Absent
	}
	if !a.enrolled() {
		o.Index, o.TTL = []string{bareIndex}, bareFor
	}
	if _, err := s.store.Put(ctx, key, s.keys.Seal(accountPurpose, plain, []byte(key.ID)), o); err != nil {
		return fmt.Errorf("writing second factors: %w", err)
	}
	return nil
}

// useCode takes what a person has typed, once, and returns how it proves them, and how many backup codes are left.
func (s accounts) useCode(ctx context.Context, who identity.Identity, text string, now time.Time) (method string, codes int, err error) {
	code, spare := typed(text)
	err = s.update(ctx, who, func(a *account) (err error) {
		switch {
		case code != "" && a.TOTP != nil:
			method, err = identity.TOTP, a.TOTP.use(code, now)
		case spare != "":
			method, err = identity.BackupCode, useBackup(a.Codes, a.Salt, spare, now)
		default:
			err = errCode
		}
		codes = left(a.Codes)
		return err
	})
	return method, codes, err
}

// reset forgets all factors of a person, whatever the record's issuer, and returns how many there were, backup codes
// counted as one.
func (s accounts) reset(ctx context.Context, provider, subject string) (int, error) {
	key := keyOf(provider, subject)
	a, err := s.had(ctx, key)
	if err != nil {
		return 0, err
	}
	if err := s.store.Delete(ctx, key, guardKey(provider, subject)); err != nil {
		return 0, fmt.Errorf("resetting second factors: %w", err)
	}
	return a.factors(), nil
}

// had returns the account, also one that nobody can read, so that its owner cannot log in either: that has one factor.
func (s accounts) had(ctx context.Context, key store.Key) (account, error) {
	a, err := s.read(ctx, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return account{}, nil
	case errors.Is(err, keyring.ErrUnknownKey), errors.Is(err, keyring.ErrNoBox), errors.Is(err, keyring.ErrOpen), errors.Is(err, store.ErrCorrupt):
		return account{TOTP: new(totp)}, nil
	}
	return a, err
}

// factors is how many the account has, backup codes counted as one.
func (a account) factors() int {
	n := len(a.Passkeys)
	if a.TOTP != nil {
		n++
	}
	if len(a.Codes) > 0 {
		n++
	}
	return n
}

// count returns how many people have a factor, and how many are known to have none.
func (s accounts) count(ctx context.Context) (enrolled, bare int, err error) {
	for index, n := range map[string]*int{enrolledIndex: &enrolled, bareIndex: &bare} {
		for _, err := range s.store.Scan(ctx, accountBucket, index) {
			if err != nil {
				return 0, 0, fmt.Errorf("counting second factors: %w", err)
			}
			*n++
		}
	}
	return enrolled, bare, nil
}
