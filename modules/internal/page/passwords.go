package page

import "fmt"

// Password asks for a new password.
//
// It is posted to Action with the fields flow, csrf and ticket, as given; current when AskCurrent says so, and password
// and password_again. Username is whose password it is: shown, and there for password managers. MinPassword is the least
// number of characters. CancelURL leads back; it is left out when empty.
type Password struct {
	Site, RequestID string
	Action          string
	Flow            string
	CSRF            string
	Ticket          string
	Username        string
	AskCurrent      bool
	Why             Why
	MinPassword     int
	CancelURL       string
	Error           Message
}

// Why is why a new password is asked for.
type Why int

// The reasons.
const (
	WhyWanted      Why = iota // the person wants to change it
	WhyFirst                  // there is none yet, or no more
	WhyCompromised            // somebody else may know it
	WhyLeaked                 // it became known elsewhere
	WhyTooWeak                // it would not be accepted today
)

// Register asks for what an administrator needs to decide about a new account. It is posted to Action with the fields flow,
// username, name, email, password and password_again. LoginURL leads back.
type Register struct {
	Site, RequestID       string
	Action                string
	Flow                  string
	Username, Name, Email string
	MinPassword           int
	LoginURL              string
	Error                 Message
}

// Notice tells a person that something is done, or cannot be, and offers one way on, to a path on this host.
type Notice struct {
	Site, RequestID string
	Of              NoticeKind
	URL             string // "" offers nothing
}

// NoticeKind is what a Notice is about.
type NoticeKind int

// The kinds.
const (
	Registered   NoticeKind = iota // the request for an account was taken; URL: the login
	PasswordSet                    // the password was changed; URL: the account
	LinkOver                       // the link to set a password is not valid, or no longer; URL: the login
	DevicePaired                   // a program gets a key; URL: the keys
	DeviceDenied                   // it does not; URL: the keys
)

// BreakGlass asks for a sealed code and for why it has to be used. It is posted to Action with the fields flow, code and
// purpose. Any says that there are codes; without, the page says so and has no form.
type BreakGlass struct {
	Site, RequestID string
	Action          string
	Flow            string
	Purpose         string
	Any             bool
	LoginURL        string
	Error           Message
	Minutes         int // for how long the access lasts
}

// BreakOpen asks whether the session that a broken seal allows shall be opened now. It is posted to Action with the fields flow
// and token.
type BreakOpen struct {
	Site, RequestID     string
	Action, Flow, Token string
	Minutes             int // for how long the access lasts
}

var (
	breakOpenPage  = parse("breakopen")
	passwordPage   = parse("password")
	registerPage   = parse("register")
	noticePage     = parse("notice")
	breakGlassPage = parse("breakglass")
)

func (p Password) content(l *tongue) (content, bool) {
	title, lead := l.words.ChangePassword, l.words.PasswordKeeps
	switch p.Why {
	case WhyFirst:
		title, lead = l.words.ChoosePassword, l.words.PasswordFirst
	case WhyCompromised:
		title, lead = l.words.ChooseNewPassword, l.words.PasswordExposed
	case WhyLeaked:
		title, lead = l.words.ChooseNewPassword, l.words.PasswordKnown
	case WhyTooWeak:
		title, lead = l.words.ChooseNewPassword, l.words.PasswordOld
	}
	if !local(p.CancelURL) {
		p.CancelURL = ""
	}
	return content{
		template: passwordPage,
		Title:    title, Site: p.Site, RequestID: p.RequestID, Alert: p.Error.alert(l),
		Page: struct {
			Password
			Lead string
		}{p, lead},
	}, local(p.Action)
}

func (p Register) content(l *tongue) (content, bool) {
	if !local(p.LoginURL) {
		p.LoginURL = ""
	}
	return content{
		template: registerPage,
		Title:    l.words.RegisterTitle, Site: p.Site, RequestID: p.RequestID, Alert: p.Error.alert(l), Page: p,
	}, local(p.Action)
}

func (p Notice) content(l *tongue) (content, bool) {
	w := &l.words
	title, text, button := w.RegisteredTitle, w.RegisteredText, w.SignIn
	switch p.Of {
	case PasswordSet:
		title, text, button = w.PasswordSetTitle, w.PasswordSetText, w.AccountTitle
	case LinkOver:
		title, text = w.LinkOverTitle, w.LinkOverText
	case DevicePaired:
		title, text, button = w.DevicePairedTitle, w.DevicePairedText, w.KeysTitle
	case DeviceDenied:
		title, text, button = w.DeviceDeniedTitle, w.DeviceDeniedText, w.KeysTitle
	}
	return content{
		template: noticePage,
		Title:    title, Site: p.Site, RequestID: p.RequestID,
		Page: struct{ Text, Button, URL string }{text, button, p.URL},
	}, p.URL == "" || local(p.URL)
}

func (p BreakGlass) content(l *tongue) (content, bool) {
	if !local(p.LoginURL) {
		p.LoginURL = ""
	}
	return content{
		template: breakGlassPage,
		Title:    l.words.BreakTitle, Site: p.Site, RequestID: p.RequestID, Alert: p.Error.alert(l),
		Page: struct {
			BreakGlass
			Lasts string
		}{p, fmt.Sprintf(l.words.BreakLasts, l.span(int64(p.Minutes)*60))},
	}, local(p.Action)
}

func (p BreakOpen) content(l *tongue) (content, bool) {
	return content{
		template: breakOpenPage,
		Title:    l.words.BreakTitle, Site: p.Site, RequestID: p.RequestID,
		Page: struct {
			BreakOpen
			Lasts string
		}{p, fmt.Sprintf(l.words.BreakLasts, l.span(int64(p.Minutes)*60))},
	}, local(p.Action)
}
