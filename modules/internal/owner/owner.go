// Package owner knows for whom a credential speaks that the gateway itself has issued or bound: an API key, a client
// certificate.
//
// # What
//
// An [Owner] is a service account or a person, as a credential's record names them. [Owners] say what they are now.
//
// # Invariants
//
// A credential counts only while its account is enabled and is the one that it was made for, or while its person has logged
// in within 30 days; it has the roles that these have now. What proved the person when they logged in, it does not prove.
//
// # Cost
//
// That of a look-up in a ledger.
package owner

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/roster"
	"gatehouse.internal/modules/internal/service"
)

// seenWithin is how long ago a person may have logged in for their credentials to count.
const seenWithin = 30 * 24 * time.Hour

// Why an owner's credentials do not count.
var (
	ErrNotSeen   = errors.New("whose it is has not logged in for 30 days, or since an administrator ended their sessions")
	ErrRolesLost = errors.New("its account has lost a role")
)

// Person is somebody as an identity provider knows them.
type Person struct {
	Provider string `json:"provider"`
	Subject  string `json:"subject"`
}

// ParsePerson reads provider:subject.
func ParsePerson(text string) (Person, error) {
	provider, subject, ok := strings.Cut(text, ":")
	if !ok || provider == "" || subject == "" {
		return Person{}, fmt.Errorf("%q is nobody: write a user as provider:subject, such as local:ada", text)
	}
	return Person{provider, subject}, nil
}

// Owner is whose a credential is: a service account's, or a person's.
type Owner struct {
	Account string // the service account,
	Serial  string // and which of this name
	Person  Person // or the person,
	Tenant  string // on the sites of this tenant
}

// Name is how logs call the owner, in two parts.
func (o Owner) Name() (provider, subject string) {
	if o.Account != "" {
		return identity.HouseServices, o.Account
	}
	return o.Person.Provider, o.Person.Subject
}

// String is provider:subject.
func (o Owner) String() string {
	provider, subject := o.Name()
	return provider + ":" + subject
}

// Index is what the credentials of an owner are found by: bounded in length, and telling nobody's name.
func (o Owner) Index() string { return Index(o.Name()) }

// Index is that of the owner of this name.
func Index(provider, subject string) string {
	sum := sha256.Sum256([]byte(subject))
	return "owner:" + provider + ":" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// Owners know them all. They are safe for concurrent use.
type Owners struct {
	Accounts service.Accounts
	People   roster.Roster
}

// Now returns what the owner is now, and the record that says so, which is another one when that changes. The error is
// ErrNotSeen, service.ErrUnknown or service.ErrDisabled; after any other nothing is known.
func (b Owners) Now(ctx context.Context, o Owner, now time.Time) (who func() identity.Identity, record any, err error) {
	if o.Account != "" {
		a, err := b.Accounts.Active(ctx, o.Account, o.Serial)
		if err != nil {
			return nil, nil, err
		}
		return a.Identity, a, nil
	}
	e, err := b.People.Last(ctx, o.Person.Provider, o.Person.Subject, o.Tenant)
	switch {
	case errors.Is(err, ledger.ErrNotFound), err == nil && now.Sub(e.Seen) > seenWithin:
		return nil, nil, ErrNotSeen
	case err != nil:
		return nil, nil, err
	}
	return func() identity.Identity {
		id := e.Who
		// Whatever the person proved when they logged in, a credential proves no second factor, and is no fresh login.
		id.AMR, id.ACR, id.AuthTime, id.Facts = nil, "", time.Time{}, nil
		return id
	}, e, nil
}

// Tenant is whose sites the owner's credentials are for.
func (b Owners) Tenant(ctx context.Context, o Owner) (string, error) {
	if o.Account == "" {
		return o.Tenant, nil
	}
	a, err := b.Accounts.Get(ctx, o.Account)
	if errors.Is(err, ledger.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return a.Tenant, nil
}

// Still returns why a credential that was let in when the owner's record was then does not count any more. While the store
// cannot be asked, what was known still counts.
func (b Owners) Still(ctx context.Context, o Owner, then any, now time.Time) error {
	_, record, err := b.Now(ctx, o, now)
	for _, end := range []error{service.ErrDisabled, service.ErrUnknown, ErrNotSeen} {
		if errors.Is(err, end) {
			return end
		}
	}
	if err == nil && rolesLost(then, record) {
		return ErrRolesLost
	}
	return nil
}

// rolesLost reports whether the one owner had a role that the other has not.
func rolesLost(then, now any) bool {
	roles := func(record any) []string {
		switch r := record.(type) {
		case *service.Account:
			return r.Roles
		case *roster.Entry:
			return r.Who.Roles
		}
		return nil
	}
	after := roles(now)
	return slices.ContainsFunc(roles(then), func(r string) bool { return !slices.Contains(after, r) })
}
