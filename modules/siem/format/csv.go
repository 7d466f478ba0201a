package format

import (
	"strconv"
	"strings"
	"time"
)

// csvNames are the columns; the names are those of [JSON].
const csvNames = "time,event_id,stream,kind,severity,node,tenant,site,request_id,trace_id,client_ip,client_net,client_key,user,session," +
	"proto,method,host,path,status,bytes,duration_ms,waf_ms,upstream_ms,reason,detail,rules,score,grant,policy,user_agent,attrs"

// CSVHeader appends the row that names the columns, without a line break.
func CSVHeader(b []byte) []byte { return append(b, csvNames...) }

// CSV is the record as one row (RFC 4180), with the columns of [CSVHeader]. Rules are separated by spaces; further facts
// are "key=value" with "; " between them, as people read them: programs should read another form.
//
// Spreadsheets run what begins as a formula. Clients choose some of these texts, so that such a cell begins with "'"
// (OWASP, CSV Injection). Line breaks are written as spaces: a row is one line.
func CSV(b []byte, r *Record) []byte {
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = cell(b, r.ID)
	b = cell(b, r.Stream)
	b = cell(b, r.Kind)
	b = strconv.AppendInt(append(b, ','), int64(SeverityOf(r)), 10)
	b = cell(b, r.Node)
	b = cell(b, r.Tenant)
	b = cell(b, r.Site)
	b = cell(b, r.RequestID)
	b = cell(b, r.TraceID)
	if r.Clear {
		b = cell(b, r.Client)
	} else {
		b = append(b, ',')
	}
	b = append(b, ',')
	if hasNet(r) {
		b = r.ClientNet.AppendTo(b)
	}
	b = cell(b, r.ClientKey)
	b = cell(b, r.User)
	b = cell(b, r.Session)
	b = cell(b, r.Proto)
	b = cell(b, r.Method)
	b = cell(b, r.Host)
	b = cell(b, r.Path)
	if r.Status != 0 {
		b = strconv.AppendInt(append(b, ','), int64(r.Status), 10)
		b = strconv.AppendInt(append(b, ','), r.Bytes, 10)
	} else {
		b = append(b, ",,"...)
	}
	for _, d := range [...]time.Duration{r.Duration, r.WAF, r.Upstream} {
		if b = append(b, ','); d > 0 {
			b = appendMillis(b, d)
		}
	}
	b = cell(b, r.Reason)
	b = cell(b, r.Detail)
	b = appendRules(append(b, ','), r.Rules, ' ')
	b = append(b, ',')
	if r.Score != 0 {
		b = strconv.AppendInt(b, int64(r.Score), 10)
	}
	b = cell(b, r.Grant)
	b = cell(b, r.Policy)
	b = cell(b, r.Agent)
	return csvAttrs(b, r.Attrs)
}

// csvText doubles the quotes of a quoted cell.
var csvText = newEscapes(`"`, `""`)

// cell writes a comma and a text.
func cell(b []byte, s string) []byte {
	b = append(b, ',')
	if s == "" {
		return b
	}
	guard := isFormula(s)
	if !guard && !needsQuotes(s) {
		return csvText.append(b, s)
	}
	b = append(b, '"')
	if guard {
		b = append(b, '\'')
	}
	b = csvText.append(b, s)
	return append(b, '"')
}

func needsQuotes(s string) bool {
	for i := range len(s) {
		switch s[i] {
		case '"', ',', ';', ' ':
			return true
		}
	}
	return false
}

// isFormula reports whether a spreadsheet may take a cell for one: it begins, after what is cut off or not seen, with
// one of the characters formulas begin with, some of which have a wide form.
func isFormula(s string) bool {
	if s != "" && (s[0] == '\t' || s[0] == '\r') {
		return true
	}
	for _, c := range s {
		switch {
		case c == '=', c == '+', c == '-', c == '@', c == '＝', c == '＋', c == '－', c == '＠':
			return true
		case c > ' ' && c < 0x7f, c > 0xA0 && !unprintable(c):
			return false
		}
	}
	return false
}

func csvAttrs(b []byte, all []Attr) []byte {
	b = append(b, ',')
	if len(all) == 0 {
		return b
	}
	b = append(b, '"')
	if k := all[0].Key; isFormula(k) || strings.TrimSpace(k) == "" { // "=" would be what the cell begins with
		b = append(b, '\'')
	}
	for i, a := range all {
		if i > 0 {
			b = append(b, "; "...)
		}
		b = csvText.append(b, a.Key)
		b = append(b, '=')
		b = csvText.append(b, a.Value)
	}
	return append(b, '"')
}
