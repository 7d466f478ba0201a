package page

import "gatehouse.internal/modules/internal/verdict"

// englishReasons is what people are told about each reason, in this language.
var englishReasons = map[verdict.Reason]text{
	verdict.PlainHTTP: {
		title: "This address needs a secure connection",
		what:  "It was opened without encryption, so that others could have read along. Nothing was passed on.",
		next:  "Enter the address again with https:// in front of it.",
	},
	verdict.TooEarly: {
		title: "Please load this page once more",
		what:  "Your request arrived a moment before the secure connection was ready.",
		next:  "Loading the page again will very likely work.",
	},
	verdict.BadPath: {
		title: "This address cannot be opened",
		what:  "It is written in a way that can be read as more than one address.",
		next:  "Check the address for typing mistakes, or begin at the start page.",
	},
	verdict.BadMethod: {
		title: "This cannot be done here",
		what:  "The page was asked for something that is not offered at this address.",
		next:  "Go back and try it another way, or begin at the start page.",
	},
	verdict.BadUpgrade: {
		title: "The live connection could not be opened",
		what:  "The page tried to keep a connection open for live updates, but did not ask for it correctly.",
		next:  "Load the page again. If it happens every time, tell your administrator this request number.",
	},
	verdict.CrossOrigin: {
		title: "Another website was kept out",
		what:  "A different website tried to open a connection here in your name. It was stopped.",
		next:  "Open this site directly, by its own address.",
	},
	verdict.BadRequest: {
		title: "This request could not be understood",
		what:  "What arrived was incomplete or not in the expected form.",
		next:  "Go back and try again. If it happens every time, tell your administrator this request number.",
	},
	verdict.ClientUnknown: {
		title: "It is not clear where you are connecting from",
		what:  "Your request came without a usable return address, so it was not let in. This is usually a mistake in the network's setup and nothing you did.",
		next:  "Tell your administrator this request number.",
	},
	verdict.UnknownHost: {
		title: "There is no site at this address",
		what:  "The address leads here, but no site goes by this name.",
		next:  "Check the address for typing mistakes.",
	},
	verdict.Misdirected: {
		title: "This request took a wrong turn",
		what:  "It was meant for one site, but arrived on a connection to another.",
		next:  "Loading the page again opens a fresh connection and will very likely work.",
	},
	verdict.WAFBlocked: {
		title: "This request was stopped",
		what:  "It looked like an attack, so it was not passed on. Now and then something harmless looks like one.",
		next:  "If you did nothing unusual, tell your administrator this request number. They can see what happened and allow it.",
	},
	verdict.BodyTooLarge: {
		title: "That is too large to send",
		what:  "The file or text is larger than this site accepts.",
		next:  "Try something smaller, or ask your administrator about the limit.",
	},
	verdict.BodyUnreadable: {
		title: "What you sent did not arrive in one piece",
		what:  "It broke off on the way, or was not in the form it was said to be in.",
		next:  "Check your connection, go back and send it again.",
	},
	verdict.ResponseBlocked: {
		title: "This answer was held back",
		what:  "The application answered with something that looks like its own inner workings, so it was not shown. Often this means that it ran into trouble.",
		next:  "What you asked for may have been done: look before you try again. Tell your administrator this request number.",
	},
	verdict.WAFFailed: {
		title: "Your request could not be checked",
		what:  "Everything sent to this site is checked for safety first. This time the check could not be finished, so your request was not passed on.",
		next:  "Try again in a moment. If it happens every time, tell your administrator this request number.",
	},
	verdict.LoginRequired: {
		title: "Please sign in",
		what:  "This page is for people who are signed in. Perhaps you have been signed out after some time.",
		next:  "Sign in to continue.",
	},
	verdict.MFARequired: {
		title: "Please confirm that it is you",
		what:  "What you want to do needs one more confirmation, and nothing was sent on yet.",
		next:  "Confirm, then do it once more.",
		login: "Confirm",
	},
	verdict.VerifyRequired: englishVerifyRequired,
	verdict.VerifyDenied:   englishVerifyDenied,
	verdict.Forbidden: {
		title: "You do not have access to this page",
		what:  "It is open to certain people only, and your account is not among them.",
		next:  "If you need it, ask your administrator for access.",
		login: "Use another account",
	},
	verdict.InvalidToken: {
		title: "This access key is not valid",
		what:  "The program that made this request showed an access key that has expired, was withdrawn, or does not belong here.",
		next:  "Give the program a new key. In a browser, sign in instead.",
	},
	verdict.OutOfScope: {
		title: "This access key is not for this",
		what:  "The key is valid, but it may not be used for this address or this kind of request.",
		next:  "Ask whoever issued the key, and give them this request number.",
	},
	verdict.OtherWorkspace: {
		title: "This belongs to another workspace",
		what:  "The access key is for another workspace than the one that was asked for.",
		next:  "Check which workspace you meant. If it was this one, ask for access to it.",
	},
	verdict.LinkInvalid: {
		title: "This link does not work any more",
		what:  "It has expired, was used already, was withdrawn, or does not lead to this page.",
		next:  "Ask the person who sent it to you for a new one.",
	},
	verdict.CertificateBad: {
		title: "Your certificate is not accepted here",
		what:  "Your device showed a certificate that has expired, was revoked or is not trusted here, or it showed none.",
		next:  "Close the browser, open it again and choose another certificate, or ask your administrator for a new one.",
	},
	verdict.NotFound: {
		title: "There is nothing here",
		what:  "No page exists at this address.",
		next:  "Check the address for typing mistakes, or begin at the start page.",
	},
	verdict.LoginFailed: {
		title: "Signing in did not work",
		what:  "It could not be confirmed who you are. You are not signed in.",
		next:  "Try again. If it does not work the second time, tell your administrator this request number.",
		login: "Try again",
	},
	verdict.ClockDiffers: {
		title: "Two clocks do not agree",
		what:  "The service that confirms who you are and this site do not have the same time, so that its answer could not be accepted. You are not signed in.",
		next:  "You cannot mend this yourself. Please tell your administrator this request number.",
		login: "Try again",
	},
	verdict.GroupsMissing: {
		title: "Your groups could not be read",
		what:  "You belong to so many groups that the service that confirms who you are did not send them along. What you may do here could not be found out, and you are not signed in.",
		next:  "You cannot mend this yourself. Please tell your administrator this request number.",
		login: "Try again",
	},
	verdict.LoginExpired: {
		title: "This sign-in is no longer valid",
		what:  "It took too long, was used before, or was started in another browser.",
		next:  "Start again. This usually takes only a moment.",
		login: "Start again",
	},
	verdict.ProviderDown: {
		title: "Signing in is not possible right now",
		what:  "The service that confirms who you are is not answering. Those who are signed in already can go on working.",
		next:  "Try again in a few minutes.",
	},
	verdict.AccountPending: {
		title: "Your account is waiting for approval",
		what:  "We know who you are, but an administrator has to let you in first. Your request has been noted.",
		next:  "Come back later and sign in again. If you are in a hurry, give your administrator this request number.",
		login: "Sign in again",
	},
	verdict.TooManySessions: {
		title: "You are signed in elsewhere",
		what:  "This account is signed in as often as it may be, so that nothing was opened here.",
		next:  "Sign out in one of the other places, then try again. If it was not you who signed in there, tell your administrator.",
		login: "Try again",
	},
	verdict.AccountDisabled: {
		title: "This account cannot be used",
		what:  "We know who you are, but an administrator has closed this account.",
		next:  "If you think that this is a mistake, give your administrator this request number.",
		login: "Sign in with another account",
	},
	verdict.TooManyAttempts: {
		title: "Too many attempts",
		what:  "There were many tries in a short time. To keep accounts safe, there is a pause now.",
		next:  "Please wait a little before you try again.",
	},
	verdict.RateLimited: {
		title: "Too many requests",
		what:  "More requests came from your connection or account in a short time than this site accepts.",
		next:  "Please wait a little, then load the page again. If this keeps happening in normal use, tell your administrator this request number.",
	},
	verdict.Banned: {
		title: "Access is paused",
		what:  "There were too many unwanted requests from the network you are using, perhaps from somebody else there. Access from it is closed for a while.",
		next:  "You do not have to do anything: it opens again by itself. If it is urgent, tell your administrator this request number.",
	},
	verdict.Locked: {
		title: "Closed for a while",
		what:  "This part of the site has been closed on purpose while something is looked into. What you asked for was not done.",
		next:  "You do not have to do anything: come back later. If it is urgent, give your administrator this request number.",
	},
	verdict.ReadOnly: {
		title: "Nothing can be changed at the moment",
		what:  "You can look at everything, but this site takes no changes for a while. What you just sent was not saved.",
		next:  "Keep a copy of what you typed, and send it again later. If it is urgent, give your administrator this request number.",
	},
	verdict.UpstreamDown: {
		title: "The site is not answering",
		what:  "You have reached the right place, but the application behind it cannot be reached at the moment.",
		next:  "Try again in a few minutes.",
	},
	verdict.UpstreamTimeout: {
		title: "The site is taking too long",
		what:  "The application received your request but did not answer in time. It may still finish what you asked for.",
		next:  "Look whether it was done before you send it again.",
	},
	verdict.Unavailable: {
		title: "Not available for a moment",
		what:  "A part that keeps this site safe is not ready, so nobody is let in until it is.",
		next:  "Try again in a few minutes.",
	},
	verdict.Internal: {
		title: "Something went wrong on our side",
		what:  "This is a fault in the gateway in front of this site, and nothing you did.",
		next:  "Try again in a moment. If it happens every time, tell your administrator this request number.",
	},
	verdict.HeadersTooLarge: {
		title: "Your browser sent too much at once",
		what:  "This mostly happens when many cookies have piled up for this site.",
		next:  "Delete the cookies of this site in your browser's settings, then try again.",
	},
	verdict.ClientClosed: {
		title: "The connection was closed",
		what:  "Your browser went away before the answer was ready.",
		next:  "Load the page again if you still want to see it.",
	},
	verdict.RequestTimeout: {
		title: "Sending took too long",
		what:  "Your request did not arrive completely in the time given. The connection may be slow or interrupted.",
		next:  "Check your connection and try again.",
	},
	verdict.UpstreamRejected: {
		title: "The site's answer could not be used",
		what:  "The application behind this address answered, but something went wrong on the way back.",
		next:  "Look whether what you wanted was done, then try again.",
	},
}
