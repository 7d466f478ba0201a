package local

import (
	"context"
	"errors"
	"iter"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/standing"
)

// Principals implements [gatehouse.Directory]: whoever has an account here, used or not.
func (p *Provider) Principals(ctx context.Context, who standing.Person) iter.Seq2[gatehouse.Principal, error] {
	return func(yield func(gatehouse.Principal, error) bool) {
		if who != (standing.Person{}) && who.Provider != p.ProviderName {
			return
		}
		users, book, err := p.accounts(ctx, who.Subject)
		if err != nil {
			yield(gatehouse.Principal{}, err)
			return
		}
		for _, u := range users {
			record, err := book.Get(ctx, standing.Person{Provider: p.ProviderName, Subject: u.Name})
			if err != nil {
				yield(gatehouse.Principal{}, err)
				return
			}
			if !yield(gatehouse.Principal{
				Identity: identity.Identity{Provider: p.ProviderName, Issuer: issuer, Subject: u.Name, Name: u.Title, Email: u.Email, Roles: u.Roles},
				Source:   gatehouse.FromAccount, Created: u.Created, LastUsed: u.LastLogin, Disabled: !record.State.Allows(),
			}, nil) {
				return
			}
		}
	}
}

// accounts returns the account of this name, or all.
func (p *Provider) accounts(ctx context.Context, name string) ([]User, *standing.Book, error) {
	e, err := p.engine()
	if err != nil {
		return nil, nil, err
	}
	if name == "" {
		users, err := e.users.List(ctx)
		return users, e.book, err
	}
	u, err := e.users.Get(ctx, name)
	if errors.Is(err, ErrNoUser) {
		return nil, e.book, nil
	}
	return []User{u}, e.book, err
}

// erase deletes the account, and links to set its password.
func (p *Provider) erase(ctx context.Context, _ *gatehouse.App, whose gatehouse.Whose, count bool) (int, error) {
	who := whose.Person
	if whose.Tenant != "" || who.Provider != p.ProviderName {
		return 0, nil
	}
	e, err := p.engine()
	if err != nil {
		return 0, err
	}
	_, err = e.users.Get(ctx, who.Subject)
	if errors.Is(err, ErrNoUser) {
		return 0, nil
	}
	if err == nil && count {
		return 1, nil
	}
	if err == nil {
		err = e.passwords.Withdraw(ctx, who.Subject)
	}
	if err == nil {
		err = e.users.Delete(ctx, who.Subject)
	}
	return 1, err
}
