package authn

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	loginPath   = gatehouse.PortalPrefix + "login"
	logoutPath  = gatehouse.PortalPrefix + "logout"
	accountPath = gatehouse.PortalPrefix + "account"

	maxForm     = 64 << 10
	csrfPurpose = "authn.csrf"
)

// Portal answers everything below /.gatehouse/ itself.
type Portal struct{ service }

// CaddyModule returns the Caddy module information.
func (*Portal) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_portal", New: func() caddy.Module { return new(Portal) }}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	path := req.Path.Decoded
	if !strings.HasPrefix(path, gatehouse.PortalPrefix) {
		return next.ServeHTTP(w, r) // a spelling of the prefix that is not ours exactly is refused by authorize
	}
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
			return req.Deny(verdict.BodyTooLarge, "portal form")
		}
		return req.Deny(verdict.BadRequest, "portal form cannot be read")
	}
	switch {
	case path == accountPath:
		return p.account(w, r, req)
	case path == logoutPath:
		return p.logout(w, r, req)
	case path == loginPath:
		return p.login(w, r, req)
	case strings.HasPrefix(path, loginPath+"/"):
		return p.provider(w, r, req, strings.TrimPrefix(path, loginPath+"/"))
	}
	return req.Deny(verdict.NotFound, "no such page")
}

func (p *Portal) account(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !req.Identity.Known() {
		return req.ChallengeLogin(r, "account page")
	}
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead) {
		return req.Deny(verdict.BadMethod, "")
	}
	csrf, err := p.csrf(req)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	who := req.Identity.Identity()
	name := who.Name
	if name == "" {
		name = who.Subject
	}
	page.Write(w, r, http.StatusOK, page.Account{
		Site: req.Site.Name, RequestID: req.ID, Name: name, Email: who.Email, Provider: p.label(who.Provider),
		Roles: who.Roles, Since: req.Identity.Since(), LogoutURL: logoutPath, CSRF: csrf,
	})
	return nil
}

func (p *Portal) label(provider string) string {
	for _, idp := range p.house.Providers() {
		if idp.Name() == provider {
			return idp.Label()
		}
	}
	return provider
}

func (p *Portal) logout(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !req.Identity.Known() {
		page.Write(w, r, http.StatusOK, page.LoggedOut{Site: req.Site.Name, RequestID: req.ID, LoginURL: loginPath})
		return nil
	}
	state, err := p.house.State()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	csrf, err := p.csrf(req)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		page.Write(w, r, http.StatusOK, page.Logout{
			Site: req.Site.Name, RequestID: req.ID, Name: req.Identity.Identity().Subject,
			Action: logoutPath, CSRF: csrf, CancelURL: "/",
		})
		return nil
	case http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		return req.Deny(verdict.BadMethod, "")
	}
	given, err := base64.RawURLEncoding.DecodeString(r.PostForm.Get("csrf"))
	if err != nil || !state.Keys.CheckMAC(csrfPurpose, []byte(req.Identity.Session()), given) {
		return req.Deny(verdict.Forbidden, "log-out form without its token")
	}
	if err := p.end(r); err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	state.Bus.Publish(req.Event(event.SessionEnded))
	cookie.Clear(w.Header(), sessionCookie)
	page.Write(w, r, http.StatusOK, page.LoggedOut{Site: req.Site.Name, RequestID: req.ID, LoginURL: loginPath})
	return nil
}

// end ends the session of the request's cookie, if it has one.
func (p *Portal) end(r *http.Request) error {
	token, ok := cookie.Get(r.Header, sessionCookie)
	if !ok {
		return nil
	}
	sessions, err := p.sessions()
	if err != nil {
		return err
	}
	return sessions.End(r.Context(), token)
}

func (p *Portal) csrf(req *gatehouse.Request) (string, error) {
	state, err := p.house.State()
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(state.Keys.MAC(csrfPurpose, []byte(req.Identity.Session()))), nil
}

// login shows the ways to log in, or leads straight to the only one.
func (p *Portal) login(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead) {
		return req.Deny(verdict.BadMethod, "")
	}
	returnTo := returnPath(r.Form.Get("next"))
	if req.Identity.Known() { // a second tab finds the session that the first one made
		seeOther(w, returnTo)
		return nil
	}
	providers := p.house.Providers()
	if len(providers) == 0 {
		return req.Deny(verdict.Unavailable, "no identity provider is configured")
	}
	token, err := p.begin(w, r, newFlow(hostOf(r), returnTo))
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if len(providers) == 1 && !providers[0].Form() {
		w.Header().Set("Location", loginPath+"/"+providers[0].Name()+"?flow="+token)
		w.WriteHeader(http.StatusFound)
		return nil
	}
	p.showLogin(w, r, http.StatusOK, page.Login{Site: req.Site.Name, RequestID: req.ID, Flow: token}, "")
	return nil
}

// showLogin completes the view by the ways to log in.
func (p *Portal) showLogin(w http.ResponseWriter, r *http.Request, status int, view page.Login, user string) {
	for _, idp := range p.house.Providers() {
		base := loginPath + "/" + idp.Name()
		if idp.Form() && view.Local == nil {
			view.Local = &page.LocalForm{Action: base, Username: user}
		} else {
			view.Providers = append(view.Providers, page.Button{Label: idp.Label(), URL: base + "?flow=" + view.Flow})
		}
	}
	page.Write(w, r, status, view)
}

// begin seals the flow to this browser, which gets a binding if it has none.
func (p *Portal) begin(w http.ResponseWriter, r *http.Request, f flow) (token string, err error) {
	state, err := p.house.State()
	if err != nil {
		return "", err
	}
	binding, ok := cookie.Get(r.Header, bindingCookie)
	if !ok || len(binding) != 26 {
		binding = rand.Text()
		err := cookie.Set(w.Header(), bindingCookie, binding, cookie.Options{SameSite: http.SameSiteLaxMode})
		if err != nil {
			return "", fmt.Errorf("setting the login cookie: %w", err)
		}
	}
	return f.seal(state.Keys, bindingSum(binding))
}

func bindingSum(binding string) string {
	sum := sha256.Sum256([]byte("binding " + binding))
	return string(sum[:])
}

// flowOf returns the flow that the request carries, or a new one, which is then sealed to the browser.
func (p *Portal) flowOf(w http.ResponseWriter, r *http.Request, provider string) (f flow, token string, fresh bool, err error) {
	state, err := p.house.State()
	if err != nil {
		return f, "", false, err
	}
	token = r.Form.Get("flow")
	if token == "" {
		token = r.Form.Get("state")
	}
	if binding, ok := cookie.Get(r.Header, bindingCookie); ok && token != "" {
		f, err = openFlow(state.Keys, token, bindingSum(binding), hostOf(r), time.Now())
		if err == nil && f.Provider == provider {
			return f, token, false, nil
		}
		if err == nil && f.Provider == "" { // the person has just chosen
			f.Provider = provider
			token, err = f.seal(state.Keys, bindingSum(binding))
			return f, token, false, err
		}
	}
	f = newFlow(hostOf(r), returnPath(r.Form.Get("next")))
	f.Provider = provider
	token, err = p.begin(w, r, f)
	return f, token, true, err
}

// provider hands one step of a login to its identity provider, and makes the session when that vouches for somebody.
func (p *Portal) provider(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, rest string) error {
	name, sub, _ := strings.Cut(rest, "/")
	if sub != "" {
		sub = "/" + sub
	}
	idp := p.find(name)
	if idp == nil {
		return req.Deny(verdict.NotFound, "no such identity provider")
	}
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
		return req.Deny(verdict.BadMethod, "")
	}
	f, token, fresh, err := p.flowOf(w, r, name)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if fresh && r.Method == http.MethodPost { // a form that this browser never got from us, or long ago
		le := &gatehouse.LoginError{Reason: verdict.LoginExpired, Err: errFlow}
		if sub == "" {
			le.Message = string(page.LoginStale)
		}
		return p.failed(w, r, req, idp, f, token, le)
	}
	returning := !fresh && !idp.Form() && sub != ""
	if returning { // an answer from elsewhere is used once, before it is even looked at
		first, err := p.firstAnswer(f)
		if err != nil {
			return req.Deny(verdict.Unavailable, err.Error())
		}
		if !first {
			return p.again(w, req, f, errFlowUsed)
		}
	}
	vouching, err := idp.ServeLogin(w, r, gatehouse.Login{
		Request: req, Base: loginPath + "/" + name, Origin: "https://" + r.Host, Sub: sub,
		Flow: gatehouse.Flow{
			ID: f.ID, Token: token, ReturnTo: f.ReturnTo, Started: f.Started, Fresh: fresh, Derive: f.derive,
		},
	})
	if err != nil {
		return p.failed(w, r, req, idp, f, token, err)
	}
	if vouching == nil {
		return nil
	}
	if err := p.claim(r, f); err != nil {
		return p.again(w, req, f, err)
	}
	vouching.Identity.Provider = name
	return p.succeed(w, r, req, vouching.Identity, f)
}

func (p *Portal) find(name string) gatehouse.IdentityProvider {
	for _, idp := range p.house.Providers() {
		if idp.Name() == name {
			return idp
		}
	}
	return nil
}

func onlyMethods(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return false
}

// seeOther leads to a path of this site that was checked before; http.Redirect would clean it.
func seeOther(w http.ResponseWriter, path string) {
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
}

// loginAgain is where a person starts over.
func loginAgain(returnTo string) string {
	if returnTo == "" || returnTo == "/" {
		return loginPath
	}
	return loginPath + "?next=" + url.QueryEscape(returnTo)
}

var (
	_ caddy.Provisioner           = (*Portal)(nil)
	_ caddyhttp.MiddlewareHandler = (*Portal)(nil)
)
