package format

import "time"

// JSON is the record as one JSON object, with the names that the gateway's own log uses. What is zero is left out.
// Further facts are under "attrs".
func JSON(b []byte, r *Record) []byte {
	b = append(b, `{"time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	b = str(b, "event_id", r.ID)
	b = str(b, "stream", r.Stream)
	b = str(b, "kind", r.Kind)
	b = num(b, "severity", int64(SeverityOf(r)))
	b = str(b, "node", r.Node)
	b = str(b, "tenant", r.Tenant)
	b = str(b, "site", r.Site)
	b = str(b, "request_id", r.RequestID)
	b = str(b, "trace_id", r.TraceID)
	if r.Clear {
		b = str(b, "client_ip", r.Client)
	}
	b = clientNet(b, "client_net", r)
	b = str(b, "client_key", r.ClientKey)
	b = str(b, "user", r.User)
	b = str(b, "session", r.Session)
	b = str(b, "proto", r.Proto)
	b = str(b, "method", r.Method)
	b = str(b, "host", r.Host)
	b = str(b, "path", r.Path)
	if r.Status != 0 {
		b = num(b, "status", int64(r.Status))
		b = num(b, "bytes", r.Bytes)
	}
	b = millis(b, "duration_ms", r.Duration)
	b = millis(b, "waf_ms", r.WAF)
	b = millis(b, "upstream_ms", r.Upstream)
	b = str(b, "reason", r.Reason)
	b = str(b, "detail", r.Detail)
	b = rulesList(b, "rules", r.Rules)
	if r.Score != 0 {
		b = num(b, "score", int64(r.Score))
	}
	b = str(b, "grant", r.Grant)
	b = str(b, "policy", r.Policy)
	b = str(b, "user_agent", r.Agent)
	b = attrs(b, "attrs", r.Attrs)
	return append(b, '}')
}
