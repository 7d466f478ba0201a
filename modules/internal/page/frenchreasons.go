package page

import "gatehouse.internal/modules/internal/verdict"

// frenchReasons is what people are told about each reason, in this language.
var frenchReasons = map[verdict.Reason]text{
	verdict.PlainHTTP: {
		title: "Cette adresse demande une connexion sécurisée",
		what:  "Elle a été ouverte sans chiffrement : d’autres auraient pu lire ce qui passait. Rien n’a été transmis.",
		next:  "Saisissez de nouveau l’adresse, avec https:// au début.",
	},
	verdict.TooEarly: {
		title: "Veuillez recharger cette page",
		what:  "Votre demande est arrivée un instant avant que la connexion sécurisée ne soit prête.",
		next:  "Si vous rechargez la page, cela fonctionnera très probablement.",
	},
	verdict.BadPath: {
		title: "Cette adresse ne peut pas être ouverte",
		what:  "Elle est écrite d’une façon qui peut se lire de plusieurs manières.",
		next:  "Vérifiez qu’il n’y a pas de faute de frappe, ou repartez de la page d’accueil.",
	},
	verdict.BadMethod: {
		title: "Ce n’est pas possible ici",
		what:  "On a demandé à cette page quelque chose qu’elle ne propose pas.",
		next:  "Revenez en arrière et essayez autrement, ou repartez de la page d’accueil.",
	},
	verdict.BadUpgrade: {
		title: "La connexion en direct n’a pas pu s’ouvrir",
		what:  "La page voulait garder une connexion ouverte pour se mettre à jour, mais ne l’a pas demandée correctement.",
		next:  "Rechargez la page. Si cela se produit à chaque fois, donnez ce numéro de demande à votre administrateur.",
	},
	verdict.CrossOrigin: {
		title: "Un autre site a été tenu à l’écart",
		what:  "Un autre site a essayé d’ouvrir une connexion ici en votre nom. Il en a été empêché.",
		next:  "Ouvrez ce site directement, par sa propre adresse.",
	},
	verdict.BadRequest: {
		title: "Cette demande n’a pas pu être comprise",
		what:  "Ce qui est arrivé était incomplet ou n’avait pas la forme attendue.",
		next:  "Revenez en arrière et réessayez. Si cela se produit à chaque fois, donnez ce numéro de demande à votre administrateur.",
	},
	verdict.ClientUnknown: {
		title: "On ne sait pas d’où vous vous connectez",
		what:  "Votre demande est arrivée sans adresse de retour utilisable et n’a donc pas été admise. C’est en général une erreur de réglage du réseau, et rien que vous ayez fait.",
		next:  "Donnez ce numéro de demande à votre administrateur.",
	},
	verdict.UnknownHost: {
		title: "Il n’y a pas de site à cette adresse",
		what:  "L’adresse mène bien ici, mais aucun site ne porte ce nom.",
		next:  "Vérifiez qu’il n’y a pas de faute de frappe dans l’adresse.",
	},
	verdict.Misdirected: {
		title: "Cette demande s’est trompée de chemin",
		what:  "Elle était destinée à un site, mais elle est arrivée par la connexion d’un autre.",
		next:  "En rechargeant la page, vous ouvrez une nouvelle connexion ; cela fonctionnera très probablement.",
	},
	verdict.WAFBlocked: {
		title: "Cette demande a été arrêtée",
		what:  "Elle ressemblait à une attaque et n’a donc pas été transmise. Il arrive que quelque chose d’inoffensif y ressemble.",
		next:  "Si vous n’avez rien fait d’inhabituel, donnez ce numéro de demande à votre administrateur. Il pourra voir ce qui s’est passé et l’autoriser.",
	},
	verdict.BodyTooLarge: {
		title: "C’est trop volumineux pour être envoyé",
		what:  "Le fichier ou le texte dépasse ce que ce site accepte.",
		next:  "Essayez avec quelque chose de plus petit, ou demandez à votre administrateur quelle est la limite.",
	},
	verdict.BodyUnreadable: {
		title: "Votre envoi n’est pas arrivé en entier",
		what:  "Il s’est interrompu en chemin, ou n’avait pas la forme annoncée.",
		next:  "Vérifiez votre connexion, revenez en arrière et envoyez-le de nouveau.",
	},
	verdict.ResponseBlocked: {
		title: "Cette réponse a été retenue",
		what:  "L’application a répondu par quelque chose qui ressemble à ses propres rouages ; cela n’a donc pas été affiché. Souvent, cela veut dire qu’elle a rencontré un problème.",
		next:  "Ce que vous avez demandé a peut-être été fait : vérifiez avant de recommencer. Donnez ce numéro de demande à votre administrateur.",
	},
	verdict.WAFFailed: {
		title: "Votre demande n’a pas pu être vérifiée",
		what:  "Tout ce qui est envoyé à ce site est d’abord contrôlé. Cette fois, le contrôle n’a pas pu être terminé, et votre demande n’a pas été transmise.",
		next:  "Réessayez dans un instant. Si cela se produit à chaque fois, donnez ce numéro de demande à votre administrateur.",
	},
	verdict.LoginRequired: {
		title: "Veuillez vous connecter",
		what:  "Cette page est réservée aux personnes connectées. Votre session a peut-être pris fin au bout d’un certain temps.",
		next:  "Connectez-vous pour continuer.",
	},
	verdict.MFARequired: {
		title: "Confirmez que c’est bien vous",
		what:  "Ce que vous voulez faire demande encore une confirmation. Rien n’a été transmis jusqu’ici.",
		next:  "Confirmez, puis recommencez.",
		login: "Confirmer",
	},
	verdict.VerifyRequired: frenchVerifyRequired,
	verdict.VerifyDenied:   frenchVerifyDenied,
	verdict.Forbidden: {
		title: "Vous n’avez pas accès à cette page",
		what:  "Elle est réservée à certaines personnes, et votre compte n’en fait pas partie.",
		next:  "Si vous en avez besoin, demandez l’accès à votre administrateur.",
		login: "Utiliser un autre compte",
	},
	verdict.InvalidToken: {
		title: "Cette clé d’accès n’est pas valable",
		what:  "Le programme qui a fait cette demande a présenté une clé d’accès expirée, retirée ou destinée à un autre site.",
		next:  "Donnez une nouvelle clé au programme. Dans un navigateur, connectez-vous plutôt.",
	},
	verdict.OutOfScope: {
		title: "Cette clé d’accès ne sert pas à cela",
		what:  "La clé est valable, mais pas pour cette adresse ou ce type de demande.",
		next:  "Adressez-vous à la personne qui a délivré la clé et donnez-lui ce numéro de demande.",
	},
	verdict.OtherWorkspace: {
		title: "Cela appartient à un autre espace de travail",
		what:  "La clé d’accès est destinée à un autre espace de travail que celui qui a été demandé.",
		next:  "Vérifiez de quel espace de travail il s’agit. Si c’est bien celui-ci, demandez-en l’accès.",
	},
	verdict.LinkInvalid: {
		title: "Ce lien ne fonctionne plus",
		what:  "Il a expiré, a déjà été utilisé, a été retiré ou ne mène pas à cette page.",
		next:  "Demandez-en un nouveau à la personne qui vous l’a envoyé.",
	},
	verdict.CertificateBad: {
		title: "Votre certificat n’est pas accepté ici",
		what:  "Votre appareil a présenté un certificat expiré, révoqué ou qui n’est pas reconnu ici, ou n’en a présenté aucun.",
		next:  "Fermez le navigateur, rouvrez-le et choisissez un autre certificat, ou demandez-en un nouveau à votre administrateur.",
	},
	verdict.NotFound: {
		title: "Il n’y a rien ici",
		what:  "Aucune page n’existe à cette adresse.",
		next:  "Vérifiez l’adresse, ou repartez de la page d’accueil.",
	},
	verdict.LoginFailed: {
		title: "La connexion n’a pas abouti",
		what:  "Nous n’avons pas pu confirmer qui vous êtes. Vous n’êtes pas connecté.",
		next:  "Réessayez. Si la deuxième tentative échoue aussi, donnez ce numéro de demande à votre administrateur.",
		login: "Réessayer",
	},
	verdict.ClockDiffers: {
		title: "Deux horloges ne concordent pas",
		what:  "Le service qui confirme votre identité et ce site n’ont pas la même heure. Sa réponse n’a donc pas pu être acceptée. Vous n’êtes pas connecté.",
		next:  "Vous ne pouvez pas y remédier vous-même. Donnez ce numéro de demande à votre administrateur.",
		login: "Réessayer",
	},
	verdict.GroupsMissing: {
		title: "Vos groupes n’ont pas pu être lus",
		what:  "Vous appartenez à tant de groupes que le service qui confirme votre identité ne les a pas transmis. Ce que vous pouvez faire ici n’a pas pu être établi, et vous n’êtes pas connecté.",
		next:  "Vous ne pouvez pas y remédier vous-même. Donnez ce numéro de demande à votre administrateur.",
		login: "Réessayer",
	},
	verdict.LoginExpired: {
		title: "Cette connexion n’est plus valable",
		what:  "Elle a pris trop de temps, a déjà servi, ou a été commencée dans un autre navigateur.",
		next:  "Recommencez. En général, cela ne prend qu’un instant.",
		login: "Recommencer",
	},
	verdict.ProviderDown: {
		title: "La connexion est impossible pour le moment",
		what:  "Le service qui confirme qui vous êtes ne répond pas. Les personnes déjà connectées peuvent continuer à travailler.",
		next:  "Réessayez dans quelques minutes.",
	},
	verdict.AccountPending: {
		title: "Votre compte attend d’être approuvé",
		what:  "Nous savons qui vous êtes, mais un administrateur doit d’abord vous laisser entrer. Votre demande a été notée.",
		next:  "Revenez plus tard et connectez-vous de nouveau. Si c’est urgent, donnez ce numéro de demande à votre administrateur.",
		login: "Se connecter de nouveau",
	},
	verdict.TooManySessions: {
		title: "Vous êtes connecté ailleurs",
		what:  "Ce compte est déjà connecté autant de fois qu’il est permis, et rien n’a été ouvert ici.",
		next:  "Déconnectez-vous à l’un des autres endroits, puis réessayez. Si ce n’était pas vous, prévenez votre administrateur.",
		login: "Réessayer",
	},
	verdict.AccountDisabled: {
		title: "Ce compte ne peut pas être utilisé",
		what:  "Nous savons qui vous êtes, mais un administrateur a fermé ce compte.",
		next:  "Si vous pensez que c’est une erreur, donnez ce numéro de demande à votre administrateur.",
		login: "Se connecter avec un autre compte",
	},
	verdict.TooManyAttempts: {
		title: "Trop de tentatives",
		what:  "Il y a eu de nombreux essais en peu de temps. Pour protéger les comptes, une pause est nécessaire.",
		next:  "Veuillez patienter un peu avant de réessayer.",
	},
	verdict.RateLimited: {
		title: "Trop de requêtes",
		what:  "En peu de temps, votre connexion ou votre compte a envoyé plus de requêtes que ce site n’en accepte.",
		next:  "Veuillez patienter un peu, puis recharger la page. Si cela se reproduit lors d’un usage normal, donnez ce numéro de demande à votre administrateur.",
	},
	verdict.Banned: {
		title: "Accès suspendu",
		what:  "Trop de requêtes indésirables sont venues du réseau que vous utilisez, peut-être de quelqu’un d’autre. L’accès depuis ce réseau est fermé pour un temps.",
		next:  "Vous n’avez rien à faire, il rouvrira de lui-même. En cas d’urgence, donnez ce numéro de demande à votre administrateur.",
	},
	verdict.Locked: {
		title: "Fermé pour un temps",
		what:  "Cette partie du site a été fermée volontairement, le temps d’une vérification. Votre demande n’a pas été exécutée.",
		next:  "Vous n’avez rien à faire, revenez plus tard. En cas d’urgence, donnez ce numéro de demande à votre administrateur.",
	},
	verdict.ReadOnly: {
		title: "Rien ne peut être modifié pour le moment",
		what:  "Vous pouvez tout consulter, mais ce site n’accepte aucune modification pour un temps. Ce que vous venez d’envoyer n’a pas été enregistré.",
		next:  "Gardez une copie de votre texte et envoyez-le plus tard. En cas d’urgence, donnez ce numéro de demande à votre administrateur.",
	},
	verdict.UpstreamDown: {
		title: "Le site ne répond pas",
		what:  "Vous êtes au bon endroit, mais l’application qui se trouve derrière est injoignable pour le moment.",
		next:  "Réessayez dans quelques instants.",
	},
	verdict.UpstreamTimeout: {
		title: "Le site met trop de temps",
		what:  "L’application a reçu votre demande, mais n’a pas répondu à temps. Elle va peut-être encore l’exécuter.",
		next:  "Vérifiez si c’est fait avant de l’envoyer de nouveau.",
	},
	verdict.Unavailable: {
		title: "Indisponible pour un moment",
		what:  "Une partie de ce qui protège ce site n’est pas prête ; personne ne peut entrer d’ici là.",
		next:  "Veuillez réessayer dans quelques minutes.",
	},
	verdict.Internal: {
		title: "Un problème est survenu chez nous",
		what:  "C’est une défaillance de la passerelle placée devant ce site, et rien que vous ayez fait.",
		next:  "Réessayez un peu plus tard. Si cela se produit à chaque fois, donnez ce numéro de demande à votre administrateur.",
	},
	verdict.HeadersTooLarge: {
		title: "Votre navigateur a envoyé trop de choses",
		what:  "Cela arrive surtout quand de nombreux cookies se sont accumulés pour ce site.",
		next:  "Supprimez les cookies de ce site dans les réglages de votre navigateur, puis réessayez.",
	},
	verdict.ClientClosed: {
		title: "La connexion a été fermée",
		what:  "Votre navigateur est parti avant que la réponse ne soit prête.",
		next:  "Rechargez la page si vous voulez encore la voir.",
	},
	verdict.RequestTimeout: {
		title: "L’envoi a pris trop de temps",
		what:  "Votre demande n’est pas arrivée en entier dans le temps prévu. La connexion est peut-être lente ou interrompue.",
		next:  "Vérifiez votre connexion et réessayez.",
	},
	verdict.UpstreamRejected: {
		title: "La réponse du site est inutilisable",
		what:  "L’application derrière cette adresse a répondu, mais quelque chose a échoué sur le chemin du retour.",
		next:  "Vérifiez si ce que vous vouliez a été fait, puis réessayez.",
	},
}
