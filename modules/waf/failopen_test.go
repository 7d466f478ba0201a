package waf

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"gatehouse.internal/modules/internal/verdict"
)

// brokenEngine cannot judge: its rule panics on the value "panic", its budget is small, its places are taken.
func brokenEngine(t *testing.T, budget int64) *Engine {
	t.Helper()
	rule := RuleFiles{"before/a.conf": `SecRule ARGS "@testPanics" "id:10001,phase:2,pass,log"`}
	e, err := New(Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, Rules: rule}, NewBudget(budget))
	if err != nil {
		t.Fatal(err)
	}
	e.budget.bodies, e.budget.heads = NewCap(1, 0, time.Minute), NewCap(1, 0, time.Minute)
	for _, c := range []*Cap{e.budget.bodies, e.budget.heads} {
		if _, err := c.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func init() {
	plugins.RegisterOperator("testPanics", func(plugintypes.OperatorOptions) (plugintypes.Operator, error) { return panics{}, nil })
}

// varied is text that does not pack well.
func varied(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "word %x ", uint32(i)*2654435761)
	}
	return b.String()
}

// What could not be judged is refused with 503, or passes where the site says so: whole, counted, noted. What the
// rules, a limit or the body itself refuse stays refused.
func TestFailOpen(t *testing.T) {
	large := strings.Repeat("some words ", cheap/10)
	tests := []struct {
		name    string
		budget  int64
		r       func() *http.Request
		closed  verdict.Reason // without the word
		open    verdict.Reason // with it
		failure string
	}{
		{"a panic in the head", 1 << 20, func() *http.Request { return get("/?p=panic") }, verdict.WAFFailed, "", "panicked"},
		{"a panic in the body", 1 << 20, func() *http.Request { return form("p", "panic") }, verdict.WAFFailed, "", "panicked"},
		{"a spent budget", 1000, func() *http.Request { return form("q", strings.Repeat("x", 2000)) }, verdict.WAFFailed, "", "held"},
		{"a budget spent while unpacking", 70_000, func() *http.Request {
			return body("POST", "/", "text/plain", gzipped(varied(100_000)), "Content-Encoding", "gzip")
		}, verdict.WAFFailed, "", "held"},
		{"a full queue for heads", 1 << 20, func() *http.Request { return get("/?q=" + strings.ReplaceAll(large, " ", "+")) }, verdict.WAFFailed, "", "waiting"},
		{"a full queue for bodies", 1 << 20, func() *http.Request { return form("q", large) }, verdict.WAFFailed, "", "waiting"},
		{"an attack in the query while the budget is spent", 1000, func() *http.Request {
			return body("POST", "/"+xss, "application/x-www-form-urlencoded", "q="+strings.Repeat("x", 2000))
		}, verdict.WAFFailed, verdict.WAFBlocked, "held"},
		{"an attack", 1 << 20, func() *http.Request { return get("/" + xss) }, verdict.WAFBlocked, verdict.WAFBlocked, ""},
		{"a body over the limit", 1 << 20, func() *http.Request { return body("POST", "/", "text/plain", strings.Repeat("a", testLimit+1)) }, verdict.BodyTooLarge, verdict.BodyTooLarge, ""},
		{"a head over the limit", 1 << 20, func() *http.Request { return get("/", "X-Long", strings.Repeat("a", headLimit)) }, verdict.HeadersTooLarge, verdict.HeadersTooLarge, ""},
		{"a body that is not what it says", 1 << 20, func() *http.Request { return jsonBody(`{"a":`) }, verdict.BodyUnreadable, verdict.BodyUnreadable, ""},
		{"innocent", 1 << 20, func() *http.Request { return get("/") }, "", "", ""},
	}
	engines := map[int64]*Engine{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := engines[tt.budget]
			if e == nil {
				e = brokenEngine(t, tt.budget)
				engines[tt.budget] = e
			}
			for word, want := range map[bool]verdict.Reason{false: tt.closed, true: tt.open} {
				h := &Handler{InsecureFailOpen: word, live: new(live)}
				h.live.swap(&plan{site: e})
				r, req := admitted(tt.r())
				req.Site.Name = t.Name()
				sent, err := io.ReadAll(tt.r().Body)
				if err != nil {
					t.Fatal(err)
				}
				var got []byte
				before := series(t, failedOpen)[t.Name()]
				err = row(h, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) (err error) {
					got, err = io.ReadAll(r.Body)
					return err
				})).ServeHTTP(httptest.NewRecorder(), r)
				if reasonOf(err) != want || err != nil && want == "" {
					t.Fatalf("fail open %v: %v, want %q", word, err, want)
				}
				if want == "" && string(got) != string(sent) {
					t.Errorf("fail open %v: the backend got %d of %d bytes", word, len(got), len(sent))
				}
				passed := word && tt.failure != ""
				noted := strings.Contains(notes(req), "waf_failed_open=") && strings.Contains(notes(req), tt.failure)
				counted := !slices.Equal(before, series(t, failedOpen)[t.Name()])
				if noted != passed || counted != passed {
					t.Errorf("fail open %v: noted %v, counted %v: %s", word, noted, counted, notes(req))
				}
				if used := e.budget.Used(); used != 0 {
					t.Errorf("%d bytes still in use", used)
				}
			}
		})
	}
}
