package format_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gatehouse.internal/modules/siem/format"
)

// cefKey finds where a field begins: a name and "=" after a space. "=" in values is escaped.
var cefKey = regexp.MustCompile(`(?:^| )([A-Za-z0-9]+)=`)

// cefCustom are the fields that mean nothing without a label.
var cefCustom = regexp.MustCompile(`^c[sn][0-9]$`)

// parseCEF takes a line apart as its specification says: seven fields of header, then names and values.
func parseCEF(t *testing.T, line string) (header []string, fields map[string]string) {
	t.Helper()
	rest, ok := strings.CutPrefix(line, "CEF:")
	if !ok {
		t.Fatalf("not CEF: %s", line)
	}
	var field strings.Builder
	for i := 0; i < len(rest) && len(header) < 7; i++ {
		switch c := rest[i]; {
		case c == '\\' && i+1 < len(rest) && (rest[i+1] == '|' || rest[i+1] == '\\'):
			i++
			field.WriteByte(rest[i])
		case c == '\\':
			t.Fatalf("a backslash that escapes nothing in the header of %s", line)
		case c == '|':
			header = append(header, field.String())
			field.Reset()
			if len(header) == 7 {
				rest = rest[i+1:]
			}
		default:
			field.WriteByte(c)
		}
	}
	if len(header) != 7 {
		t.Fatalf("%d fields of header in %s", len(header), line)
	}
	fields = map[string]string{}
	at := cefKey.FindAllStringSubmatchIndex(rest, -1)
	if len(at) == 0 || at[0][0] != 0 {
		t.Fatalf("the extension begins with no name: %s", rest)
	}
	for i, m := range at {
		end := len(rest)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		fields[rest[m[2]:m[3]]] = unescapeCEF(t, rest[m[1]:end])
	}
	return header, fields
}

func unescapeCEF(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '=' {
			t.Fatalf("a bare = in %q", s)
		}
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			t.Fatalf("a backslash at the end of %q", s)
		}
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case '=', '\\':
			b.WriteByte(s[i])
		default:
			t.Fatalf("%q has an escape that is none", s)
		}
	}
	return b.String()
}

func readCEF(t *testing.T, line []byte) {
	header, fields := parseCEF(t, string(line))
	if header[0] != "0" || header[4] == "" || header[5] == "" {
		t.Errorf("header %q", header)
	}
	if n, err := strconv.Atoi(header[6]); err != nil || n < 0 || n > 10 {
		t.Errorf("severity %q", header[6])
	}
	if _, err := strconv.ParseInt(fields["rt"], 10, 64); err != nil {
		t.Errorf("rt: %v", err)
	}
	for name := range fields {
		if _, labelled := fields[name+"Label"]; !labelled && cefCustom.MatchString(name) {
			t.Errorf("%s has no label", name)
		}
	}
}

func TestCEFSaysWhatTheRecordSays(t *testing.T) {
	clear := records()[0]
	clear.Detail = "a=b\\c|d\r\ne\tf\x00"
	header, got := parseCEF(t, string(format.CEF(nil, &clear)))
	if want := `0|Gatehouse|Gatehouse|1|request|request|1`; strings.Join(header, "|") != want {
		t.Errorf("header %q, want %q", header, want)
	}
	for name, want := range map[string]string{
		"rt": "1773480413589", "externalId": clear.ID, "dvchost": "gate-1", "cat": "access", "src": "203.0.113.7", "suser": "zoë@example.org",
		"suid": "", "act": "allowed", "outcome": "success", "msg": "a=b\\c|d\r\ne f\ufffd", "requestMethod": "GET", "dhost": "wiki.example.org",
		"request": "https://wiki.example.org" + clear.Path, "cn1Label": "status", "cn1": "200", "out": "18412", "cs2": "wiki", "cs6": "employees",
		"GatehouseDurationMs": "41.25", "GatehouseClientNet": "",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	refused := records()[1]
	_, got = parseCEF(t, string(format.CEF(nil, &refused)))
	for name, want := range map[string]string{
		"src": "", "suser": "", "suid": "u-51cc02aa", "GatehouseClientKey": "c-9a7f01d2", "GatehouseClientNet": "2001:db8:7::/48",
		"act": "denied", "outcome": "failure", "reason": "waf_blocked", "cs5": "942100,949110", "cn2": "10", "GatehouseMatchedIn": "ARGS:q",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	header, _ = parseCEF(t, string(format.CEF(nil, &format.Record{Kind: `a|b\c` + "\nd"})))
	if header[4] != `a|b\c d` {
		t.Errorf("the header's kind is %q", header[4])
	}
}
