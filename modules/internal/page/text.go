package page

import (
	"slices"

	"gatehouse.internal/modules/internal/verdict"
)

// text is what a person is told about a reason, in one language: calm, without jargon and without blame.
type text struct {
	title string
	what  string // one or two sentences: what happened
	next  string // what the person can do
	login string // the label of the way to sign in; "" means the language's word for it
}

// technical is what is the same in every language. detail is for developers, in English: what to do next, and nothing
// about how the gateway came to its judgement.
type technical struct {
	detail string
	step   step
}

// step is the button a page offers where signing in is not the next step.
type step int

const (
	stepNone  step = iota
	stepAgain      // load this address again
	stepHome       // go to the start page
)

// reasons has an entry for every reason in the closed list. It is never written.
var reasons = map[verdict.Reason]technical{
	verdict.PlainHTTP:        {detail: "Use https. Unencrypted requests are refused and never redirected, so that no client gets used to sending them. Treat credentials sent this way as disclosed."},
	verdict.TooEarly:         {detail: "The request was sent as TLS early data. Repeat it after the handshake has finished (RFC 8470).", step: stepAgain},
	verdict.BadPath:          {detail: "The request path has more than one reading. Send it in its plain form, without dot segments, repeated slashes or encoded separators.", step: stepHome},
	verdict.BadMethod:        {detail: "This request method is not accepted here. Use one that the Allow header names.", step: stepHome},
	verdict.BadUpgrade:       {detail: "The upgrade is not a well-formed WebSocket handshake. See RFC 6455 section 4.1, or RFC 8441 for HTTP/2; other upgrades are not accepted.", step: stepAgain},
	verdict.CrossOrigin:      {detail: "The Origin header names another site. Open WebSockets only from pages of the same origin.", step: stepHome},
	verdict.BadRequest:       {detail: "The request is malformed and would be refused again unchanged. Operators find the cause in the log by the request id.", step: stepHome},
	verdict.ClientUnknown:    {detail: "No client address could be determined. Operators: check which forwarding headers the proxy in front sends, and that it is listed in trusted_proxies."},
	verdict.UnknownHost:      {detail: "The Host header names no site that is served here. Check the name the client uses, and DNS."},
	verdict.Misdirected:      {detail: "The Host header differs from the TLS server name. Repeat the request on a connection of its own (RFC 9110 section 15.5.20).", step: stepAgain},
	verdict.WAFBlocked:       {detail: "The request looked like an attack. Do not repeat it unchanged. If it is legitimate, give an operator the request id; they can make an exception for it."},
	verdict.BodyTooLarge:     {detail: "The request body exceeds the limit of this route. Send less, or in parts; operators can raise body_limit."},
	verdict.BodyUnreadable:   {detail: "The request body ended early or does not match its Content-Type, Content-Encoding or Content-Length."},
	verdict.ResponseBlocked:  {detail: "The application's answer looked like a leak of internals and was withheld. The application did act on the request; repeat it only if it is idempotent. Operators find the cause by the request id.", step: stepHome},
	verdict.WAFFailed:        {detail: "Inspection could not be completed, so the request was refused and did not reach the application. It is safe to repeat.", step: stepAgain},
	verdict.LoginRequired:    {detail: "Authenticate and repeat the request: send a valid bearer token, or have the user sign in at login_url where one is given."},
	verdict.VerifyRequired:   {detail: "The session is used with a device or from a network that is not known to be the user's: lead them to login_url, and repeat the request afterwards. Operators: `gatehouse verify list`."},
	verdict.VerifyDenied:     {detail: "The policy, or an administrator, does not let this device or network in. Operators: `gatehouse verify list`; the log says why.", step: stepHome},
	verdict.MFARequired:      {detail: "The user must prove a second factor: lead them to step_up_url. With max_age, repeat the request afterwards. With step_up_ticket, repeat it once, unchanged, with that value in the header Step-Up-Ticket."},
	verdict.Forbidden:        {detail: "No rule allows this identity to make this request. Signing in again with the same account does not help; ask an operator for the role it needs.", step: stepHome},
	verdict.InvalidToken:     {detail: "The credential is malformed, expired, revoked, or not for this site. Get a new one; do not repeat the request with this one."},
	verdict.OutOfScope:       {detail: "The credential is valid, but not for this request: see the scope in WWW-Authenticate, or ask an operator what it may be used for."},
	verdict.OtherWorkspace:   {detail: "The token is not for the workspace that host, path or header name, or these name different ones."},
	verdict.CertificateBad:   {detail: "The TLS client certificate has expired, was revoked, is not trusted here or is not for clients, or there is none where one must be. Show another one on a new connection."},
	verdict.LinkInvalid:      {detail: "The link is unknown, expired, used up, revoked, or not for this address or method. Ask whoever sent it for a new one."},
	verdict.NotFound:         {detail: "The gateway has no endpoint at this path. Paths below /.gatehouse/ never reach the application.", step: stepHome},
	verdict.LoginFailed:      {detail: "The login was cancelled, or the identity provider's answer was not accepted. Start a new login; operators find the cause in the log by the request id.", step: stepHome},
	verdict.LoginExpired:     {detail: "The login flow is unknown, used up, expired or bound to another browser. Start a new one; never repeat a callback.", step: stepHome},
	verdict.ProviderDown:     {detail: "The identity provider cannot be reached. Repeat with growing pauses; existing sessions and tokens stay valid.", step: stepAgain},
	verdict.AccountPending:   {detail: "The login was good, but an administrator has to approve the account first: `gatehouse user approve`.", step: stepHome},
	verdict.TooManySessions:  {detail: "The person has as many sessions as session { max_sessions } allows. One of them has to end first.", step: stepHome},
	verdict.AccountDisabled:  {detail: "The account may not be used: it was rejected, disabled or deleted. Operators: `gatehouse user list` says why.", step: stepHome},
	verdict.ClockDiffers:     {detail: "The identity provider's answer comes from another time: its clock and the gateway's differ by more than is tolerated. Operators: set both by NTP; the log says which one is ahead.", step: stepAgain},
	verdict.GroupsMissing:    {detail: "The identity provider left the groups out of its answer, since there are too many. Operators: have it send only those assigned to this client, or configure groups_overage.", step: stepAgain},
	verdict.TooManyAttempts:  {detail: "Slow down: wait for the time in Retry-After before the next request, and longer after each further refusal."},
	verdict.RateLimited:      {detail: "Slow down: wait for the time in Retry-After. The RateLimit and RateLimit-Policy fields say how much is left and of what; operators find the limit in the log by the request id."},
	verdict.Banned:           {detail: "The client's network is shut out for the time in Retry-After. Operators: `gatehouse ban list` says why, `gatehouse ban remove` lets it in again."},
	verdict.Locked:           {detail: "An operator has locked this part of the site for a while, and the request did not reach the application. Repeat it after the time in Retry-After. Operators: `gatehouse contain list` says why."},
	verdict.ReadOnly:         {detail: "For a while only GET, HEAD and OPTIONS pass, and no WebSockets, so that the request did not reach the application. Repeat it after the time in Retry-After. Operators: `gatehouse contain list` says why."},
	verdict.UpstreamDown:     {detail: "No connection to the application could be made, so the request did not reach it. Repeat with growing pauses.", step: stepAgain},
	verdict.UpstreamTimeout:  {detail: "The application did not answer in time and may have acted on the request. Repeat it only if it is idempotent.", step: stepAgain},
	verdict.Unavailable:      {detail: "The gateway's own state is not available, so the request was refused and did not reach the application. Repeat with growing pauses.", step: stepAgain},
	verdict.Internal:         {detail: "The gateway failed or is misconfigured. Operators find the cause in the log by the request id.", step: stepAgain},
	verdict.HeadersTooLarge:  {detail: "The request headers exceed the limit. Send fewer or smaller cookies and headers.", step: stepAgain},
	verdict.ClientClosed:     {detail: "The client closed the connection before the answer was complete. The application may have acted on the request.", step: stepAgain},
	verdict.RequestTimeout:   {detail: "The request was not received in full in time. Repeat it on a new connection.", step: stepAgain},
	verdict.UpstreamRejected: {detail: "The exchange with the application failed after it began. The application may have acted on the request; repeat it only if it is idempotent.", step: stepAgain},
}

// Message says in one word what was wrong with a form. The words people see for it stand with each language.
type Message string

// The messages. Any other that is not empty is shown as "something went wrong".
const (
	BadCredentials   Message = "bad_credentials"
	SignedOutIdle    Message = "signed_out_idle"   // the session ended for lack of activity
	FormKept         Message = "form_kept"         // the session ended, and what was typed can be sent after the login
	NoCookie         Message = "no_cookie"         // the browser did not send back what the form came with
	LoginStale       Message = "login_expired"     // this login took too long
	LoginRefused     Message = "login_failed"      // the provider or the gateway said no
	ProviderAway     Message = "provider_down"     // the provider does not answer
	Paused           Message = "too_many_attempts" // wait
	TokenInvalid     Message = "token_invalid"     // the setup code is wrong, used or expired
	UsernameInvalid  Message = "username_invalid"
	PasswordTooShort Message = "password_too_short"
	PasswordTooWeak  Message = "password_too_weak" // known from leaks, or contains the name
	PasswordTooLong  Message = "password_too_long" // or it holds what cannot be typed
	PasswordsDiffer  Message = "passwords_differ"
	PasswordLeaked   Message = "password_leaked"
	PasswordSame     Message = "password_same"
	CurrentWrong     Message = "current_wrong"   // the password that the person has now
	SealWrong        Message = "seal_wrong"      // a code of break-glass is wrong or used
	PurposeMissing   Message = "purpose_missing" // why break-glass is used
	CodeWrong        Message = "code_wrong"
	CodeUsed         Message = "code_used"       // right, and used before
	PasskeyWrong     Message = "passkey_wrong"   // it did not prove anything
	PasskeyUnknown   Message = "passkey_unknown" // of a kind that may not be used here
	PasskeyMany      Message = "passkey_many"    // there are as many as there may be
	FactorStale      Message = "factor_stale"    // this form is too old, or was used before
	FactorAdded      Message = "factor_added"
	FactorRemoved    Message = "factor_removed"
	DeviceCodeWrong  Message = "device_code_wrong" // the user code of a program that wants to be paired
)

// alert is a message in words, and the inputs that it is about. A calm one tells of no mistake.
type alert struct {
	Text   string
	Calm   bool
	inputs []string
}

// On reports whether the alert is about the input of this name.
func (a alert) On(input string) bool { return slices.Contains(a.inputs, input) }

// messages says what every message is about; the words are the language's. It is never written.
var messages = map[Message]alert{
	BadCredentials:   {inputs: []string{"username", "password"}},
	SignedOutIdle:    {Calm: true},
	FormKept:         {Calm: true},
	NoCookie:         {},
	LoginStale:       {},
	LoginRefused:     {},
	ProviderAway:     {},
	Paused:           {},
	TokenInvalid:     {inputs: []string{"token"}},
	UsernameInvalid:  {inputs: []string{"username"}},
	PasswordTooShort: {inputs: []string{"password"}},
	PasswordTooWeak:  {inputs: []string{"password"}},
	PasswordTooLong:  {inputs: []string{"password"}},
	PasswordsDiffer:  {inputs: []string{"password", "password_again"}},
	PasswordLeaked:   {inputs: []string{"password"}},
	PasswordSame:     {inputs: []string{"password"}},
	CurrentWrong:     {inputs: []string{"current"}},
	SealWrong:        {inputs: []string{"code"}},
	PurposeMissing:   {inputs: []string{"purpose"}},
	CodeWrong:        {inputs: []string{"code"}},
	CodeUsed:         {inputs: []string{"code"}},
	PasskeyWrong:     {},
	PasskeyUnknown:   {},
	PasskeyMany:      {},
	FactorStale:      {},
	FactorAdded:      {Calm: true},
	FactorRemoved:    {Calm: true},
	DeviceCodeWrong:  {inputs: []string{"user_code"}},
}

// alert returns the words for the message: none for "", and a general sentence for one that is not in the list.
func (m Message) alert(l *tongue) alert {
	if m == "" {
		return alert{}
	}
	a, ok := messages[m]
	if !ok {
		return alert{Text: l.words.SomethingWrong}
	}
	a.Text = l.messages[m]
	return a
}
