package page

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"gatehouse.internal/modules/internal/verdict"
)

// Refusal is what is told about a refused request.
//
// Reason that is not in the closed list is told as [verdict.Internal].
// RequestID is shown when it is 1 to 128 visible ASCII characters, and left out otherwise.
// Site is the name of the site, shown on pages; empty when it is not known.
// LoginURL is where a person can sign in, or change the account, if that would help: a path on the same host; anything
// else is left out. Programs are told of it only where signing in as the same user would help. When its query has a
// [KeptParam], the person is told that what they typed is kept.
// RetryAfter is told when positive: as the Retry-After header, in whole seconds rounded up, and in words.
// Apart is told in words with [verdict.ClockDiffers], when it is a second or more.
// StepUp, with [verdict.MFARequired], says what proof is missing: programs are told as RFC 9470 has it, and that LoginURL is
// where it is given.
type Refusal struct {
	Reason     verdict.Reason
	RequestID  string
	Site       string
	LoginURL   string
	RetryAfter time.Duration
	Apart      time.Duration
	StepUp     *verdict.StepUp
}

// problem is the RFC 9457 document. Field names are part of the gateway's contract with programs.
type problem struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	Instance   string `json:"instance,omitempty"`
	Reason     string `json:"reason"`
	RequestID  string `json:"request_id,omitempty"`
	LoginURL   string `json:"login_url,omitempty"`
	RetryAfter int64  `json:"retry_after,omitempty"`

	StepUpURL    string `json:"step_up_url,omitempty"`
	StepUpTicket string `json:"step_up_ticket,omitempty"`
	MaxAge       *int64 `json:"max_age,omitempty"`
}

// WriteRefusal answers a refused request, with the status of the reason: a page when it is a [Navigation], a problem
// document (RFC 9457) otherwise, and headers only for HEAD.
//
// It sets Content-Type, Content-Length, Cache-Control, Content-Security-Policy, X-Content-Type-Options,
// Referrer-Policy, Vary and, when due, Retry-After, and removes what described another body. On a 401 without
// WWW-Authenticate it sets the scheme Bearer, which no browser opens a dialog for. X-Request-Id, Allow (on a 405) and
// cookies are the caller's. It must be called before anything was written to w, and only once.
func WriteRefusal(w http.ResponseWriter, r *http.Request, ref Refusal) {
	if !ref.Reason.Known() {
		ref.Reason = verdict.Internal
	}
	ref.RequestID = traceable(ref.RequestID)
	if !local(ref.LoginURL) {
		ref.LoginURL = ""
	}
	status, seconds := ref.Reason.Status(), wholeSeconds(ref.RetryAfter)

	h := w.Header()
	h.Add("Vary", negotiatedOn) // a CORS layer may have put Origin there
	h.Del("Retry-After")
	if seconds > 0 {
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	h.Set("Referrer-Policy", "no-referrer")
	if ref.Reason == verdict.MFARequired {
		h.Set("Www-Authenticate", ref.insufficient())
	}
	if Navigation(r) {
		l := speak(r)
		if body, nonce, ok := render(refused(ref, seconds, l), l); ok {
			send(w, r, status, typeHTML, l.tag, policy(nonce, nil), "", body)
			return
		}
	}
	send(w, r, status, typeProblem, english.tag, policyNone, "", ref.document(status, seconds))
}

// document returns the problem document.
func (ref Refusal) document(status int, seconds int64) []byte {
	p := problem{
		Type:       "urn:gatehouse:reason:" + string(ref.Reason),
		Title:      english.reasons[ref.Reason].title, // programs get the words that their developers search for
		Status:     status,
		Detail:     reasons[ref.Reason].detail,
		Reason:     string(ref.Reason),
		RequestID:  ref.RequestID,
		RetryAfter: seconds,
	}
	switch ref.Reason {
	case verdict.Forbidden:
	case verdict.MFARequired:
		p.StepUpURL = ref.LoginURL
		if ref.StepUp != nil {
			p.StepUpTicket, p.MaxAge = ref.StepUp.Ticket, ref.maxAge()
		}
	default:
		p.LoginURL = ref.LoginURL
	}
	if ref.RequestID != "" {
		p.Instance = "urn:gatehouse:request:" + url.PathEscape(ref.RequestID)
	}
	body, err := json.Marshal(p)
	if err != nil { // cannot be: strings and numbers always encode
		return []byte(`{"status":` + strconv.Itoa(status) + `}`)
	}
	return body
}

// insufficient is the challenge of RFC 9470 3.
func (ref Refusal) insufficient() string {
	s := challenge + `, error="insufficient_user_authentication", error_description="A second factor is required"`
	if age := ref.maxAge(); age != nil {
		s += `, max_age="` + strconv.FormatInt(*age, 10) + `"`
	}
	return s
}

// maxAge is how old a proof may be, in seconds; nil when that does not matter.
func (ref Refusal) maxAge() *int64 {
	if ref.StepUp == nil || ref.StepUp.MaxAge <= 0 && ref.StepUp.Ticket == "" {
		return nil
	}
	age := int64(ref.StepUp.MaxAge / time.Second)
	return &age
}

var refusalPage = parse("refusal")

// KeptParam is the query parameter of a LoginURL which says that a form is kept until the person has signed in.
const KeptParam = "kept"

// refused is the page of a refusal.
func refused(ref Refusal, seconds int64, l *tongue) content {
	t, step := l.reasons[ref.Reason], reasons[ref.Reason].step
	what := t.what
	if u, err := url.Parse(ref.LoginURL); err == nil && u.Query().Has(KeptParam) {
		what = l.words.KeptRefusal
	}
	if span := l.span(int64(ref.Apart / time.Second)); span != "" && ref.Reason == verdict.ClockDiffers {
		what += " " + fmt.Sprintf(l.words.ClocksApart, span)
	}
	wait := ""
	if span := l.span(seconds); span != "" {
		wait = fmt.Sprintf(l.words.TryAgainIn, span)
	}
	return content{
		template: refusalPage,
		Title:    t.title, Site: ref.Site, RequestID: ref.RequestID, Reason: string(ref.Reason),
		Page: struct {
			What, Next, Wait, LoginURL, LoginLabel string
			Again, Home                            bool
		}{
			What: what, Next: t.next, Wait: wait, LoginURL: ref.LoginURL, LoginLabel: cmp.Or(t.login, l.words.SignIn),
			// One next step, the one that helps most. Who is told to wait is not given a button to be impatient with.
			Again: step == stepAgain && ref.LoginURL == "" && seconds == 0,
			Home:  step == stepHome && ref.LoginURL == "",
		},
	}
}

// wholeSeconds rounds up, so that nobody comes back too early; 0 for what is not positive.
func wholeSeconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return s
}
