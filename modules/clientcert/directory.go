package clientcert

import (
	"context"
	"errors"
	"iter"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/standing"
)

// Principals implements [gatehouse.Directory]: what certificates are bound to. When one was last shown is in the log alone.
func (a *Authenticator) Principals(ctx context.Context, who standing.Person) iter.Seq2[gatehouse.Principal, error] {
	return func(yield func(gatehouse.Principal, error) bool) {
		book, err := a.book.opened()
		if err != nil {
			yield(gatehouse.Principal{}, err)
			return
		}
		now := time.Now()
		for b, err := range book.bindings.All(ctx, "") {
			if err != nil {
				yield(gatehouse.Principal{}, err)
				return
			}
			provider, subject := b.whose().Name()
			if who != (standing.Person{}) && (who.Provider != provider || who.Subject != subject) {
				continue
			}
			p := gatehouse.Principal{
				Source: gatehouse.FromKey, Created: b.Created, Disabled: !now.Before(b.Expires), Scope: &b.Scope,
				Credential: &identity.Credential{Method: identity.ByCertificate, Name: b.Match, Since: b.Created, Until: b.Expires},
			}
			if is, _, err := book.owners.Now(ctx, b.whose(), now); err == nil {
				p.Identity = is()
			} else {
				p.Disabled, p.Identity.Provider, p.Identity.Subject = true, provider, subject
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// erase unbinds the certificates of a person, or of a tenant.
func erase(ctx context.Context, house *gatehouse.App, whose gatehouse.Whose, count bool) (int, error) {
	book, err := bookOf(house)
	if err != nil {
		return 0, err
	}
	var failed error
	gone, err := book.bindings.Erase(ctx, "", func(b *Binding) bool {
		tenant, err := book.owners.Tenant(ctx, b.whose())
		failed = errors.Join(failed, err)
		provider, subject := b.whose().Name()
		return whose.Has(provider, subject, tenant)
	}, count)
	return len(gone), errors.Join(err, failed)
}

var _ gatehouse.Directory = (*Authenticator)(nil)
