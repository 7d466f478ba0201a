package event

import (
	"fmt"
	"net/netip"
	"time"

	"gatehouse.internal/modules/internal/verdict"
)

// Kind names what happened, as noun.past_tense.
type Kind string

// The kinds.
const (
	HouseStarted    Kind = "house.started"
	KeysChanged     Kind = "keys.changed" // the master keys; Attrs say which seals, and what the others do
	RequestRefused  Kind = "request.refused"
	SessionCreated  Kind = "session.created"
	SessionEnded    Kind = "session.ended"
	SessionLimit    Kind = "session.limit_exceeded" // Attrs say what was done about it
	SessionsApart   Kind = "session.far_apart"      // a person's sessions are in use from networks far from each other
	LoginSucceeded  Kind = "login.succeeded"
	LoginFailed     Kind = "login.failed"
	UserCreated     Kind = "user.created"
	UserPending     Kind = "user.pending" // somebody waits for an administrator's approval
	UserApproved    Kind = "user.approved"
	UserRejected    Kind = "user.rejected"
	UserDisabled    Kind = "user.disabled"
	UserEnabled     Kind = "user.enabled"
	UserCompromised Kind = "user.compromised" // what was issued before does not count any more
	UserChanged     Kind = "user.changed"     // roles, name or address; Detail says what
	UserDeleted     Kind = "user.deleted"
	UserImported    Kind = "user.imported"
	PasswordChanged Kind = "user.password_changed"
	PasswordReset   Kind = "user.password_reset" // the old one is worthless; a link sets another
	FactorsReset    Kind = "user.factors_reset"

	// What administrators do is on record before it is done (AdminRequested), and again before they are told of it.
	AdminRequested Kind = "admin.requested"
	AdminDone      Kind = "admin.done"
	AdminRefused   Kind = "admin.refused"
	AuditFailed    Kind = "audit.failed"  // Detail says why; until audit.resumed, what administrators ask for is refused
	AuditResumed   Kind = "audit.resumed" // the audit log can be written again

	BreakGlassSealed   Kind = "break_glass.sealed"
	BreakGlassAsked    Kind = "break_glass.asked"    // somebody types a code; what for is in Attrs
	BreakGlassUsed     Kind = "break_glass.used"     // Attrs have the seal's name and the purpose
	BreakGlassRequest  Kind = "break_glass.request"  // one request of a session that a seal opened
	BreakGlassUnsealed Kind = "break_glass.unsealed" // there is no code left

	BreachedUnread    Kind = "breached_list.unreadable" // Detail says why; the list before goes on serving
	SetupLinkIssued   Kind = "setup_link.issued"
	BanAdded          Kind = "ban.added"           // a network is shut out; Detail and Attrs say why and until when
	BanLifted         Kind = "ban.lifted"          // by an operator
	ProtocolFlood     Kind = "protocol.flood"      // a connection was closed for what it sent; Detail says what
	ContainmentThrown Kind = "containment.thrown"  // a switch is about to be in force; Session is its id, Detail says why, Attrs what, where and until when
	ContainmentLifted Kind = "containment.lifted"  // by an operator before its time; or it never came into force, as Detail says
	ContainmentEnded  Kind = "containment.ended"   // by itself
	BlocklistRejected Kind = "blocklist.rejected"  // Detail says which, and why; the list before stays in force
	BlocklistStale    Kind = "blocklist.stale"     // Detail says which has not been good for too long; it stays in force
	StoreCut          Kind = "store.cut"           // what other gateways do is not heard, until store.joined
	StoreJoined       Kind = "store.joined"        // everything is read anew
	StoreAlone        Kind = "store.alone"         // it has been away for longer than the grace: what this gateway knows counts no more
	StoreEmptied      Kind = "store.emptied"       // a server that the state was on has lost it; Detail says what that means
	StoreRefused      Kind = "store.refused"       // it is of another version's, or is being moved: this gateway may not write to it
	StoreSlow         Kind = "store.slow"          // it takes long to answer, until store.brisk
	StoreBrisk        Kind = "store.brisk"         // it answers soon again
	StoreSkewed       Kind = "store.skewed"        // its clock and this gateway's are more than a minute apart
	EgressDenied      Kind = "egress.denied"       // somebody was to be spoken to whom the mode does not allow; Detail says whom
	JailLogUnread     Kind = "jail_log.unreadable" // Detail says which file, and why; it is waited for
	FactorEnrolled    Kind = "factor.enrolled"
	FactorUsed        Kind = "factor.used"
	FactorFailed      Kind = "factor.failed"
	FactorRemoved     Kind = "factor.removed"
	BackupCodeUsed    Kind = "backup_code.used"
	StepUpSucceeded   Kind = "step_up.succeeded" // a factor was proven for one request, which Attrs name
	StepUpRedeemed    Kind = "step_up.redeemed"  // that request came, and passed
	ClockRolledBack   Kind = "clock.rolled_back" // the wall clock lies behind what it said before
	WAFCanaryFailed   Kind = "waf.canary_failed" // a known attack was not refused
	WAFDetected       Kind = "waf.detected"      // in detect mode: the request, or its answer, would have been refused
	WAFFailedOpen     Kind = "waf.failed_open"   // a request passed that nobody could judge (insecure_waf_fail_open)
	WAFProverOff      Kind = "waf.prover_off"    // its proof was wrong: all rules judge every request again
	RulesLoaded       Kind = "waf.rules_loaded"
	RulesRejected     Kind = "waf.rules_rejected" // Detail has file, line and reason; the rules before stay
	PseudonymAsked    Kind = "pseudonym.asked"    // an administrator was told under which pseudonym somebody is found
	AlertRaised       Kind = "alert.raised"       // something is wrong; Detail says what, Attrs which alert
	AlertResolved     Kind = "alert.resolved"     // it no longer is
	AlertUndelivered  Kind = "alert.undelivered"  // a receiver takes no alerts, or will never get one; Attrs say which, Detail why
	AlertDelivered    Kind = "alert.deliverable"  // it takes them again
	AuditCopyFailed   Kind = "audit.copy_failed"  // a copy of the audit log is not up to date; Attrs say which, Detail why
	AuditCopied       Kind = "audit.copied"       // it is again
	AuditWitnessed    Kind = "audit.witnessed"    // how far another gateway's audit log is; Attrs have its checkpoint
	AuditRewound      Kind = "audit.rewound"      // an audit log has less than it had; Detail says which, Attrs what it had
	AuditExported     Kind = "audit.exported"     // what is on record of one tenant is read, as soon as this is on record; Attrs say by whom, whose, and from where on
	LogsRemoved       Kind = "logs.removed"       // a log file is about to be removed; Attrs say which, and why
	SIEMDown          Kind = "siem.down"          // a collector takes nothing; Detail says which, and why
	SIEMResumed       Kind = "siem.resumed"       // it takes again; Attrs say for how long it did not
	SIEMLeft          Kind = "siem.left"          // records wait for a sink that the configuration names no more; Attrs say which, and how many
	SIEMLost          Kind = "siem.lost"          // Attrs say how many records a collector will never get, and why
)

// The kinds that tell of devices and networks. Attrs have the signals, the outcome, the network and the device.
const (
	VerifyNoticed  Kind = "verify.noticed" // let through, and its owner is told
	VerifyHeld     Kind = "verify.held"    // waits for a proof, or for an administrator
	VerifyPassed   Kind = "verify.passed"  // it was given; Attrs say how
	VerifyFailed   Kind = "verify.failed"  // a code was wrong
	VerifyDenied   Kind = "verify.denied"
	VerifyApproved Kind = "verify.approved" // by an administrator
	VerifyForgot   Kind = "verify.forgotten"
	IncidentReport Kind = "incident.user_reported" // "this was not me": all sessions of the person have ended
	MessageFailed  Kind = "message.failed"         // a message to a person could not be sent; Detail says why
	GeoTrouble     Kind = "geoip.trouble"          // Detail says which file, and what is wrong with it
	GeoMended      Kind = "geoip.mended"           // nothing is wrong with it any more
)

// The kinds that tell of programs.
const (
	ServiceAccountAdded    Kind = "service_account.added"
	ServiceAccountEnabled  Kind = "service_account.enabled"
	ServiceAccountDisabled Kind = "service_account.disabled"
	ServiceAccountDeleted  Kind = "service_account.deleted"
	APIKeyCreated          Kind = "api_key.created" // Session is the key's public id
	APIKeyRevoked          Kind = "api_key.revoked"
	AccessTokenIssued      Kind = "access_token.issued" // for the key that Session names; Attrs have the token's id, and what it is for
	DeviceApproved         Kind = "device.approved"     // a person lets a program have a key; Attrs say which program, and where it is
	DeviceDenied           Kind = "device.denied"
	LinkCreated            Kind = "link.created" // User is link:<id>; whom it is for nobody is told
	LinkRevoked            Kind = "link.revoked"
	LinkOpened             Kind = "link.opened" // somebody was let in by it; Attrs say how often it was used

	// Requests to routes that the policy marks: RouteRequested is on record before the application hears of one.
	RouteRequested Kind = "route.requested"
	RouteAnswered  Kind = "route.answered" // or refused; Status and Reason say what became of it

	SupportGranted      Kind = "support_grant.given" // to User; Session is its id, Attrs have ticket and approver
	SupportRevoked      Kind = "support_grant.revoked"
	SupportExpired      Kind = "support_grant.expired"
	PersonErasing       Kind = "privacy.erasing"          // what is kept of a person is deleted next; Attrs have a salted hash of the name
	PersonErased        Kind = "privacy.erased"           // it is, and the person's key destroyed; Attrs say how much there was
	TenantErasing       Kind = "privacy.offboarding"      // what is kept of a tenant is deleted next
	TenantErased        Kind = "privacy.offboarded"       // it is, and its keys destroyed; Attrs say how much there was
	PersonExported      Kind = "privacy.exported"         // what is kept of a person is handed out to User, as soon as this is on record
	PayloadApproved     Kind = "payload.approved"         // somebody agrees that User reveals the matched data of a request
	PayloadRevealed     Kind = "payload.revealed"         // it is handed out to User, as soon as this is on record; Detail says why
	SecurityTxtOld      Kind = "security_txt.expiring"    // Detail says whose, and when it expires
	BackupMade          Kind = "backup.made"              // Attrs have its file, SHA-256, size and counts
	BackupCarried       Kind = "backup.carried"           // a program has taken it elsewhere; Attrs have its file, SHA-256 and the program
	BackupFailed        Kind = "backup.failed"            // Detail says why; the one before is still there
	BackupVerified      Kind = "backup.verified"          // it was restored into a scratch directory, and all was there; Attrs as of backup.made
	BackupUnfit         Kind = "backup.unfit"             // it could not be; Detail says why
	BackupRestored      Kind = "backup.restored"          // this state was restored from one; Attrs say which
	IncidentExported    Kind = "incident.exported"        // Attrs have the SHA-256 of the manifest, Detail says what it is for
	EvidenceMade        Kind = "evidence.made"            // Attrs have the SHA-256 of the note that is signed next, Detail says how many controls came out how
	AccessReviewed      Kind = "access_review.signed_off" // Attrs say who, and of what report
	AccessReviewOverdue Kind = "access_review.overdue"    // Detail says since when

	CertificateBound    Kind = "client_certificate.bound" // to User; Detail says which
	CertificateUnbound  Kind = "client_certificate.unbound"
	CertificateRevoked  Kind = "client_certificate.revoked" // Detail says which
	CertificateRestored Kind = "client_certificate.restored"
)

// ID names an event, wherever it is told of: receivers know by it what they were told twice. The zero ID is none.
type ID struct{ run, n uint64 }

// String is what is written: 32 hexadecimal digits, or nothing for the zero ID.
func (id ID) String() string {
	if id == (ID{}) {
		return ""
	}
	return fmt.Sprintf("%016x%016x", id.run, id.n)
}

// Stream is one of the four logs.
type Stream string

// The streams.
const (
	Access Stream = "access" // what became of requests
	WAF    Stream = "waf"    // what the WAF found in them
	Audit  Stream = "audit"  // who did what with the gateway, and who came in
	System Stream = "system" // how the gateway is
)

// Stream says which log an event belongs to. Audit is where those belong that nobody has put elsewhere.
func (k Kind) Stream() Stream {
	switch k {
	case RequestRefused:
		return Access
	case WAFDetected, WAFFailedOpen, WAFCanaryFailed, WAFProverOff:
		return WAF
	case AuditFailed, AuditResumed, AuditCopyFailed, AuditCopied, SIEMDown, SIEMResumed, SIEMLost, SIEMLeft, BlocklistRejected, BlocklistStale, JailLogUnread, BreachedUnread, ClockRolledBack,
		StoreCut, StoreJoined, StoreAlone, StoreEmptied, StoreRefused, StoreSlow, StoreBrisk, StoreSkewed, ProtocolFlood, EgressDenied, MessageFailed, GeoTrouble, GeoMended, AlertRaised, AlertResolved, AlertUndelivered, AlertDelivered:
		return System
	}
	return Audit
}

// Attr is one further fact. Values are short and safe to log.
type Attr struct{ Key, Value string }

// Event is one thing that happened. Fields that do not apply are zero.
//
// User is identity.Proof.Name, Session is the session's log name (never the cookie).
type Event struct {
	ID        ID // given by the bus
	Time      time.Time
	Kind      Kind
	RequestID string
	Site      string
	Tenant    string // whose site it was then
	ClientIP  netip.Addr
	User      string
	Session   string
	Method    string
	Path      string
	Status    int
	Reason    verdict.Reason
	Detail    string
	Attrs     []Attr
}
