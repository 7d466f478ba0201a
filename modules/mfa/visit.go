package mfa

import (
	"cmp"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	appPath     = gatehouse.FactorPath + "/app"
	passkeyPath = gatehouse.FactorPath + "/passkey"
	accountPath = gatehouse.PortalPrefix + "account"
	logoutPath  = gatehouse.PortalPrefix + "logout"

	// manageAge is how old a proof may be by which factors are added and removed: whoever finds an open browser must not be
	// able to make it theirs.
	manageAge = 10 * time.Minute
)

// visit is one request to the pages, with what answering it needs.
type visit struct {
	gatehouse.FactorVisit
	m        *Module
	state    *gatehouse.State
	accounts accounts
	tickets  tickets
	req      *gatehouse.Request
	who      identity.Identity
	w        http.ResponseWriter
	r        *http.Request
}

// ServeFactor implements [gatehouse.SecondFactor].
func (m *Module) ServeFactor(w http.ResponseWriter, r *http.Request, fv gatehouse.FactorVisit) (*gatehouse.FactorProven, error) {
	v, err := m.visit(w, r, fv)
	if err != nil {
		return nil, fv.Request.Deny(verdict.Unavailable, err.Error())
	}
	post := r.Method == http.MethodPost
	switch {
	case !post && r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, POST")
		return nil, v.req.Deny(verdict.BadMethod, "")
	case fv.Path == "" && post:
		return nil, v.change()
	case fv.Path == "":
		return nil, v.show()
	case fv.Path == "/app" && post:
		return v.enrolApp()
	case fv.Path == "/app":
		return nil, v.showApp("")
	case fv.Path == "/passkey" && post:
		return v.enrolPasskey()
	case fv.Path == "/passkey":
		return nil, v.showPasskey("")
	case fv.Path == "/verify" && post:
		return v.prove()
	case fv.Path == "/verify":
		return nil, v.ask()
	case fv.Path == "/nudge" && !post:
		v.write(page.Nudge{
			Site: v.req.Site.Name, RequestID: v.req.ID, SetupURL: v.managed(""), Action: gatehouse.FactorPath, CSRF: v.CSRF, Next: v.next(),
		})
		return nil, nil
	}
	return nil, v.req.Deny(verdict.NotFound, "no such page")
}

func (m *Module) visit(w http.ResponseWriter, r *http.Request, fv gatehouse.FactorVisit) (*visit, error) {
	accounts, state, err := m.accounts()
	if err != nil {
		return nil, err
	}
	return &visit{
		FactorVisit: fv, m: m, state: state, accounts: accounts, tickets: tickets{store: state.Store, keys: state.Keys},
		req: fv.Request, who: fv.Request.Identity.Identity(), w: w, r: r,
	}, nil
}

// account reads the person's record.
func (v *visit) account() (account, error) {
	a, err := v.accounts.get(v.r.Context(), v.who)
	if err != nil {
		return a, v.req.Deny(verdict.Unavailable, err.Error())
	}
	return a, nil
}

func (v *visit) write(p page.Page) { page.Write(v.w, v.r, http.StatusOK, p) }

func (v *visit) seeOther(path string) {
	v.w.Header().Set("Location", path)
	v.w.WriteHeader(http.StatusSeeOther)
}

// next is where the person wants to go on to.
func (v *visit) next() string { return v.Next(v.r.Form.Get("next")) }

// managed is a page of the room, with where to go on to from there.
func (v *visit) managed(path string) string {
	path = gatehouse.FactorPath + path
	if next := v.next(); next != "/" {
		path += "?next=" + url.QueryEscape(next)
	}
	return path
}

// site is where passkeys are made and used from here.
func (v *visit) site() site {
	host := strings.ToLower(v.r.Host)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return site{host: host, origin: v.Origin, name: v.issuer(), aaguids: v.m.aaguids}
}

func (v *visit) issuer() string { return cmp.Or(v.m.IssuerLabel, v.req.Site.Name, "Gatehouse") }

func (v *visit) bound() []byte {
	return binding(userOf(v.who), v.req.Identity.Session(), strings.ToLower(v.r.Host))
}

// record says that the person's factors are others now, and returns when that is durable: nobody is told before.
func (v *visit) record(kind event.Kind, detail string, facts ...event.Attr) error {
	e := v.req.Event(kind)
	e.Detail, e.Attrs = detail, facts
	if err := v.state.Bus.Record(e); err != nil {
		return v.req.Deny(verdict.Unavailable, err.Error())
	}
	return nil
}

// publish says what happened to the person's factors.
func (v *visit) publish(kind event.Kind, detail string, facts ...event.Attr) {
	e := v.req.Event(kind)
	e.Detail, e.Attrs = detail, facts
	v.state.Bus.Publish(e)
}

// mayManage reports whether the person may change their factors now: when they have none, or have proven one just now. It
// has answered otherwise, by asking.
func (v *visit) mayManage(a account) bool {
	if !a.enrolled() || v.req.Identity.Factor().Within(manageAge) {
		return true
	}
	v.seeOther(verifyPath + "?next=" + url.QueryEscape(v.managed(v.Path)))
	return false
}

// show shows the person's factors.
func (v *visit) show() error {
	a, err := v.account()
	if err != nil {
		return err
	}
	if !v.mayManage(a) {
		return nil
	}
	view := page.Factors{
		Site: v.req.Site.Name, RequestID: v.req.ID, Action: gatehouse.FactorPath, CSRF: v.CSRF,
		AppURL: v.managed("/app"), PasskeyURL: v.managed("/passkey"), AccountURL: accountPath,
		Codes: left(a.Codes), CodesOf: len(a.Codes), Now: time.Now(),
	}
	if v.m.policy.demands(v.req.Identity) != "" && !v.req.Identity.Factor().Given() {
		view.Must, view.AccountURL = true, ""
	}
	switch v.r.Form.Get("done") {
	case "added":
		view.Done = page.FactorAdded
	case "removed":
		view.Done = page.FactorRemoved
	}
	if t := a.TOTP; t != nil {
		view.App = &page.FactorRow{Added: t.Added, Used: t.Used}
	}
	for _, p := range a.Passkeys {
		row := page.FactorRow{ID: p.ref(), Name: p.Name, Added: p.Added, Used: p.Used}
		if p.Site != v.site().host {
			row.Site = p.Site
		}
		view.Passkeys = append(view.Passkeys, row)
	}
	v.write(view)
	return nil
}

// change does what the forms of the room's first page ask for.
func (v *visit) change() error {
	do := v.r.PostForm.Get("do")
	if do == "later" {
		return v.dismiss()
	}
	a, err := v.account()
	if err != nil {
		return err
	}
	if !v.mayManage(a) {
		return nil
	}
	if do == "codes" {
		return v.newCodes()
	}
	what, ok := strings.CutPrefix(do, "remove-")
	if !ok {
		return v.req.Deny(verdict.BadRequest, "what to do with the factors is not said")
	}
	var gone string
	err = v.accounts.update(v.r.Context(), v.who, func(a *account) error {
		gone = ""
		if what == "app" && a.TOTP != nil {
			a.TOTP, gone = nil, identity.TOTP
		}
		for i := range a.Passkeys {
			if a.Passkeys[i].ref() == what {
				a.Passkeys, gone = append(a.Passkeys[:i:i], a.Passkeys[i+1:]...), identity.Passkey
				break
			}
		}
		if gone == "" {
			return errNone
		}
		a.complete()
		return nil
	})
	switch {
	case errors.Is(err, errNone): // gone already: that is what was wanted
	case err != nil:
		return v.req.Deny(verdict.Unavailable, err.Error())
	default:
		if err := v.record(event.FactorRemoved, "", event.Attr{Key: "factor", Value: gone}); err != nil {
			return err
		}
	}
	v.seeOther(gatehouse.FactorPath + "?done=removed")
	return nil
}

// dismiss notes that the person does not want a factor now, and lets them go on.
func (v *visit) dismiss() error {
	err := v.accounts.update(v.r.Context(), v.who, func(a *account) error {
		a.Dismissed++
		return nil
	})
	if err != nil {
		return v.req.Deny(verdict.Unavailable, err.Error())
	}
	v.seeOther(v.next())
	return nil
}

// newCodes makes new backup codes, and shows them this once. The old ones are gone.
func (v *visit) newCodes() error {
	var shown []string
	err := v.accounts.update(v.r.Context(), v.who, func(a *account) error {
		if !a.enrolled() {
			return errNone
		}
		shown = a.renewCodes()
		return nil
	})
	switch {
	case errors.Is(err, errNone):
		v.seeOther(gatehouse.FactorPath)
		return nil
	case err != nil:
		return v.req.Deny(verdict.Unavailable, err.Error())
	}
	if err := v.record(event.FactorEnrolled, "new backup codes; the old ones are void", event.Attr{Key: "factor", Value: identity.BackupCode}); err != nil {
		return err
	}
	v.write(page.BackupCodes{Site: v.req.Site.Name, RequestID: v.req.ID, Codes: shown, ContinueURL: gatehouse.FactorPath})
	return nil
}

// newHandle is what passkeys call a person who has none yet.
func newHandle() []byte {
	handle := make([]byte, 32)
	rand.Read(handle) // never fails (crypto/rand)
	return handle
}
