package local

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

// changeTicket proves that the password of a login that must not go on was right. It is sealed to the login's flow.
type changeTicket struct {
	Name  string    `json:"name"`
	Hash  [32]byte  `json:"hash"` // SHA-256 of the hash that it was right for, so that it is worthless once that changed
	Until time.Time `json:"until"`
}

const (
	changePurpose  = "local.change"
	changeLifetime = 15 * time.Minute
)

var (
	errTicket  = errors.New("the login that led to a new password is over")
	errCurrent = errors.New("the current password is wrong")
)

func sealChange(keys *keyring.Ring, flow string, u User) string {
	plain, err := json.Marshal(changeTicket{u.Name, sha256.Sum256([]byte(u.Hash)), time.Now().Add(changeLifetime)})
	if err != nil {
		return "" // cannot be: it opens nothing then
	}
	return base64.RawURLEncoding.EncodeToString(keys.Seal(changePurpose, plain, []byte(flow)))
}

func openChange(keys *keyring.Ring, flow, ticket string) (t changeTicket, err error) {
	box, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil {
		return t, errTicket
	}
	plain, err := keys.Open(changePurpose, box, []byte(flow))
	if err != nil {
		return t, errTicket
	}
	if err := json.Unmarshal(plain, &t); err != nil || time.Now().After(t.Until) {
		return changeTicket{}, errTicket
	}
	return t, nil
}

var whyOf = map[Change]page.Why{Compromised: page.WhyCompromised, Leaked: page.WhyLeaked, TooWeak: page.WhyTooWeak}

// writeChange asks for a new password before a login goes on.
func (p *Provider) writeChange(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine, u User, say page.Message, status int) {
	p.writePassword(w, r, l.Request, status, page.Password{
		Action: l.Base + changePath, Flow: l.Flow.Token, Ticket: sealChange(e.users.Keys, l.Flow.ID, u),
		Username: u.Name, Why: whyOf[u.Change], Error: say,
	})
}

func (p *Provider) writePassword(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, status int, v page.Password) {
	if req.Site != nil {
		v.Site = req.Site.Name
	}
	v.RequestID, v.MinPassword = req.ID, p.PasswordMin
	page.Write(w, r, status, v)
}

// change takes the new password of a login that could not go on, and lets it go on.
func (p *Provider) change(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine) (*gatehouse.Vouching, error) {
	f, err := parseForm(r, "ticket", "password", "password_again")
	if err != nil {
		return nil, formError(err)
	}
	ticket, err := openChange(e.users.Keys, l.Flow.ID, f["ticket"])
	if err != nil {
		return nil, &gatehouse.LoginError{Reason: verdict.LoginExpired, Err: err}
	}
	u, err := e.users.Get(r.Context(), ticket.Name)
	switch {
	case errors.Is(err, ErrNoUser), err == nil && sha256.Sum256([]byte(u.Hash)) != ticket.Hash:
		return nil, &gatehouse.LoginError{Reason: verdict.LoginExpired, User: ticket.Name, Err: errTicket}
	case err != nil:
		return nil, unavailable(err)
	}
	err = p.setPassword(r, l.Request, e, u.Name, f)
	if say, again := mendable(err); again {
		p.writeChange(w, r, l, e, u, say, http.StatusUnprocessableEntity)
		return nil, nil
	}
	if err != nil {
		return nil, unmendable(err)
	}
	return p.vouch(w, r, u)
}

// setPassword sets what the form holds, ends the person's sessions but the one that asks, and says so.
func (p *Provider) setPassword(r *http.Request, req *gatehouse.Request, e engine, name string, f map[string]string) error {
	if f["password"] != f["password_again"] {
		return errPasswordsDiffer
	}
	if err := e.users.SetPassword(r.Context(), name, f["password"]); err != nil {
		return err
	}
	changed := req.Event(event.PasswordChanged)
	changed.User = p.ProviderName + ":" + name
	if err := e.bus.Record(changed); err != nil {
		return fmt.Errorf("%w: %w", store.ErrDown, err)
	}
	except := ""
	if req.Identity.Is(p.ProviderName, name) {
		except = req.Identity.Session()
	}
	_, err := p.house.EndSessions(r.Context(), standing.Person{Provider: p.ProviderName, Subject: name}, except, "the password was changed")
	return err
}

// showLink shows the form behind a link to set a password.
func (p *Provider) showLink(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine) error {
	token := r.URL.Query().Get("token")
	name, err := e.passwords.Owner(r.Context(), token)
	switch {
	case errors.Is(err, ErrSetupToken):
		p.linkOver(w, r, l)
		return nil
	case err != nil:
		return unavailable(err)
	}
	p.writeLink(w, r, l, http.StatusOK, token, name, "")
	return nil
}

func (p *Provider) linkOver(w http.ResponseWriter, r *http.Request, l gatehouse.Login) {
	p.notice(w, r, l.Request, verdict.LoginExpired.Status(), page.Notice{Of: page.LinkOver, URL: gatehouse.PortalPrefix + "login"})
}

func (p *Provider) notice(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, status int, n page.Notice) {
	if req.Site != nil {
		n.Site = req.Site.Name
	}
	n.RequestID = req.ID
	page.Write(w, r, status, n)
}

func (p *Provider) writeLink(w http.ResponseWriter, r *http.Request, l gatehouse.Login, status int, token, name string, say page.Message) {
	p.writePassword(w, r, l.Request, status, page.Password{
		Action: l.Base + linkPath, Flow: l.Flow.Token, Ticket: token, Username: name, Why: page.WhyFirst, Error: say,
	})
}

// useLink sets the password that a link allows to set, and logs in. The link is used up by a password that is accepted,
// and by one request only, however many come at once.
func (p *Provider) useLink(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine) (*gatehouse.Vouching, error) {
	f, err := parseForm(r, "ticket", "password", "password_again")
	if err != nil {
		return nil, formError(err)
	}
	name, err := e.passwords.Owner(r.Context(), f["ticket"])
	if err == nil {
		if err = p.acceptable(e, name, f); err == nil {
			if name, err = e.passwords.Redeem(r.Context(), f["ticket"]); err == nil {
				err = p.setPassword(r, l.Request, e, name, f)
			}
		}
	}
	switch say, again := mendable(err); {
	case errors.Is(err, ErrSetupToken), errors.Is(err, ErrNoUser):
		p.linkOver(w, r, l)
		return nil, nil
	case again:
		p.writeLink(w, r, l, http.StatusUnprocessableEntity, f["ticket"], name, say)
		return nil, nil
	case err != nil:
		return nil, unmendable(err)
	}
	u, err := e.users.Get(r.Context(), name)
	if err != nil {
		return nil, unavailable(err)
	}
	return p.vouch(w, r, u)
}

// acceptable says what is wrong with the form's password, before anything is used up for it.
func (p *Provider) acceptable(e engine, name string, f map[string]string) error {
	if f["password"] != f["password_again"] {
		return errPasswordsDiffer
	}
	canonical, err := canonicalPassword(f["password"])
	if err != nil {
		return err
	}
	return e.users.judge(canonical, name)
}

// ServePassword implements [gatehouse.PasswordKeeper]: whoever changes their password says the one they have.
func (p *Provider) ServePassword(w http.ResponseWriter, r *http.Request, v gatehouse.AccountVisit) error {
	e, err := p.engine()
	if err != nil {
		return unavailable(err)
	}
	name := v.Request.Identity.Subject()
	form := page.Password{
		Action: gatehouse.PasswordPath, CSRF: v.CSRF, Username: name, AskCurrent: true, CancelURL: v.Account,
	}
	if r.Method != http.MethodPost {
		if r.URL.Query().Get("done") != "" {
			p.notice(w, r, v.Request, http.StatusOK, page.Notice{Of: page.PasswordSet, URL: v.Account})
			return nil
		}
		p.writePassword(w, r, v.Request, http.StatusOK, form)
		return nil
	}
	f, err := parseForm(r, "current", "password", "password_again")
	if err != nil {
		return formError(err)
	}
	if err = p.acceptable(e, name, f); err == nil { // first, so that a mistake there costs no attempt
		err = p.reauthenticate(r, v.Request, e, name, f["current"])
	}
	if err == nil {
		err = p.setPassword(r, v.Request, e, name, f)
	}
	if say, again := mendable(err); again {
		form.Error = say
		p.writePassword(w, r, v.Request, http.StatusUnprocessableEntity, form)
		return nil
	}
	if le := (*gatehouse.LoginError)(nil); errors.As(err, &le) {
		return err
	}
	if err != nil {
		return unmendable(err)
	}
	w.Header().Set("Location", gatehouse.PasswordPath+"?done=1")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// reauthenticate judges the password that the person has. A wrong one is a failed login like any other.
func (p *Provider) reauthenticate(r *http.Request, req *gatehouse.Request, e engine, name, current string) error {
	_, err := p.authenticate(r, req, e, name, current)
	le := (*gatehouse.LoginError)(nil)
	if errors.As(err, &le) && le.Reason == verdict.LoginFailed {
		failed := req.Event(event.LoginFailed)
		failed.Reason, failed.Status, failed.Detail = le.Reason, le.Reason.Status(), "change of password: "+ErrWrong.Error()
		failed.Attrs = []event.Attr{{Key: "provider", Value: p.ProviderName}, {Key: "attempted_user", Value: name}}
		e.bus.Publish(failed)
		return errCurrent
	}
	return err
}

// accounts is what administrators work with.
func (e engine) accounts(by string) Accounts {
	return Accounts{Locals: map[string]Local{e.users.Provider: {e.users, e.passwords}}, Book: e.book, Tell: e.bus.Publish, By: by}
}
