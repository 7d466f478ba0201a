package format

import (
	"strconv"
	"time"

	"gatehouse.internal/modules/internal/event"
)

// ECS is the record in the Elastic Common Schema, version 9.3, as one nested JSON object.
//
// source.ip is there only if the address may be told; source.address is its pseudonym otherwise, which stands in
// related.hash as well, beside that of the user, whose place is user.hash. ECS has no place for sessions and much of
// what a gateway knows: that is under gatehouse.*, the client's network as gatehouse.client.network (a prefix).
func ECS(b []byte, r *Record) []byte {
	b = append(b, `{"@timestamp":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","ecs":{"version":"9.3.0"}`...)
	b = message(b, "message", r)
	b = append(b, `,"log":{"level":"`...)
	b = append(b, SeverityOf(r).level()...)
	b = append(b, `"}`...)
	b = ecsEvent(b, r)
	b = append(b, `,"observer":{"vendor":"`+vendor+`","product":"`+product+`","type":"proxy"`...)
	b = str(b, "name", r.Node)
	b = append(b, '}')
	b = ecsPeople(b, r)
	b = ecsRequest(b, r)
	if len(r.Rules) > 0 {
		b = append(b, `,"rule":{"id":"`...) // one: gatehouse.waf.rules has all
		b = strconv.AppendInt(b, int64(r.Rules[0]), 10)
		b = append(b, `","ruleset":"waf"}`...)
	}
	if r.TraceID != "" {
		at := len(b)
		b = shut(str(open(b, "trace"), "id", r.TraceID), at)
	}
	return append(ecsOwn(b, r), '}')
}

func ecsEvent(b []byte, r *Record) []byte {
	kind, category, types := ecsClass(r)
	b = open(b, "event")
	b = str(b, "id", r.ID)
	b = word(b, "kind", kind)
	b = append(key(b, "category"), category...)
	b = append(key(b, "type"), types...)
	if failed(r) {
		b = word(b, "outcome", "failure")
	} else {
		b = word(b, "outcome", "success")
	}
	b = str(b, "action", r.Kind)
	b = str(b, "reason", r.Reason)
	if r.Stream != "" {
		b = append(key(b, "dataset"), `"gatehouse.`...)
		b = append(jsonText.append(b, r.Stream), '"')
	}
	b = word(b, "module", "gatehouse")
	b = word(b, "provider", "gatehouse")
	b = num(b, "severity", int64(SeverityOf(r)))
	if r.Duration > 0 {
		b = num(b, "duration", r.Duration.Nanoseconds())
	}
	return append(b, '}')
}

// ecsClass gives event.kind, and event.category and event.type as JSON. The types are those that ECS expects with one of
// the categories.
func ecsClass(r *Record) (kind, category, types string) {
	switch {
	case isRequest(r):
		if denied(r) {
			return "event", `["web","network"]`, `["access","denied"]`
		}
		return "event", `["web","network"]`, `["access","allowed"]`
	case r.Stream == string(event.WAF):
		category = `["intrusion_detection","web"]`
		switch k := event.Kind(r.Kind); {
		case denied(r):
			return "alert", category, `["denied"]`
		case k == event.WAFDetected, k == event.WAFFailedOpen:
			return "alert", category, `["allowed"]`
		}
		return "alert", category, `["info"]`
	case r.Stream == string(event.System):
		return "event", `["host"]`, `["info"]`
	}
	category, types = ecsAudit(r)
	return "event", category, types
}

// ecsAudit is ecsClass for the audit log.
func ecsAudit(r *Record) (category, types string) {
	switch event.Kind(r.Kind) {
	case event.LoginSucceeded, event.LoginFailed:
		return `["authentication"]`, `["start"]`
	case event.SessionCreated:
		return `["session"]`, `["start"]`
	case event.SessionEnded:
		return `["session"]`, `["end"]`
	case event.SessionLimit, event.SessionsApart:
		return `["session"]`, `["info"]`
	case event.AdminRequested:
		return `["api"]`, `["admin","info"]`
	case event.AdminDone:
		return `["api"]`, `["admin","change"]`
	case event.AdminRefused:
		return `["api"]`, `["admin","denied"]`
	case event.HouseStarted:
		return `["host"]`, `["start"]`
	case event.RulesLoaded, event.KeysChanged, event.BanAdded, event.BanLifted, event.ContainmentThrown, event.ContainmentLifted, event.ContainmentEnded:
		return `["configuration"]`, `["change"]`
	case event.RulesRejected:
		return `["configuration"]`, `["info"]`
	case event.ProtocolFlood:
		return `["network"]`, `["denied","protocol"]`
	case event.FactorUsed, event.FactorFailed, event.BackupCodeUsed, event.StepUpSucceeded, event.StepUpRedeemed,
		event.BreakGlassAsked, event.BreakGlassUsed, event.BreakGlassRequest:
		return `["authentication"]`, `["info"]`
	}
	switch changeOf(r) { // accounts, factors, keys, seals
	case created:
		return `["iam"]`, `["user","creation"]`
	case changed:
		return `["iam"]`, `["user","change"]`
	case deleted:
		return `["iam"]`, `["user","deletion"]`
	}
	return `["iam"]`, `["info"]`
}

// ecsPeople says who it was: source, user, related.
func ecsPeople(b []byte, r *Record) []byte {
	ip, at := clientIP(r), len(b)
	b = open(b, "source")
	b = str(b, "ip", ip)
	if r.Clear {
		b = str(b, "address", r.Client)
	} else {
		b = str(b, "address", r.ClientKey)
	}
	b = shut(b, at)
	at = len(b)
	b = open(b, "user")
	if r.Clear {
		b = str(b, "name", r.User)
	} else {
		b = str(b, "hash", r.User)
	}
	b = shut(b, at)
	at = len(b)
	b = open(b, "related")
	b = list(b, "ip", ip)
	b = list(b, "hosts", domain(r.Host))
	if r.Clear {
		b = list(b, "user", r.User)
	} else if r.ClientKey != "" || r.User != "" {
		b = append(key(b, "hash"), '[')
		for _, hash := range [...]string{r.ClientKey, r.User} {
			if hash != "" {
				b = quoted(comma(b), hash)
			}
		}
		b = append(b, ']')
	}
	return shut(b, at)
}

func ecsRequest(b []byte, r *Record) []byte {
	at := len(b)
	b = open(b, "url")
	if r.Host != "" {
		b = word(b, "scheme", scheme(r))
	}
	b = str(b, "domain", domain(r.Host))
	if p := port(r.Host); p > 0 {
		b = num(b, "port", int64(p))
	}
	b = str(b, "path", r.Path)
	b = shut(b, at)
	at = len(b)
	b = open(b, "http")
	b = str(b, "version", protoVersion(r))
	request := len(b)
	b = open(b, "request")
	b = str(b, "id", r.RequestID)
	b = str(b, "method", r.Method)
	b = shut(b, request)
	if r.Status > 0 {
		b = num(open(b, "response"), "status_code", int64(r.Status))
		b = num(open(b, "body"), "bytes", max(r.Bytes, 0))
		b = append(b, "}}"...)
	}
	b = shut(b, at)
	at = len(b)
	return shut(str(open(b, "user_agent"), "original", r.Agent), at)
}

// ecsOwn is what ECS has no place for.
func ecsOwn(b []byte, r *Record) []byte {
	at := len(b)
	b = open(b, "gatehouse")
	b = str(b, "tenant", r.Tenant)
	b = str(b, "site", r.Site)
	b = str(b, "session", r.Session)
	b = str(b, "grant", r.Grant)
	b = str(b, "policy", r.Policy)
	b = str(b, "detail", r.Detail)
	inner := len(b)
	b = shut(clientNet(open(b, "client"), "network", r), inner)
	inner = len(b)
	b = open(b, "waf")
	b = rulesList(b, "rules", r.Rules)
	if r.Score != 0 {
		b = num(b, "score", int64(r.Score))
	}
	b = shut(millis(b, "duration_ms", r.WAF), inner)
	inner = len(b)
	b = shut(millis(open(b, "upstream"), "duration_ms", r.Upstream), inner)
	b = attrs(b, "attrs", r.Attrs)
	return shut(b, at)
}
