// Package service knows the service accounts: the programs that may use the house for themselves.
//
// # What
//
// An [Account] has a name, roles, and perhaps a tenant; keys speak for it. [Accounts] are kept in the
// store's bucket service, sealed. The name is the subject of the identity (identity.HouseServices is its provider).
//
// # Invariants
//
// An account that is disabled or deleted, or cannot be read, lets nobody in. A name that was deleted may be used again, and
// what spoke for the old account does not speak for the new one: see [Account.Serial].
//
// # Cost
//
// That of a look-up in the ledger.
package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/store"
)

// Account is a service account.
type Account struct {
	Name     string    `json:"name"`
	Serial   string    `json:"serial"` // of this account, and of no other of the same name
	Roles    []string  `json:"roles,omitempty"`
	Tenant   string    `json:"tenant,omitempty"`
	Note     string    `json:"note,omitempty"`
	Created  time.Time `json:"created"`
	By       string    `json:"by,omitempty"`
	Disabled bool      `json:"disabled,omitempty"`
}

// Identity is what the account's credentials prove.
func (a *Account) Identity() identity.Identity {
	return identity.Identity{
		Provider: identity.HouseServices, Subject: a.Name, Kind: identity.Service, Tenant: a.Tenant, Name: a.Name, Roles: slices.Clone(a.Roles),
	}
}

// Bucket is where the accounts are.
const Bucket store.Bucket = "service"

var (
	// ErrDisabled: the account may not be used now.
	ErrDisabled = errors.New("the service account is disabled")
	// ErrUnknown: there is no such account.
	ErrUnknown = fmt.Errorf("there is no such service account: %w", ledger.ErrNotFound)

	accountName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)
)

// Accounts are all of a house's. Make them with [Open]; they are safe for concurrent use.
type Accounts struct{ *ledger.Ledger[Account] }

// Open follows the accounts from now on.
func Open(st store.Store, keys *keyring.Ring) (Accounts, error) {
	l, err := ledger.Open(st, keys, ledger.Config[Account]{Bucket: Bucket, Most: 4096})
	return Accounts{l}, err
}

// Add makes an account of this name, which must be free.
func (s Accounts) Add(ctx context.Context, a Account) (*Account, error) {
	if !accountName.MatchString(a.Name) {
		return nil, fmt.Errorf("%q is no name of a service account: use 1 to 64 of a-z, 0-9, -, _ and ., beginning and ending with a letter or digit", a.Name)
	}
	for _, role := range a.Roles {
		if role == "" || strings.TrimSpace(role) != role {
			return nil, fmt.Errorf("a role is called %q", role)
		}
	}
	a.Serial, a.Created, a.Disabled = rand.Text(), time.Now().UTC().Truncate(time.Second), false
	slices.Sort(a.Roles)
	a.Roles = slices.Compact(a.Roles)
	err := s.Create(ctx, a.Name, &a)
	if errors.Is(err, ledger.ErrExists) {
		return nil, fmt.Errorf("there is a service account %q already", a.Name)
	}
	return &a, err
}

// Active returns the account if it is the one of this serial ("": of any) and may be used: ErrUnknown, ErrDisabled, or the
// store's error.
func (s Accounts) Active(ctx context.Context, name, serial string) (*Account, error) {
	a, err := s.Get(ctx, name)
	switch {
	case errors.Is(err, ledger.ErrNotFound), err == nil && serial != "" && a.Serial != serial:
		return nil, ErrUnknown
	case err != nil:
		return nil, err
	case a.Disabled:
		return nil, ErrDisabled
	}
	return a, nil
}

// SetDisabled disables or enables an account.
func (s Accounts) SetDisabled(ctx context.Context, name string, disabled bool) (*Account, error) {
	a, err := s.Update(ctx, name, func(a *Account) error { a.Disabled = disabled; return nil })
	if errors.Is(err, ledger.ErrNotFound) {
		err = ErrUnknown
	}
	return a, err
}

// List walks all accounts.
func (s Accounts) List(ctx context.Context) iter.Seq2[*Account, error] { return s.All(ctx, "") }
