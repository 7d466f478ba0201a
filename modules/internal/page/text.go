package page

import (
	"slices"

	"gatehouse.internal/modules/internal/verdict"
)

// language is the tag of the words below and in html/. Another language is another table and another set of templates.
const language = "en"

// text is what is said about a reason. title, what and next are for people: calm, without jargon and without blame.
// detail is for developers: what to do next, and nothing about how the gateway came to its judgement.
type text struct {
	title  string
	what   string // one or two sentences: what happened
	next   string // what the person can do
	detail string
	step   step
	login  string // the label of the way to sign in; "" means "Sign in"
}

// step is the button a page offers where signing in is not the next step.
type step int

const (
	stepNone  step = iota
	stepAgain      // load this address again
	stepHome       // go to the start page
)

// english holds the words for every reason in the closed list. It is never written.
var english = map[verdict.Reason]text{
	verdict.PlainHTTP: {
		title:  "This address needs a secure connection",
		what:   "It was opened without encryption, so that others could have read along. Nothing was passed on.",
		next:   "Enter the address again with https:// in front of it.",
		detail: "Use https. Unencrypted requests are refused and never redirected, so that no client gets used to sending them. Treat credentials sent this way as disclosed.",
	},
	verdict.TooEarly: {
		title:  "Please load this page once more",
		what:   "Your request arrived a moment before the secure connection was ready.",
		next:   "Loading the page again will very likely work.",
		detail: "The request was sent as TLS early data. Repeat it after the handshake has finished (RFC 8470).",
		step:   stepAgain,
	},
	verdict.BadPath: {
		title:  "This address cannot be opened",
		what:   "It is written in a way that can be read as more than one address.",
		next:   "Check the address for typing mistakes, or begin at the start page.",
		detail: "The request path has more than one reading. Send it in its plain form, without dot segments, repeated slashes or encoded separators.",
		step:   stepHome,
	},
	verdict.BadMethod: {
		title:  "This cannot be done here",
		what:   "The page was asked for something that is not offered at this address.",
		next:   "Go back and try it another way, or begin at the start page.",
		detail: "This request method is not accepted here. Use one that the Allow header names.",
		step:   stepHome,
	},
	verdict.BadUpgrade: {
		title:  "The live connection could not be opened",
		what:   "The page tried to keep a connection open for live updates, but did not ask for it correctly.",
		next:   "Load the page again. If it happens every time, tell your administrator this request number.",
		detail: "The upgrade is not a well-formed WebSocket handshake. See RFC 6455 section 4.1, or RFC 8441 for HTTP/2; other upgrades are not accepted.",
		step:   stepAgain,
	},
	verdict.CrossOrigin: {
		title:  "Another website was kept out",
		what:   "A different website tried to open a connection here in your name. It was stopped.",
		next:   "Open this site directly, by its own address.",
		detail: "The Origin header names another site. Open WebSockets only from pages of the same origin.",
		step:   stepHome,
	},
	verdict.BadRequest: {
		title:  "This request could not be understood",
		what:   "What arrived was incomplete or not in the expected form.",
		next:   "Go back and try again. If it happens every time, tell your administrator this request number.",
		detail: "The request is malformed and would be refused again unchanged. Operators find the cause in the log by the request id.",
		step:   stepHome,
	},
	verdict.ClientUnknown: {
		title:  "It is not clear where you are connecting from",
		what:   "Your request came without a usable return address, so it was not let in. This is usually a mistake in the network's setup and nothing you did.",
		next:   "Tell your administrator this request number.",
		detail: "No client address could be determined. Operators: check which forwarding headers the proxy in front sends, and that it is listed in trusted_proxies.",
	},
	verdict.UnknownHost: {
		title:  "There is no site at this address",
		what:   "The address leads here, but no site goes by this name.",
		next:   "Check the address for typing mistakes.",
		detail: "The Host header names no site that is served here. Check the name the client uses, and DNS.",
	},
	verdict.Misdirected: {
		title:  "This request took a wrong turn",
		what:   "It was meant for one site, but arrived on a connection to another.",
		next:   "Loading the page again opens a fresh connection and will very likely work.",
		detail: "The Host header differs from the TLS server name. Repeat the request on a connection of its own (RFC 9110 section 15.5.20).",
		step:   stepAgain,
	},
	verdict.WAFBlocked: {
		title:  "This request was stopped",
		what:   "It looked like an attack, so it was not passed on. Now and then something harmless looks like one.",
		next:   "If you did nothing unusual, tell your administrator this request number. They can see what happened and allow it.",
		detail: "The request looked like an attack. Do not repeat it unchanged. If it is legitimate, give an operator the request id; they can make an exception for it.",
	},
	verdict.BodyTooLarge: {
		title:  "That is too large to send",
		what:   "The file or text is larger than this site accepts.",
		next:   "Try something smaller, or ask your administrator about the limit.",
		detail: "The request body exceeds the limit of this route. Send less, or in parts; operators can raise body_limit.",
	},
	verdict.BodyUnreadable: {
		title:  "What you sent did not arrive in one piece",
		what:   "It broke off on the way, or was not in the form it was said to be in.",
		next:   "Check your connection, go back and send it again.",
		detail: "The request body ended early or does not match its Content-Type, Content-Encoding or Content-Length.",
	},
	verdict.ResponseBlocked: {
		title:  "This answer was held back",
		what:   "The application answered with something that looks like its own inner workings, so it was not shown. Often this means that it ran into trouble.",
		next:   "What you asked for may have been done: look before you try again. Tell your administrator this request number.",
		detail: "The application's answer looked like a leak of internals and was withheld. The application did act on the request; repeat it only if it is idempotent. Operators find the cause by the request id.",
		step:   stepHome,
	},
	verdict.WAFFailed: {
		title:  "Your request could not be checked",
		what:   "Everything sent to this site is checked for safety first. This time the check could not be finished, so your request was not passed on.",
		next:   "Try again in a moment. If it happens every time, tell your administrator this request number.",
		detail: "Inspection could not be completed, so the request was refused and did not reach the application. It is safe to repeat.",
		step:   stepAgain,
	},
	verdict.LoginRequired: {
		title:  "Please sign in",
		what:   "This page is for people who are signed in. Perhaps you have been signed out after some time.",
		next:   "Sign in to continue.",
		detail: "Authenticate and repeat the request: send a valid bearer token, or have the user sign in at login_url where one is given.",
	},
	verdict.Forbidden: {
		title:  "You do not have access to this page",
		what:   "It is open to certain people only, and your account is not among them.",
		next:   "If you need it, ask your administrator for access.",
		detail: "No rule allows this identity to make this request. Signing in again with the same account does not help; ask an operator for the role it needs.",
		step:   stepHome,
		login:  "Use another account",
	},
	verdict.NotFound: {
		title:  "There is nothing here",
		what:   "No page exists at this address.",
		next:   "Check the address for typing mistakes, or begin at the start page.",
		detail: "The gateway has no endpoint at this path. Paths below /.gatehouse/ never reach the application.",
		step:   stepHome,
	},
	verdict.LoginFailed: {
		title:  "Signing in did not work",
		what:   "It could not be confirmed who you are. You are not signed in.",
		next:   "Try again. If it does not work the second time, tell your administrator this request number.",
		detail: "The login was cancelled, or the identity provider's answer was not accepted. Start a new login; operators find the cause in the log by the request id.",
		step:   stepHome,
		login:  "Try again",
	},
	verdict.LoginExpired: {
		title:  "This sign-in is no longer valid",
		what:   "It took too long, was used before, or was started in another browser.",
		next:   "Start again. This usually takes only a moment.",
		detail: "The login flow is unknown, used up, expired or bound to another browser. Start a new one; never repeat a callback.",
		step:   stepHome,
		login:  "Start again",
	},
	verdict.ProviderDown: {
		title:  "Signing in is not possible right now",
		what:   "The service that confirms who you are is not answering. Those who are signed in already can go on working.",
		next:   "Try again in a few minutes.",
		detail: "The identity provider cannot be reached. Repeat with growing pauses; existing sessions and tokens stay valid.",
		step:   stepAgain,
	},
	verdict.TooManyAttempts: {
		title:  "Too many attempts",
		what:   "There were many tries in a short time. To keep accounts safe, there is a pause now.",
		next:   "Please wait a little before you try again.",
		detail: "Slow down: wait for the time in Retry-After before the next request, and longer after each further refusal.",
	},
	verdict.UpstreamDown: {
		title:  "The site is not answering",
		what:   "You have reached the right place, but the application behind it cannot be reached at the moment.",
		next:   "Try again in a few minutes.",
		detail: "No connection to the application could be made, so the request did not reach it. Repeat with growing pauses.",
		step:   stepAgain,
	},
	verdict.UpstreamTimeout: {
		title:  "The site is taking too long",
		what:   "The application received your request but did not answer in time. It may still finish what you asked for.",
		next:   "Look whether it was done before you send it again.",
		detail: "The application did not answer in time and may have acted on the request. Repeat it only if it is idempotent.",
		step:   stepAgain,
	},
	verdict.Unavailable: {
		title:  "Not available for a moment",
		what:   "A part that keeps this site safe is not ready, so nobody is let in until it is.",
		next:   "Try again in a few minutes.",
		detail: "The gateway's own state is not available, so the request was refused and did not reach the application. Repeat with growing pauses.",
		step:   stepAgain,
	},
	verdict.Internal: {
		title:  "Something went wrong on our side",
		what:   "This is a fault in the gateway in front of this site, and nothing you did.",
		next:   "Try again in a moment. If it happens every time, tell your administrator this request number.",
		detail: "The gateway failed or is misconfigured. Operators find the cause in the log by the request id.",
		step:   stepAgain,
	},
	verdict.HeadersTooLarge: {
		title:  "Your browser sent too much at once",
		what:   "This mostly happens when many cookies have piled up for this site.",
		next:   "Delete the cookies of this site in your browser's settings, then try again.",
		detail: "The request headers exceed the limit. Send fewer or smaller cookies and headers.",
		step:   stepAgain,
	},
	verdict.ClientClosed: {
		title:  "The connection was closed",
		what:   "Your browser went away before the answer was ready.",
		next:   "Load the page again if you still want to see it.",
		detail: "The client closed the connection before the answer was complete. The application may have acted on the request.",
		step:   stepAgain,
	},
	verdict.RequestTimeout: {
		title:  "Sending took too long",
		what:   "Your request did not arrive completely in the time given. The connection may be slow or interrupted.",
		next:   "Check your connection and try again.",
		detail: "The request was not received in full in time. Repeat it on a new connection.",
		step:   stepAgain,
	},
	verdict.UpstreamRejected: {
		title:  "The site's answer could not be used",
		what:   "The application behind this address answered, but something went wrong on the way back.",
		next:   "Look whether what you wanted was done, then try again.",
		detail: "The exchange with the application failed after it began. The application may have acted on the request; repeat it only if it is idempotent.",
		step:   stepAgain,
	},
}

// Message says in one word what was wrong with a form. The words people see for it stand here, not in its sender.
type Message string

// The messages. Any other that is not empty is shown as "something went wrong".
const (
	BadCredentials   Message = "bad_credentials"
	SignedOutIdle    Message = "signed_out_idle"   // the session ended for lack of activity
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
)

// alert is a message in words, and the inputs that it is about. A calm one tells of no mistake.
type alert struct {
	Text   string
	Calm   bool
	inputs []string
}

// On reports whether the alert is about the input of this name.
func (a alert) On(input string) bool { return slices.Contains(a.inputs, input) }

// messages holds the words for every message. It is never written.
var messages = map[Message]alert{
	BadCredentials:   {Text: "That user name and password do not belong together. Please try again.", inputs: []string{"username", "password"}},
	SignedOutIdle:    {Text: "You were signed out because nothing happened for a while. Please sign in again.", Calm: true},
	LoginStale:       {Text: "That took too long. Please sign in again."},
	LoginRefused:     {Text: "Signing in did not work. Please try again."},
	ProviderAway:     {Text: "The service that confirms who you are is not answering. Please try again in a few minutes."},
	Paused:           {Text: "There were too many attempts. Please wait a few minutes before you try again."},
	TokenInvalid:     {Text: "This setup code is not valid, or no longer. A new one is shown when the gateway starts.", inputs: []string{"token"}},
	UsernameInvalid:  {Text: "Please choose another user name.", inputs: []string{"username"}},
	PasswordTooShort: {Text: "That password is too short.", inputs: []string{"password"}},
	PasswordTooWeak:  {Text: "That password is too easy to guess. Several unrelated words make a good one.", inputs: []string{"password"}},
	PasswordTooLong:  {Text: "That password is too long, or it holds characters that cannot be typed. Please choose another one.", inputs: []string{"password"}},
	PasswordsDiffer:  {Text: "The two passwords are not the same. Please enter them again.", inputs: []string{"password", "password_again"}},
}

// alert returns the words for the message: none for "", and a general sentence for one that is not in the list.
func (m Message) alert() alert {
	if m == "" {
		return alert{}
	}
	if a, ok := messages[m]; ok {
		return a
	}
	return alert{Text: "Something went wrong. Please try again."}
}
