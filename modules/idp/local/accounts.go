package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/standing"
)

// Errors of what an administrator asks. Their texts say what to do instead.
var (
	ErrNotAsked = errors.New("nobody of this name has asked to log in yet")
	ErrDecided  = errors.New("that is decided already")
	ErrForeign  = errors.New("this account is kept by its identity provider: change it there")
	ErrState    = errors.New("not as the account is")
)

// Accounts is what administrators do with people: with the accounts that the gateway keeps, and with the standing of those
// whom other providers vouch for. Each change is an event. It is safe for concurrent use.
type Accounts struct {
	Locals map[string]Local // the local providers, by name
	Book   *standing.Book
	Tell   func(event.Event)
	// End ends every session of a person, and says how many there were.
	End func(ctx context.Context, who standing.Person, why string) (int, error)

	By string // who asks, for events and records
}

// Local is what a local provider keeps.
type Local struct {
	Users *Users
	Links PasswordLinks
}

// Done is what came of it.
type Done struct {
	User     Account `json:"user"`
	Link     string  `json:"link,omitempty"`     // the token of a link to set a password with
	Sessions int     `json:"sessions,omitempty"` // that were ended
}

// Account is what a list says of a person. It holds no secret.
type Account struct {
	User            string         `json:"user"` // provider:subject
	State           standing.State `json:"state"`
	Name            string         `json:"name,omitempty"`
	Email           string         `json:"email,omitempty"`
	Roles           []string       `json:"roles,omitempty"`
	Password        string         `json:"password,omitempty"` // argon2id, bcrypt, none; empty for other providers' people
	Change          Change         `json:"change,omitempty"`   // the password must be changed
	Created         time.Time      `json:"created,omitzero"`
	PasswordChanged time.Time      `json:"password_changed,omitzero"`
	LastLogin       time.Time      `json:"last_login,omitzero"`
	Decided         time.Time      `json:"decided,omitzero"` // when State came to be
	By              string         `json:"by,omitempty"`
	Note            string         `json:"note,omitempty"`
}

// NewAccount is an account to make.
type NewAccount struct {
	Title, Email string
	Roles        []string
	Approve      bool // at once, rather than by a second decision
}

// local returns the provider that keeps the person's account, or errForeign.
func (a Accounts) local(who standing.Person) (Local, error) {
	l, ok := a.Locals[who.Provider]
	if !ok {
		return Local{}, fmt.Errorf("%s: %w", who, ErrForeign)
	}
	return l, nil
}

// Add makes an account without a password and a link to set one. It waits for approval unless Approve is given.
func (a Accounts) Add(ctx context.Context, who standing.Person, n NewAccount) (Done, error) {
	l, err := a.local(who)
	if err != nil {
		return Done{}, err
	}
	name, ok := CanonicalName(who.Subject)
	if !ok {
		return Done{}, ErrName
	}
	who.Subject = name
	if err := checkRoles(n.Roles); err != nil {
		return Done{}, err
	}
	u := User{Name: name, Title: line(n.Title, maxTitle), Email: line(n.Email, maxEmail), Roles: n.Roles, Created: now()}
	if err := a.create(ctx, who, u, n.Approve); err != nil {
		return Done{}, err
	}
	a.tell(event.UserCreated, who, "")
	if !n.Approve {
		a.tell(event.UserPending, who, "")
	}
	token, err := l.Links.Issue(ctx, name)
	if err != nil {
		return Done{}, fmt.Errorf("the account was made, but its link was not: %w", err)
	}
	done, err := a.done(ctx, who)
	done.Link = token
	return done, err
}

// create stores the account and what it may do: first the latter, so that nobody can ever log in before it counts. What
// an earlier account of the name was given is void.
func (a Accounts) create(ctx context.Context, who standing.Person, u User, approve bool) error {
	l, err := a.local(who)
	if err != nil {
		return err
	}
	switch _, err := l.Users.Get(ctx, u.Name); {
	case err == nil:
		return ErrExists
	case !errors.Is(err, ErrNoUser):
		return err
	}
	_, err = a.Book.Update(ctx, who, func(r *standing.Record) error {
		*r = standing.Record{
			Person: who, State: standing.Pending, NotBefore: time.Now().UTC(),
			Asked: now(), Changed: now(), By: a.By, Name: u.Title, Email: u.Email,
		}
		if approve {
			r.State = standing.Approved
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.Users.Create(ctx, u)
}

// known reports whether anything is known of the person. Of local ones, ErrNoUser says that there is no account.
func (a Accounts) known(ctx context.Context, who standing.Person) (bool, error) {
	if l, ok := a.Locals[who.Provider]; ok {
		_, err := l.Users.Get(ctx, who.Subject)
		return err == nil, err
	}
	r, err := a.Book.Get(ctx, who)
	return r.State != standing.Unknown, err
}

// Approve lets a person log in. ahead: also one who has not asked yet.
func (a Accounts) Approve(ctx context.Context, who standing.Person, ahead bool, note string) (Done, error) {
	known, err := a.known(ctx, who)
	if err != nil {
		return Done{}, err
	}
	if !known && !ahead {
		return Done{}, ErrNotAsked
	}
	return a.decide(ctx, who, standing.Approved, note, event.UserApproved)
}

// Reject has a person who waits for approval wait no longer.
func (a Accounts) Reject(ctx context.Context, who standing.Person, note string) (Done, error) {
	r, err := a.Book.Get(ctx, who)
	if err != nil {
		return Done{}, err
	}
	if r.State != standing.Pending {
		return Done{}, fmt.Errorf("%w: %s does not wait for approval; to keep them out, disable them", ErrState, who)
	}
	return a.decide(ctx, who, standing.Rejected, note, event.UserRejected)
}

// Disable keeps a person out, and ends what runs in their name.
func (a Accounts) Disable(ctx context.Context, who standing.Person, note string) (Done, error) {
	if l, ok := a.Locals[who.Provider]; ok { // a slip of the pen must not look like success
		if _, err := l.Users.Get(ctx, who.Subject); err != nil {
			return Done{}, err
		}
	}
	return a.decide(ctx, who, standing.Disabled, note, event.UserDisabled)
}

// Enable takes Disable back.
func (a Accounts) Enable(ctx context.Context, who standing.Person, note string) (Done, error) {
	r, err := a.Book.Get(ctx, who)
	if err != nil {
		return Done{}, err
	}
	if r.State != standing.Disabled {
		return Done{}, fmt.Errorf("%w: %s is not disabled", ErrState, who)
	}
	return a.decide(ctx, who, standing.Approved, note, event.UserEnabled)
}

// decide writes the state. Whoever loses something loses it before anybody is told, and loses it again when it was so
// already: the last attempt may have been cut short.
func (a Accounts) decide(ctx context.Context, who standing.Person, s standing.State, note string, kind event.Kind) (Done, error) {
	_, err := a.Book.Update(ctx, who, func(r *standing.Record) error {
		if s.Allows() && r.State == s {
			return fmt.Errorf("%s: %w (%s)", who, ErrDecided, s)
		}
		r.State, r.Changed, r.By, r.Note = s, now(), a.By, note
		return nil
	})
	if err != nil {
		return Done{}, err
	}
	a.tell(kind, who, note)
	// Also of who is let in again: a session that began in the very moment they were shut out must not come to life.
	n, err := a.End(ctx, who, "the account was "+string(s)+" by an administrator")
	if err != nil {
		return Done{}, err
	}
	done, err := a.done(ctx, who)
	done.Sessions = n
	return done, err
}

// Compromise voids everything that was issued to the person so far, and has them choose a new password when they next
// log in (control CER-09). For another provider's people only the former.
func (a Accounts) Compromise(ctx context.Context, who standing.Person, note string) (Done, error) {
	if l, ok := a.Locals[who.Provider]; ok {
		_, err := l.Users.Update(ctx, who.Subject, func(u *User) error { u.Change = Compromised; return nil })
		if err != nil {
			return Done{}, err
		}
	}
	return a.void(ctx, who, note, event.UserCompromised)
}

// void makes everything that was issued to the person worthless.
func (a Accounts) void(ctx context.Context, who standing.Person, note string, kind event.Kind) (Done, error) {
	_, err := a.Book.Update(ctx, who, func(r *standing.Record) error {
		r.NotBefore = time.Now().UTC()
		return nil
	})
	if err != nil {
		return Done{}, err
	}
	a.tell(kind, who, note)
	n, err := a.End(ctx, who, string(kind)+" by an administrator")
	if err != nil {
		return Done{}, err
	}
	done, err := a.done(ctx, who)
	done.Sessions = n
	return done, err
}

// ResetPassword makes the password worthless, with all sessions and what else was issued, and makes a link to set another.
func (a Accounts) ResetPassword(ctx context.Context, who standing.Person, note string) (Done, error) {
	l, err := a.local(who)
	if err != nil {
		return Done{}, err
	}
	if _, err := l.Users.Update(ctx, who.Subject, func(u *User) error { u.Hash, u.Change = "", ""; return nil }); err != nil {
		return Done{}, err
	}
	done, err := a.void(ctx, who, note, event.PasswordReset)
	if err != nil {
		return Done{}, err
	}
	if done.Link, err = l.Links.Issue(ctx, who.Subject); err != nil {
		return Done{}, fmt.Errorf("the password was made worthless, but there is no link: %w", err)
	}
	return done, nil
}

// Change gives the account other roles, and other names where they are not nil. Sessions end, since they carry the roles.
func (a Accounts) Change(ctx context.Context, who standing.Person, roles []string, title, email *string) (Done, error) {
	l, err := a.local(who)
	if err == nil {
		err = checkRoles(roles)
	}
	if err != nil {
		return Done{}, err
	}
	var what []string
	_, err = l.Users.Update(ctx, who.Subject, func(u *User) error {
		what = what[:0]
		if roles != nil && !slices.Equal(u.Roles, roles) {
			what = append(what, fmt.Sprintf("roles: %s, before: %s", strings.Join(roles, " "), strings.Join(u.Roles, " ")))
			u.Roles = roles
		}
		if title != nil && *title != u.Title {
			what, u.Title = append(what, "name"), line(*title, maxTitle)
		}
		if email != nil && *email != u.Email {
			what, u.Email = append(what, "email"), line(*email, maxEmail)
		}
		if len(what) == 0 {
			return ErrDecided
		}
		return nil
	})
	if err != nil {
		return Done{}, err
	}
	a.tell(event.UserChanged, who, strings.Join(what, "; "))
	n, err := a.End(ctx, who, "the account was changed by an administrator")
	if err != nil {
		return Done{}, err
	}
	done, err := a.done(ctx, who)
	done.Sessions = n
	return done, err
}

// Delete removes the account for good. What is left says that whatever was issued to the name is void. Of another
// provider's person everything is forgotten that was decided.
func (a Accounts) Delete(ctx context.Context, who standing.Person, note string) (Done, error) {
	known, err := a.known(ctx, who)
	if err != nil {
		return Done{}, err
	}
	if !known {
		return Done{}, ErrNoUser
	}
	done, err := a.decide(ctx, who, standing.Deleted, note, event.UserDeleted)
	if err != nil {
		return Done{}, err
	}
	l, ok := a.Locals[who.Provider]
	if !ok {
		return done, a.Book.Forget(ctx, who)
	}
	if err := l.Links.Withdraw(ctx, who.Subject); err != nil {
		return Done{}, err
	}
	return done, l.Users.Delete(ctx, who.Subject)
}

// List returns everybody of whom something is known, by name.
func (a Accounts) List(ctx context.Context) ([]Account, error) {
	records, err := a.Book.List(ctx, "", standing.Unknown)
	if err != nil {
		return nil, err
	}
	of := make(map[standing.Person]standing.Record, len(records))
	for _, r := range records {
		of[r.Person] = r
	}
	var all []Account
	for provider, l := range a.Locals {
		users, err := l.Users.List(ctx)
		if err != nil {
			return nil, err
		}
		for _, u := range users {
			who := standing.Person{Provider: provider, Subject: u.Name}
			all = append(all, account(of[who], who, &u))
			delete(of, who)
		}
	}
	for who, r := range of {
		if r.State != standing.Unknown {
			all = append(all, account(r, who, nil))
		}
	}
	slices.SortFunc(all, func(a, b Account) int { return strings.Compare(a.User, b.User) })
	return all, nil
}

// done returns the person as they are now.
func (a Accounts) done(ctx context.Context, who standing.Person) (Done, error) {
	r, err := a.Book.Get(ctx, who)
	if err != nil {
		return Done{}, err
	}
	l, ok := a.Locals[who.Provider]
	if !ok {
		return Done{User: account(r, who, nil)}, nil
	}
	u, err := l.Users.Get(ctx, who.Subject)
	if errors.Is(err, ErrNoUser) {
		return Done{User: account(r, who, nil)}, nil
	}
	return Done{User: account(r, who, &u)}, err
}

func account(r standing.Record, who standing.Person, u *User) Account {
	a := Account{User: who.String(), State: r.State, Name: r.Name, Email: r.Email, Created: r.Asked, Decided: r.Changed, By: r.By, Note: r.Note}
	if u == nil {
		return a
	}
	if a.State == standing.Unknown {
		a.State = standing.Approved // an account from before there was approval
	}
	a.Name, a.Email, a.Roles, a.Change = u.Title, u.Email, u.Roles, u.Change
	a.Created, a.PasswordChanged, a.LastLogin = u.Created, u.PasswordChanged, u.LastLogin
	switch {
	case u.Hash == "":
		a.Password = "none"
	case isBcrypt(u.Hash):
		a.Password = "bcrypt"
	default:
		a.Password = "argon2id"
	}
	return a
}

func (a Accounts) tell(kind event.Kind, who standing.Person, detail string) {
	e := event.Event{Time: time.Now(), Kind: kind, User: who.String(), Detail: detail}
	if a.By != "" {
		e.Attrs = []event.Attr{{Key: "operator", Value: a.By}}
	}
	a.Tell(e)
}
