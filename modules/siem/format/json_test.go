package format_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse.internal/modules/siem/format"
)

// TestTextsSurviveJSON: encoding/json reads the very text that went in, with U+FFFD for what was not UTF-8.
func TestTextsSurviveJSON(t *testing.T) {
	texts := []string{nasty, "", "plain", "\xff\xfe", "a\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", strings.Repeat("ü\n", 100), "\u2028\u2029", "\ufffd"}
	for c := range 256 {
		texts = append(texts, "x"+string([]byte{byte(c)})+"y", "x"+string(rune(c))+"y")
	}
	for _, text := range texts {
		var got struct {
			Detail string
			Attrs  map[string]string
		}
		line := format.JSON(nil, &format.Record{Detail: text, Attrs: []format.Attr{{Key: "k", Value: text}}})
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q: %v in %s", text, err, line)
		}
		if want := valid(text); got.Detail != want || got.Attrs["k"] != want {
			t.Errorf("%q is read as %q and %q, want %q", text, got.Detail, got.Attrs["k"], want)
		}
	}
}

// valid is s with U+FFFD for each byte that belongs to no character.
func valid(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	if !utf8.ValidString(b.String()) {
		panic("range yields only valid runes")
	}
	return b.String()
}

func TestJSONNames(t *testing.T) {
	r := records()[1]
	r.Upstream, r.Proto, r.TraceID, r.Agent, r.Grant, r.Client = 1500000, "HTTP/2.0", "t", "a", "g", "hidden"
	var got map[string]any
	if err := json.Unmarshal(format.JSON(nil, &r), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(`time event_id stream kind severity node tenant site request_id trace_id client_net client_key user
		session proto method host path status bytes duration_ms waf_ms upstream_ms reason detail rules score grant policy user_agent attrs`) {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		}
		delete(got, name)
	}
	for name := range got { // client_ip among them: it is told only in clear
		t.Errorf("%s is one name too many", name)
	}
}
