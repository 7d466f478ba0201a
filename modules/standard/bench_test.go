package standard_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

var field = regexp.MustCompile(`name="(flow|token)" value="([^"]*)"`)

// firstUser uses the set-up link and returns a client that is logged in.
func firstUser(t testing.TB, g *gatetest.Gateway) *http.Client {
	t.Helper()
	link, err := os.ReadFile(filepath.Join(g.Dir, "state", "setup-link"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(strings.TrimSpace(string(link)))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = gatetest.Host // the client reaches the port anyway
	c := g.Client()
	if c.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	_, form := get(t, c, u.String(), "Accept", "text/html")
	values := url.Values{"username": {"ada"}, "password": {"correct horse battery"}, "password_again": {"correct horse battery"}}
	for _, m := range field.FindAllStringSubmatch(form, -1) {
		values.Set(m[1], m[2])
	}
	u.RawQuery = ""
	res, err := c.PostForm(u.String(), values)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		body, _ := io.ReadAll(res.Body)
		t.Fatalf("set-up answered %d: %s", res.StatusCode, body)
	}
	return c
}

// BenchmarkGET is a keep-alive request from client to backend and back, all in this process: compare the rows with
// each other. What public has more than plain is what the gate costs, what session has more than public is what it costs to
// know who somebody is. cpu-µs is processor time, whatever else runs on the machine.
func BenchmarkGET(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"hello":"world"}`)
	}))
	defer srv.Close()
	up := "reverse_proxy " + strings.TrimPrefix(srv.URL, "http://")
	gate := fill(newcomer, pairs("idp", "local {\n first_user_roles staff\n }", "backend", up))
	with := func(words string) string {
		return strings.Replace(gate, "allow role staff", "allow role staff\n "+words, 1)
	}
	rows := []struct {
		name, text string
		session    bool
	}{
		{"plain", "{\n{{house}}\n}\nhttps://app.test:{{addr}} {\n{{tls}}\n" + up + "\n}\n", false},
		{"public", with("public /api/*\n insecure_waf_off"), false},
		{"session", with("insecure_waf_off"), true},
		{"public+waf", with("public /api/*"), false},
		{"session+waf", gate, true},
		{"public+waf+shadow", with("public /api/*\n waf {\n shadow {\n paranoia 2\n share 100%\n }\n }"), false},
	}
	for _, row := range rows {
		b.Run(row.name, func(b *testing.B) {
			g := gatetest.Start(b, row.text)
			c := g.Client()
			if row.session {
				c = firstUser(b, g)
			}
			get(b, c, "https://app.test/")
			began := cpu(b)
			b.ReportAllocs()
			for b.Loop() {
				if res, _ := get(b, c, "https://app.test/api/items?page=2"); res.StatusCode != http.StatusOK {
					b.Fatalf("status %d", res.StatusCode)
				}
			}
			b.ReportMetric(float64((cpu(b)-began).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
		})
	}
}

// BenchmarkFirstEvent is how long an event of a stream is on its way: from the application's write until the client has it,
// with the answers of the site inspected and without.
func BenchmarkFirstEvent(b *testing.B) {
	written := make(chan time.Time, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		written <- time.Now()
		_, _ = io.WriteString(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer srv.Close()
	for _, row := range []struct{ name, words string }{{"requests", ""}, {"answers", "\n waf {\n response_inspection\n }"}} {
		b.Run(row.name, func(b *testing.B) {
			g := gatetest.Start(b, fill(newcomer, pairs("policy", "public /*"+row.words, "backend", "reverse_proxy "+strings.TrimPrefix(srv.URL, "http://"))))
			c := g.Client()
			var total, longest time.Duration
			for b.Loop() {
				res, err := c.Get("https://app.test/events")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(res.Body, make([]byte, len("data: one\n\n"))); err != nil {
					b.Fatal(err)
				}
				took := time.Since(<-written)
				res.Body.Close()
				total, longest = total+took, max(longest, took)
			}
			b.ReportMetric(float64(total.Microseconds())/float64(b.N), "µs/event")
			b.ReportMetric(float64(longest.Microseconds()), "µs/longest")
		})
	}
}

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
