package format_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse.internal/modules/siem/format"
)

// readers take one line of a form apart, as a receiver would, and fail if it cannot be.
var readers = map[string]func(*testing.T, []byte){
	"json":   readJSON,
	"ecs":    readECS,
	"ocsf":   readOCSF,
	"cef":    readCEF,
	"leef":   readLEEF,
	"gelf":   readGELF,
	"syslog": readSyslog,
	"csv":    readCSV,
}

func readJSON(t *testing.T, line []byte) {
	var fields map[string]any
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Errorf("not JSON: %v\n%s", err, line)
	}
}

// inspect says what holds of a line in any form: it is one, valid UTF-8, and shows on a terminal as what it is.
func inspect(t *testing.T, name string, r *format.Record) {
	t.Helper()
	enc, ok := format.Named(name)
	if !ok {
		t.Fatalf("there is no form %q", name)
	}
	const before = "before"
	line := enc([]byte(before), r)
	if string(line[:len(before)]) != before {
		t.Errorf("%s: what was in the buffer is gone: %q", name, line)
	}
	line = line[len(before):]
	if !utf8.Valid(line) {
		t.Errorf("%s: not UTF-8: %q", name, line)
	}
	for _, c := range string(line) {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == 0x2028 || c == 0x2029 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 || c == 0xfeff {
			t.Errorf("%s: unprintable %U in %q", name, c, line)
		}
	}
	readers[name](t, line)
}

func TestNastyTexts(t *testing.T) {
	for _, name := range format.Names() {
		t.Run(name, func(t *testing.T) {
			all := append(records(), format.Record{}, filled(nasty), filled(""))
			for _, text := range []string{"=", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "a\n\nb", "\xff", `\`, `"`, "]", " ", "\u0085"} {
				all = append(all, filled(text))
			}
			for _, r := range all {
				inspect(t, name, &r)
			}
		})
	}
}

// FuzzForms: whatever the texts are, a record is one readable line in each form.
func FuzzForms(f *testing.F) {
	f.Add("access", "request", "ada", "/docs", "detail", "key", "value", true, 200, int64(5), uint32(7))
	f.Add("waf", "request.refused", nasty, nasty, nasty, nasty, nasty, false, -1, int64(-5), uint32(1<<31))
	f.Add("audit", "login.failed", "", "", "", "", "", false, 0, int64(0), uint32(0))
	f.Add("audit", "session.ended", "=1+1", "@x", "-", "\xc3(", "\u202e", true, 99999, int64(1)<<62, uint32(3))
	f.Fuzz(func(t *testing.T, stream, kind, user, path, detail, key, value string, clear bool, status int, n int64, ip uint32) {
		addr := netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)})
		net, _ := addr.Prefix(24)
		r := format.Record{
			ID: detail, Time: time.Unix(n%(1<<33), n%1e9).UTC(), Stream: stream, Kind: kind, Node: value, Tenant: key, Site: user, RequestID: path, TraceID: value,
			Clear: clear, ClientNet: net, User: user, Session: value, Method: key, Host: value, Path: path, Proto: value, Status: status, Bytes: n, Agent: detail,
			Duration: time.Duration(n), WAF: time.Duration(status), Upstream: time.Duration(-n), Reason: key, Detail: detail, Rules: []int{status, int(n)}, Score: status,
			Grant: value, Policy: key, Attrs: []format.Attr{{Key: key, Value: value}, {Key: value, Value: key}, {Key: key, Value: detail}},
		}
		if r.Client = addr.String(); !clear {
			r.Client, r.ClientKey = "", user
		}
		for _, name := range format.Names() {
			inspect(t, name, &r)
		}
	})
}
