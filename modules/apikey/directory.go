package apikey

import (
	"context"
	"iter"
	"time"

	"gatehouse.internal/modules/gatehouse"
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

var _ gatehouse.Directory = (*Authenticator)(nil)
