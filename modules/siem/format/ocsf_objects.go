package format

import (
	"strconv"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/verdict"
)

// ocsfOutcome is the status, and what the profile security_control says: what was done about it.
func ocsfOutcome(b []byte, r *Record, class int) []byte {
	switch {
	case class == detectionFinding:
		b = num(b, "status_id", 1) // new
	case failed(r):
		b = num(b, "status_id", 2)
	default:
		b = num(b, "status_id", 1)
	}
	if r.Status != 0 {
		b = append(key(b, "status_code"), '"')
		b = append(strconv.AppendInt(b, int64(r.Status), 10), '"')
	}
	b = str(b, "status_detail", cmpOr(r.Detail, r.Reason))
	action, disposition := ocsfDisposition(r)
	b = num(b, "action_id", int64(action))
	b = num(b, "disposition_id", int64(disposition))
	if SeverityOf(r) >= Medium {
		b = append(key(b, "is_alert"), "true"...)
	} else {
		b = append(key(b, "is_alert"), "false"...)
	}
	if r.Score > 0 {
		b = num(b, "risk_score", int64(r.Score))
	}
	b = ocsfRule(b, "firewall_rule", r, "")
	if r.Policy != "" {
		b = str(open(b, "policy"), "name", cmpOr(r.Site, "gatehouse"))
		b = append(str(b, "version", r.Policy), '}')
	}
	return b
}

// ocsfDisposition is action_id, 1 allowed or 2 denied, and what that came to.
func ocsfDisposition(r *Record) (action, disposition int) {
	if !denied(r) {
		switch event.Kind(r.Kind) {
		case event.WAFDetected:
			return 1, 15 // detected
		case event.WAFCanaryFailed, event.WAFProverOff, event.AuditFailed, event.RulesRejected, event.BlocklistRejected,
			event.BreachedUnread, event.ClockRolledBack, event.MessageFailed, event.GeoTrouble:
			return 0, 27 // error
		}
		return 1, 1 // allowed
	}
	switch verdict.Reason(r.Reason) {
	case verdict.LoginRequired, verdict.MFARequired, verdict.VerifyRequired:
		return 2, 23 // challenge
	case verdict.Forbidden, verdict.VerifyDenied, verdict.OutOfScope, verdict.InvalidToken, verdict.LoginFailed, verdict.AccountDisabled, verdict.AccountPending:
		return 2, 26 // unauthorized
	case verdict.UpstreamDown, verdict.UpstreamTimeout, verdict.UpstreamRejected, verdict.ProviderDown, verdict.Unavailable, verdict.Internal:
		return 2, 27 // error
	case verdict.BadRequest, verdict.BadPath, verdict.BadMethod, verdict.BadUpgrade, verdict.UnknownHost, verdict.Misdirected:
		return 2, 25 // rejected
	case "":
		return 2, 26
	}
	return 2, 2 // blocked
}

// ocsfSource is where it came from: what nobody outside asked for came from the gateway.
func ocsfSource(b []byte, r *Record) []byte {
	b = open(b, "src_endpoint")
	ip := clientIP(r)
	switch {
	case ip != "":
		b = str(b, "ip", ip)
	case !r.Clear && r.ClientKey != "":
		b = str(b, "uid", r.ClientKey)
	case r.Clear && r.Client != "":
		b = str(b, "name", r.Client)
	default:
		b = str(b, "name", cmpOr(r.Node, "gatehouse"))
	}
	return append(b, '}')
}

// ocsfTarget is the site that the request was for.
func ocsfTarget(b []byte, r *Record) []byte {
	at := len(b)
	b = open(b, "dst_endpoint")
	if host := domain(r.Host); isHostname(host) {
		b = str(b, "hostname", host)
	}
	b = str(b, "svc_name", r.Site)
	return shut(b, at)
}

// ocsfUser is the person; where OCSF demands one and nobody is known, that is what it says.
func ocsfUser(b []byte, r *Record, demanded bool) []byte {
	switch {
	case r.User == "" && !demanded:
		return b
	case r.User == "":
		return append(key(b, "user"), `{"name":"unknown","type_id":0}`...)
	}
	b = append(open(b, "user"), `"type_id":1`...)
	if r.Clear {
		b = str(b, "name", r.User)
	} else {
		b = str(b, "uid", r.User)
	}
	return append(b, '}')
}

func ocsfSession(b []byte, r *Record) []byte {
	at := len(b)
	return shut(str(open(b, "session"), "uid", r.Session), at)
}

// ocsfActor is who did it: the gateway, if nobody is known.
func ocsfActor(b []byte, r *Record) []byte {
	b = open(b, "actor")
	b = ocsfUser(b, r, false)
	b = ocsfSession(b, r)
	if r.User == "" && r.Session == "" {
		b = word(b, "app_name", "gatehouse")
	}
	return append(b, '}')
}

// ocsfHTTP is the request, as far as there was one.
func ocsfHTTP(b []byte, r *Record) []byte {
	at := len(b)
	b = open(b, "http_request")
	if ocsfMethod(r.Method) != 99 {
		b = str(b, "http_method", r.Method)
	}
	b = str(b, "version", protoVersion(r))
	b = str(b, "user_agent", r.Agent)
	b = str(b, "uid", r.RequestID)
	if r.Path != "" { // OCSF has no URL without one
		b = str(open(b, "url"), "path", r.Path)
		if host := domain(r.Host); isHostname(host) {
			b = str(word(b, "scheme", scheme(r)), "hostname", host)
		}
		if p := port(r.Host); p > 0 {
			b = num(b, "port", int64(p))
		}
		b = append(b, '}')
	}
	return shut(b, at)
}

// ocsfFinding is what the WAF found, and in what.
func ocsfFinding(b []byte, r *Record) []byte {
	b = str(open(b, "finding_info"), "uid", cmpOr(r.ID, cmpOr(r.RequestID, "unknown")))
	b = str(b, "title", cmpOr(r.Reason, cmpOr(r.Kind, "event")))
	b = str(b, "desc", r.Detail)
	b = list(b, "types", r.Kind)
	b = ocsfRule(b, "analytic", r, `,"type_id":1`)
	b = append(b, `},"evidences":[{`...)
	b = ocsfSource(b, r)
	b = ocsfActor(b, r)
	b = ocsfHTTP(b, r)
	if r.Status != 0 {
		b = append(num(open(b, "http_response"), "code", int64(r.Status)), '}')
	}
	b = ocsfTarget(b, r)
	return append(b, "}]"...)
}
