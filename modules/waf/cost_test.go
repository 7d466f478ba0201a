package waf

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/verdict"
)

// flow is a Node-RED flow of this many nodes, as its editor deploys it: 20 values each.
func flow(nodes int) string {
	var b strings.Builder
	for i := range nodes {
		fmt.Fprintf(&b, `,{"id":"%08x","type":"function","z":"f1","name":"node %d","func":"return msg","outputs":1,"timeout":0,"noerr":0,`+
			`"initialize":"","finalize":"","libs":[],"x":%d,"y":120,"wires":[["%08x"]],"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}`, i, i, i, i+1)
	}
	return "[" + b.String()[1:] + "]"
}

func TestInspectLimit(t *testing.T) {
	e := engineOf(t, Config{InspectLimit: 64 << 10, BodyLimit: 1 << 20})
	const urlencoded = "application/x-www-form-urlencoded"
	tests := []struct {
		name string
		r    *http.Request
		want verdict.Reason
	}{
		{"a form of 60 KB", body("POST", "/", urlencoded, "a="+strings.Repeat("word+", 12_000)), ""},
		{"a form of 70 KB", body("POST", "/", urlencoded, "a="+strings.Repeat("word+", 14_000)), verdict.BodyTooLarge},
		{"the same, of unknown length", chunked(body("POST", "/", urlencoded, "a="+strings.Repeat("word+", 14_000))), verdict.BodyTooLarge},
		{"json of many values", jsonBody("[" + strings.Repeat(",1", 3000)[1:] + "]"), verdict.BodyTooLarge},
		{"json of 60 KB", jsonBody(`["` + strings.Repeat("a, ", 20_000) + `"]`), ""},
		{"a file of 500 KB", upload("hello", "a.bin", "application/octet-stream", strings.Repeat("x", 500_000)), ""},
		{"a field of 70 KB beside a file", upload(strings.Repeat("word ", 14_000), "a.bin", "image/png", "x"), verdict.BodyTooLarge},
		{"more than body_limit", upload("hello", "a.bin", "application/octet-stream", strings.Repeat("x", 1<<20)), verdict.BodyTooLarge},
		{"an opaque body", body("POST", "/", "application/octet-stream", strings.Repeat("x", 2<<20)), ""},
		{"a head of 50 KB", get("/?q=" + strings.Repeat("word+", 10_000)), verdict.HeadersTooLarge},
		{"a head of many cookies", get("/", "Cookie", strings.Repeat("; a=1", 1600)[2:]), verdict.HeadersTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v, i := judge(e, tt.r); v.Reason != tt.want {
				t.Errorf("%+v, cost %d, rules %v; want %q", v, i.cost, i.found.Rules, tt.want)
			}
		})
	}
}

// TestLargeFlow: a deploy of 100 nodes has 2,000 values, each inspected.
func TestLargeFlow(t *testing.T) {
	e := engineAt(t, 1, Block)
	text := flow(100)
	r := jsonBody(text)
	if v, i := judge(e, r); v.Given() {
		t.Fatalf("%+v %v, cost %d", v, i.found.Rules, i.cost)
	}
	if got, err := io.ReadAll(r.Body); err != nil || string(got) != text {
		t.Errorf("the backend gets %d bytes of %d, %v", len(got), len(text), err)
	}
	attack := strings.TrimSuffix(text, "]") + `,{"name":"` + scriptText + `"}]`
	if v, _ := judge(e, jsonBody(attack)); v.Reason != verdict.WAFBlocked {
		t.Errorf("an attack in the last of 2,001 values: %+v", v)
	}
}

// TestEscapedQuotes: what page builders save, JSON as text in a form, costs as much as other text. libinjection-go 0.3.3
// took the square of its quotes: 31 s for this one.
func TestEscapedQuotes(t *testing.T) {
	var b strings.Builder
	for n := 0; b.Len() < 200_000; n++ {
		fmt.Fprintf(&b, `{\"id\":\"%08x\",\"elType\":\"widget\",\"settings\":{\"title\":\"Heading %d\"}},`, n, n)
	}
	e := engineOf(t, Config{InspectLimit: 1 << 20, BodyLimit: 1 << 20})
	begin := cpuTime()
	v, i := judge(e, form("data", b.String()))
	if took := cpuTime() - begin; v.Given() || took > 5*time.Second {
		t.Errorf("%+v, rules %v, %v of CPU time", v, i.found.Rules, took)
	}
}

// What multipart bodies cost is the same whether the middle of files is read or not, whatever stands where.
func TestMultipartCostWithoutFiles(t *testing.T) {
	r := newSeeded(41)
	pieces := []string{"--b", "--b--", "\r\n--b\r\n", "\r\n--b--\r\n", "\n--b\n", "\r\n\r\n", "\n\n", "\r\n", "--b \r\n", "--bx", "-", "b", "\x00",
		"Content-Disposition: form-data; name=a\r\n", "Content-Disposition: form-data; name=a; filename=f\r\n",
		"Content-Transfer-Encoding: quoted-printable\r\n", "X: " + strings.Repeat("y", 5000) + "\r\n", "=", "=zz"}
	file := "\r\n--b\r\nContent-Disposition: form-data; name=a; filename=f\r\n\r\n"
	shorter, different := 0, 0
	for range 4000 {
		var b strings.Builder
		b.WriteString("--b\r\n")
		for range 2 + r.IntN(12) {
			switch r.IntN(5) {
			case 0:
				b.WriteString(strings.Repeat(pick(r, []string{"x", "\r\n", "-", "\x00", " "}), 1+r.IntN(12000)))
			case 1:
				b.WriteString(file)
			default:
				b.WriteString(pick(r, pieces))
			}
		}
		if r.IntN(4) > 0 {
			b.WriteString("\r\n--b--\r\n")
		}
		data := []byte(b.String())
		want, _, ok := partsCost(data, "b")
		if !ok {
			want = int64(len(data))
		}
		if got := multipartCost("multipart/form-data; boundary=b", data); got != want {
			// Coraza refuses what cannot be read, so that it may be counted as less.
			if different++; ok {
				t.Fatalf("%d, want %d: %.300q", got, want, data)
			}
		}
		if short := withoutFiles(data, "b"); len(short) < len(data) && ok {
			shorter++
		}
	}
	if shorter < 300 || different > 40 {
		t.Errorf("%d were read without their files, %d that cannot be read were counted otherwise", shorter, different)
	}
}
