package format

import (
	"net/netip"
	"strings"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/verdict"
)

// The product as receivers are told of it.
const (
	vendor  = "Gatehouse"
	product = "Gatehouse"
	edition = "1" // of what is said where in these forms: it changes when a field moves
)

// isRequest reports whether the record tells of a request that is over, or was refused.
func isRequest(r *Record) bool { return r.Stream == string(event.Access) }

// clientIP is the client's address, if it may be told and is one; a pseudonym must never stand where an address is
// expected, nor must the first address of a network, which no client may have.
func clientIP(r *Record) string {
	if !r.Clear {
		return ""
	}
	if ip, err := netip.ParseAddr(r.Client); err != nil || ip.Zone() != "" {
		return ""
	}
	return r.Client
}

// hasNet reports whether the client's network is what is told of its address.
func hasNet(r *Record) bool { return !r.Clear && r.ClientNet.IsValid() }

// scheme is that of the request's URL: the gateway answers plain HTTP with a refusal.
func scheme(r *Record) string {
	if r.Reason == string(verdict.PlainHTTP) {
		return "http"
	}
	return "https"
}

// protoVersion is "2.0" of "HTTP/2.0".
func protoVersion(r *Record) string {
	const prefix = "HTTP/"
	if len(r.Proto) > len(prefix) && r.Proto[:len(prefix)] == prefix {
		return r.Proto[len(prefix):]
	}
	return r.Proto
}

// denied reports whether somebody was kept from something by the gateway.
func denied(r *Record) bool {
	switch event.Kind(r.Kind) {
	case event.LoginFailed, event.FactorFailed, event.AdminRefused, event.VerifyFailed, event.VerifyDenied:
		return true
	}
	return r.Reason != ""
}

// failed reports whether what the record tells of did not end well: it was denied, the answer was an error, or a part
// of the gateway does not do its work.
func failed(r *Record) bool {
	switch event.Kind(r.Kind) {
	case event.AuditFailed, event.AuditCopyFailed, event.WAFCanaryFailed, event.WAFFailedOpen, event.WAFProverOff, event.RulesRejected,
		event.BlocklistRejected, event.BlocklistStale, event.JailLogUnread, event.BreachedUnread, event.ClockRolledBack, event.MessageFailed, event.GeoTrouble:
		return true
	}
	return denied(r) || r.Status >= 400
}

// isLogin reports whether the record tells how somebody proved who they are, or of the session that came of it.
func isLogin(r *Record) bool {
	switch event.Kind(r.Kind) {
	case event.LoginSucceeded, event.LoginFailed,
		event.SessionCreated, event.SessionEnded, event.SessionLimit, event.SessionsApart,
		event.FactorEnrolled, event.FactorUsed, event.FactorFailed, event.FactorRemoved, event.BackupCodeUsed,
		event.StepUpSucceeded, event.StepUpRedeemed:
		return true
	}
	return false
}

// isFactor reports whether a second factor was what the record tells of.
func isFactor(r *Record) bool {
	switch event.Kind(r.Kind) {
	case event.FactorUsed, event.FactorFailed, event.BackupCodeUsed, event.StepUpSucceeded, event.StepUpRedeemed:
		return true
	}
	return false
}

// isPrivilege reports whether the record tells of roles that somebody has for a while, besides their own, or has no more.
func isPrivilege(r *Record) bool {
	switch event.Kind(r.Kind) {
	case event.SupportGranted, event.SupportRevoked, event.SupportExpired, event.BreakGlassUsed:
		return true
	}
	return false
}

// privileges are those roles, or what gives them.
func privileges(r *Record) []string {
	for _, a := range r.Attrs {
		if roles := strings.Fields(a.Value); (a.Key == "roles" || a.Key == "role") && len(roles) > 0 {
			return roles
		}
	}
	kind, _, _ := strings.Cut(r.Kind, ".")
	return []string{kind}
}

// change is what a record of the audit log tells was done to something.
type change int

const (
	otherChange change = iota
	created
	changed
	deleted
)

func changeOf(r *Record) change {
	switch event.Kind(r.Kind) {
	case event.UserCreated, event.UserPending, event.UserImported, event.ServiceAccountAdded, event.APIKeyCreated, event.AccessTokenIssued,
		event.BanAdded, event.ContainmentThrown, event.SetupLinkIssued, event.BreakGlassSealed, event.FactorEnrolled:
		return created
	case event.UserApproved, event.UserRejected, event.UserDisabled, event.UserEnabled, event.UserCompromised,
		event.UserChanged, event.PasswordChanged, event.PasswordReset, event.FactorsReset,
		event.ServiceAccountEnabled, event.ServiceAccountDisabled, event.RulesLoaded:
		return changed
	case event.UserDeleted, event.ServiceAccountDeleted, event.APIKeyRevoked, event.BanLifted, event.ContainmentLifted, event.ContainmentEnded, event.BreakGlassUnsealed,
		event.FactorRemoved, event.LogsRemoved:
		return deleted
	}
	return otherChange
}
