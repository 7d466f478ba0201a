package format

import (
	"strconv"
	"time"
)

// In the header of CEF "|" and "\" are escaped, in its extension "=" and "\"; a line break can be said only there
// (Implementing ArcSight Common Event Format, revision 25). Other control characters are written as U+FFFD.
var (
	cefHeader = newEscapes("|", `\|`, `\`, `\\`)
	cefText   = newEscapes("=", `\=`, `\`, `\\`, "\n", `\n`, "\r", `\r`)
)

// CEF is the record in ArcSight's Common Event Format, version 0: CEF:0|vendor|product|version|kind|sentence|severity|
// and fields, those that have none of the dictionary's names by custom strings and numbers with their labels (request_id,
// site, session, policy, rules, grant; status, score) and by names that begin with Gatehouse.
func CEF(b []byte, r *Record) []byte {
	b = append(b, "CEF:0|"+vendor+"|"+product+"|"+edition+"|"...)
	if r.Kind == "" {
		b = append(b, "event"...)
	}
	b = cefHeader.append(b, r.Kind)
	b = append(b, '|')
	b = cefHeader.append(b, cefName(r))
	b = append(b, '|')
	b = strconv.AppendInt(b, int64(SeverityOf(r)), 10)
	b = append(b, "|rt="...)
	b = strconv.AppendInt(b, r.Time.UnixMilli(), 10)
	b = cefField(b, " externalId=", r.ID)
	b = cefField(b, " dvchost=", r.Node)
	b = cefField(b, " cat=", r.Stream)
	b = cefField(b, " src=", clientIP(r))
	if r.Clear {
		b = cefField(b, " suser=", r.User)
	} else {
		b = cefField(b, " suid=", r.User)
	}
	b = cefOutcome(b, r)
	b = cefField(b, " reason=", r.Reason)
	b = cefField(b, " msg=", r.Detail)
	b = cefRequest(b, r)
	b = cefField(b, " cs1Label=request_id cs1=", r.RequestID)
	b = cefField(b, " cs2Label=site cs2=", r.Site)
	b = cefField(b, " cs3Label=session cs3=", r.Session)
	b = cefField(b, " cs4Label=policy cs4=", r.Policy)
	if len(r.Rules) > 0 {
		b = append(b, " cs5Label=rules cs5="...)
		b = appendRules(b, r.Rules, ',')
	}
	b = cefField(b, " cs6Label=grant cs6=", r.Grant)
	if r.Score != 0 {
		b = append(b, " cn2Label=score cn2="...)
		b = strconv.AppendInt(b, int64(r.Score), 10)
	}
	b = cefField(b, " GatehouseTenant=", r.Tenant)
	b = cefField(b, " GatehouseTraceId=", r.TraceID)
	if hasNet(r) {
		b = append(b, " GatehouseClientNet="...)
		b = r.ClientNet.AppendTo(b)
	}
	b = cefField(b, " GatehouseClientKey=", r.ClientKey)
	for i, a := range r.Attrs {
		b = camel(append(b, " Gatehouse"...), a.Key)
		if n := sameBefore(r.Attrs, i); n > 0 {
			b = strconv.AppendInt(b, int64(n+1), 10)
		}
		b = append(b, '=')
		b = cefText.append(b, a.Value)
	}
	return b
}

// cefName is what the record is called: the same for all records of its kind that ended in the same way, as correlation
// wants it.
func cefName(r *Record) string {
	switch {
	case r.Reason != "":
		return r.Reason
	case r.Kind != "":
		return r.Kind
	}
	return "event"
}

func cefOutcome(b []byte, r *Record) []byte {
	if isRequest(r) || denied(r) {
		if denied(r) {
			b = append(b, " act=denied"...)
		} else {
			b = append(b, " act=allowed"...)
		}
	}
	if failed(r) {
		return append(b, " outcome=failure"...)
	}
	return append(b, " outcome=success"...)
}

func cefRequest(b []byte, r *Record) []byte {
	b = cefField(b, " requestMethod=", r.Method)
	b = cefField(b, " dhost=", r.Host)
	if r.Host != "" && r.Path != "" {
		b = append(b, " request="...)
		b = append(b, scheme(r)...)
		b = append(b, "://"...)
		b = cefText.append(b, r.Host)
		b = cefText.append(b, r.Path)
	} else {
		b = cefField(b, " request=", r.Path)
	}
	b = cefField(b, " app=", r.Proto)
	b = cefField(b, " requestClientApplication=", r.Agent)
	if r.Status != 0 {
		b = append(b, " cn1Label=status cn1="...)
		b = strconv.AppendInt(b, int64(r.Status), 10)
		b = append(b, " out="...)
		b = strconv.AppendInt(b, r.Bytes, 10)
	}
	b = cefMillis(b, " GatehouseDurationMs=", r.Duration)
	b = cefMillis(b, " GatehouseWafMs=", r.WAF)
	return cefMillis(b, " GatehouseUpstreamMs=", r.Upstream)
}

func cefField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, name...)
	return cefText.append(b, value)
}

func cefMillis(b []byte, name string, d time.Duration) []byte {
	if d <= 0 {
		return b
	}
	return appendMillis(append(b, name...), d)
}

// camel appends "matched in" as "MatchedIn": names in CEF are alphanumeric. What has no letter or digit is "X".
func camel(b []byte, s string) []byte {
	up, before := true, len(b)
	for i := range len(s) {
		c := s[i]
		lower, digit := c >= 'a' && c <= 'z', c >= '0' && c <= '9'
		switch {
		case lower && up:
			b, up = append(b, c-'a'+'A'), false
		case lower, digit, c >= 'A' && c <= 'Z':
			b, up = append(b, c), false
		default:
			up = true
		}
	}
	if len(b) == before {
		return append(b, 'X')
	}
	return b
}
