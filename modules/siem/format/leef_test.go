package format_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/siem/format"
)

func parseLEEF(t *testing.T, line string) (header []string, fields map[string]string) {
	t.Helper()
	parts := strings.SplitN(line, "|", 7)
	if len(parts) != 7 || parts[0] != "LEEF:2.0" || parts[5] != "^" {
		t.Fatalf("header %q", parts)
	}
	fields = map[string]string{}
	for _, f := range strings.Split(parts[6], "^") {
		name, value, ok := strings.Cut(f, "=")
		if !ok || name == "" {
			t.Fatalf("attribute %q in %s", f, line)
		}
		fields[name] = value
	}
	return parts[:6], fields
}

func readLEEF(t *testing.T, line []byte) {
	_, fields := parseLEEF(t, string(line))
	if _, err := time.Parse("2006-01-02T15:04:05.000-0700", fields["devTime"]); err != nil {
		t.Error(err)
	}
	if n, err := strconv.Atoi(fields["sev"]); err != nil || n < 1 || n > 10 {
		t.Errorf("sev %q", fields["sev"])
	}
}

func TestLEEFSaysWhatTheRecordSays(t *testing.T) {
	clear, refused := records()[0], records()[1]
	header, got := parseLEEF(t, string(format.LEEF(nil, &clear)))
	if want := "LEEF:2.0|Gatehouse|Gatehouse|1|request|^"; strings.Join(header, "|") != want {
		t.Errorf("header %q, want %q", header, want)
	}
	for name, want := range map[string]string{
		"devTime": "2026-03-14T09:26:53.589+0000", "sev": "1", "cat": "access", "src": "203.0.113.7", "usrName": "zoë@example.org", "client_net": "",
		"url": `https://wiki.example.org/docs/a=b|c%5Ed "e" \f]/ü`, "status": "200", "dstBytes": "18412", "duration_ms": "41.25", "site": "wiki",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	_, got = parseLEEF(t, string(format.LEEF(nil, &refused)))
	for name, want := range map[string]string{
		"src": "", "usrName": "", "user_key": "u-51cc02aa", "client_key": "c-9a7f01d2", "client_net": "2001:db8:7::/48", "reason": "waf_blocked",
		"rules": "942100,949110", "score": "10", "attr_matched_in": "ARGS:q",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}
