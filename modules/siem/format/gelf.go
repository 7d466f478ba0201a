package format

import "strconv"

// GELF is the record in the Graylog Extended Log Format, version 1.1: host is the gateway's node, short_message the
// sentence, level syslog's severity, and everything else stands in additional fields, which begin with "_" and have the
// names that [JSON] has. Further facts are under "_attr_". There is no "_id", which servers refuse.
func GELF(b []byte, r *Record) []byte {
	b = append(b, `{"version":"1.1"`...)
	if r.Node == "" {
		b = word(b, "host", "gatehouse")
	} else {
		b = str(b, "host", r.Node)
	}
	b = message(b, "short_message", r)
	b = key(b, "timestamp")
	b = appendSeconds(b, r)
	b = num(b, "level", int64(SeverityOf(r).syslog()))
	b = num(b, "_severity", int64(SeverityOf(r)))
	b = str(b, "_event_id", r.ID)
	b = str(b, "_stream", r.Stream)
	b = str(b, "_kind", r.Kind)
	b = str(b, "_tenant", r.Tenant)
	b = str(b, "_site", r.Site)
	b = str(b, "_request_id", r.RequestID)
	b = str(b, "_trace_id", r.TraceID)
	if r.Clear {
		b = str(b, "_client_ip", r.Client)
	}
	b = clientNet(b, "_client_net", r)
	b = str(b, "_client_key", r.ClientKey)
	b = str(b, "_user", r.User)
	b = str(b, "_session", r.Session)
	b = str(b, "_proto", r.Proto)
	b = str(b, "_method", r.Method)
	b = str(b, "_host", r.Host)
	b = str(b, "_path", r.Path)
	if r.Status != 0 {
		b = num(b, "_status", int64(r.Status))
		b = num(b, "_bytes", r.Bytes)
	}
	b = millis(b, "_duration_ms", r.Duration)
	b = millis(b, "_waf_ms", r.WAF)
	b = millis(b, "_upstream_ms", r.Upstream)
	b = str(b, "_reason", r.Reason)
	b = str(b, "_detail", r.Detail)
	if len(r.Rules) > 0 { // fields are texts or numbers
		b = append(key(b, "_rules"), '"')
		b = append(appendRules(b, r.Rules, ' '), '"')
	}
	if r.Score != 0 {
		b = num(b, "_score", int64(r.Score))
	}
	b = str(b, "_grant", r.Grant)
	b = str(b, "_policy", r.Policy)
	b = str(b, "_user_agent", r.Agent)
	for i, a := range r.Attrs {
		b = append(b, `,"_attr_`...)
		b = appendWord(b, a.Key, 64)
		if n := sameBefore(r.Attrs, i); n > 0 {
			b = strconv.AppendInt(append(b, '_'), int64(n+1), 10)
		}
		b = append(b, '"', ':')
		b = quoted(b, a.Value)
	}
	return append(b, '}')
}

// appendSeconds appends the time in seconds since 1970, with milliseconds.
func appendSeconds(b []byte, r *Record) []byte {
	ms := r.Time.UnixMilli()
	if ms < 0 { // before 1970: not a time anything happened at
		return append(b, '0')
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	ms %= 1000
	return append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}
