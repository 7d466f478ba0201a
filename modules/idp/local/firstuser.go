package local

import (
	"context"
	"errors"
	"net/http"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/verdict"
)

// showSetup shows the form for the first user; there is none once somebody has used it.
func (p *Provider) showSetup(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine) error {
	if err := p.setupOpen(r, e); err != nil {
		return err
	}
	token := r.URL.Query().Get("token")
	var say page.Message
	if token != "" {
		switch err := e.links.Check(r.Context(), token); {
		case errors.Is(err, ErrSetupToken):
			token, say = "", page.TokenInvalid
		case err != nil:
			return unavailable(err)
		}
	}
	p.writeSetup(w, r, l, http.StatusOK, page.Setup{Token: token, Error: say})
	return nil
}

func (p *Provider) setupOpen(r *http.Request, e engine) error {
	switch some, err := e.users.Any(r.Context()); {
	case err != nil:
		return unavailable(err)
	case some:
		return &gatehouse.LoginError{Reason: verdict.NotFound, Err: errors.New("set-up is over: there are users")}
	}
	return nil
}

func (p *Provider) writeSetup(w http.ResponseWriter, r *http.Request, l gatehouse.Login, status int, s page.Setup) {
	if l.Request.Site != nil {
		s.Site = l.Request.Site.Name
	}
	s.RequestID, s.Action, s.Flow, s.MinPassword = l.Request.ID, l.Base+setupPath, l.Flow.Token, p.PasswordMin
	page.Write(w, r, status, s)
}

// createFirst makes the first user. The token is used up last, so that a mistake in the form does not cost it; and by
// one request only, however many come at once.
func (p *Provider) createFirst(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine) (*gatehouse.Vouching, error) {
	f, err := parseForm(r, "token", "username", "password", "password_again")
	if err != nil {
		return nil, formError(err)
	}
	if err := p.setupOpen(r, e); err != nil {
		return nil, err
	}
	u, err := p.prepareFirst(r.Context(), f, e)
	if err == nil {
		asked := l.Request.Event(event.AdminRequested)
		asked.User, asked.Detail = p.ProviderName+":"+u.Name, "the first user, by the set-up link"
		if err = e.bus.Record(asked); err != nil {
			return nil, unavailable(err)
		}
		if err = e.links.Redeem(r.Context(), f["token"]); err == nil {
			err = e.accounts("").create(r.Context(), standing.Person{Provider: p.ProviderName, Subject: u.Name}, u, true)
		}
	}
	if say, again := mendable(err); again {
		view := page.Setup{Token: f["token"], Error: say}
		if errors.Is(err, ErrSetupToken) {
			view.Token = ""
		}
		view.Username, _ = CanonicalName(f["username"])
		p.writeSetup(w, r, l, http.StatusUnprocessableEntity, view)
		return nil, nil
	}
	if err != nil {
		return nil, unmendable(err)
	}
	_ = removeLink(p.linkFile()) // it no longer works; the next start removes it
	created := l.Request.Event(event.UserCreated)
	created.User = p.ProviderName + ":" + u.Name
	if err := e.bus.Record(created); err != nil {
		return nil, unavailable(err)
	}
	return p.vouch(w, r, u)
}

// prepareFirst checks the form, cheapest first: only who has the token gets a hash computed.
func (p *Provider) prepareFirst(ctx context.Context, f map[string]string, e engine) (User, error) {
	if err := e.links.Check(ctx, f["token"]); err != nil {
		return User{}, err
	}
	if f["password"] != f["password_again"] {
		return User{}, errPasswordsDiffer
	}
	return e.users.New(ctx, f["username"], f["password"], p.FirstUserRoles)
}
