package format_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/siem/format"
)

var update = flag.Bool("update", false, "write the golden files anew")

// records are one of each sort that receivers see.
func records() []format.Record {
	at := time.Date(2026, 3, 14, 9, 26, 53, 589793238, time.UTC)
	return []format.Record{
		{ // an allowed request, in clear
			ID: "0000018f2a6b4c5d0000000000000001", Time: at, Stream: "access", Kind: "request", Node: "gate-1", Tenant: "acme", Site: "wiki",
			RequestID: "01HS5K8ZQ0", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
			Clear: true, Client: "203.0.113.7", ClientNet: netip.MustParsePrefix("203.0.113.7/32"), User: "zoë@example.org", Session: "s-7f3a",
			Method: "GET", Host: "wiki.example.org", Path: "/docs/a=b|c^d \"e\" \\f]/ü", Proto: "HTTP/2.0", Status: 200, Bytes: 18412,
			Agent: "Mozilla/5.0 (X11; Linux x86_64)", Duration: 41250 * time.Microsecond, WAF: 312 * time.Microsecond, Upstream: 38 * time.Millisecond,
			Grant: "employees", Policy: "3f9c2b1a",
		},
		{ // refused by the WAF, with pseudonyms
			ID: "0000018f2a6b4c5d0000000000000002", Time: at.Add(time.Second), Stream: "waf", Kind: "request.refused", Node: "gate-1", Tenant: "acme", Site: "wiki",
			RequestID: "01HS5K8ZQ1", ClientNet: netip.MustParsePrefix("2001:db8:7::/48"), ClientKey: "c-9a7f01d2", User: "u-51cc02aa", Session: "s-0b1e",
			Method: "POST", Host: "wiki.example.org", Path: "/search", Proto: "HTTP/1.1", Status: 403, Bytes: 2210, Duration: 1800 * time.Microsecond, WAF: 1500 * time.Microsecond,
			Reason: "waf_blocked", Detail: "score 10", Rules: []int{942100, 949110}, Score: 10, Policy: "3f9c2b1a",
			Attrs: []format.Attr{{Key: "paranoia", Value: "2"}, {Key: "matched in", Value: "ARGS:q"}},
		},
		{ // a login that failed
			ID: "0000018f2a6b4c5d0000000000000003", Time: at.Add(2 * time.Second), Stream: "audit", Kind: "login.failed", Node: "gate-1", Tenant: "acme", Site: "wiki",
			RequestID: "01HS5K8ZQ2", Clear: true, Client: "2001:db8::17", ClientNet: netip.MustParsePrefix("2001:db8::17/128"), User: "=cmd|' /C calc'!A0",
			Method: "POST", Path: "/.gatehouse/login", Status: 403, Reason: "login_failed", Detail: "wrong password",
			Attrs: []format.Attr{{Key: "provider", Value: "local"}, {Key: "attempt", Value: "3"}},
		},
		{ // what an administrator did
			ID: "0000018f2a6b4c5d0000000000000004", Time: at.Add(3 * time.Second), Stream: "audit", Kind: "admin.done", Node: "gate-2",
			RequestID: "01HS5K8ZQ3", Clear: true, Client: "127.0.0.1", ClientNet: netip.MustParsePrefix("127.0.0.1/32"), User: "ada",
			Method: "POST", Path: "/gatehouse/bans", Status: 200, Detail: "ban 198.51.100.0/24\nfor 1h",
			Attrs: []format.Attr{{Key: "target", Value: "198.51.100.0/24"}, {Key: "target", Value: "198.51.101.0/24"}},
		},
		{ // the gateway itself is not well
			ID: "0000018f2a6b4c5d0000000000000005", Time: at.Add(4 * time.Second), Stream: "system", Kind: "audit.failed", Node: "gate-2",
			Detail: "write /var/lib/gatehouse/audit.log: no space left on device",
		},
	}
}

// nasty is what a text may be made of: each form has something here that would break it.
const nasty = "a\x00b\nc\rd\te\x1bf\x7fg\xffh\xc3(\u0085i\u2028j\u202ek\ufeffl=m|n^o\"p\\q]r[s,t'u;v<w\u00e9x😀"

// filled is a record in which all texts are s.
func filled(s string) format.Record {
	return format.Record{
		ID: s, Time: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC), Stream: s, Kind: s, Node: s, Tenant: s, Site: s, RequestID: s, TraceID: s,
		Client: s, ClientKey: s, User: s, Session: s, Method: s, Host: s, Path: s, Proto: s, Status: 200, Agent: s,
		Reason: s, Detail: s, Rules: []int{1, 2}, Score: 3, Grant: s, Policy: s, Attrs: []format.Attr{{Key: s, Value: s}, {Key: s, Value: s}},
	}
}

// TestGolden compares each form with what is kept in testdata, where people can read it. -update writes it anew.
func TestGolden(t *testing.T) {
	for _, name := range format.Names() {
		t.Run(name, func(t *testing.T) {
			enc, _ := format.Named(name)
			var got []byte
			if name == "csv" {
				got = append(csvHeader(), '\n')
			}
			for _, r := range records() {
				got = append(enc(got, &r), '\n')
			}
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
			if len(gotLines) != len(wantLines) {
				t.Fatalf("%d lines, want %d", len(gotLines), len(wantLines))
			}
			for i := range gotLines {
				if gotLines[i] != wantLines[i] {
					t.Errorf("line %d\n got %s\nwant %s", i+1, gotLines[i], wantLines[i])
				}
			}
		})
	}
}

// TestNoAllocations: a record costs no garbage.
func TestNoAllocations(t *testing.T) {
	for _, name := range format.Names() {
		enc, _ := format.Named(name)
		b := make([]byte, 0, 64<<10)
		for i, r := range records() {
			if n := testing.AllocsPerRun(20, func() { b = enc(b[:0], &r) }); n > 0 {
				t.Errorf("%s, record %d: %v allocations", name, i, n)
			}
		}
	}
}

func Benchmark(b *testing.B) {
	for _, name := range format.Names() {
		b.Run(name, func(b *testing.B) {
			enc, _ := format.Named(name)
			all := records()
			buf := make([]byte, 0, 64<<10)
			b.ReportAllocs()
			total := 0
			for i := 0; b.Loop(); i++ {
				buf = enc(buf[:0], &all[i%2]) // the two requests: what there is most of
				total += len(buf)
			}
			b.ReportMetric(float64(total)/float64(b.N), "B/record")
		})
	}
}
