package page

import "gatehouse.internal/modules/internal/verdict"

// germanReasons is what people are told about each reason, in this language.
var germanReasons = map[verdict.Reason]text{
	verdict.PlainHTTP: {
		title: "Diese Adresse braucht eine sichere Verbindung",
		what:  "Sie wurde unverschlüsselt geöffnet, sodass andere hätten mitlesen können. Es wurde nichts weitergegeben.",
		next:  "Geben Sie die Adresse noch einmal ein, mit https:// davor.",
	},
	verdict.TooEarly: {
		title: "Bitte laden Sie diese Seite noch einmal",
		what:  "Ihre Anfrage kam einen Augenblick zu früh: Die sichere Verbindung war noch nicht fertig.",
		next:  "Wenn Sie die Seite noch einmal laden, klappt es sehr wahrscheinlich.",
	},
	verdict.BadPath: {
		title: "Diese Adresse lässt sich nicht öffnen",
		what:  "Sie ist so geschrieben, dass man sie auf mehr als eine Weise lesen kann.",
		next:  "Prüfen Sie die Adresse auf Tippfehler, oder beginnen Sie auf der Startseite.",
	},
	verdict.BadMethod: {
		title: "Das geht hier nicht",
		what:  "Die Seite sollte etwas tun, was unter dieser Adresse nicht vorgesehen ist.",
		next:  "Gehen Sie zurück und versuchen Sie es anders, oder beginnen Sie auf der Startseite.",
	},
	verdict.BadUpgrade: {
		title: "Die Live-Verbindung kam nicht zustande",
		what:  "Die Seite wollte für laufende Aktualisierungen eine Verbindung offen halten, hat aber nicht richtig danach gefragt.",
		next:  "Laden Sie die Seite neu. Wenn es jedes Mal passiert, nennen Sie Ihrer Administration diese Anfragenummer.",
	},
	verdict.CrossOrigin: {
		title: "Eine andere Website wurde ferngehalten",
		what:  "Eine fremde Website wollte hier in Ihrem Namen eine Verbindung öffnen. Das wurde verhindert.",
		next:  "Öffnen Sie diese Seite direkt über ihre eigene Adresse.",
	},
	verdict.BadRequest: {
		title: "Diese Anfrage war nicht zu verstehen",
		what:  "Was hier ankam, war unvollständig oder hatte nicht die erwartete Form.",
		next:  "Gehen Sie zurück und versuchen Sie es noch einmal. Wenn es jedes Mal passiert, nennen Sie Ihrer Administration diese Anfragenummer.",
	},
	verdict.ClientUnknown: {
		title: "Unklar, woher Sie sich verbinden",
		what:  "Ihre Anfrage kam ohne brauchbaren Absender und wurde deshalb nicht eingelassen. Das liegt meist an einem Fehler im Netzwerk und nicht an Ihnen.",
		next:  "Nennen Sie Ihrer Administration diese Anfragenummer.",
	},
	verdict.UnknownHost: {
		title: "Unter dieser Adresse gibt es keine Website",
		what:  "Die Adresse führt hierher, aber keine Website heißt so.",
		next:  "Prüfen Sie die Adresse auf Tippfehler.",
	},
	verdict.Misdirected: {
		title: "Diese Anfrage ist falsch abgebogen",
		what:  "Sie war für eine Website bestimmt, kam aber auf der Verbindung zu einer anderen an.",
		next:  "Wenn Sie die Seite neu laden, wird eine frische Verbindung geöffnet; dann klappt es sehr wahrscheinlich.",
	},
	verdict.WAFBlocked: {
		title: "Diese Anfrage wurde aufgehalten",
		what:  "Sie sah nach einem Angriff aus und wurde deshalb nicht weitergegeben. Ab und zu sieht auch etwas Harmloses so aus.",
		next:  "Wenn Sie nichts Ungewöhnliches getan haben, nennen Sie Ihrer Administration diese Anfragenummer. Dort lässt sich nachsehen und das Richtige erlauben.",
	},
	verdict.BodyTooLarge: {
		title: "Das ist zu groß zum Senden",
		what:  "Die Datei oder der Text ist größer, als diese Website annimmt.",
		next:  "Versuchen Sie es mit etwas Kleinerem, oder fragen Sie Ihre Administration nach der Grenze.",
	},
	verdict.BodyUnreadable: {
		title: "Was Sie gesendet haben, kam nicht heil an",
		what:  "Es brach unterwegs ab oder hatte nicht die Form, die angekündigt war.",
		next:  "Prüfen Sie Ihre Verbindung, gehen Sie zurück und senden Sie es noch einmal.",
	},
	verdict.ResponseBlocked: {
		title: "Diese Antwort wurde zurückgehalten",
		what:  "Die Anwendung hat mit etwas geantwortet, das nach ihrem Innenleben aussieht; deshalb wird es nicht gezeigt. Oft heißt das, dass sie in Schwierigkeiten ist.",
		next:  "Was Sie wollten, kann trotzdem geschehen sein: Sehen Sie nach, bevor Sie es wiederholen. Nennen Sie Ihrer Administration diese Anfragenummer.",
	},
	verdict.WAFFailed: {
		title: "Ihre Anfrage konnte nicht geprüft werden",
		what:  "Alles, was an diese Website geht, wird vorher auf Sicherheit geprüft. Diesmal wurde die Prüfung nicht fertig, also ging Ihre Anfrage nicht weiter.",
		next:  "Versuchen Sie es gleich noch einmal. Wenn es jedes Mal passiert, nennen Sie Ihrer Administration diese Anfragenummer.",
	},
	verdict.LoginRequired: {
		title: "Bitte melden Sie sich an",
		what:  "Diese Seite ist nur für Angemeldete. Vielleicht wurden Sie nach einiger Zeit abgemeldet.",
		next:  "Melden Sie sich an, um fortzufahren.",
	},
	verdict.MFARequired: {
		title: "Bitte bestätigen Sie, dass Sie es sind",
		what:  "Was Sie tun möchten, braucht noch eine Bestätigung. Bisher wurde nichts weitergegeben.",
		next:  "Bestätigen Sie, und tun Sie es dann noch einmal.",
		login: "Bestätigen",
	},
	verdict.VerifyRequired: germanVerifyRequired,
	verdict.VerifyDenied:   germanVerifyDenied,
	verdict.Forbidden: {
		title: "Sie haben keinen Zugang zu dieser Seite",
		what:  "Sie ist nur für bestimmte Personen gedacht, und Ihr Konto gehört nicht dazu.",
		next:  "Wenn Sie Zugang brauchen, bitten Sie Ihre Administration darum.",
		login: "Anderes Konto verwenden",
	},
	verdict.InvalidToken: {
		title: "Dieser Zugangsschlüssel gilt nicht",
		what:  "Das Programm, das hier anfragt, hat einen Zugangsschlüssel gezeigt, der abgelaufen ist, zurückgezogen wurde oder nicht hierher gehört.",
		next:  "Geben Sie dem Programm einen neuen Schlüssel. Im Browser melden Sie sich stattdessen an.",
	},
	verdict.OutOfScope: {
		title: "Dieser Zugangsschlüssel ist nicht dafür da",
		what:  "Der Schlüssel gilt, aber nicht für diese Adresse oder diese Art von Anfrage.",
		next:  "Fragen Sie, wer den Schlüssel ausgestellt hat, und nennen Sie diese Anfragenummer.",
	},
	verdict.OtherWorkspace: {
		title: "Das gehört zu einem anderen Arbeitsbereich",
		what:  "Der Zugangsschlüssel ist für einen anderen Arbeitsbereich als den, nach dem gefragt wurde.",
		next:  "Prüfen Sie, welchen Arbeitsbereich Sie meinten. War es dieser, bitten Sie um Zugang dazu.",
	},
	verdict.LinkInvalid: {
		title: "Dieser Link funktioniert nicht mehr",
		what:  "Er ist abgelaufen, wurde schon benutzt, wurde zurückgezogen oder führt nicht zu dieser Seite.",
		next:  "Bitten Sie die Person, die ihn geschickt hat, um einen neuen.",
	},
	verdict.CertificateBad: {
		title: "Ihr Zertifikat wird hier nicht angenommen",
		what:  "Ihr Gerät hat ein Zertifikat gezeigt, das abgelaufen oder gesperrt ist oder dem hier nicht vertraut wird, oder es hat keines gezeigt.",
		next:  "Schließen Sie den Browser, öffnen Sie ihn neu und wählen Sie ein anderes Zertifikat, oder bitten Sie Ihre Administratorin oder Ihren Administrator um ein neues.",
	},
	verdict.NotFound: {
		title: "Hier ist nichts",
		what:  "Unter dieser Adresse gibt es keine Seite.",
		next:  "Prüfen Sie die Adresse auf Tippfehler, oder gehen Sie zur Startseite.",
	},
	verdict.LoginFailed: {
		title: "Die Anmeldung hat nicht geklappt",
		what:  "Es ließ sich nicht bestätigen, wer Sie sind. Sie sind nicht angemeldet.",
		next:  "Versuchen Sie es noch einmal. Klappt es auch beim zweiten Mal nicht, nennen Sie Ihrer Administration diese Anfragenummer.",
		login: "Noch einmal versuchen",
	},
	verdict.ClockDiffers: {
		title: "Zwei Uhren gehen verschieden",
		what:  "Der Dienst, der bestätigt, wer Sie sind, und diese Seite haben nicht dieselbe Zeit; seine Antwort konnte deshalb nicht angenommen werden. Sie sind nicht angemeldet.",
		next:  "Sie selbst können das nicht beheben. Bitte nennen Sie Ihrer Administration diese Anfragenummer.",
		login: "Noch einmal versuchen",
	},
	verdict.GroupsMissing: {
		title: "Ihre Gruppen ließen sich nicht lesen",
		what:  "Sie gehören zu so vielen Gruppen, dass der Dienst, der bestätigt, wer Sie sind, sie nicht mitgeschickt hat. Was Sie hier dürfen, ließ sich nicht feststellen, und Sie sind nicht angemeldet.",
		next:  "Sie selbst können das nicht beheben. Bitte nennen Sie Ihrer Administration diese Anfragenummer.",
		login: "Noch einmal versuchen",
	},
	verdict.LoginExpired: {
		title: "Diese Anmeldung gilt nicht mehr",
		what:  "Sie hat zu lange gedauert, wurde schon benutzt oder in einem anderen Browser begonnen.",
		next:  "Fangen Sie neu an. Meist dauert das nur einen Moment.",
		login: "Neu anfangen",
	},
	verdict.ProviderDown: {
		title: "Die Anmeldung ist gerade nicht möglich",
		what:  "Der Dienst, der bestätigt, wer Sie sind, antwortet nicht. Wer schon angemeldet ist, kann weiterarbeiten.",
		next:  "Versuchen Sie es in ein paar Minuten noch einmal.",
	},
	verdict.AccountPending: {
		title: "Ihr Konto wartet auf Freigabe",
		what:  "Wir wissen, wer Sie sind, aber die Administration muss Sie erst zulassen. Ihre Anfrage ist vermerkt.",
		next:  "Kommen Sie später wieder und melden Sie sich noch einmal an. Wenn es eilt, nennen Sie Ihrer Administration diese Anfragenummer.",
		login: "Noch einmal anmelden",
	},
	verdict.TooManySessions: {
		title: "Sie sind anderswo angemeldet",
		what:  "Dieses Konto ist schon so oft angemeldet, wie es sein darf; hier wurde deshalb nichts geöffnet.",
		next:  "Melden Sie sich an einer der anderen Stellen ab und versuchen Sie es dann noch einmal. Waren nicht Sie das, sagen Sie es Ihrer Administration.",
		login: "Noch einmal versuchen",
	},
	verdict.AccountDisabled: {
		title: "Dieses Konto kann nicht benutzt werden",
		what:  "Wir wissen, wer Sie sind, aber die Administration hat dieses Konto gesperrt.",
		next:  "Wenn Sie das für einen Irrtum halten, nennen Sie Ihrer Administration diese Anfragenummer.",
		login: "Mit einem anderen Konto anmelden",
	},
	verdict.TooManyAttempts: {
		title: "Zu viele Versuche",
		what:  "Es gab in kurzer Zeit viele Versuche. Zum Schutz der Konten ist jetzt eine Pause.",
		next:  "Bitte warten Sie ein wenig, bevor Sie es wieder versuchen.",
	},
	verdict.RateLimited: {
		title: "Zu viele Anfragen",
		what:  "Von Ihrem Anschluss oder Konto kamen in kurzer Zeit mehr Anfragen, als diese Website annimmt.",
		next:  "Bitte warten Sie einen Moment und laden Sie die Seite dann neu. Wenn das bei normaler Nutzung wieder vorkommt, nennen Sie Ihrer Administration diese Anfragenummer.",
	},
	verdict.Banned: {
		title: "Zugang vorübergehend gesperrt",
		what:  "Aus dem Netz, das Sie benutzen, kamen zu viele unerwünschte Anfragen, vielleicht von jemand anderem dort. Der Zugang von dort ist für eine Weile geschlossen.",
		next:  "Sie müssen nichts tun: Er öffnet sich von selbst wieder. Wenn es eilt, nennen Sie Ihrer Administration diese Anfragenummer.",
	},
	verdict.Locked: {
		title: "Für eine Weile geschlossen",
		what:  "Dieser Teil der Website wurde absichtlich geschlossen, während etwas untersucht wird. Was Sie wollten, wurde nicht ausgeführt.",
		next:  "Sie müssen nichts tun: Kommen Sie später wieder. Wenn es eilt, nennen Sie Ihrer Administration diese Anfragenummer.",
	},
	verdict.ReadOnly: {
		title: "Zurzeit kann nichts geändert werden",
		what:  "Sie können alles ansehen, aber diese Website nimmt für eine Weile keine Änderungen an. Was Sie gerade gesendet haben, wurde nicht gespeichert.",
		next:  "Heben Sie auf, was Sie geschrieben haben, und senden Sie es später noch einmal. Wenn es eilt, nennen Sie Ihrer Administration diese Anfragenummer.",
	},
	verdict.UpstreamDown: {
		title: "Die Website antwortet nicht",
		what:  "Sie sind hier richtig, aber die Anwendung dahinter ist im Moment nicht erreichbar.",
		next:  "Versuchen Sie es in einigen Minuten noch einmal.",
	},
	verdict.UpstreamTimeout: {
		title: "Die Website braucht zu lange",
		what:  "Die Anwendung hat Ihre Anfrage bekommen, aber nicht rechtzeitig geantwortet. Vielleicht führt sie noch aus, was Sie wollten.",
		next:  "Sehen Sie nach, ob es geschehen ist, bevor Sie es noch einmal senden.",
	},
	verdict.Unavailable: {
		title: "Einen Moment lang nicht verfügbar",
		what:  "Ein Teil, der diese Website schützt, ist noch nicht bereit. Solange kommt niemand hinein.",
		next:  "Versuchen Sie es in wenigen Minuten wieder.",
	},
	verdict.Internal: {
		title: "Bei uns ist etwas schiefgegangen",
		what:  "Das ist ein Fehler im Gateway vor dieser Website und nichts, was Sie getan haben.",
		next:  "Versuchen Sie es gleich wieder. Wenn es jedes Mal passiert, nennen Sie Ihrer Administration diese Anfragenummer.",
	},
	verdict.HeadersTooLarge: {
		title: "Ihr Browser hat zu viel auf einmal gesendet",
		what:  "Das kommt meist davon, dass sich für diese Website viele Cookies angesammelt haben.",
		next:  "Löschen Sie in den Einstellungen Ihres Browsers die Cookies dieser Website und versuchen Sie es dann noch einmal.",
	},
	verdict.ClientClosed: {
		title: "Die Verbindung wurde geschlossen",
		what:  "Ihr Browser war weg, bevor die Antwort fertig war.",
		next:  "Laden Sie die Seite neu, wenn Sie sie noch sehen möchten.",
	},
	verdict.RequestTimeout: {
		title: "Das Senden hat zu lange gedauert",
		what:  "Ihre Anfrage kam in der vorgesehenen Zeit nicht vollständig an. Vielleicht ist die Verbindung langsam oder unterbrochen.",
		next:  "Prüfen Sie Ihre Verbindung und versuchen Sie es noch einmal.",
	},
	verdict.UpstreamRejected: {
		title: "Die Antwort der Website war nicht zu gebrauchen",
		what:  "Die Anwendung hinter dieser Adresse hat geantwortet, aber auf dem Rückweg ging etwas schief.",
		next:  "Sehen Sie nach, ob geschehen ist, was Sie wollten, und versuchen Sie es dann noch einmal.",
	},
}
