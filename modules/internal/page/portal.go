package page

import (
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
type Login struct {
	Site      string
	RequestID string
	Flow      string
	Providers []Button
	Local     *LocalForm
	Error     Message
	Wait      time.Duration
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

// Account tells a person who they are signed in as, and since when. The form to sign out is posted to LogoutURL with
// the field csrf; it is left out when LogoutURL is empty.
type Account struct {
	Site      string
	RequestID string
	Name      string
	Email     string
	Provider  string
	Roles     []string
	Since     time.Time
	LogoutURL string
	CSRF      string
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
// host. It is a link, and not a redirect, because a form's answer must not redirect to another host (see [Write]).
type LoggedOut struct {
	Site        string
	RequestID   string
	LoginURL    string
	Provider    string
	ProviderURL string
}

var (
	loginPage     = parse("login")
	setupPage     = parse("setup")
	accountPage   = parse("account")
	logoutPage    = parse("logout")
	loggedOutPage = parse("loggedout")
)

func (p Login) content() (content, bool) {
	p.Providers = slices.DeleteFunc(slices.Clone(p.Providers), func(b Button) bool { return !local(b.URL) })
	alert := p.Error.alert()
	if wait := inWords(wholeSeconds(p.Wait)); p.Error == Paused && wait != "" {
		alert.Text = "That was one attempt too many. Please wait " + wait + " before you try again."
	}
	return content{
		template: loginPage,
		Title:    "Sign in", Site: p.Site, RequestID: p.RequestID, Alert: alert, Page: p,
	}, p.Local == nil || local(p.Local.Action)
}

func (p Setup) content() (content, bool) {
	if p.Error == TokenInvalid {
		p.Token = "" // ask for it: what a person cannot see, they cannot correct
	}
	return content{
		template: setupPage,
		Title:    "Create the first administrator", Site: p.Site, RequestID: p.RequestID, Alert: p.Error.alert(), Page: p,
	}, local(p.Action)
}

func (p Account) content() (content, bool) {
	return content{
		template: accountPage,
		Title:    "Your account", Site: p.Site, RequestID: p.RequestID, Page: p,
	}, p.LogoutURL == "" || local(p.LogoutURL)
}

// SinceText and SinceTime are the beginning of the session for people and for programs.
func (p Account) SinceText() string { return p.Since.UTC().Format("2 January 2006, 15:04 UTC") }
func (p Account) SinceTime() string { return p.Since.UTC().Format(time.RFC3339) }

func (p Logout) content() (content, bool) {
	if !local(p.CancelURL) {
		p.CancelURL = ""
	}
	return content{
		template: logoutPage,
		Title:    "Sign out?", Site: p.Site, RequestID: p.RequestID, Page: p,
	}, local(p.Action)
}

func (p LoggedOut) content() (content, bool) {
	if !local(p.LoginURL) {
		p.LoginURL = ""
	}
	if !foreign(p.ProviderURL) {
		p.ProviderURL = ""
	}
	return content{
		template: loggedOutPage,
		Title:    "You are signed out", Site: p.Site, RequestID: p.RequestID, Page: p,
	}, true
}
