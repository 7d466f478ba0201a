package page

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/text/language"

	"gatehouse.internal/modules/internal/verdict"
)

// tongue is everything that is said in one language. It is never written. Another language is another tongue; the
// templates are the same for all.
type tongue struct {
	tag      string // of HTML and of Content-Language
	words    words
	reasons  map[verdict.Reason]text
	messages map[Message]string

	units  [4]unit // second, minute, hour, day
	months [12]string
	date   func(t time.Time, month string) string
	group  string // between thousands
}

// unit is a span of time, one and several, in the form that stands after the language's words for "in", "about" and "ago".
type unit struct{ one, many string }

// tongues are the languages, the fallback first, in the order of matcher.
var (
	tongues = []*tongue{&english, &german, &french}
	matcher = language.NewMatcher([]language.Tag{language.English, language.German, language.French})
)

// maxAccept bounds what is parsed of a client's languages; browsers send less than half of it.
const maxAccept = 256

// speak returns the language that the request's Accept-Language asks for, or English.
func speak(r *http.Request) *tongue {
	accept := r.Header.Get("Accept-Language")
	if accept == "" || len(accept) > maxAccept {
		return tongues[0]
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(tags) == 0 {
		return tongues[0]
	}
	_, i, confidence := matcher.Match(tags...)
	if confidence == language.No {
		return tongues[0]
	}
	return tongues[i]
}

// span says how long something takes: "30 seconds", "about 5 minutes"; "" for 0.
func (l *tongue) span(seconds int64) string {
	const minute, hour, day = 60, 3600, 24 * 3600
	up := func(unit int64) int64 { return (seconds-1)/unit + 1 }
	switch {
	case seconds <= 0:
		return ""
	case seconds < minute:
		return l.count(seconds, 0)
	case seconds <= 90*minute:
		return fmt.Sprintf(l.words.About, l.count(up(minute), 1))
	case seconds <= 36*hour:
		return fmt.Sprintf(l.words.About, l.count(up(hour), 2))
	}
	return fmt.Sprintf(l.words.About, l.count(up(day), 3))
}

// ago says how long before now something was, in whole units: "just now", "5 minutes ago".
func (l *tongue) ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return l.words.JustNow
	case d < time.Hour:
		return fmt.Sprintf(l.words.Ago, l.count(int64(d/time.Minute), 1))
	case d < 48*time.Hour:
		return fmt.Sprintf(l.words.Ago, l.count(int64(d/time.Hour), 2))
	}
	return fmt.Sprintf(l.words.Ago, l.count(int64(d/(24*time.Hour)), 3))
}

func (l *tongue) count(n int64, u int) string {
	name := l.units[u].many
	if n == 1 {
		name = l.units[u].one
	}
	return fmt.Sprintf("%d %s", n, name)
}

// number groups the digits of a number that is not negative by thousands.
func (l *tongue) number(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + l.group + digits[i:]
	}
	return digits
}

// label says how a provider is called: as the operator says, but for the one label that is the gateway's own.
func (l *tongue) label(label string) string {
	if label == english.words.PasswordLogin {
		return l.words.PasswordLogin
	}
	return label
}

// moment says a time in full, in UTC: nobody has told the gateway where the person is.
func (l *tongue) moment(t time.Time) string {
	t = t.UTC()
	return l.date(t, l.months[t.Month()-1]) + t.Format(", 15:04 UTC")
}

// words are the words of the pages. All of them are plain text; those with a verb of package fmt say what it stands for.
type words struct {
	Error, RequestNumber, Reason     string // of the frame
	LoadAgain, StartPage, TryAgainIn string // of refusals; how long
	ClocksApart                      string // by how much
	KeptRefusal                      string // instead of what a refused form would be told
	SomethingWrong, PausedFor        string // how long
	About, Ago, JustNow              string // how long; how long
	PasswordLogin                    string // the label of the provider that ships with the gateway, unless it is given another
	SignIn, ContinueWith             string // provider
	OrPassword, UserName, Password   string
	NoWayIn                          string
	SetupTitle, SetupLead            string
	SetupCode, SetupCodeHint         string
	PasswordHint, PasswordAgain      string // number of characters
	CreateAccount                    string

	ChangePassword, PasswordKeeps                string
	ChoosePassword, PasswordFirst                string
	ChooseNewPassword                            string
	PasswordExposed, PasswordKnown, PasswordOld  string
	CurrentPassword                              string
	NewPassword, NewPasswordAgain                string
	SavePassword, KeepPassword                   string
	PasswordSetTitle, PasswordSetText            string
	LinkOverTitle, LinkOverText                  string
	RegisterTitle, RegisterLead, RegisterSend    string
	UserNameHint, YourName, HaveAccount          string
	RegisteredTitle, RegisteredText              string
	AskForAccount, EmergencyAccess               string
	BreakTitle, BreakLead, BreakLasts, BreakNone string // -; -; how long; -
	BreakCode, BreakCodeHint                     string
	BreakPurpose, BreakPurposeHint               string
	BreakRecorded                                string
	BreakNow, BreakCancel                        string

	AccountTitle, Name, Email        string
	SignedInWith, SignedInSince      string
	Roles, SignOut                   string
	SessionsTitle, SessionsLead      string
	ThisSession, On, UnknownDevice   string // browser, system
	SignedInAgo, UsedAgo             string // when; when
	EndOne, EndOthers, EndAll        string
	EndAllHint                       string
	Ended                            string
	LogoutTitle, SignedInAs, Unsaved string
	StaySignedIn                     string
	LoggedOutTitle, SharedComputer   string
	StillThere, ThatService          string // provider
	SignInAgain, SignOutThere        string
	LeadingThere                     string // provider
	KeptTitle, KeptLead, KeptTo      string // path
	KeptFields, KeptSize, KeptEmpty  string // number of characters
	KeptMore, KeptSend, KeptCancel   string // number of fields
	KeptOnce                         string
	LoopTitle, LoopWhat              string
	LoopCookie, LoopFrame, LoopEnded string
	LoopNext, TryAgain               string
	HopTitle, HopLead, BackTitle     string // -, provider, -
	BackLead, Continue               string

	FactorsTitle, FactorsLead, FactorsMust string // of second factors
	AppTitle, PasskeysTitle, CodesTitle    string
	AddedAgo, NeverUsed, WorksAt           string // when; -; site
	SetUpApp, ReplaceApp, AddPasskey       string
	Remove, NewCodes, NewCodesHint         string
	CodesLeft, BackToAccount, SetUpFactor  string // number, of number
	AppLead, AppByHand, QRLabel            string
	CodeLabel, CodeHint, Confirm, Cancel   string
	PasskeyLead, PasskeyName               string
	PasskeyNameHint, CreatePasskey         string
	NeedsScript, PasskeyProblem            string
	CodesPageTitle, CodesLead, CodesNoted  string
	VerifyTitle, VerifyFor, VerifyWith     string // -; what is sent; provider
	VerifyBoth, VerifyApp, VerifyBackup    string
	UsePasskey, OrCode                     string
	ProvenTitle, ProvenSend, ProvenOnce    string // -; what is sent; -
	ProvenBack, CodeSpent, CodeSpentLast   string // -; number; -
	ProvenAgain                            string
	NudgeTitle, NudgeLead, NudgeNow        string
	NudgeLater                             string

	visiting // of devices and networks
	outside  // of people without an account, and of programs
}
