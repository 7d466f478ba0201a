package authn

import (
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/verdict"
)

// What a form of the account ends, besides one session by its name.
const (
	endOthers = "others"
	endAll    = "all"
)

// account shows who the person is and where they are logged in, and ends what they want to end.
func (p *Portal) account(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !req.Identity.Known() {
		return req.ChallengeLogin(r, "account page")
	}
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
		return req.Deny(verdict.BadMethod, "")
	}
	sessions, err := p.sessions()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if r.Method == http.MethodPost {
		return p.endMine(w, r, req, sessions)
	}
	csrf, err := p.csrf(req)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	who := req.Identity.Identity()
	mine, err := sessions.List(r.Context(), who.Provider, who.Subject, req.Identity.Session())
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	view := page.Account{
		Site: req.Site.Name, RequestID: req.ID, Name: nameOf(req), Email: who.Email, Provider: p.label(who.Provider),
		Roles: who.Roles, Since: req.Identity.Since(), LogoutURL: logoutPath, CSRF: csrf,
		Action: accountPath, Done: r.Form.Get("done") != "", Now: time.Now(), FactorsURL: gatehouse.FactorPath,
	}
	if p.house.Page(p.site, gatehouse.DevicesPath) != nil {
		view.DevicesURL = gatehouse.DevicesPath
	}
	if p.house.Page(p.site, gatehouse.KeysPath) != nil {
		view.KeysURL = gatehouse.KeysPath
	}
	if _, ok := p.find(who.Provider).(gatehouse.PasswordKeeper); ok {
		view.PasswordURL = gatehouse.PasswordPath
	}
	for _, s := range mine {
		view.Sessions = append(view.Sessions, page.Session{
			ID: s.Name, Agent: s.Agent, Network: s.Network, Site: s.Host, Since: s.Created, Used: s.LastSeen, This: s.Current,
		})
	}
	page.Write(w, r, http.StatusOK, view)
	return nil
}

// password has the person's identity provider change the password that it keeps for them.
func (p *Portal) password(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !req.Identity.Known() {
		return req.ChallengeLogin(r, "change of password")
	}
	keeper, ok := p.find(req.Identity.Provider()).(gatehouse.PasswordKeeper)
	if !ok {
		return req.Deny(verdict.NotFound, "the identity provider keeps no passwords")
	}
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
		return req.Deny(verdict.BadMethod, "")
	}
	if r.Method == http.MethodPost {
		if err := p.checkCSRF(r, req); err != nil {
			return err
		}
	}
	csrf, err := p.csrf(req)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	err = keeper.ServePassword(w, r, gatehouse.AccountVisit{Request: req, CSRF: csrf, Account: accountPath})
	if le := (*gatehouse.LoginError)(nil); errors.As(err, &le) {
		return req.Refuse(verdict.Verdict{Reason: le.Reason, Detail: le.Error(), RetryAfter: le.After})
	}
	if err != nil {
		return req.Deny(verdict.Internal, err.Error())
	}
	return nil
}

// endMine ends one, all other, or all sessions of the person.
func (p *Portal) endMine(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, sessions *Sessions) error {
	if err := p.checkCSRF(r, req); err != nil {
		return err
	}
	who, what, this := req.Identity.Identity(), r.PostForm.Get("end"), req.Identity.Session()
	var gone []string
	var err error
	switch what {
	case "":
		return req.Deny(verdict.BadRequest, "which session to end is not said")
	case this:
		return p.logOut(w, r, req)
	case endOthers:
		gone, err = sessions.EndOthers(r.Context(), who.Provider, who.Subject, this)
	case endAll:
		gone, err = sessions.EndUser(r.Context(), who.Provider, who.Subject)
	default:
		var found bool
		if found, err = sessions.EndNamed(r.Context(), who.Provider, who.Subject, what); found {
			gone = []string{what}
		}
	}
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	for _, session := range gone {
		p.publishEnd(req, session, "revoked")
	}
	if what == endAll {
		p.farewell(w, r, req, page.LoggedOut{})
		return nil
	}
	seeOther(w, accountPath+"?done=1") // also when it was gone before: that is what was wanted
	return nil
}

// publishEnd says that one of the person's sessions was ended, and why.
func (p *Portal) publishEnd(req *gatehouse.Request, session, why string) {
	state, err := p.house.State()
	if err != nil {
		return // it has ended; there is nobody left to tell
	}
	e := req.Event(event.SessionEnded)
	e.Session, e.Detail = session, why
	state.Bus.Publish(e)
}

// nameOf is what a person is called on pages.
func nameOf(req *gatehouse.Request) string {
	who := req.Identity.Identity()
	if who.Name != "" {
		return who.Name
	}
	return who.Subject
}

func (p *Portal) label(provider string) string {
	if idp := p.find(provider); idp != nil {
		return idp.Label()
	}
	return provider
}

// csrf is what the forms of the person's pages carry: it says that this session was shown them.
func (p *Portal) csrf(req *gatehouse.Request) (string, error) {
	state, err := p.house.State()
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(state.Keys.MAC(csrfPurpose, []byte(req.Identity.Session()))), nil
}

// checkCSRF refuses a form that this session was not shown.
func (p *Portal) checkCSRF(r *http.Request, req *gatehouse.Request) error {
	state, err := p.house.State()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	given, err := base64.RawURLEncoding.DecodeString(r.PostForm.Get("csrf"))
	if err != nil || !state.Keys.CheckMAC(csrfPurpose, []byte(req.Identity.Session()), given) {
		return req.Deny(verdict.Forbidden, "form without its token")
	}
	return nil
}
