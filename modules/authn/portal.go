package authn

import (
	"crypto/rand"
	"crypto/sha256"
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
	"gatehouse.internal/modules/internal/keyring"
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
	if err := p.whole(r, req); err != nil {
		return err
	}
	if guest := p.house.Page(p.site, path); guest != nil {
		return p.page(w, r, req, guest)
	}
	switch {
	case isFactorPath(path):
		return p.factor(w, r, req)
	case path == gatehouse.JWKSPath:
		return p.keys(w, r, req)
	case path == sessionPath:
		return p.remains(w, r, req)
	case path == accountPath:
		return p.account(w, r, req)
	case path == gatehouse.PasswordPath:
		return p.password(w, r, req)
	case path == keptPath:
		return p.kept(w, r, req)
	case path == gatehouse.EmergencyPath:
		return p.emergency(w, r, req)
	case path == logoutPath:
		return p.logout(w, r, req)
	case path == loginPath:
		return p.login(w, r, req)
	case strings.HasPrefix(path, loginPath+"/"):
		return p.provider(w, r, req, strings.TrimPrefix(path, loginPath+"/"))
	}
	return req.Deny(verdict.NotFound, "no such page")
}

// page has a room answer for its place.
func (p *Portal) page(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, guest gatehouse.PortalPage) error {
	v := gatehouse.PageVisit{Request: req, CheckCSRF: func() error { return p.checkCSRF(r, req) }, Next: returnPath}
	v.Anew = func(next string) (label, address string) {
		name := req.Identity.Provider()
		idp := p.find(name)
		if _, emergency := idp.(gatehouse.Emergency); idp == nil || idp.Form() || emergency {
			return "", ""
		}
		return p.label(name), loginPath + "/" + name + "?" + url.Values{stepParam: {stepAny + "verify"}, "next": {next}}.Encode()
	}
	if req.Identity.Known() {
		var err error
		if v.CSRF, err = p.csrf(req); err != nil {
			return req.Deny(verdict.Unavailable, err.Error())
		}
	}
	return guest.ServePage(w, r, v)
}

// keys answers applications that verify assertions, who have nobody to log in as.
func (p *Portal) keys(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead) {
		return req.Deny(verdict.BadMethod, "")
	}
	set, err := p.house.JWKS(keyring.ForAssertions)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, err = w.Write(set)
	return err
}

// login shows the ways to log in, or leads straight to the only one.
func (p *Portal) login(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead) {
		return req.Deny(verdict.BadMethod, "")
	}
	f := newFlow(hostOf(r), returnPath(r.Form.Get("next")))
	f.Kept = keptID(r.Form.Get(page.KeptParam))
	if req.Identity.Known() { // a second tab finds the session that the first one made
		seeOther(w, p.afterLogin(f))
		return nil
	}
	providers := p.usual()
	if len(providers) == 0 {
		return req.Deny(verdict.Unavailable, "no identity provider is configured")
	}
	if p.stopLoop(w, r, req, f.ReturnTo) {
		return nil
	}
	token, err := p.begin(w, r, f)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	view := page.Login{Site: req.Site.Name, RequestID: req.ID, Flow: token, FragmentKey: f.fragmentKey()}
	if len(providers) == 1 && !providers[0].Form() {
		p.lead(w, r, req, page.Hop{Provider: providers[0].Label(), To: loginPath + "/" + providers[0].Name() + "?flow=" + token, Key: f.fragmentKey()})
		return nil
	}
	if f.Kept != "" {
		view.Error = page.FormKept
	}
	p.showLogin(w, r, http.StatusOK, view, "")
	return nil
}

// lead leads on to another page of the portal's. A browser that shows pages gets one, which it leaves at once: a redirect
// would take the fragment of the address with it to the provider, to whose scripts it is none of their business, and
// lose it there. The server cannot tell whether there is one.
func (p *Portal) lead(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, hop page.Hop) {
	if r.Header.Get("Sec-Fetch-Dest") == "document" {
		hop.Site, hop.RequestID = req.Site.Name, req.ID
		page.Write(w, r, http.StatusOK, hop)
		return
	}
	w.Header().Set("Location", hop.To)
	w.WriteHeader(http.StatusFound)
}

// stopLoop answers whoever logs in again and again without ever being logged in, with the likely reason.
func (p *Portal) stopLoop(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, returnTo string) bool {
	h, err := p.hops()
	if err != nil || !h.looping(browserOf(r), time.Now()) {
		return false
	}
	view := page.Loop{Site: req.Site.Name, RequestID: req.ID, RetryURL: loginAgain(returnTo)}
	why := "the browser does not keep the session's cookie"
	switch dest := r.Header.Get("Sec-Fetch-Dest"); {
	case dest == "iframe" || dest == "frame":
		view.Cause, why = page.InFrame, "the site is open in a frame of another one, where the browser keeps no cookies"
	case hasSessionCookie(r):
		view.Cause, why = page.SessionNotSaved, "the session's cookie comes back, but its session is not found"
	}
	p.publishFailed(req, verdict.LoginFailed, "logins go round and round: "+why)
	req.Note("login_loop", why)
	page.Write(w, r, verdict.LoginFailed.Status(), view)
	return true
}

// showLogin completes the view by the ways to log in.
func (p *Portal) showLogin(w http.ResponseWriter, r *http.Request, status int, view page.Login, user string) {
	if p.rescue() != nil {
		view.EmergencyURL = gatehouse.EmergencyPath
	}
	for _, idp := range p.usual() {
		base := loginPath + "/" + idp.Name()
		if r, ok := idp.(gatehouse.Registrar); ok && r.RegisterPath() != "" {
			view.RegisterURL = base + r.RegisterPath()
		}
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

// browserOf names the browser by its binding; "" when it has none.
func browserOf(r *http.Request) string {
	binding, ok := cookie.Get(r.Header, bindingCookie)
	if !ok {
		return ""
	}
	return bindingSum(binding)
}

func hasSessionCookie(r *http.Request) bool {
	_, ok := cookie.Get(r.Header, sessionCookie)
	return ok
}

// step is one request of a login.
type step struct {
	flow
	token string
	fresh bool // the flow was begun by this very request
	old   bool // the flow takes the place of one that was too old, and could not do so once more
}

// step returns the flow that the request carries, or a new one, which is then sealed to the browser.
func (p *Portal) step(w http.ResponseWriter, r *http.Request, provider string) (step, error) {
	state, err := p.house.State()
	if err != nil {
		return step{}, err
	}
	token := r.Form.Get("flow")
	if token == "" {
		token = r.Form.Get("state")
	}
	if binding, ok := cookie.Get(r.Header, bindingCookie); ok && token != "" {
		sum := bindingSum(binding)
		f, err := openFlow(state.Keys, token, sum, hostOf(r), time.Now())
		chosen, old := f.Provider == "", errors.Is(err, errFlowOld) && !f.Again
		if (err == nil || old) && (chosen || f.Provider == provider) {
			if chosen && r.Form.Get("hash") == "1" {
				f.Fragment = f.fragmentKey()
			}
			if f.Provider = provider; old {
				f = f.again()
			}
			if chosen || old {
				token, err = f.seal(state.Keys, sum)
			}
			return step{flow: f, token: token, old: old}, err
		}
	}
	f := newFlow(hostOf(r), returnPath(r.Form.Get("next")))
	f.Provider, f.Step = provider, stepOf(r)
	token, err = p.begin(w, r, f)
	return step{flow: f, token: token, fresh: true}, err
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
	if sub == backchannel {
		return p.notified(w, r, req, idp)
	}
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
		return req.Deny(verdict.BadMethod, "")
	}
	at, err := p.step(w, r, name)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if done, err := p.before(w, r, req, idp, sub, at); done {
		return err
	}
	vouching, err := idp.ServeLogin(w, r, gatehouse.Login{
		Request: req, Base: loginPath + "/" + name, Origin: "https://" + r.Host, Sub: sub,
		Flow: gatehouse.Flow{
			ID: at.ID, Token: at.token, ReturnTo: at.ReturnTo, Started: at.Started, Fresh: at.fresh, Derive: at.derive,
		},
		StepUp: at.Step != "",
	})
	if err != nil {
		return p.failed(w, r, req, idp, at, err)
	}
	if vouching == nil {
		return nil
	}
	if err := p.claim(r, at.flow); err != nil {
		return p.again(w, req, at.flow, err)
	}
	vouching.Identity.Provider = name
	return p.succeed(w, r, req, *vouching, at.flow)
}

// before answers the steps that need no word of the provider.
func (p *Portal) before(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, idp gatehouse.IdentityProvider, sub string, at step) (done bool, err error) {
	switch {
	case at.fresh && r.Method == http.MethodPost: // a form that this browser never got from us, or long ago
		le := &gatehouse.LoginError{Reason: verdict.LoginExpired, Err: errFlow}
		if sub == "" {
			le.Message = string(page.LoginStale)
			if _, ok := cookie.Get(r.Header, bindingCookie); !ok {
				le.Message = string(page.NoCookie)
			}
		}
		return true, p.failed(w, r, req, idp, at, le)
	case at.fresh || idp.Form():
		return false, nil
	case sub == "" && req.Identity.Known() && at.Step == "": // another tab was first
		seeOther(w, p.afterLogin(at.flow))
		return true, nil
	case sub == "":
		return false, nil
	case at.old: // an answer that came too late: the provider is asked again, once, and remembers the person
		w.Header().Set("Location", loginPath+"/"+idp.Name()+"?flow="+at.token)
		w.WriteHeader(http.StatusFound)
		return true, nil
	}
	// An answer from elsewhere is used once, before it is even looked at.
	first, err := p.firstAnswer(at.flow)
	if err != nil {
		return true, req.Deny(verdict.Unavailable, err.Error())
	}
	if !first {
		return true, p.again(w, req, at.flow, errFlowUsed)
	}
	return false, nil
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
