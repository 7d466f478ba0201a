package format_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"gatehouse.internal/modules/siem/format"
)

func csvHeader() []byte { return format.CSVHeader(nil) }

// row reads one line into its columns by name.
func row(t *testing.T, line []byte) map[string]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(append(append(csvHeader(), '\n'), line...))).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v: %s", len(rows), err, line)
	}
	cells := map[string]string{}
	for i, name := range rows[0] {
		cells[name] = rows[1][i]
	}
	return cells
}

func readCSV(t *testing.T, line []byte) {
	for name, c := range row(t, line) {
		switch name {
		case "status", "bytes", "score", "rules": // numbers
			continue
		}
		if c = strings.TrimLeft(c, " \u00a0"); c != "" && strings.ContainsAny(c[:1], "=+-@\t\r") {
			t.Errorf("a spreadsheet would run %s: %q", name, c)
		}
	}
}

func TestCSVSaysWhatTheRecordSays(t *testing.T) {
	r := records()[1]
	r.Path, r.Agent = `/a,"b";c`, "  two\xffwords "
	got := row(t, format.CSV(nil, &r))
	for name, want := range map[string]string{
		"time": "2026-03-14T09:26:54.589793238Z", "event_id": r.ID, "stream": "waf", "kind": "request.refused", "severity": "6",
		"client_ip": "", "client_net": "2001:db8:7::/48", "client_key": r.ClientKey, "user": r.User, "path": r.Path, "status": "403", "bytes": "2210",
		"duration_ms": "1.8", "waf_ms": "1.5", "upstream_ms": "", "rules": "942100 949110", "score": "10", "user_agent": "  two\ufffdwords ",
		"attrs": "paranoia=2; matched in=ARGS:q",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func TestCSVFormulas(t *testing.T) {
	for text, want := range map[string]string{
		"=1": "'=1", "+1": "'+1", "-1": "'-1", "@A": "'@A", "\t1": "' 1", "\r1": "' 1", " =1": "' =1", "\u00a0=1": "'\u00a0=1", "\n=1": "' =1",
		"＝1": "'＝1", "＠A": "'＠A", "1=1": "1=1", "a-b": "a-b", "": "", "'": "'",
	} {
		if got := row(t, format.CSV(nil, &format.Record{User: text}))["user"]; got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	line := format.CSV(nil, &format.Record{Attrs: []format.Attr{{Key: "=x", Value: "1"}}})
	if got := row(t, line)["attrs"]; got != "'=x=1" {
		t.Errorf("attrs are %q", got)
	}
}
