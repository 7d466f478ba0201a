package page

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Verification tells a person why a visit of theirs is held, and asks them to prove that it is theirs: at FactorURL, by their
// second factor; at ProviderURL, by logging in there anew; or by a code that is sent to MailTo. What has no address is left
// out. Why are signals, as the room of that name calls them. With Wait, only an administrator can help, whom Held tells which
// visit it is. The forms are posted to Action with the fields csrf, next and do, which is send or code, and code.
type Verification struct {
	Site, RequestID       string
	Held                  string
	Why                   []string
	Action, CSRF, Next    string
	FactorURL             string
	Provider, ProviderURL string
	MailTo                string
	Sent, Wait            bool
	LogoutURL             string
	Error                 Message
}

// VisitReport asks whether a visit was not the person's own; with Done, it has ended so many sessions. The form is posted to
// Action with the field t.
type VisitReport struct {
	Site, RequestID string
	Action, Token   string
	Network         string
	At              time.Time
	Done            bool
	Ended           int
}

// Visits shows a person the devices and networks that they are known by. Each form is posted to Action with the fields csrf and
// forget, which is a row's ID.
type Visits struct {
	Site, RequestID   string
	Action, CSRF      string
	AccountURL        string
	Devices, Networks []VisitRow
	Now               time.Time
}

// VisitRow is a device or a network.
type VisitRow struct {
	ID, Name string
	Used     time.Time
	This     bool
}

var (
	verificationPage = parse("verification")
	visitReportPage  = parse("visitreport")
	visitsPage       = parse("visits")
)

func (p Verification) content(l *tongue) (content, bool) {
	w := &l.words
	var why []string
	for _, s := range p.Why {
		if text := w.why(s); text != "" {
			why = append(why, text)
		}
	}
	for _, u := range []*string{&p.FactorURL, &p.ProviderURL, &p.LogoutURL} {
		if !local(*u) {
			*u = ""
		}
	}
	with := ""
	if p.ProviderURL != "" {
		with = fmt.Sprintf(w.VerifyWith, l.label(p.Provider))
	}
	return content{
		template: verificationPage,
		Title:    w.VisitTitle, Site: p.Site, RequestID: p.RequestID, Alert: p.Error.alert(l),
		Page: struct {
			Verification
			Reasons, With, MailLead string
			Nothing                 bool
		}{
			p, strings.Join(why, " "), with, fmt.Sprintf(w.VisitMailLead, p.MailTo),
			!p.Wait && p.FactorURL == "" && p.ProviderURL == "" && p.MailTo == "",
		},
	}, local(p.Action)
}

func (p VisitReport) content(l *tongue) (content, bool) {
	w := &l.words
	title, lead := w.ReportTitle, fmt.Sprintf(w.ReportLead, p.Network, l.moment(p.At))
	if p.Done {
		title, lead = w.ReportDoneTitle, fmt.Sprintf(w.ReportDone, p.Ended)
	}
	return content{
		template: visitReportPage,
		Title:    title, Site: p.Site, RequestID: p.RequestID,
		Page: struct {
			VisitReport
			Lead string
		}{p, lead},
	}, local(p.Action)
}

func (p Visits) content(l *tongue) (content, bool) {
	if !local(p.AccountURL) {
		p.AccountURL = ""
	}
	type row struct {
		VisitRow
		Text, UsedText, UsedTime string
	}
	rows := func(all []VisitRow, name func(string) string) (shown []row) {
		for i := len(all) - 1; i >= 0; i-- { // the latest first
			v := all[i]
			shown = append(shown, row{v, name(v.Name), fmt.Sprintf(l.words.UsedAgo, l.ago(p.Now.Sub(v.Used))), stamp(v.Used)})
		}
		return shown
	}
	return content{
		template: visitsPage,
		Title:    l.words.VisitsTitle, Site: p.Site, RequestID: p.RequestID,
		Page: struct {
			Visits
			DeviceRows, NetworkRows []row
		}{p, rows(p.Devices, l.device), rows(p.Networks, func(s string) string { return s })},
	}, local(p.Action)
}

// VisitLetter tells a person of a visit that is news: Waits says that it has not been let through. URL is where they say that it
// was not theirs.
type VisitLetter struct {
	Site, Agent, Network string
	At                   time.Time
	Waits                bool
	URL                  string
}

// Text returns the letter in the language that the request asks for.
func (m VisitLetter) Text(r *http.Request) (subject, body string) {
	l := speak(r)
	w := &l.words
	what := w.LetterCame
	if m.Waits {
		what = w.LetterWaits
	}
	facts := fmt.Sprintf("  %s\n  %s\n  %s", l.moment(m.At), l.device(m.Agent), m.Network)
	return fmt.Sprintf(w.LetterSubject, m.Site), strings.Join([]string{
		fmt.Sprintf(what, m.Site), facts, w.LetterYours, w.LetterNotYours + "\n" + m.URL,
	}, "\n\n") + "\n"
}

// CodeLetter sends a person a code.
type CodeLetter struct {
	Site, Code     string
	Agent, Network string
	Lasts          time.Duration
}

// Text returns the letter in the language that the request asks for.
func (m CodeLetter) Text(r *http.Request) (subject, body string) {
	l := speak(r)
	w := &l.words
	return fmt.Sprintf(w.LetterCodeSubject, m.Site), strings.Join([]string{
		fmt.Sprintf(w.LetterCode, m.Site, l.span(wholeSeconds(m.Lasts))), "  " + m.Code,
		fmt.Sprintf("  %s\n  %s", l.device(m.Agent), m.Network), w.LetterCodeOnly,
	}, "\n\n") + "\n"
}
