package format_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse.internal/modules/siem/format"
)

// entry is an RFC 5424 record.
type entry struct {
	pri                               int
	timestamp, host, app, proc, msgID string
	sdID                              string
	params                            map[string]string
	msg                               string
}

var syslogHeader = regexp.MustCompile(`^<(0|[1-9][0-9]{0,2})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) \[([!-<>-\\^-~]{1,32})`)

// parseSyslog reads a record by the grammar of RFC 5424, section 6, with one element of structured data.
func parseSyslog(t *testing.T, line string) entry {
	t.Helper()
	m := syslogHeader.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("no header of RFC 5424: %s", line)
	}
	e := entry{timestamp: m[2], host: m[3], app: m[4], proc: m[5], msgID: m[6], sdID: m[7], params: map[string]string{}}
	e.pri, _ = strconv.Atoi(m[1])
	if _, err := time.Parse(time.RFC3339Nano, e.timestamp); err != nil || e.pri > 191 {
		t.Fatalf("PRI %d, timestamp %v", e.pri, err)
	}
	rest := line[len(m[0]):]
	for strings.HasPrefix(rest, " ") {
		name, after, ok := strings.Cut(rest[1:], `="`)
		if !ok || name == "" || len(name) > 32 || strings.ContainsAny(name, ` ="]`) {
			t.Fatalf("parameter name %q in %s", name, line)
		}
		var value strings.Builder
		i := 0
		for ; ; i++ {
			if i == len(after) {
				t.Fatalf("value without an end: %s", line)
			}
			if after[i] == '"' {
				break
			}
			if after[i] == ']' {
				t.Fatalf("a bare ] in %s", line)
			}
			if after[i] == '\\' {
				if i++; !strings.ContainsRune(`"\]`, rune(after[i])) {
					t.Fatalf("an escape that is none: %s", line)
				}
			}
			value.WriteByte(after[i])
		}
		e.params[name], rest = value.String(), after[i+1:]
	}
	msg, ok := strings.CutPrefix(rest, "] ")
	if !ok {
		t.Fatalf("structured data without an end: %q", rest)
	}
	e.msg = msg
	return e
}

func readSyslog(t *testing.T, line []byte) {
	if e := parseSyslog(t, string(line)); e.msg == "" || e.app != "gatehouse" || e.sdID != "gatehouse@32473" {
		t.Errorf("%+v", e)
	}
	if len(line) > format.MaxSyslog {
		t.Errorf("%d bytes", len(line))
	}
}

func TestSyslogSaysWhatTheRecordSays(t *testing.T) {
	r := records()[1]
	r.Detail = `a"b\c]d`
	e := parseSyslog(t, string(format.Syslog(nil, 13)(nil, &r)))
	if e.pri != 13*8+4 || e.timestamp != "2026-03-14T09:26:54.589793Z" || e.host != "gate-1" || e.msgID != "request.refused" {
		t.Errorf("%+v", e)
	}
	for name, want := range map[string]string{
		"event_id": r.ID, "client_net": "2001:db8:7::/48", "client_key": "c-9a7f01d2", "user": "u-51cc02aa", "detail": `a"b\c]d`, "rules": "942100 949110",
		"attr_matched_in": "ARGS:q", "status": "403", "duration_ms": "1.8", "client_ip": "",
	} {
		if e.params[name] != want {
			t.Errorf("%s is %q, want %q", name, e.params[name], want)
		}
	}
	if want := "request.refused POST wiki.example.org/search: 403: waf_blocked: " + r.Detail; e.msg != want {
		t.Errorf("message %q, want %q", e.msg, want)
	}
}

func TestSyslogSeverities(t *testing.T) {
	for kind, want := range map[string]int{"login.succeeded": 6, "admin.done": 5, "login.failed": 4, "audit.failed": 3} {
		r := format.Record{Stream: "audit", Kind: kind}
		if e := parseSyslog(t, string(format.Syslog(nil, 4)(nil, &r))); e.pri != 4*8+want {
			t.Errorf("%s has PRI %d, want severity %d", kind, e.pri, want)
		}
	}
	for _, facility := range []int{-1, 24, 99} {
		if e := parseSyslog(t, string(format.Syslog(nil, facility)(nil, &format.Record{}))); e.pri != 16*8+6 || e.host != "-" || e.msgID != "-" {
			t.Errorf("facility %d: %+v", facility, e)
		}
	}
}

// TestSyslogCarriesOtherForms, also when nothing of a record fits: what is cut is the record, not what was made of it.
func TestSyslogCarriesOtherForms(t *testing.T) {
	huge := map[string]format.Record{"long": filled(strings.Repeat("x", 9000)), "escaped": filled(strings.Repeat(nasty, 200)), "invalid": filled(strings.Repeat("\xff", 9000))}
	for name, r := range huge {
		for range 60 {
			r.Attrs, r.Rules = append(r.Attrs, r.Attrs[0]), append(r.Rules, 942100)
		}
		huge[name] = r
	}
	huge["short"] = records()[0]
	for _, form := range format.Names() {
		inner, _ := format.Named(form)
		if form == "syslog" {
			inner = nil
		}
		for name, r := range huge {
			before := r.Path
			line := format.Syslog(inner, 16)([]byte("xy"), &r)[2:]
			if len(line) > format.MaxSyslog || !utf8.Valid(line) {
				t.Errorf("%s, %s: %d bytes", form, name, len(line))
			}
			if r.Path != before {
				t.Errorf("%s, %s: the record was changed", form, name)
			}
			if (name == "long" || name == "escaped") && len(line) < 2000 {
				t.Errorf("%s, %s: only %d bytes are left of it", form, name, len(line))
			}
			if e := parseSyslog(t, string(line)); form != "syslog" {
				readers[form](t, []byte(e.msg))
			}
		}
	}
	short := records()[0]
	endless := func(b []byte, _ *format.Record) []byte { return append(b, strings.Repeat("x", 10000)...) }
	if e := parseSyslog(t, string(format.Syslog(endless, 16)(nil, &short))); e.msg != "" {
		t.Errorf("what does not fit is not half of it: %q", e.msg)
	}
}
