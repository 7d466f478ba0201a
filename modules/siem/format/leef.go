package format

import (
	"strconv"
	"time"
)

// leefText is for the values of LEEF, which knows no escapes: the delimiter is written as in a URL.
// leefHeader is for the part before them, where "|" has no escape either.
var (
	leefText   = newEscapes("^", "%5E")
	leefHeader = newEscapes("|", "_")
)

// LEEF is the record in QRadar's Log Event Extended Format, version 2.0: LEEF:2.0|vendor|product|version|kind|^| and
// attributes with "^" between them. A tab, which is usual, is a control character: relays rewrite those.
//
// The attributes are those that QRadar knows (devTime, cat, sev, src, usrName, url, reason, ...), and ours with the
// names that [JSON] has.
func LEEF(b []byte, r *Record) []byte {
	b = append(b, "LEEF:2.0|"+vendor+"|"+product+"|"+edition+"|"...)
	if r.Kind == "" {
		b = append(b, "event"...)
	}
	b = leefHeader.append(b, r.Kind)
	b = append(b, "|^|devTime="...)
	b = r.Time.AppendFormat(b, "2006-01-02T15:04:05.000-0700")
	b = append(b, "^devTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ^sev="...)
	b = strconv.AppendInt(b, int64(max(SeverityOf(r), 1)), 10) // from 1 to 10
	b = leefField(b, "^cat=", r.Stream)
	b = leefField(b, "^event_id=", r.ID)
	b = leefField(b, "^node=", r.Node)
	b = leefField(b, "^tenant=", r.Tenant)
	b = leefField(b, "^site=", r.Site)
	b = leefField(b, "^request_id=", r.RequestID)
	b = leefField(b, "^trace_id=", r.TraceID)
	b = leefField(b, "^src=", clientIP(r))
	if hasNet(r) {
		b = append(b, "^client_net="...)
		b = r.ClientNet.AppendTo(b)
	}
	b = leefField(b, "^client_key=", r.ClientKey)
	if r.Clear {
		b = leefField(b, "^usrName=", r.User)
	} else {
		b = leefField(b, "^user_key=", r.User)
	}
	b = leefField(b, "^session=", r.Session)
	b = leefRequest(b, r)
	b = leefField(b, "^reason=", r.Reason)
	b = leefField(b, "^detail=", r.Detail)
	if len(r.Rules) > 0 {
		b = append(b, "^rules="...)
		b = appendRules(b, r.Rules, ',')
	}
	if r.Score != 0 {
		b = append(b, "^score="...)
		b = strconv.AppendInt(b, int64(r.Score), 10)
	}
	b = leefField(b, "^grant=", r.Grant)
	b = leefField(b, "^policy=", r.Policy)
	for i, a := range r.Attrs {
		b = append(b, "^attr_"...)
		b = appendWord(b, a.Key, 64)
		if n := sameBefore(r.Attrs, i); n > 0 {
			b = strconv.AppendInt(append(b, '_'), int64(n+1), 10)
		}
		b = append(b, '=')
		b = leefText.append(b, a.Value)
	}
	return b
}

func leefRequest(b []byte, r *Record) []byte {
	b = leefField(b, "^proto_version=", r.Proto) // "proto" is the transport protocol to QRadar
	b = leefField(b, "^method=", r.Method)
	b = leefField(b, "^host=", r.Host)
	if r.Host != "" && r.Path != "" {
		b = append(b, "^url="...)
		b = append(b, scheme(r)...)
		b = append(b, "://"...)
		b = leefText.append(b, r.Host)
		b = leefText.append(b, r.Path)
	} else {
		b = leefField(b, "^url=", r.Path)
	}
	b = leefField(b, "^user_agent=", r.Agent)
	if r.Status != 0 {
		b = append(b, "^status="...)
		b = strconv.AppendInt(b, int64(r.Status), 10)
		b = append(b, "^dstBytes="...)
		b = strconv.AppendInt(b, r.Bytes, 10)
	}
	b = leefMillis(b, "^duration_ms=", r.Duration)
	b = leefMillis(b, "^waf_ms=", r.WAF)
	return leefMillis(b, "^upstream_ms=", r.Upstream)
}

func leefField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, name...)
	return leefText.append(b, value)
}

func leefMillis(b []byte, name string, d time.Duration) []byte {
	if d <= 0 {
		return b
	}
	return appendMillis(append(b, name...), d)
}
