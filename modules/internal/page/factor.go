package page

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Factors shows a person their second factors, and lets them add and remove some. AppURL and PasskeyURL lead to where one is
// added. The other forms are posted to Action with csrf and do, which is "codes", "remove-app", or "remove-" and a
// passkey's ID. Must says that the account may do nothing else before one is set up.
type Factors struct {
	Site, RequestID    string
	Action, CSRF       string
	AppURL, PasskeyURL string
	AccountURL         string
	App                *FactorRow // nil: none
	Passkeys           []FactorRow
	Codes, CodesOf     int // backup codes left, and how many there were; 0 of 0: none
	Must               bool
	Done               Message
	Now                time.Time
}

// FactorRow is one second factor. Site is where alone it works; zero fields are left out.
type FactorRow struct {
	ID, Name, Site string
	Added, Used    time.Time
}

// EnrolApp has a person set up an authenticator application. It is posted to Action with csrf, flow, next and code. Secret is
// shown for typing, in groups; QR is the same as a picture.
type EnrolApp struct {
	Site, RequestID          string
	Action, CSRF, Flow, Next string
	Secret                   string
	QR                       QR
	CancelURL                string
	Error                    Message
}

// QR is a square picture of so many modules, as an SVG path of its dark ones.
type QR struct {
	Size int
	Path string
}

// Frame is the length of a side with the quiet zone around it (ISO/IEC 18004: four modules).
func (q QR) Frame() int { return q.Size + 8 }

// EnrolPasskey has a person make a passkey. A script asks the browser for it by Options, which are a
// PublicKeyCredentialCreationOptionsJSON, and posts csrf, flow, next, name and credential to Action.
type EnrolPasskey struct {
	Site, RequestID          string
	Action, CSRF, Flow, Next string
	Options                  string
	Name                     string
	CancelURL                string
	Error                    Message
}

// BackupCodes shows a person their codes, for the only time.
type BackupCodes struct {
	Site, RequestID string
	Codes           []string
	ContinueURL     string
}

// Verify asks for a second factor. A code is posted to Action with csrf, next, challenge and code; a passkey's answer with
// flow and credential instead of code. Options are a PublicKeyCredentialRequestOptionsJSON; "": no passkey. Code says that
// codes of an app are taken, Backup that backup codes are; window comes along with Window. For is what the person confirms by it; nil: who they are.
// Elsewhere leads to the person's identity provider; nil: it cannot be asked. EnrolURL sets a factor up, for whoever has none.
type Verify struct {
	Site, RequestID               string
	Action, CSRF, Next, Challenge string
	Window                        bool // the page is in a window of its own, beside the one that waits
	Code, Backup                  bool
	Flow, Options                 string
	Elsewhere                     *Button
	EnrolURL                      string
	CancelURL                     string
	For                           *Errand
	Error                         Message
	Wait                          time.Duration
}

// Errand is a request that waits for its person's confirmation.
type Errand struct {
	Method, URI string
	Fields      []Field
}

// Proven tells a person that they have proven who they are, and leads on: to what waits in Errand, by sending Fields as
// Enctype; else to URL; and without either back to the page that waits in another window, which is told so by a script.
// CodesLeft, when a backup code was used, says how many are left; -1 otherwise.
type Proven struct {
	Site, RequestID string
	Errand          *Errand
	Enctype         string
	URL             string
	Again           bool // what waits at URL could not be kept, and has to be sent once more
	CodesLeft       int
	CodesURL        string // where new codes are had
}

// Nudge asks a person to set up a second factor. No is posted to Action with csrf, next and do=later.
type Nudge struct {
	Site, RequestID    string
	SetupURL           string
	Action, CSRF, Next string
}

var (
	factorsPage      = parse("factors")
	enrolAppPage     = parse("enrolapp")
	enrolPasskeyPage = parse("enrolpasskey")
	backupCodesPage  = parse("backupcodes")
	verifyPage       = parse("verify")
	provenPage       = parse("proven")
	nudgePage        = parse("nudge")

	passkeyScript = parseScript("passkey")
	resendScript  = parseScript("resend")
	provenScript  = parseScript("proven")
)

// factorView is a second factor in words.
type factorView struct {
	FactorRow
	Where, AddedText, AddedTime, UsedText, UsedTime string
}

func (f FactorRow) view(l *tongue, now time.Time) factorView {
	v := factorView{FactorRow: f, AddedTime: stamp(f.Added), UsedTime: stamp(f.Used), UsedText: l.words.NeverUsed}
	if f.Site != "" {
		v.Where = fmt.Sprintf(l.words.WorksAt, f.Site)
	}
	if !f.Added.IsZero() {
		v.AddedText = fmt.Sprintf(l.words.AddedAgo, l.ago(now.Sub(f.Added)))
	}
	if !f.Used.IsZero() {
		v.UsedText = fmt.Sprintf(l.words.UsedAgo, l.ago(now.Sub(f.Used)))
	}
	return v
}

func (p Factors) content(l *tongue) (content, bool) {
	v := struct {
		Factors
		Lead, CodesText string
		AppRow          *factorView
		Rows            []factorView
	}{Factors: p, Lead: l.words.FactorsLead}
	if p.Must {
		v.Lead = l.words.FactorsMust
	}
	if p.App != nil {
		row := p.App.view(l, p.Now)
		v.AppRow = &row
	}
	for _, f := range p.Passkeys {
		v.Rows = append(v.Rows, f.view(l, p.Now))
	}
	if p.CodesOf > 0 {
		v.CodesText = fmt.Sprintf(l.words.CodesLeft, p.Codes, p.CodesOf)
	}
	return content{
		template: factorsPage,
		Title:    l.words.FactorsTitle, Site: p.Site, RequestID: p.RequestID, Alert: p.Done.alert(l), Page: v,
	}, local(p.Action) && local(p.AppURL) && local(p.PasskeyURL) && (p.AccountURL == "" || local(p.AccountURL))
}

func (p EnrolApp) content(l *tongue) (content, bool) {
	var groups []string
	for s := p.Secret; s != ""; {
		n := min(4, len(s))
		groups, s = append(groups, s[:n]), s[n:]
	}
	p.Secret = strings.Join(groups, " ")
	if !local(p.CancelURL) {
		p.CancelURL = ""
	}
	return content{
		template: enrolAppPage,
		Title:    l.words.SetUpApp, Site: p.Site, RequestID: p.RequestID, Alert: p.Error.alert(l), Page: p,
	}, local(p.Action)
}

func (p EnrolPasskey) content(l *tongue) (content, bool) {
	if !local(p.CancelURL) {
		p.CancelURL = ""
	}
	return content{
		template: enrolPasskeyPage, Script: passkeyScript,
		Title: l.words.AddPasskey, Site: p.Site, RequestID: p.RequestID, Alert: p.Error.alert(l), Page: p,
	}, local(p.Action)
}

func (p BackupCodes) content(l *tongue) (content, bool) {
	return content{
		template: backupCodesPage,
		Title:    l.words.CodesPageTitle, Site: p.Site, RequestID: p.RequestID, Page: p,
	}, local(p.ContinueURL)
}

// errandView is an errand in words: its fields are named, and their values never shown.
type errandView struct {
	Method, Path string
	Rows         []keptRow
	More         string
}

func (e *Errand) view(l *tongue) *errandView {
	if e == nil {
		return nil
	}
	v := &errandView{Method: e.Method}
	if u, err := url.ParseRequestURI(e.URI); err == nil {
		v.Path = u.Path
	}
	v.Rows, v.More = fieldRows(e.Fields, l)
	return v
}

func (p Verify) content(l *tongue) (content, bool) {
	if !local(p.CancelURL) {
		p.CancelURL = ""
	}
	if p.Elsewhere != nil && !local(p.Elsewhere.URL) {
		p.Elsewhere = nil
	}
	v := struct {
		Verify
		Lead    string
		Errand  *errandView
		Passkey bool
	}{Verify: p, Errand: p.For.view(l), Passkey: p.Options != ""}
	switch {
	case p.Code && p.Backup:
		v.Lead = l.words.VerifyBoth
	case p.Code:
		v.Lead = l.words.VerifyApp
	case p.Backup:
		v.Lead = l.words.VerifyBackup
	}
	alert := p.Error.alert(l)
	if wait := l.span(wholeSeconds(p.Wait)); p.Error == Paused && wait != "" {
		alert.Text = fmt.Sprintf(l.words.PausedFor, wait)
	}
	c := content{
		template: verifyPage,
		Title:    l.words.VerifyTitle, Site: p.Site, RequestID: p.RequestID, Alert: alert, Page: v,
	}
	if v.Passkey {
		c.Script = passkeyScript
	}
	return c, local(p.Action) && (p.EnrolURL == "" || local(p.EnrolURL))
}

func (p Proven) content(l *tongue) (content, bool) {
	v := struct {
		Proven
		Send  *errandView
		Spent string
	}{Proven: p, Send: p.Errand.view(l)}
	c := content{template: provenPage, Title: l.words.ProvenTitle, Site: p.Site, RequestID: p.RequestID}
	switch {
	case p.CodesLeft == 0:
		v.Spent = l.words.CodeSpentLast
	case p.CodesLeft > 0:
		v.Spent = fmt.Sprintf(l.words.CodeSpent, p.CodesLeft)
	case p.Errand != nil:
		c.Script = resendScript
	case p.URL == "":
		c.Script = provenScript
	}
	formType := p.Enctype == "application/x-www-form-urlencoded" || p.Enctype == "multipart/form-data"
	c.Page = v
	return c, (p.Errand == nil || local(p.Errand.URI) && formType) && (p.URL == "" || local(p.URL)) && (p.CodesURL == "" || local(p.CodesURL))
}

func (p Nudge) content(l *tongue) (content, bool) {
	return content{
		template: nudgePage,
		Title:    l.words.NudgeTitle, Site: p.Site, RequestID: p.RequestID, Page: p,
	}, local(p.Action) && local(p.SetupURL)
}
