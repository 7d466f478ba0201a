package page

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// In every page, Site is the name of the site and RequestID the id of the request, both optional and shown escaped.
// Every URL and Action must be a path on the same host.

// Login asks a person to sign in.
//
// Providers are links, in this order; one whose URL is not a path on the same host is left out. Local, when given, is
// the form for a name and a password. Flow is sent with it. When there is neither, the page says so.
// Error is what went wrong before; "" for nothing. Wait, when positive, is told with [Paused].
//
// When the address has a fragment, a script sends the form so that the answer's address has it too; for the providers it
// is put into the tab's session storage as FragmentKey, and their links get "&hash=1". Their URLs must have a query.
type Login struct {
	Site        string
	RequestID   string
	Flow        string
	FragmentKey string
	Providers   []Button
	Local       *LocalForm
	Error       Message
	Wait        time.Duration

	RegisterURL  string // where people ask for an account; "": nowhere
	EmergencyURL string // where they get in when the usual ways are shut; "": nowhere
}

// Button leads to an identity provider, through the gateway. Label completes "Continue with".
type Button struct{ Label, URL string }

// LocalForm is posted to Action with the fields flow, username and password. Username is filled in when given.
type LocalForm struct{ Action, Username string }

// Setup asks for the name and the password of the first administrator.
//
// It is posted to Action with the fields flow, token, username, password and password_again. Token is the setup code;
// the page asks for it when it is empty or was not valid. MinPassword is the least number of characters; 0 says nothing about it.
type Setup struct {
	Site        string
	RequestID   string
	Action      string
	Flow        string
	Token       string
	Username    string
	MinPassword int
	Error       Message
}

// Logout asks a person to confirm that they want to sign out. It is posted to Action with the field csrf.
// Name is who is signed in. CancelURL leads back; it is left out when empty.
type Logout struct {
	Site      string
	RequestID string
	Name      string
	Action    string
	CSRF      string
	CancelURL string
}

// LoggedOut tells a person that they have signed out here. LoginURL signs in again.
//
// Provider and ProviderURL lead to signing out at the identity provider too, at an https URL: the only link off this
// host. It is a link, and not a redirect, because a form's answer must not redirect to another host (see [Write]). With
// Lead the browser follows it by itself, which the policy does not forbid: the answer says Refresh.
type LoggedOut struct {
	Site        string
	RequestID   string
	LoginURL    string
	Provider    string
	ProviderURL string
	Lead        bool
}

// Loop tells a person that the login went round and round, and why that probably is. RetryURL begins again.
type Loop struct {
	Site      string
	RequestID string
	Cause     Cause
	RetryURL  string
}

// Cause is why a login goes round and round.
type Cause int

// The causes.
const (
	CookieNotKept   Cause = iota // the browser came back without the session's cookie
	InFrame                      // the same, and the site was opened within another one
	SessionNotSaved              // the browser did send the cookie, but the session was not found
)

// Hop is a page that a browser leaves at once, for To, which must have a query. It is there for the fragment of the
// address, which no server sees: on the way to a Provider it is put into the tab's session storage under Key, and To
// gets "&hash=1"; on the way Back it is taken from there and put behind To. Without scripts, the fragment is lost and
// nothing else.
type Hop struct {
	Site      string
	RequestID string
	Provider  string
	To        string
	Key       string
	Back      bool
}

var (
	loginPage     = parse("login")
	setupPage     = parse("setup")
	logoutPage    = parse("logout")
	loggedOutPage = parse("loggedout")
	loopPage      = parse("loop")
	hopPage       = parse("hop")

	loginScript = parseScript("login")
	hopScript   = parseScript("hop")
	backScript  = parseScript("back")
)

func (p Login) content(l *tongue) (content, bool) {
	p.Providers = slices.DeleteFunc(slices.Clone(p.Providers), func(b Button) bool { return !local(b.URL) })
	for i := range p.Providers {
		p.Providers[i].Label = l.label(p.Providers[i].Label)
	}
	if !local(p.RegisterURL) {
		p.RegisterURL = ""
	}
	if !local(p.EmergencyURL) {
		p.EmergencyURL = ""
	}
	alert := p.Error.alert(l)
	if wait := l.span(wholeSeconds(p.Wait)); p.Error == Paused && wait != "" {
		alert.Text = fmt.Sprintf(l.words.PausedFor, wait)
	}
	return content{
		template: loginPage, Script: loginScript,
		Title: l.words.SignIn, Site: p.Site, RequestID: p.RequestID, Alert: alert, Page: p,
	}, p.Local == nil || local(p.Local.Action)
}

func (p Setup) content(l *tongue) (content, bool) {
	if p.Error == TokenInvalid {
		p.Token = "" // ask for it: what a person cannot see, they cannot correct
	}
	return content{
		template: setupPage,
		Title:    l.words.SetupTitle, Site: p.Site, RequestID: p.RequestID, Alert: p.Error.alert(l), Page: p,
	}, local(p.Action)
}

func (p Logout) content(l *tongue) (content, bool) {
	if !local(p.CancelURL) {
		p.CancelURL = ""
	}
	return content{
		template: logoutPage,
		Title:    l.words.LogoutTitle, Site: p.Site, RequestID: p.RequestID, Page: p,
	}, local(p.Action)
}

func (p LoggedOut) content(l *tongue) (content, bool) {
	if !local(p.LoginURL) {
		p.LoginURL = ""
	}
	if !foreign(p.ProviderURL) {
		p.ProviderURL = ""
	}
	p.Provider = cmp.Or(l.label(p.Provider), l.words.ThatService)
	refresh := ""
	if p.Lead = p.Lead && p.ProviderURL != ""; p.Lead {
		refresh = p.ProviderURL
	}
	return content{
		template: loggedOutPage, refresh: refresh,
		Title: l.words.LoggedOutTitle, Site: p.Site, RequestID: p.RequestID, Page: p,
	}, true
}

func (p Loop) content(l *tongue) (content, bool) {
	why := l.words.LoopCookie
	switch p.Cause {
	case InFrame:
		why = l.words.LoopFrame
	case SessionNotSaved:
		why = l.words.LoopEnded
	}
	return content{
		template: loopPage,
		Title:    l.words.LoopTitle, Site: p.Site, RequestID: p.RequestID,
		Page: struct{ Why, RetryURL string }{why, p.RetryURL},
	}, local(p.RetryURL)
}

func (p Hop) content(l *tongue) (content, bool) {
	title, lead, code := l.words.HopTitle, fmt.Sprintf(l.words.HopLead, p.Provider), hopScript
	if p.Back {
		title, lead, code = l.words.BackTitle, l.words.BackLead, backScript
	}
	return content{
		template: hopPage, Script: code,
		Title: title, Site: p.Site, RequestID: p.RequestID,
		Page: struct{ Lead, To, Key string }{lead, p.To, p.Key},
	}, local(p.To)
}
