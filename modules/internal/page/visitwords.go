package page

// visiting are the words about devices and networks that are not known to be a person's.
type visiting struct {
	VisitTitle, VisitLead                                     string
	WhyFirstLogin, WhyNewNetwork, WhyNewDevice, WhyNewCountry string
	WhyImpossibleTravel, WhyListedNetwork, WhyOffHours        string
	VisitFactor, VisitSend, VisitSendAgain                    string
	VisitMailLead                                             string // the address
	VisitSent, VisitCodeHint, VisitWait, VisitNone            string
	VisitHeld                                                 string
	ReportTitle, ReportLead                                   string // -; network, when
	ReportHint, ReportButton                                  string
	ReportDoneTitle, ReportDone, ReportNext                   string // -; number; -
	VisitsTitle, VisitsLead, VisitsDevices                    string
	VisitsNetworks, VisitsThis, VisitsNone                    string
	LetterSubject, LetterCame, LetterWaits                    string // the site, each
	LetterYours, LetterNotYours                               string
	LetterCodeSubject, LetterCode, LetterCodeOnly             string // site; site, how long; -
}

var (
	englishVerifyRequired = text{
		title: "Is this you?",
		what:  "You come with a device or from a network that is not known to be yours, and nothing was sent on yet.",
		next:  "Confirm that it is you, then do it once more.",
		login: "Confirm",
	}
	englishVerifyDenied = text{
		title: "You are not let in from here",
		what:  "This device or network may not be used with your account.",
		next:  "Use a device and a network that you have used before, or ask your administrator and give them this request number.",
		login: "Sign out",
	}
)

var englishVisiting = visiting{
	VisitTitle: "Is this you?", VisitLead: "You are signed in, but not let through yet. Please confirm once that it is you; afterwards this device and network are known.",
	WhyFirstLogin: "You are here for the first time.", WhyNewNetwork: "You come from a network that you have not used here before.",
	WhyNewDevice: "You use a device or browser that you have not used here before.", WhyNewCountry: "You come from a country that you have not been to here before.",
	WhyImpossibleTravel: "A short while ago you were too far away to be here by now.", WhyListedNetwork: "Your network hides where its users are.",
	WhyOffHours: "You come at an unusual time.",
	VisitFactor: "Confirm with your second factor", VisitSend: "Send me a code", VisitSendAgain: "Send a new code", VisitMailLead: "A code can be sent to %s.",
	VisitSent: "A code is on its way. It works once, for ten minutes.", VisitCodeHint: "Eight digits, from the message", VisitWait: "An administrator has to let you in. Tell them the number below, then open this page again.",
	VisitNone: "There is no way here by which you can confirm it yourself. Ask your administrator, and tell them the number below.", VisitHeld: "Number",
	ReportTitle: "Was this not you?", ReportLead: "Somebody used your account from the network %s, on %s.",
	ReportHint: "If it was not you, all sessions of your account end now, everywhere, and your administrators are told.", ReportButton: "It was not me: end all sessions",
	ReportDoneTitle: "All sessions have ended", ReportDone: "Sessions ended: %d. Your administrators have been told.", ReportNext: "Now change your password, and check your second factors.",
	VisitsTitle: "Your devices and networks", VisitsLead: "You are known by these. What you remove has to be confirmed when it is used again.", VisitsDevices: "Devices", VisitsNetworks: "Networks",
	VisitsThis: "in use now", VisitsNone: "None yet.",
	LetterSubject: "%s: your account is used from somewhere new", LetterCame: "Somebody has used your account at %s with a device or from a network that was not known to be yours.",
	LetterWaits: "Somebody wants to use your account at %s with a device or from a network that is not known to be yours. They were not let through yet.",
	LetterYours: "If it was you, there is nothing to do.", LetterNotYours: "If it was not you, open this page and confirm. It ends all sessions of your account:",
	LetterCodeSubject: "%s: your code", LetterCode: "This is the code for %s. It works once, for %s:", LetterCodeOnly: "Whoever asks you for it by telephone or message is not us. If you did not want a code, change your password.",
}

var (
	germanVerifyRequired = text{
		title: "Sind Sie das?",
		what:  "Sie kommen mit einem Gerät oder aus einem Netz, das nicht als Ihres bekannt ist; es wurde noch nichts weitergeleitet.",
		next:  "Bestätigen Sie, dass Sie es sind, und versuchen Sie es dann noch einmal.",
		login: "Bestätigen",
	}
	germanVerifyDenied = text{
		title: "Von hier aus werden Sie nicht eingelassen",
		what:  "Dieses Gerät oder dieses Netz darf mit Ihrem Konto nicht benutzt werden.",
		next:  "Benutzen Sie ein Gerät und ein Netz, die Sie schon benutzt haben, oder wenden Sie sich mit dieser Anfragenummer an Ihre Administration.",
		login: "Abmelden",
	}
)

var germanVisiting = visiting{
	VisitTitle: "Sind Sie das?", VisitLead: "Sie sind angemeldet, aber noch nicht durchgelassen. Bitte bestätigen Sie einmal, dass Sie es sind; danach sind dieses Gerät und dieses Netz bekannt.",
	WhyFirstLogin: "Sie sind zum ersten Mal hier.", WhyNewNetwork: "Sie kommen aus einem Netz, aus dem Sie hier noch nie kamen.",
	WhyNewDevice: "Sie benutzen ein Gerät oder einen Browser, den Sie hier noch nie benutzt haben.", WhyNewCountry: "Sie kommen aus einem Land, aus dem Sie hier noch nie kamen.",
	WhyImpossibleTravel: "Vor kurzem waren Sie zu weit weg, um jetzt schon hier zu sein.", WhyListedNetwork: "Ihr Netz verbirgt, wo seine Benutzer sind.",
	WhyOffHours: "Sie kommen zu einer ungewöhnlichen Zeit.",
	VisitFactor: "Mit dem zweiten Faktor bestätigen", VisitSend: "Code senden", VisitSendAgain: "Neuen Code senden", VisitMailLead: "Ein Code kann an %s gesendet werden.",
	VisitSent: "Ein Code ist unterwegs. Er gilt einmal, zehn Minuten lang.", VisitCodeHint: "Acht Ziffern, aus der Nachricht", VisitWait: "Ihre Administration muss Sie einlassen. Nennen Sie ihr die Nummer unten und öffnen Sie danach diese Seite noch einmal.",
	VisitNone: "Sie können es hier nicht selbst bestätigen. Wenden Sie sich an Ihre Administration und nennen Sie ihr die Nummer unten.", VisitHeld: "Nummer",
	ReportTitle: "Waren Sie das nicht?", ReportLead: "Jemand hat Ihr Konto aus dem Netz %s benutzt, am %s.",
	ReportHint: "Wenn Sie es nicht waren, enden jetzt alle Sitzungen Ihres Kontos, überall, und Ihre Administration erfährt davon.", ReportButton: "Das war ich nicht: alle Sitzungen beenden",
	ReportDoneTitle: "Alle Sitzungen sind beendet", ReportDone: "Beendete Sitzungen: %d. Ihre Administration ist benachrichtigt.", ReportNext: "Ändern Sie jetzt Ihr Passwort und prüfen Sie Ihre zweiten Faktoren.",
	VisitsTitle: "Ihre Geräte und Netze", VisitsLead: "Daran werden Sie erkannt. Was Sie entfernen, ist bei der nächsten Benutzung zu bestätigen.", VisitsDevices: "Geräte", VisitsNetworks: "Netze",
	VisitsThis: "jetzt in Gebrauch", VisitsNone: "Noch keine.",
	LetterSubject: "%s: Ihr Konto wird von einem neuen Ort benutzt", LetterCame: "Jemand hat Ihr Konto bei %s mit einem Gerät oder aus einem Netz benutzt, das nicht als Ihres bekannt war.",
	LetterWaits: "Jemand möchte Ihr Konto bei %s mit einem Gerät oder aus einem Netz benutzen, das nicht als Ihres bekannt ist. Durchgelassen wurde noch niemand.",
	LetterYours: "Wenn Sie es waren, ist nichts zu tun.", LetterNotYours: "Wenn Sie es nicht waren, öffnen Sie diese Seite und bestätigen Sie. Sie beendet alle Sitzungen Ihres Kontos:",
	LetterCodeSubject: "%s: Ihr Code", LetterCode: "Das ist der Code für %s. Er gilt einmal, %s lang:", LetterCodeOnly: "Wer Sie am Telefon oder in einer Nachricht danach fragt, sind nicht wir. Wenn Sie keinen Code wollten, ändern Sie Ihr Passwort.",
}

var (
	frenchVerifyRequired = text{
		title: "Est-ce bien vous ?",
		what:  "Vous venez avec un appareil ou depuis un réseau qui n’est pas connu comme le vôtre, et rien n’a encore été transmis.",
		next:  "Confirmez que c’est vous, puis recommencez.",
		login: "Confirmer",
	}
	frenchVerifyDenied = text{
		title: "Vous n’êtes pas admis depuis cet endroit",
		what:  "Cet appareil ou ce réseau ne peut pas être utilisé avec votre compte.",
		next:  "Utilisez un appareil et un réseau que vous avez déjà utilisés, ou donnez ce numéro de demande à votre administrateur.",
		login: "Se déconnecter",
	}
)

var frenchVisiting = visiting{
	VisitTitle: "Est-ce bien vous ?", VisitLead: "Vous êtes connecté, mais pas encore admis. Confirmez une fois que c’est vous ; cet appareil et ce réseau seront ensuite connus.",
	WhyFirstLogin: "Vous êtes ici pour la première fois.", WhyNewNetwork: "Vous venez d’un réseau que vous n’avez jamais utilisé ici.",
	WhyNewDevice: "Vous utilisez un appareil ou un navigateur que vous n’avez jamais utilisé ici.", WhyNewCountry: "Vous venez d’un pays d’où vous n’êtes jamais venu ici.",
	WhyImpossibleTravel: "Il y a peu, vous étiez trop loin pour être déjà ici.", WhyListedNetwork: "Votre réseau cache où se trouvent ses utilisateurs.",
	WhyOffHours: "Vous venez à une heure inhabituelle.",
	VisitFactor: "Confirmer avec le second facteur", VisitSend: "M’envoyer un code", VisitSendAgain: "Envoyer un nouveau code", VisitMailLead: "Un code peut être envoyé à %s.",
	VisitSent: "Un code est en route. Il sert une fois, pendant dix minutes.", VisitCodeHint: "Huit chiffres, dans le message", VisitWait: "Votre administrateur doit vous laisser entrer. Donnez-lui le numéro ci-dessous, puis rouvrez cette page.",
	VisitNone: "Vous ne pouvez pas le confirmer ici vous-même. Adressez-vous à votre administrateur et donnez-lui le numéro ci-dessous.", VisitHeld: "Numéro",
	ReportTitle: "Ce n’était pas vous ?", ReportLead: "Quelqu’un a utilisé votre compte depuis le réseau %s, le %s.",
	ReportHint: "Si ce n’était pas vous, toutes les sessions de votre compte prennent fin maintenant, partout, et vos administrateurs en sont informés.", ReportButton: "Ce n’était pas moi : terminer toutes les sessions",
	ReportDoneTitle: "Toutes les sessions ont pris fin", ReportDone: "Sessions terminées : %d. Vos administrateurs ont été informés.", ReportNext: "Changez maintenant votre mot de passe et vérifiez vos seconds facteurs.",
	VisitsTitle: "Vos appareils et réseaux", VisitsLead: "Vous êtes reconnu à ceux-ci. Ce que vous retirez devra être confirmé à la prochaine utilisation.", VisitsDevices: "Appareils", VisitsNetworks: "Réseaux",
	VisitsThis: "en cours d’utilisation", VisitsNone: "Aucun pour l’instant.",
	LetterSubject: "%s : votre compte est utilisé depuis un nouvel endroit", LetterCame: "Quelqu’un a utilisé votre compte sur %s avec un appareil ou depuis un réseau qui n’était pas connu comme le vôtre.",
	LetterWaits: "Quelqu’un veut utiliser votre compte sur %s avec un appareil ou depuis un réseau qui n’est pas connu comme le vôtre. Personne n’a encore été admis.",
	LetterYours: "Si c’était vous, il n’y a rien à faire.", LetterNotYours: "Si ce n’était pas vous, ouvrez cette page et confirmez. Elle met fin à toutes les sessions de votre compte :",
	LetterCodeSubject: "%s : votre code", LetterCode: "Voici le code pour %s. Il sert une fois, pendant %s :", LetterCodeOnly: "Quiconque vous le demande par téléphone ou par message n’est pas nous. Si vous n’avez pas voulu de code, changez votre mot de passe.",
}

// why says in a sentence what a signal means, as the room of that name calls it; "" when it is none.
func (v *visiting) why(signal string) string {
	switch signal {
	case "first_login":
		return v.WhyFirstLogin
	case "new_network":
		return v.WhyNewNetwork
	case "new_device":
		return v.WhyNewDevice
	case "new_country":
		return v.WhyNewCountry
	case "impossible_travel":
		return v.WhyImpossibleTravel
	case "listed_network":
		return v.WhyListedNetwork
	case "off_hours":
		return v.WhyOffHours
	}
	return ""
}
