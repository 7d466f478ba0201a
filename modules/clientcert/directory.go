package clientcert

import (
	"context"
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

// erase unbinds the certificates of a person.
func (a *Authenticator) erase(ctx context.Context, who standing.Person) (n int, err error) {
	book, err := a.book.opened()
	if err != nil {
		return 0, err
	}
	bound, err := book.List(ctx)
	if err != nil {
		return 0, err
	}
	for _, b := range bound {
		if provider, subject := b.whose().Name(); provider != who.Provider || subject != who.Subject {
			continue
		}
		if _, err := book.Unbind(ctx, b.Match); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

var _ gatehouse.Directory = (*Authenticator)(nil)
