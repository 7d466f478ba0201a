package format

import (
	"strconv"

	"gatehouse.internal/modules/internal/event"
)

// The classes of OCSF that records become.
const (
	httpActivity     = 4002 // the access log
	detectionFinding = 2004 // the WAF's log
	authentication   = 3002 // of the audit log: logins, sessions, factors
	authorizeSession = 3003 // of the audit log: roles that somebody is given for a while
	apiActivity      = 6003 // the rest of it, and the system log
)

// OCSF is the record as an event of the Open Cybersecurity Schema Framework, version 1.8, with the profiles
// security_control and host, and trace where the class has it.
//
// An address that may be told is src_endpoint.ip; its pseudonym is src_endpoint.uid, as that of a user is user.uid and
// not user.name. What OCSF has no place for is under unmapped, the client's network among it.
func OCSF(b []byte, r *Record) []byte {
	class := ocsfClass(r)
	b = append(b, `{"metadata":{"version":"1.8.0","product":{"name":"`+product+`","vendor_name":"`+vendor+`"},"profiles":["security_control","host"`...)
	traced := r.TraceID != "" && (class == httpActivity || class == apiActivity)
	if traced {
		b = append(b, `,"trace"`...)
	}
	b = append(b, ']')
	b = str(b, "uid", r.ID)
	b = str(b, "correlation_uid", r.RequestID)
	b = str(b, "event_code", r.Kind)
	b = word(b, "log_provider", "gatehouse")
	b = str(b, "log_name", r.Stream)
	b = str(b, "tenant_uid", r.Tenant)
	b = append(b, '}')
	activity := ocsfActivity(r, class)
	b = num(b, "category_uid", int64(class/1000))
	b = num(b, "class_uid", int64(class))
	b = num(b, "activity_id", int64(activity))
	if activity == 99 {
		b = str(b, "activity_name", cmpOr(r.Kind, "event"))
	}
	b = num(b, "type_uid", int64(class*100+activity))
	b = num(b, "severity_id", int64(SeverityOf(r).ocsf()))
	b = num(b, "time", r.Time.UnixMilli())
	b = message(b, "message", r)
	b = ocsfOutcome(b, r, class)
	if r.Duration > 0 {
		b = num(b, "duration", r.Duration.Milliseconds())
	}
	if r.Node != "" {
		b = append(str(append(key(b, "device"), `{"type_id":1`...), "name", r.Node), '}')
	}
	switch class {
	case httpActivity:
		b = ocsfSource(b, r)
		b = ocsfActor(b, r)
		b = ocsfHTTP(b, r)
		b = num(append(key(b, "http_response"), '{'), "code", int64(r.Status))
		b = num(b, "length", r.Bytes)
		if r.Upstream > 0 {
			b = num(b, "latency", r.Upstream.Milliseconds())
		}
		b = append(b, '}')
		b = ocsfTarget(b, r)
	case detectionFinding:
		b = ocsfFinding(b, r)
	case authentication:
		b = ocsfSource(b, r)
		b = ocsfUser(b, r, true)
		b = ocsfSession(b, r)
		b = append(key(b, "is_remote"), "true"...)
		if isFactor(r) {
			b = append(key(b, "is_mfa"), "true"...)
		}
		b = str(open(b, "service"), "name", cmpOr(r.Site, "gatehouse"))
		b = append(b, '}')
		b = ocsfHTTP(b, r)
	case authorizeSession:
		b = ocsfSource(b, r)
		b = ocsfUser(b, r, true)
		b = ocsfSession(b, r)
		b = list(b, "privileges", privileges(r)...)
		b = ocsfHTTP(b, r)
	default:
		b = ocsfSource(b, r)
		b = ocsfActor(b, r)
		b = str(open(b, "api"), "operation", cmpOr(r.Kind, "event"))
		if r.RequestID != "" {
			b = append(str(open(b, "request"), "uid", r.RequestID), '}')
		}
		b = append(b, '}')
		b = ocsfHTTP(b, r)
	}
	if traced {
		b = append(str(open(b, "trace"), "uid", r.TraceID), '}')
	}
	return append(ocsfUnmapped(b, r, class, traced), '}')
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func ocsfClass(r *Record) int {
	switch {
	case isRequest(r):
		return httpActivity
	case r.Stream == string(event.WAF):
		return detectionFinding
	case isLogin(r):
		return authentication
	case isPrivilege(r):
		return authorizeSession
	}
	return apiActivity
}

// ocsfActivity is the activity_id; 99 for one that the class does not know.
func ocsfActivity(r *Record, class int) int {
	switch class {
	case httpActivity:
		return ocsfMethod(r.Method)
	case detectionFinding:
		return 1 // create
	case authentication:
		switch event.Kind(r.Kind) {
		case event.LoginSucceeded, event.LoginFailed:
			return 1 // logon
		case event.SessionEnded:
			return 2 // logoff
		}
		return 99
	case authorizeSession:
		if k := event.Kind(r.Kind); k == event.SupportGranted || k == event.BreakGlassUsed {
			return 1 // assign privileges
		}
		return 99
	}
	switch changeOf(r) {
	case created:
		return 1
	case changed:
		return 3
	case deleted:
		return 4
	}
	return 99
}

func ocsfMethod(method string) int {
	switch method {
	case "CONNECT":
		return 1
	case "DELETE":
		return 2
	case "GET":
		return 3
	case "HEAD":
		return 4
	case "OPTIONS":
		return 5
	case "POST":
		return 6
	case "PUT":
		return 7
	case "TRACE":
		return 8
	case "PATCH":
		return 9
	}
	return 99
}

// ocsfUnmapped is what OCSF has no place for.
func ocsfUnmapped(b []byte, r *Record, class int, traced bool) []byte {
	at := len(b)
	b = open(b, "unmapped")
	b = num(b, "severity", int64(SeverityOf(r)))
	b = str(b, "site", r.Site)
	b = clientNet(b, "client_net", r)
	b = str(b, "reason", r.Reason)
	b = str(b, "grant", r.Grant)
	b = rulesList(b, "rules", r.Rules)
	b = millis(b, "waf_ms", r.WAF)
	b = millis(b, "upstream_ms", r.Upstream)
	if r.Method != "" && ocsfMethod(r.Method) == 99 {
		b = str(b, "method", r.Method)
	}
	if !isHostname(domain(r.Host)) {
		b = str(b, "host", r.Host)
	}
	if !traced {
		b = str(b, "trace_id", r.TraceID)
	}
	if class == detectionFinding && r.Status != 0 {
		b = num(b, "bytes", r.Bytes)
	}
	b = attrs(b, "attrs", r.Attrs)
	return shut(b, at)
}

// ocsfRule is the first of the WAF's rules.
func ocsfRule(b []byte, name string, r *Record, more string) []byte {
	if len(r.Rules) == 0 {
		return b
	}
	b = append(open(b, name), `"uid":"`...)
	b = strconv.AppendInt(b, int64(r.Rules[0]), 10)
	b = append(b, '"')
	return append(append(b, more...), '}')
}
