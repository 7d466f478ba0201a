package apikey

import (
	"context"
	"errors"
	"iter"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/standing"
)

// Principals implements [gatehouse.Directory]: the service accounts, and the keys in their owners' names.
func (a *Authenticator) Principals(ctx context.Context, who standing.Person) iter.Seq2[gatehouse.Principal, error] {
	return func(yield func(gatehouse.Principal, error) bool) {
		b, err := a.opened()
		if err != nil {
			yield(gatehouse.Principal{}, err)
			return
		}
		for s, err := range b.accounts.List(ctx) {
			if err != nil {
				yield(gatehouse.Principal{}, err)
				return
			}
			id := s.Identity()
			if who != (standing.Person{}) && (who.Provider != id.Provider || who.Subject != id.Subject) {
				continue
			}
			if !yield(gatehouse.Principal{Identity: id, Source: gatehouse.FromService, Created: s.Created, Disabled: s.Disabled}, nil) {
				return
			}
		}
		now := time.Now()
		for k, err := range b.keys.All(ctx, "") {
			if err != nil {
				yield(gatehouse.Principal{}, err)
				return
			}
			provider, subject := k.whose().Name()
			if who != (standing.Person{}) && (who.Provider != provider || who.Subject != subject) {
				continue
			}
			if p, err := b.principal(ctx, k, now); !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// principal is the key as what could use the house.
func (b *Book) principal(ctx context.Context, k *Key, now time.Time) (p gatehouse.Principal, err error) {
	credential := k.credential()
	p = gatehouse.Principal{Source: gatehouse.FromKey, Created: k.Created, Disabled: !now.Before(k.Expires), Credential: &credential, Scope: &k.Scope}
	if p.LastUsed, err = b.used.last(ctx, k.ID); err != nil {
		return p, err
	}
	who, _, err := b.owners.Now(ctx, k.whose(), now)
	switch {
	case err == nil:
		p.Identity = who()
	case isVerdict(err):
		p.Disabled = true
		p.Identity.Provider, p.Identity.Subject = k.whose().Name()
	default:
		return p, err
	}
	return p, nil
}

// erase revokes the keys of a person, or of a tenant, and forgets which programs wait for one.
func erase(ctx context.Context, house *gatehouse.App, whose gatehouse.Whose, count bool) (int, error) {
	book, err := bookOf(house)
	if err != nil {
		return 0, err
	}
	if _, err := book.pairings.Erase(ctx, "", func(p *Pairing) bool { return whose.Has(p.Person.Provider, p.Person.Subject, p.Tenant) }, count); err != nil {
		return 0, err
	}
	index := ""
	if whose.Tenant == "" {
		index = owner.Index(whose.Person.Provider, whose.Person.Subject)
	}
	var failed error
	gone, err := book.keys.Erase(ctx, index, func(k *Key) bool {
		tenant, err := book.owners.Tenant(ctx, k.whose())
		failed = errors.Join(failed, err)
		provider, subject := k.whose().Name()
		return whose.Has(provider, subject, tenant)
	}, count)
	return len(gone), errors.Join(err, failed)
}

var _ gatehouse.Directory = (*Authenticator)(nil)
