package format_test

import (
	"encoding/json"
	"regexp"
	"testing"

	"gatehouse.internal/modules/siem/format"
)

var gelfName = regexp.MustCompile(`^_[\w.\-]*$`)

func readGELF(t *testing.T, line []byte) {
	var fields map[string]any
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, line)
	}
	if fields["version"] != "1.1" {
		t.Errorf("version %v", fields["version"])
	}
	for _, name := range []string{"host", "short_message"} {
		if s, _ := fields[name].(string); s == "" {
			t.Errorf("%s is missing in %s", name, line)
		}
	}
	if level, ok := fields["level"].(float64); !ok || level < 0 || level > 7 {
		t.Errorf("level %v", fields["level"])
	}
	if _, ok := fields["timestamp"].(float64); !ok {
		t.Errorf("timestamp %v", fields["timestamp"])
	}
	for name, value := range fields {
		switch name {
		case "version", "host", "short_message", "timestamp", "level":
			continue
		case "_id":
			t.Error("servers refuse _id")
		}
		if !gelfName.MatchString(name) {
			t.Errorf("name %q", name)
		}
		switch value.(type) {
		case string, float64:
		default:
			t.Errorf("%s is a %T, neither text nor number", name, value)
		}
	}
}

func TestGELFSaysWhatTheRecordSays(t *testing.T) {
	r := records()[1]
	r.Attrs = append(r.Attrs, format.Attr{Key: "paranoia", Value: "4"})
	var got map[string]any
	if err := json.Unmarshal(format.GELF(nil, &r), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"host": "gate-1", "timestamp": 1773480414.589, "level": 4.0, "short_message": "request.refused POST wiki.example.org/search: 403: waf_blocked: score 10",
		"_severity": 6.0, "_event_id": r.ID, "_client_ip": nil, "_client_net": "2001:db8:7::/48", "_client_key": "c-9a7f01d2", "_user": "u-51cc02aa",
		"_status": 403.0, "_rules": "942100 949110", "_attr_paranoia": "2", "_attr_paranoia_2": "4", "_attr_matched_in": "ARGS:q", "_waf_ms": 1.5,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}
