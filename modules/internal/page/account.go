package page

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Account tells a person who they are signed in as, since when, and where else.
//
// The form to sign out is posted to LogoutURL with the field csrf; it is left out when LogoutURL is empty. Each of the
// other forms is posted to Action with the fields csrf and end, which is a session's ID, "others" or "all"; they are left
// out when Action is empty. Done says that one of them has just done its work. Now is when "ago" is counted from.
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

	PasswordURL string // where the person changes their password; "": not here
	FactorsURL  string // where the person has their second factors; "": nowhere
	DevicesURL  string // where the person has their devices and networks; "": nowhere
	KeysURL     string // where the person has the keys of their programs; "": nowhere

	Sessions []Session
	Action   string
	Done     bool
	Now      time.Time
}

// Session is one of a person's sessions. Agent is the browser as [Agent] names it; Network where it comes from, Site where it is
// used, both shown as they are. Zero fields are left out.
type Session struct {
	ID, Agent, Network, Site string
	Since, Used              time.Time
	This                     bool
}

// accountView is what the template of an account shows.
type accountView struct {
	Account
	SinceText, SinceTime string
	Rows                 []sessionView
	Others               bool // there are more than this session
}

// sessionView is a session in words.
type sessionView struct {
	Session
	Device, SinceText, SinceTime, UsedText, UsedTime string
}

var accountPage = parse("account")

func (p Account) content(l *tongue) (content, bool) {
	p.Provider = l.label(p.Provider)
	if !local(p.PasswordURL) {
		p.PasswordURL = ""
	}
	if !local(p.FactorsURL) {
		p.FactorsURL = ""
	}
	if !local(p.DevicesURL) {
		p.DevicesURL = ""
	}
	if !local(p.KeysURL) {
		p.KeysURL = ""
	}
	v := accountView{Account: p, SinceText: l.moment(p.Since), SinceTime: stamp(p.Since)}
	for _, s := range p.Sessions {
		row := sessionView{Session: s, Device: l.device(s.Agent), SinceTime: stamp(s.Since), UsedTime: stamp(s.Used)}
		if !s.Since.IsZero() {
			row.SinceText = fmt.Sprintf(l.words.SignedInAgo, l.ago(p.Now.Sub(s.Since)))
		}
		if !s.Used.IsZero() {
			row.UsedText = fmt.Sprintf(l.words.UsedAgo, l.ago(p.Now.Sub(s.Used)))
		}
		v.Others = v.Others || !s.This
		v.Rows = append(v.Rows, row)
	}
	c := content{
		template: accountPage,
		Title:    l.words.AccountTitle, Site: p.Site, RequestID: p.RequestID, Page: v,
	}
	if p.Done {
		c.Alert = alert{Text: l.words.Ended, Calm: true}
	}
	return c, (p.LogoutURL == "" || local(p.LogoutURL)) && (p.Action == "" || local(p.Action))
}

// stamp is a time for programs.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// device says an agent in the language's words.
func (l *tongue) device(agent string) string {
	browser, system, both := strings.Cut(agent, " on ")
	switch {
	case both:
		return fmt.Sprintf(l.words.On, browser, system)
	case agent == "":
		return l.words.UnknownDevice
	}
	return agent
}

// Kept shows that a form was kept because its session had ended, and asks whether the browser shall send it now: to Action,
// as Enctype, with Fields. It names the fields and their sizes, and never shows a value. CancelURL leads on without.
type Kept struct {
	Site      string
	RequestID string
	Action    string
	Enctype   string // application/x-www-form-urlencoded or multipart/form-data
	Fields    []Field
	CancelURL string
}

// Field is a field of a form. Empty means a field for files that has none: it has no value.
type Field struct {
	Name, Value string
	Empty       bool
}

// keptRows bounds how many fields are named.
const keptRows = 12

// keptView is what the template of a kept form shows.
type keptView struct {
	Kept
	Path string
	Rows []keptRow
	More string
}

type keptRow struct{ Name, Size string }

var keptPage = parse("kept")

func (p Kept) content(l *tongue) (content, bool) {
	v := keptView{Kept: p}
	if u, err := url.ParseRequestURI(p.Action); err == nil {
		v.Path = u.Path
	}
	v.Rows, v.More = fieldRows(p.Fields, l)
	if !local(v.CancelURL) {
		v.CancelURL = "/"
	}
	formType := p.Enctype == "application/x-www-form-urlencoded" || p.Enctype == "multipart/form-data"
	return content{
		template: keptPage,
		Title:    l.words.KeptTitle, Site: p.Site, RequestID: p.RequestID, Page: v,
	}, local(p.Action) && formType
}

// fieldRows names the first fields and their sizes, and says how many more there are.
func fieldRows(fields []Field, l *tongue) (rows []keptRow, more string) {
	named := 0
	for _, f := range fields {
		if f.Name == "" || f.Empty {
			continue
		}
		if named++; named > keptRows {
			continue
		}
		size := l.words.KeptEmpty
		if n := len([]rune(f.Value)); n > 0 {
			size = fmt.Sprintf(l.words.KeptSize, l.number(n))
		}
		rows = append(rows, keptRow{f.Name, size})
	}
	if named > keptRows {
		more = fmt.Sprintf(l.words.KeptMore, named-keptRows)
	}
	return rows, more
}
