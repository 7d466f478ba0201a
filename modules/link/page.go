package link

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/form"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	// tokenParam brings the token in the address that is sent to people. Queries are in no log.
	tokenParam = "t"

	// pendingCookie holds the token between the address and the button, so that no page and no other address has it, and the
	// cookie's value of the session to come: a double click begins one session.
	pendingCookie = cookie.Ours + "-link"
	pendingFor    = 10 * time.Minute

	leave = "leave" // the value of the form's field do that ends the access
)

// visit is one request for the page.
type visit struct {
	*Authenticator
	w    http.ResponseWriter
	r    *http.Request
	req  *gatehouse.Request
	book *Book
}

// ServePage implements [gatehouse.PortalPage].
func (a *Authenticator) ServePage(w http.ResponseWriter, r *http.Request, pv gatehouse.PageVisit) error {
	req := pv.Request
	book, err := a.opened()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	v := visit{a, w, r, req, book}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if q := r.URL.Query(); q.Has(tokenParam) {
			return v.arrive(q.Get(tokenParam))
		}
		return v.show()
	case http.MethodPost:
		if !form.SameOrigin(r) {
			return req.Deny(verdict.CrossOrigin, "the form of a link")
		}
		if r.PostForm.Get("do") == leave {
			return v.leave()
		}
		return v.open()
	}
	w.Header().Set("Allow", "GET, HEAD, POST")
	return req.Deny(verdict.BadMethod, "")
}

// arrive takes the token out of the address: into a cookie, and on to the same page without it. Nothing is used by that.
func (v visit) arrive(text string) error {
	l, err := v.book.Look(v.r.Context(), text, whereOf(v.r, v.req))
	if err != nil {
		return v.refuse(text, err)
	}
	err = cookie.Set(v.w.Header(), pendingCookie, text+"."+NewSession(), cookie.Options{MaxAge: pendingFor, SameSite: http.SameSiteLaxMode})
	if err != nil {
		return v.req.Deny(verdict.Internal, err.Error())
	}
	v.req.Note("link", l.ID)
	v.to(gatehouse.LinkPath)
	return nil
}

// show asks whether the link shall be opened now; without one, whether an access shall end.
func (v visit) show() error {
	view := page.GuestLink{Site: v.req.Site.Name, RequestID: v.req.ID, Action: gatehouse.LinkPath}
	text, _, ok := v.pending()
	if !ok {
		status := http.StatusOK
		if l, t := v.current(); l != nil {
			view.Leave, view.Lasts = leave, time.Until(t.Credential.Until)
		} else {
			view.Error, status = page.NoCookie, verdict.LinkInvalid.Status()
		}
		page.Write(v.w, v.r, status, view)
		return nil
	}
	l, err := v.book.Look(v.r.Context(), text, whereOf(v.r, v.req))
	if err != nil {
		return v.refuse(text, err)
	}
	presented.WithLabelValues("shown").Inc()
	v.req.Note("link", l.ID)
	view.Lasts, view.Left, view.Pin = min(l.Lasts, time.Until(l.Expires)), l.MaxUses-l.Uses, l.Pin && !l.Pinned.IsValid()
	page.Write(v.w, v.r, http.StatusOK, view)
	return nil
}

// open exchanges the token for a session. The one that the browser had before ends.
func (v visit) open() error {
	text, value, ok := v.pending()
	if !ok {
		return v.refuse("", ErrUnknown)
	}
	name, l, err := v.book.Open(v.r.Context(), text, value, whereOf(v.r, v.req))
	if err != nil {
		return v.refuse(text, err)
	}
	if before, ok := cookie.Get(v.r.Header, cookie.Guest); ok && before != value {
		if err := v.book.Leave(v.r.Context(), before); err != nil {
			return v.req.Deny(verdict.Unavailable, err.Error())
		}
	}
	h := v.w.Header()
	err = cookie.Set(h, cookie.Guest, value, cookie.Options{MaxAge: l.Lasts, SameSite: http.SameSiteLaxMode})
	if err := errors.Join(err, cookie.Clear(h, pendingCookie)); err != nil {
		return v.req.Deny(verdict.Internal, err.Error())
	}
	presented.WithLabelValues("opened").Inc()
	v.req.Note("link", l.ID)
	v.publish(l, name)
	v.to(l.Start)
	return nil
}

// pending is what the address has left for the button.
func (v visit) pending() (text, value string, ok bool) {
	both, ok := cookie.Get(v.r.Header, pendingCookie)
	text, value, _ = strings.Cut(both, ".")
	return text, value, ok
}

// publish says that a link was opened.
func (v visit) publish(l *Link, session string) {
	state, err := v.house.State()
	if err != nil {
		return // the access log still says it
	}
	e := v.req.Event(event.LinkOpened)
	e.User, e.Session = identity.HouseLinks+":"+l.ID, session
	e.Attrs = []event.Attr{{Key: "use", Value: fmt.Sprintf("%d of %d", l.Uses, l.MaxUses)}}
	state.Bus.Publish(e)
}

// leave ends the guest's session.
func (v visit) leave() error {
	if value, ok := cookie.Get(v.r.Header, cookie.Guest); ok {
		if err := v.book.Leave(v.r.Context(), value); err != nil {
			return v.req.Deny(verdict.Unavailable, err.Error())
		}
	}
	_ = cookie.Clear(v.w.Header(), cookie.Guest) // a constant name
	page.Write(v.w, v.r, http.StatusOK, page.LoggedOut{Site: v.req.Site.Name, RequestID: v.req.ID})
	return nil
}

// current returns the link whose session the browser has, or nil.
func (v visit) current() (*Link, *testimony) {
	value, ok := cookie.Get(v.r.Header, cookie.Guest)
	if !ok {
		return nil, nil
	}
	l, t, err := v.book.Session(v.r.Context(), value, whereOf(v.r, v.req))
	if err != nil {
		return nil, nil
	}
	return l, t
}

// refuse says that the link does not count, and to the person nothing about why. Who has just opened it, and asks once more after
// a double click or from the mail, goes where it leads.
func (v visit) refuse(text string, err error) error {
	if !IsVerdict(err) {
		return v.req.Deny(verdict.Unavailable, err.Error())
	}
	if id, ok := Text.Read(text); ok && errors.Is(err, ErrUsedUp) {
		if l, _ := v.current(); l != nil && l.ID == id {
			_ = cookie.Clear(v.w.Header(), pendingCookie)
			v.to(l.Start)
			return nil
		}
	}
	_ = cookie.Clear(v.w.Header(), pendingCookie)
	presented.WithLabelValues("refused").Inc()
	detail := "link: " + err.Error()
	if id, ok := Text.Read(text); ok {
		detail = "the link " + id + ": " + err.Error()
	}
	return v.req.Deny(verdict.LinkInvalid, detail)
}

// to leads on to a path of this site, and tells it nothing of where from.
func (v visit) to(path string) {
	v.w.Header().Set("Referrer-Policy", "no-referrer")
	v.w.Header().Set("Location", path)
	v.w.WriteHeader(http.StatusSeeOther)
}
