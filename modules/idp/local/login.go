package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/backoff"
	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/verdict"
)

// loginPage is one of the provider's pages: how it is shown, and what becomes of its form. A nil show: it is shown elsewhere.
type loginPage struct {
	show func(http.ResponseWriter, *http.Request, gatehouse.Login, engine) error
	take func(http.ResponseWriter, *http.Request, gatehouse.Login, engine) (*gatehouse.Vouching, error)
}

// ServeLogin implements [gatehouse.IdentityProvider].
func (p *Provider) ServeLogin(w http.ResponseWriter, r *http.Request, l gatehouse.Login) (*gatehouse.Vouching, error) {
	e, err := p.engine()
	if err != nil {
		return nil, unavailable(err)
	}
	post := r.Method == http.MethodPost
	pages := map[string]loginPage{
		"":         {nil, p.login}, // the form is the portal's, at /.gatehouse/login
		setupPath:  {p.showSetup, p.createFirst},
		changePath: {nil, p.change},
		linkPath:   {p.showLink, p.useLink},
	}
	if p.Register {
		pages[registerPath] = loginPage{p.showRegister, p.register}
	}
	at, known := pages[l.Sub]
	switch {
	case !known:
		return nil, &gatehouse.LoginError{Reason: verdict.NotFound}
	case !post && r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, POST")
		return nil, &gatehouse.LoginError{Reason: verdict.BadMethod}
	case post && l.Flow.Fresh, !post && at.show == nil:
		return nil, &gatehouse.LoginError{Reason: verdict.LoginExpired}
	case post:
		return at.take(w, r, l, e)
	}
	return nil, at.show(w, r, l, e)
}

// vouch says who has logged in, and has the browser remember that they did.
func (p *Provider) vouch(w http.ResponseWriter, r *http.Request, u User) (*gatehouse.Vouching, error) {
	state, err := p.house.State()
	if err != nil {
		return nil, unavailable(err)
	}
	known := deviceOf(r).with(state.Keys, p.ProviderName, u.Name)
	err = cookie.Set(w.Header(), cookie.Ours+deviceCookie, known.String(), cookie.Options{MaxAge: deviceLifetime})
	if err != nil {
		return nil, fmt.Errorf("setting the device's cookie: %w", err)
	}
	who := identity.Identity{
		Provider: p.ProviderName, Issuer: issuer, Subject: u.Name, Name: cmp.Or(u.Title, u.Name), Email: u.Email, Roles: u.Roles,
		AMR: []string{"pwd"}, AuthTime: now(), // RFC 8176
	}
	who.Normalize()
	return &gatehouse.Vouching{Identity: who}, nil
}

func deviceOf(r *http.Request) device {
	value, _ := cookie.Get(r.Header, cookie.Ours+deviceCookie)
	return parseDevice(value)
}

// lane is where failures are counted: of this user from this network; or in this browser, if they have logged in there
// before, so that nobody else's failures keep them out (control NAT-10).
func (p *Provider) lane(r *http.Request, req *gatehouse.Request, e engine, name string) backoff.Key {
	if d := deviceOf(r); d.knows(e.users.Keys, p.ProviderName, name) {
		return backoff.KeyOf(p.ProviderName, name, "device "+d.id)
	}
	return backoff.KeyOf(p.ProviderName, name, clientip.Network(req.ClientIP).String())
}

func unavailable(err error) error {
	reason := verdict.Unavailable
	if errors.Is(err, context.Canceled) {
		reason = verdict.ClientClosed
	}
	return &gatehouse.LoginError{Reason: reason, Err: err}
}

// login judges the portal's login form.
func (p *Provider) login(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine) (*gatehouse.Vouching, error) {
	f, err := parseForm(r, "username", "password")
	if err != nil {
		return nil, formError(err)
	}
	u, err := p.authenticate(r, l.Request, e, f["username"], f["password"])
	if err != nil {
		return nil, err
	}
	if u.Change == "" {
		return p.vouch(w, r, u)
	}
	rec, err := e.book.Get(r.Context(), standing.Person{Provider: p.ProviderName, Subject: u.Name})
	if err != nil {
		return nil, unavailable(err)
	}
	if !rec.State.Allows() { // they hear that instead
		return p.vouch(w, r, u)
	}
	p.writeChange(w, r, l, e, u, "", http.StatusOK)
	return nil, nil
}

// authenticate is [Users.Authenticate] for whoever has not failed too often, and says what they are told.
func (p *Provider) authenticate(r *http.Request, req *gatehouse.Request, e engine, typed, password string) (User, error) {
	// Only what can be a name is repeated: people type their password into the wrong field.
	name, _ := CanonicalName(typed)
	key := p.lane(r, req, e, cmp.Or(name, typed))
	if wait := e.streaks.Begin(key); wait > 0 {
		return User{}, tooMany(name, wait)
	}
	u, err := e.users.Authenticate(r.Context(), typed, password)
	switch {
	case err == nil:
		e.streaks.Succeeded(key)
		return u, nil
	case errors.Is(err, ErrWrong):
		return User{}, &gatehouse.LoginError{
			Reason: verdict.LoginFailed, Message: string(page.BadCredentials), User: name, Err: err, After: e.streaks.Pause(key),
		}
	case errors.Is(err, ErrBusy):
		e.streaks.Undo(key)
		return User{}, tooMany(name, waitFor)
	}
	e.streaks.Undo(key)
	return User{}, unavailable(err)
}

func tooMany(name string, wait time.Duration) error {
	return &gatehouse.LoginError{Reason: verdict.TooManyAttempts, Message: string(page.Paused), User: name, After: wait}
}

var errPasswordsDiffer = errors.New("the two passwords differ")

// mendable returns what a form says about an error that the person can mend.
func mendable(err error) (say page.Message, again bool) {
	for _, m := range []struct {
		err error
		say page.Message
	}{
		{ErrSetupToken, page.TokenInvalid}, {ErrName, page.UsernameInvalid}, {errPasswordsDiffer, page.PasswordsDiffer},
		{ErrPasswordShort, page.PasswordTooShort}, {ErrPasswordWeak, page.PasswordTooWeak}, {ErrPasswordLong, page.PasswordTooLong},
		{ErrPasswordLeaked, page.PasswordLeaked}, {ErrPasswordSame, page.PasswordSame}, {errCurrent, page.CurrentWrong},
	} {
		if errors.Is(err, m.err) {
			return m.say, true
		}
	}
	return "", false
}

// unmendable is what a person is told about any other error.
func unmendable(err error) error {
	if errors.Is(err, ErrBusy) {
		return &gatehouse.LoginError{Reason: verdict.TooManyAttempts, After: waitFor, Err: err}
	}
	return unavailable(err)
}

func formError(err error) error {
	reason := verdict.BadRequest
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		reason = verdict.BodyTooLarge
	}
	return &gatehouse.LoginError{Reason: reason, Err: err}
}
