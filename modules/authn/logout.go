package authn

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/verdict"
)

// endURLIn bounds how long a logout waits for the provider: the person is logged out here either way.
const endURLIn = 3 * time.Second

// logout asks whether the person wants to log out, and does it. Whoever comes back from the provider's own logout is
// nobody by then, and is told that it is done.
func (p *Portal) logout(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !req.Identity.Known() {
		page.Write(w, r, http.StatusOK, page.LoggedOut{Site: req.Site.Name, RequestID: req.ID, LoginURL: loginPath})
		return nil
	}
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
		return req.Deny(verdict.BadMethod, "")
	}
	if r.Method == http.MethodPost {
		if err := p.checkCSRF(r, req); err != nil {
			return err
		}
		return p.logOut(w, r, req)
	}
	csrf, err := p.csrf(req)
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	page.Write(w, r, http.StatusOK, page.Logout{
		Site: req.Site.Name, RequestID: req.ID, Name: nameOf(req), Action: logoutPath, CSRF: csrf, CancelURL: "/",
	})
	return nil
}

// logOut ends this session, and leads to the provider's own logout if it has one.
func (p *Portal) logOut(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	view := page.LoggedOut{
		Provider: p.label(req.Identity.Identity().Provider), ProviderURL: p.endURL(r, req), // before the session is gone
		Lead: p.policy.ProviderLogout,
	}
	if err := p.end(r); err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	p.publishEnd(req, req.Identity.Session(), "logout")
	p.farewell(w, r, req, view)
	return nil
}

// endURL is where the person logs out at their provider too, or "". They are logged out here either way.
func (p *Portal) endURL(r *http.Request, req *gatehouse.Request) string {
	ender, ok := p.find(req.Identity.Identity().Provider).(gatehouse.Ender)
	if !ok {
		return ""
	}
	ctx, cancel := context.WithTimeout(r.Context(), endURLIn)
	defer cancel()
	url, err := ender.EndURL(ctx, p.keptByProvider(r), "https://"+r.Host+logoutPath, rand.Text())
	if err != nil {
		req.Note("provider_logout", err.Error())
		return ""
	}
	return url
}

// keptByProvider is what the provider needs to know which of its sessions is meant; nil when it cannot be had.
func (p *Portal) keptByProvider(r *http.Request) []byte {
	token, ok := cookie.Get(r.Header, sessionCookie)
	if !ok {
		return nil
	}
	sessions, err := p.sessions()
	if err != nil {
		return nil
	}
	keep, err := sessions.Kept(r.Context(), token)
	if err != nil {
		return nil
	}
	return keep
}

// farewell has the browser forget the session, and everything else if the house wants that, and tells the person.
func (p *Portal) farewell(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, view page.LoggedOut) {
	_ = cookie.Clear(w.Header(), sessionCookie) // fails for other names only
	if p.policy.ClearSiteData {
		w.Header().Set("Clear-Site-Data", `"cache","cookies","storage"`)
	}
	if h, err := p.hops(); err == nil {
		h.forget(browserOf(r))
	}
	view.Site, view.RequestID, view.LoginURL = req.Site.Name, req.ID, loginPath
	page.Write(w, r, http.StatusOK, view)
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
