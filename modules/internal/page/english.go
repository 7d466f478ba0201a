package page

import (
	"time"

	"gatehouse.internal/modules/internal/verdict"
)

var english = tongue{
	tag: "en",
	words: words{
		Error: "Error: ", RequestNumber: "Request number", Reason: "Reason",
		LoadAgain: "Load again", StartPage: "Start page", TryAgainIn: "You can try again in %s.",
		KeptRefusal:    "You were signed out while you were working. What you typed has been kept for 15 minutes, and nothing was sent on.",
		SomethingWrong: "Something went wrong. Please try again.",
		PausedFor:      "That was one attempt too many. Please wait %s before you try again.",
		About:          "about %s", Ago: "%s ago", JustNow: "just now",

		PasswordLogin: "User name and password",
		SignIn:        "Sign in", ContinueWith: "Continue with %s",
		OrPassword: "or with a password", UserName: "User name", Password: "Password",
		NoWayIn: "No way to sign in has been set up here yet. Please tell your administrator.",

		SetupTitle:    "Create the first administrator",
		SetupLead:     "Nobody can sign in yet. This account may do everything, so give it a password that is used nowhere else.",
		SetupCode:     "Setup code",
		SetupCodeHint: "It was shown when the gateway was started.",
		PasswordHint:  "At least %d characters. Length matters more than signs and numbers.",
		PasswordAgain: "Password, once more", CreateAccount: "Create account",

		AccountTitle: "Your account", Name: "Name", Email: "E-mail",
		SignedInWith: "Signed in with", SignedInSince: "Signed in since", Roles: "Roles", SignOut: "Sign out",
		SessionsTitle: "Where you are signed in",
		SessionsLead:  "If you do not recognise one of these, end it and change your password.",
		ThisSession:   "This one", On: "%s on %s", UnknownDevice: "Unknown device",
		SignedInAgo: "Signed in %s", UsedAgo: "last used %s",
		EndOne: "Sign out there", EndOthers: "Sign out everywhere else", EndAll: "Sign out everywhere",
		EndAllHint: "Everywhere includes this browser. What is open there is closed within a second.",
		Ended:      "Done. Nobody can go on working there without signing in again.",

		LogoutTitle: "Sign out?", SignedInAs: "You are signed in as", Unsaved: "What you have not saved may be lost.",
		StaySignedIn:   "Stay signed in",
		LoggedOutTitle: "You are signed out",
		SharedComputer: "On a computer that others use too, close the browser now.",
		StillThere:     "You may still be signed in with %s.", ThatService: "the service that confirmed who you are",
		SignInAgain: "Sign in again", SignOutThere: "Sign out there too",
		LeadingThere: "You are being taken to %s, to sign out there too.",

		KeptTitle:  "You were signed out while you were working",
		KeptLead:   "What you typed was not lost, but it has not been sent either. Do you want to send it now?",
		KeptTo:     "It would go to:",
		KeptFields: "What was typed", KeptSize: "%s characters", KeptEmpty: "empty", KeptMore: "and %d more",
		KeptSend: "Send it now", KeptCancel: "Do not send it",
		KeptOnce: "This is shown once. If you leave this page, what you typed is deleted.",

		LoopTitle:  "Signing in keeps starting over",
		LoopWhat:   "You have signed in three times within a few seconds, and each time your browser came back as if you had not. We stopped here, so that it does not go round and round.",
		LoopCookie: "The likely cause: your browser does not keep the cookie that says who you are. Allow cookies for this site, switch off extensions that delete them, and check the date and time of your device.",
		LoopFrame:  "The likely cause: this site was opened inside of another website, where browsers keep no cookies. Open it in a tab of its own.",
		LoopEnded:  "The likely cause lies on our side: your browser did send the cookie, but what belongs to it was not found.",
		LoopNext:   "Please try again. If it happens once more, tell your administrator this request number.",
		TryAgain:   "Try again",

		HopTitle: "One moment", HopLead: "You are being taken to %s to sign in.",
		BackTitle: "You are signed in", BackLead: "You are being taken to the page you wanted.", Continue: "Continue",
	},
	group: ",",
	units: [4]unit{{"second", "seconds"}, {"minute", "minutes"}, {"hour", "hours"}, {"day", "days"}},
	months: [12]string{
		"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
	},
	date: func(t time.Time, month string) string { return t.Format("2 ") + month + t.Format(" 2006") },
	messages: map[Message]string{
		BadCredentials:   "That user name and password do not belong together. Please try again.",
		SignedOutIdle:    "You were signed out because nothing happened for a while. Please sign in again.",
		FormKept:         "You were signed out while you were working. What you typed has been kept: sign in again, and you can send it.",
		NoCookie:         "Your browser did not send back the cookie that came with this page. Please allow cookies for this site and try again.",
		LoginStale:       "That took too long. Please sign in again.",
		LoginRefused:     "Signing in did not work. Please try again.",
		ProviderAway:     "The service that confirms who you are is not answering. Please try again in a few minutes.",
		Paused:           "There were too many attempts. Please wait a few minutes before you try again.",
		TokenInvalid:     "This setup code is not valid, or no longer. A new one is shown when the gateway starts.",
		UsernameInvalid:  "Please choose another user name.",
		PasswordTooShort: "That password is too short.",
		PasswordTooWeak:  "That password is too easy to guess. Several unrelated words make a good one.",
		PasswordTooLong:  "That password is too long, or it holds characters that cannot be typed. Please choose another one.",
		PasswordsDiffer:  "The two passwords are not the same. Please enter them again.",
	},
	reasons: map[verdict.Reason]text{
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
	},
}
