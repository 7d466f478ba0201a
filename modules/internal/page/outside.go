package page

// outside are the words of the pages for people without an account, and for programs and devices.
type outside struct {
	GuestTitle, GuestLead, GuestLasts       string // -; -; how long
	GuestOnce, GuestLeft, GuestPin          string // -; number; -
	GuestOpen, GuestAgain                   string
	GuestInTitle, GuestInLead, GuestInLasts string // -; -; how long
	GuestLeave                              string

	DeviceTitle, DeviceLead               string
	DeviceCode, DeviceCodeHint            string
	DeviceAsks, DeviceClient, DeviceFrom  string
	DeviceFor, DeviceLasts, DeviceFar     string
	DeviceOnly, DeviceApprove, DeviceDeny string
	DevicePairedTitle, DevicePairedText   string
	DeviceDeniedTitle, DeviceDeniedText   string
	KeysTitle, KeysLead, KeysNone         string
	KeyEnds                               string // how long
	KeyGone                               string
}

var englishOutside = outside{
	DeviceTitle: "Connect a program or device", DeviceLead: "Type the code that the program shows you.",
	DeviceCode: "Code from the program", DeviceCodeHint: "Eight letters; case and dashes do not matter.",
	DeviceAsks: "A program asks for access in your name. Is this the code that it shows you?", DeviceClient: "It calls itself", DeviceFrom: "It is at",
	DeviceFor: "It could use", DeviceLasts: "For", DeviceFar: "The program is in another network than you. If you do not know why, deny it.",
	DeviceOnly:    "Approve only what you have just started yourself. Nobody who calls or writes to you needs this code.",
	DeviceApprove: "Approve", DeviceDeny: "Deny",
	DevicePairedTitle: "The program is connected", DevicePairedText: "You can close this page and go on where you started it.",
	DeviceDeniedTitle: "The program was denied", DeviceDeniedText: "It gets no access. If you did not start it, tell your administrator.",
	KeysTitle: "Programs and devices", KeysLead: "These can use sites in your name. Remove what you do not know or need any more.",
	KeysNone: "No program or device can use sites in your name.", KeyEnds: "ends in %s", KeyGone: "Done. It cannot be used any more.",

	GuestTitle: "You were sent a link", GuestLead: "It lets you see a part of this site without an account. What you do there is recorded.",
	GuestLasts: "The access lasts %s.", GuestOnce: "The link works once: nothing is used before you press the button.",
	GuestLeft: "The link can be opened %d times.", GuestPin: "It will then work only from the network you are in now.",
	GuestOpen: "Open", GuestAgain: "Then follow the link in your message once more.",
	GuestInTitle: "You are here by a link", GuestInLead: "You can see a part of this site without an account.",
	GuestInLasts: "The access ends in %s.", GuestLeave: "End the access now",
}

var germanOutside = outside{
	DeviceTitle: "Programm oder Gerät verbinden", DeviceLead: "Geben Sie den Code ein, den das Programm anzeigt.",
	DeviceCode: "Code des Programms", DeviceCodeHint: "Acht Buchstaben; Groß- und Kleinschreibung und Striche sind egal.",
	DeviceAsks: "Ein Programm bittet um Zugang in Ihrem Namen. Zeigt es Ihnen diesen Code?", DeviceClient: "Es nennt sich", DeviceFrom: "Es ist bei",
	DeviceFor: "Es könnte nutzen", DeviceLasts: "Dauer", DeviceFar: "Das Programm ist in einem anderen Netz als Sie. Wenn Sie nicht wissen, warum, lehnen Sie ab.",
	DeviceOnly:    "Erlauben Sie nur, was Sie gerade selbst gestartet haben. Niemand, der Sie anruft oder Ihnen schreibt, braucht diesen Code.",
	DeviceApprove: "Erlauben", DeviceDeny: "Ablehnen",
	DevicePairedTitle: "Das Programm ist verbunden", DevicePairedText: "Sie können diese Seite schließen und dort weitermachen, wo Sie es gestartet haben.",
	DeviceDeniedTitle: "Das Programm wurde abgelehnt", DeviceDeniedText: "Es bekommt keinen Zugang. Wenn Sie es nicht gestartet haben, melden Sie das Ihrer Administration.",
	KeysTitle: "Programme und Geräte", KeysLead: "Diese können Websites in Ihrem Namen nutzen. Entfernen Sie, was Sie nicht kennen oder nicht mehr brauchen.",
	KeysNone: "Kein Programm und kein Gerät kann Websites in Ihrem Namen nutzen.", KeyEnds: "endet in %s", KeyGone: "Erledigt. Es kann nicht mehr genutzt werden.",
	GuestTitle: "Sie haben einen Link erhalten", GuestLead: "Damit sehen Sie ohne Konto einen Teil dieser Website. Was Sie dort tun, wird aufgezeichnet.",
	GuestLasts: "Der Zugang dauert %s.", GuestOnce: "Der Link funktioniert einmal: Erst mit dem Knopf wird er verbraucht.",
	GuestLeft: "Der Link lässt sich %d-mal öffnen.", GuestPin: "Er funktioniert danach nur aus dem Netz, in dem Sie jetzt sind.",
	GuestOpen: "Öffnen", GuestAgain: "Folgen Sie danach dem Link in Ihrer Nachricht noch einmal.",
	GuestInTitle: "Sie sind über einen Link hier", GuestInLead: "Sie sehen ohne Konto einen Teil dieser Website.",
	GuestInLasts: "Der Zugang endet in %s.", GuestLeave: "Zugang jetzt beenden",
}

var frenchOutside = outside{
	DeviceTitle: "Connecter un programme ou un appareil", DeviceLead: "Saisissez le code que le programme affiche.",
	DeviceCode: "Code affiché", DeviceCodeHint: "Huit lettres ; la casse et les tirets n’importent pas.",
	DeviceAsks: "Un programme demande un accès en votre nom. Est-ce bien le code qu’il affiche ?", DeviceClient: "Il s’appelle", DeviceFrom: "Il se trouve à",
	DeviceFor: "Il pourrait utiliser", DeviceLasts: "Durée", DeviceFar: "Le programme est dans un autre réseau que vous. Si vous ne savez pas pourquoi, refusez.",
	DeviceOnly:    "N’autorisez que ce que vous venez de lancer vous-même. Personne qui vous appelle ou vous écrit n’a besoin de ce code.",
	DeviceApprove: "Autoriser", DeviceDeny: "Refuser",
	DevicePairedTitle: "Le programme est connecté", DevicePairedText: "Vous pouvez fermer cette page et continuer là où vous l’avez lancé.",
	DeviceDeniedTitle: "Le programme a été refusé", DeviceDeniedText: "Il n’obtient aucun accès. Si vous ne l’avez pas lancé, signalez-le à votre administration.",
	KeysTitle: "Programmes et appareils", KeysLead: "Ils peuvent utiliser des sites en votre nom. Retirez ce que vous ne connaissez pas ou dont vous n’avez plus besoin.",
	KeysNone: "Aucun programme ni appareil ne peut utiliser de sites en votre nom.", KeyEnds: "prend fin dans %s", KeyGone: "C’est fait. Il ne peut plus servir.",
	GuestTitle: "Vous avez reçu un lien", GuestLead: "Il vous montre une partie de ce site sans compte. Ce que vous y faites est enregistré.",
	GuestLasts: "L’accès dure %s.", GuestOnce: "Le lien ne sert qu’une fois : il n’est utilisé que lorsque vous appuyez sur le bouton.",
	GuestLeft: "Le lien peut être ouvert %d fois.", GuestPin: "Il ne fonctionnera ensuite que depuis le réseau où vous êtes.",
	GuestOpen: "Ouvrir", GuestAgain: "Suivez ensuite à nouveau le lien de votre message.",
	GuestInTitle: "Vous êtes ici grâce à un lien", GuestInLead: "Vous voyez une partie de ce site sans compte.",
	GuestInLasts: "L’accès prend fin dans %s.", GuestLeave: "Mettre fin à l’accès",
}
