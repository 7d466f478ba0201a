package format

import (
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/verdict"
)

// Severity says how much a record should worry whoever reads it, from 0 to 10.
type Severity int

// The severities that are given.
const (
	Info   Severity = 1 // as it should be: a request answered, a login, a session's end
	Notice Severity = 3 // to be on record: what administrators do, accounts, a person asked to log in
	Low    Severity = 4 // a request was refused
	Medium Severity = 6 // an attack was refused, a login failed, a part of the gateway or an application is not well
	High   Severity = 8 // a protection is off, or somebody came in by the emergency door
)

// SeverityOf is decided by the kind; for requests and what has no kind of its own, by the reason they were refused for.
func SeverityOf(r *Record) Severity {
	switch event.Kind(r.Kind) {
	case event.AuditFailed, event.AuditCopyFailed, event.AuditRewound, event.WAFCanaryFailed, event.WAFFailedOpen, event.UserCompromised, event.ClockRolledBack, event.IncidentReport,
		event.BreakGlassSealed, event.BreakGlassAsked, event.BreakGlassUsed, event.BreakGlassRequest, event.BreakGlassUnsealed:
		return High
	case event.LoginFailed, event.FactorFailed, event.SessionsApart, event.VerifyHeld, event.VerifyFailed, event.VerifyDenied,
		event.MessageFailed, event.GeoTrouble, event.WAFDetected, event.WAFProverOff, event.BanAdded, event.ContainmentThrown,
		event.RulesRejected, event.BlocklistRejected, event.BlocklistStale, event.JailLogUnread, event.BreachedUnread, event.AdminRefused,
		event.ProtocolFlood, event.StoreAlone:
		return Medium
	case event.LoginSucceeded, event.SessionCreated, event.SessionEnded, event.FactorUsed, event.StepUpSucceeded,
		event.StepUpRedeemed, event.HouseStarted, event.AuditResumed, event.AuditCopied, event.AuditWitnessed, event.RulesLoaded:
		return Info
	}
	switch verdict.Reason(r.Reason) {
	case "":
		if r.Stream == string(event.Audit) {
			return Notice
		}
		return Info
	case verdict.LoginRequired, verdict.MFARequired, verdict.VerifyRequired, verdict.ClientClosed:
		return Notice // nobody did anything wrong: everybody's first request ends so
	case verdict.WAFBlocked, verdict.ResponseBlocked, verdict.WAFFailed, verdict.LoginFailed, verdict.TooManyAttempts,
		verdict.UpstreamDown, verdict.UpstreamTimeout, verdict.UpstreamRejected, verdict.ProviderDown,
		verdict.Unavailable, verdict.Internal:
		return Medium
	}
	return Low
}

// syslog is the severity of RFC 5424, table 2: 6 informational, 5 notice, 4 warning, 3 error, 2 critical. GELF has the same.
func (s Severity) syslog() int {
	switch {
	case s < Notice:
		return 6
	case s <= Low:
		return 5
	case s <= Medium:
		return 4
	case s <= High:
		return 3
	}
	return 2
}

// level is the word for syslog's number.
func (s Severity) level() string {
	return [...]string{2: "critical", 3: "error", 4: "warning", 5: "notice", 6: "info"}[s.syslog()]
}

// ocsf is OCSF's severity_id: 1 informational, 2 low, 3 medium, 4 high, 5 critical.
func (s Severity) ocsf() int { return 7 - s.syslog() }
