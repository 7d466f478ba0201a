package testenv

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What bodies cost the gateway, in CPU time of its process: those that are usual and those that expressions are slow
// with. `make attack` runs it; GATEHOUSE_BIN must name a binary without the race detector for the figures to mean much.

// clockTicks is what /proc counts a second in, on every Linux of today.
const clockTicks = 100

// atLeast is how much CPU time a figure rests on: a hundred ticks.
const atLeast = time.Second

// costs are bodies of about n bytes.
var costs = []struct {
	name, contentType string
	body              func(n int) string
}{
	{"form, words", "application/x-www-form-urlencoded", func(n int) string { return "text=" + strings.Repeat("plain+words+", n/12) }},
	{"form, 200 fields", "application/x-www-form-urlencoded", func(n int) string {
		return strings.TrimSuffix(strings.Repeat("field="+strings.Repeat("w", max(1, n/200-7))+"&", 200), "&")
	}},
	{"JSON, objects", "application/json", func(n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`{"id":17,"name":"Ann Other","note":"two words, one line"},`, n/56), ",") + "]"
	}},
	{"JSON, text", "application/json", func(n int) string { return `{"text":"` + strings.Repeat("Words, and more. ", n/17) + `"}` }},
	{"XML, texts", "application/xml", func(n int) string { return "<a>" + strings.Repeat("<b>some words</b>", n/17) + "</a>" }},
	{"repeated letters", "", repeated1("a")},
	{"repeated spaces", "", repeated1(" ")},
	{"repeated quotes", "", repeated1("'")},
	{"repeated brackets", "", repeated1("(")},
	{"repeated tags", "", repeated1("<a ")},
	{"repeated comments", "", repeated1("/*")},
	{"repeated traversals", "", repeated1("../")},
	{"repeated SQL", "", repeated1("union select ")},
	{"repeated shell", "", repeated1("${a;")},
}

// repeated1 is a form of one field that repeats a text.
func repeated1(text string) func(int) string {
	return func(n int) string { return "q=" + url.QueryEscape(strings.Repeat(text, n/len(text))) }
}

// numbered returns the body with its first value changed, so that no two requests are alike: what the WAF remembers of
// one would make the next look cheap.
func numbered(body string, n int) string {
	for _, start := range []string{`"note":"`, `{"text":"`, "<b>", "text=", "field=", "q="} {
		if before, after, ok := strings.Cut(body, start); ok {
			return before + start + strconv.Itoa(n) + after
		}
	}
	return body
}

// BenchmarkBodies reports milliseconds of CPU for bodies of 16, 32 and 64 KiB (before they are escaped) and the larger
// of the two ratios between neighbours: what is linear doubles.
func BenchmarkBodies(b *testing.B) {
	if os.Getenv("GATEHOUSE_ATTACK") == "" {
		b.Skip("only in `make attack`")
	}
	c := attackGateway(startReflector(b))
	c.Caddyfile = strings.Replace(c.Caddyfile, "paranoia 1", "paranoia 1\n\t\t\tmode detect", 1)
	g := startGateway(b, c)
	client := g.stranger(b)
	for _, cost := range costs {
		b.Run(cost.name, func(b *testing.B) {
			g.cpuOf(b, client, "text/plain", "q=0") // so that what is measured is not the start
			var ms [3]float64
			for b.Loop() {
				for i, n := range []int{16 << 10, 32 << 10, 64 << 10} {
					kind := cost.contentType
					if kind == "" {
						kind = "application/x-www-form-urlencoded"
					}
					ms[i] = g.cpuOf(b, client, kind, cost.body(n))
				}
			}
			for i, size := range []string{"16K", "32K", "64K"} {
				b.ReportMetric(ms[i], "cpu-ms/"+size)
			}
			b.ReportMetric(max(ms[1]/ms[0], ms[2]/ms[1]), "growth")
		})
	}
}

// cpuOf is the gateway's CPU time for one such request, in milliseconds: the mean of as many as it takes.
func (g *gateway) cpuOf(b *testing.B, c *client, contentType, body string) float64 {
	b.Helper()
	before, n := g.cpuTime(b), 0
	for g.cpuTime(b)-before < atLeast {
		a := c.must(b, request{Method: http.MethodPost, Path: "/save", Body: []byte(numbered(body, n)), Header: http.Header{"Content-Type": {contentType}}})
		if a.Status != http.StatusOK {
			b.Fatalf("status %d: %s", a.Status, excerpt(a.Body, 300))
		}
		n++
	}
	return float64((g.cpuTime(b) - before).Microseconds()) / 1000 / float64(n)
}

// cpuTime is what the gateway's process has used so far.
func (g *gateway) cpuTime(t testing.TB) time.Duration {
	t.Helper()
	return cpuTimeOf(t, g.pid())
}

// cpuTimeOf is what a process has used so far.
func cpuTimeOf(t testing.TB, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// The name, in brackets, may hold anything; behind it, utime and stime are the 12th and 13th.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks := 0
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks
}
