package format

import (
	"slices"
	"strconv"

	"gatehouse.internal/modules/internal/event"
)

const (
	// MaxSyslog is what a record has at most: receivers cut messages at 8 KiB, and take the rest for another.
	MaxSyslog = 8191
	// LogLocal0 is the facility (RFC 5424, table 1) that is taken where none is said, or one that does not exist.
	LogLocal0 = 16
)

// sdText is for values of structured data (RFC 5424, 6.3.3).
var sdText = newEscapes(`"`, `\"`, `\`, `\\`, "]", `\]`)

// Syslog returns the encoder of RFC 5424 records: the kind is the MSGID, the node the HOSTNAME, and what the record says is
// in the element gatehouse@32473 of the structured data. The message is what enc makes of the record; without one, the
// sentence for people. With one, the structured data have only what records are found and sorted by.
//
// The message is UTF-8 without a byte order mark. The RFC asks for one (6.4), but receivers hand it on as part of the
// message, and JSON must not begin with it (RFC 8259, 8.1); without it the message is MSG-ANY, which all read as UTF-8.
//
// A record is at most [MaxSyslog] bytes: of one that would be longer, the long texts are cut, further facts and rules left
// out. Framing is the transport's.
func Syslog(enc Encoder, facility int) Encoder {
	if facility < 0 || facility > 23 {
		facility = LogLocal0
	}
	return func(b []byte, r *Record) []byte {
		at := len(b)
		b = appendSyslog(b, r, enc, facility)
		for _, c := range cuts {
			if len(b)-at <= MaxSyslog {
				return b
			}
			b = appendSyslog(b[:at], c.of(r), enc, facility)
		}
		if len(b)-at > MaxSyslog { // an encoder that says more than the record does
			b = appendSyslog(b[:at], cuts[len(cuts)-1].of(r), func(b []byte, _ *Record) []byte { return b }, facility)
		}
		return b
	}
}

// cut is how much of a record stays.
type cut struct{ text, id, attrs, rules int }

var cuts = []cut{{1024, 256, 32, 64}, {256, 128, 16, 32}, {64, 64, 8, 16}, {16, 32, 0, 8}}

func (c cut) of(r *Record) *Record {
	short := *r
	for _, id := range []*string{&short.ID, &short.Stream, &short.Kind, &short.Node, &short.RequestID, &short.TraceID, &short.Client} {
		*id = event.Clip(*id, c.id)
	}
	for _, text := range []*string{
		&short.Tenant, &short.Site, &short.ClientKey, &short.User, &short.Session, &short.Method, &short.Host, &short.Path, &short.Proto,
		&short.Agent, &short.Reason, &short.Detail, &short.Grant, &short.Policy,
	} {
		*text = event.Clip(*text, c.text)
	}
	short.Rules = short.Rules[:min(len(short.Rules), c.rules)]
	short.Attrs = slices.Clone(short.Attrs[:min(len(short.Attrs), c.attrs)])
	for i, a := range short.Attrs {
		short.Attrs[i] = Attr{Key: event.Clip(a.Key, 32), Value: event.Clip(a.Value, c.text)}
	}
	return &short
}

func appendSyslog(b []byte, r *Record, enc Encoder, facility int) []byte {
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(facility*8+SeverityOf(r).syslog()), 10)
	b = append(b, ">1 "...)
	b = r.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(b, ' ')
	b = appendHeader(b, r.Node, 255)
	b = append(b, " gatehouse - "...)
	b = appendHeader(b, r.Kind, 32)
	b = append(b, " [gatehouse@32473"...)
	b = sd(b, " event_id", r.ID)
	b = sd(b, " stream", r.Stream)
	b = sd(b, " kind", r.Kind)
	b = sd(b, " tenant", r.Tenant)
	b = sd(b, " site", r.Site)
	b = sd(b, " request_id", r.RequestID)
	if enc != nil {
		return enc(append(b, "] "...), r)
	}
	b = sdRest(b, r)
	b = append(b, "] "...)
	return appendMessage(b, r, plain)
}

// sdRest is what is in the structured data when the message does not say it.
func sdRest(b []byte, r *Record) []byte {
	b = sd(b, " trace_id", r.TraceID)
	if r.Clear {
		b = sd(b, " client_ip", r.Client)
	}
	if hasNet(r) {
		b = append(b, ` client_net="`...)
		b = append(r.ClientNet.AppendTo(b), '"')
	}
	b = sd(b, " client_key", r.ClientKey)
	b = sd(b, " user", r.User)
	b = sd(b, " session", r.Session)
	b = sd(b, " proto", r.Proto)
	b = sd(b, " method", r.Method)
	b = sd(b, " host", r.Host)
	b = sd(b, " path", r.Path)
	if r.Status != 0 {
		b = append(b, ` status="`...)
		b = strconv.AppendInt(b, int64(r.Status), 10)
		b = append(b, `" bytes="`...)
		b = append(strconv.AppendInt(b, r.Bytes, 10), '"')
	}
	if r.Duration > 0 {
		b = append(appendMillis(append(b, ` duration_ms="`...), r.Duration), '"')
	}
	if r.WAF > 0 {
		b = append(appendMillis(append(b, ` waf_ms="`...), r.WAF), '"')
	}
	if r.Upstream > 0 {
		b = append(appendMillis(append(b, ` upstream_ms="`...), r.Upstream), '"')
	}
	b = sd(b, " reason", r.Reason)
	b = sd(b, " detail", r.Detail)
	if len(r.Rules) > 0 {
		b = append(appendRules(append(b, ` rules="`...), r.Rules, ' '), '"')
	}
	if r.Score != 0 {
		b = append(strconv.AppendInt(append(b, ` score="`...), int64(r.Score), 10), '"')
	}
	b = sd(b, " grant", r.Grant)
	b = sd(b, " policy", r.Policy)
	b = sd(b, " user_agent", r.Agent)
	for _, a := range r.Attrs {
		b = appendWord(append(b, " attr_"...), a.Key, 27) // 32 with what is before
		b = append(b, '=', '"')
		b = append(sdText.append(b, a.Value), '"')
	}
	return b
}

func sd(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, name...)
	b = append(b, '=', '"')
	return append(sdText.append(b, value), '"')
}

// appendHeader appends a field of the header: printable ASCII, no spaces, at most limit bytes; "-" for none.
func appendHeader(b []byte, s string, limit int) []byte {
	if s == "" {
		return append(b, '-')
	}
	for i := range min(len(s), limit) {
		if c := s[i]; c > ' ' && c < 0x7f {
			b = append(b, c)
		} else {
			b = append(b, '_')
		}
	}
	return b
}
