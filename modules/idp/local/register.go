package local

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

// Bounds of asking for accounts, for each network.
var registrations = store.Limit{Burst: 10, Every: 6 * time.Minute}

const (
	registerBucket store.Bucket = "register"
	maxTitle                    = 100
	maxEmail                    = 200
)

// showRegister shows the form of whoever asks for an account.
func (p *Provider) showRegister(w http.ResponseWriter, r *http.Request, l gatehouse.Login, _ engine) error {
	p.writeRegister(w, r, l, http.StatusOK, page.Register{})
	return nil
}

func (p *Provider) writeRegister(w http.ResponseWriter, r *http.Request, l gatehouse.Login, status int, v page.Register) {
	if l.Request.Site != nil {
		v.Site = l.Request.Site.Name
	}
	v.RequestID, v.Action, v.Flow, v.MinPassword = l.Request.ID, l.Base+registerPath, l.Flow.Token, p.PasswordMin
	v.LoginURL = gatehouse.PortalPrefix + "login"
	page.Write(w, r, status, v)
}

// register files that somebody asks for an account. Whether the name is free nobody is told: the answer and the work are
// the same.
func (p *Provider) register(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine) (*gatehouse.Vouching, error) {
	f, err := parseForm(r, "username", "name", "email", "password", "password_again")
	if err != nil {
		return nil, formError(err)
	}
	name, ok := CanonicalName(f["username"])
	if err = p.acceptable(e, name, f); !ok {
		err = ErrName
	}
	u := User{Name: name, Title: line(f["name"], maxTitle), Email: line(f["email"], maxEmail)}
	began := time.Now()
	if err == nil {
		if err = mayRegister(r.Context(), e.users.Store, clientip.Network(l.Request.ClientIP).String()); err == nil {
			err = e.accounts("").register(r.Context(), standing.Person{Provider: p.ProviderName, Subject: name}, u, f["password"], l.Request.Event(event.UserPending))
		}
	}
	if say, again := mendable(err); again {
		p.writeRegister(w, r, l, http.StatusUnprocessableEntity, page.Register{Username: name, Name: u.Title, Email: u.Email, Error: say})
		return nil, nil
	}
	if wait := (tooSoon)(0); errors.As(err, &wait) {
		return nil, &gatehouse.LoginError{Reason: verdict.TooManyAttempts, After: time.Duration(wait), Err: err}
	}
	if err != nil {
		return nil, unmendable(err)
	}
	if err := sleep(r.Context(), time.Until(began.Add(e.hasher.sameTime))); err != nil {
		return nil, unavailable(err)
	}
	p.notice(w, r, l.Request, http.StatusOK, page.Notice{Of: page.Registered, URL: gatehouse.PortalPrefix + "login"})
	return nil, nil
}

// line is what a person typed into one line: text without control characters, as long as it may be.
func line(typed string, most int) string {
	text := strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == utf8.RuneError {
			return -1
		}
		return c
	}, typed)
	text = strings.TrimSpace(text)
	for len(text) > most {
		_, last := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-last]
	}
	return text
}

// tooSoon says how long a network has to wait before it may ask for one more account.
type tooSoon time.Duration

func (tooSoon) Error() string { return "too many accounts were asked for from this network" }

func mayRegister(ctx context.Context, st store.Store, network string) error {
	got, wait, err := st.Lease(ctx, store.Key{Bucket: registerBucket, ID: network}, registrations, 1)
	if err == nil && got == 0 {
		err = tooSoon(wait)
	}
	return err
}

// register makes an account that waits for approval, unless there is anything of the name.
func (a Accounts) register(ctx context.Context, who standing.Person, u User, password string, asked event.Event) error {
	l, err := a.local(who)
	if err != nil {
		return err
	}
	hash, err := l.Users.newHash(ctx, u.Name, password) // also when it is of no use: that is most of the work
	if err != nil {
		return err
	}
	switch _, err := l.Users.Get(ctx, u.Name); {
	case err == nil:
		return nil
	case !errors.Is(err, ErrNoUser):
		return err
	}
	_, filed, err := a.Book.Ask(ctx, standing.Record{Person: who, Name: u.Title, Email: u.Email})
	if errors.Is(err, standing.ErrTooMany) {
		asked.Detail = "refused: " + err.Error()
		a.Tell(asked)
		return nil
	}
	if err != nil || !filed {
		return err
	}
	u.Hash, u.Created, u.PasswordChanged = hash, now(), now()
	if err := l.Users.Create(ctx, u); err != nil {
		return err
	}
	asked.User = who.String()
	a.Tell(asked)
	return nil
}
