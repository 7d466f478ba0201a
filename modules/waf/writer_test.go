package waf

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/internal/verdict"
)

const leak = "<b>Warning</b>: You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for the right syntax"

// watching returns a writer onto a recorder, whose inspection has let a request pass.
func watching(t testing.TB, mode Mode, limit int64, budget *Budget) (*responseWriter, *httptest.ResponseRecorder) {
	t.Helper()
	e, err := New(Config{Paranoia: 1, Mode: mode, BodyLimit: 1 << 20, ResponseLimit: limit}, budget)
	if err != nil {
		t.Fatal(err)
	}
	return onto(t, e)
}

func onto(t testing.TB, e *Engine) (*responseWriter, *httptest.ResponseRecorder) {
	t.Helper()
	i := e.Inspect("x")
	t.Cleanup(i.Close)
	r := get("/")
	if v := i.Head(r, netip.Addr{}); v.Given() {
		t.Fatal(v)
	}
	rec := httptest.NewRecorder()
	rec.Header().Set("X-Ours", "1")
	return newResponseWriter(rec, r, i), rec
}

func zipped(text string) string {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = io.WriteString(zw, text)
	_ = zw.Close()
	return b.String()
}

// TestHeldAnswers: what a handler does, and what of it reaches the client.
func TestHeldAnswers(t *testing.T) {
	const limit = 4 << 10
	long := strings.Repeat("all work and no play ", limit)
	write := func(texts ...string) func(http.ResponseWriter) error {
		return func(w http.ResponseWriter) error {
			for i, text := range texts {
				if i > 0 {
					time.Sleep(holdTime * 3 / 4)
				}
				if _, err := io.WriteString(w, text); err != nil {
					panic(http.ErrAbortHandler) // as Caddy's proxy does
				}
				if http.NewResponseController(w).Flush() != nil {
					panic("no flush")
				}
			}
			return nil
		}
	}
	compressed := func(text string) func(http.ResponseWriter) error {
		return func(w http.ResponseWriter) error {
			w.Header().Set("Content-Encoding", "gzip")
			_, err := io.WriteString(w, text)
			return err
		}
	}
	failing := errors.New("the handler failed")
	tests := []struct {
		name   string
		mode   Mode
		budget int64
		answer func(http.ResponseWriter) error
		reason verdict.Reason
		body   string // "" with a reason
		unread unread
	}{
		{"benign", Block, 1 << 20, write("hello"), "", "hello", ""},
		{"a leak", Block, 1 << 20, write(leak), verdict.ResponseBlocked, "", ""},
		{"a leak in two pieces", Block, 1 << 20, write(leak[:40], leak[40:]), verdict.ResponseBlocked, "", ""},
		{"a leak, then slowly more", Block, 1 << 20, write(leak, " ", " ", " "), verdict.ResponseBlocked, "", unreadPartial},
		{"slow", Block, 1 << 20, write("one ", "two ", "three ", "four"), "", "one two three four", unreadPartial},
		{"a leak in detect mode", Detect, 1 << 20, write(leak), "", leak, ""},
		{"long", Block, 1 << 20, write(long), "", long, unreadPartial},
		{"long with a leak", Block, 1 << 20, write(leak + long), verdict.ResponseBlocked, "", unreadPartial},
		{"long in pieces", Block, 1 << 20, write("x", long[:limit-2], "yz", "end"), "", "x" + long[:limit-2] + "yzend", unreadPartial},
		{"gzip", Block, 1 << 20, compressed(zipped("hello")), "", zipped("hello"), ""},
		{"a leak in gzip", Block, 1 << 20, compressed(zipped(leak)), verdict.ResponseBlocked, "", ""},
		{"a gzip bomb", Block, 1 << 20, compressed(zipped(strings.Repeat("x", 1<<20))), "", zipped(strings.Repeat("x", 1<<20)), unreadPartial},
		{"a leak before a bomb", Block, 1 << 20, compressed(zipped(leak + strings.Repeat("x", 1<<20))), verdict.ResponseBlocked, "", unreadPartial},
		{"not gzip", Block, 1 << 20, compressed("hello"), "", "hello", unreadGarbled},
		{"no memory to hold it", Block, 100, write("hello"), verdict.WAFFailed, "", ""},
		{"no memory to judge it", Block, 4_100, write("hello"), verdict.WAFFailed, "", ""},
		{"no memory in detect mode", Detect, 100, write("hello"), "", "hello", ""},
		{"empty", Block, 1 << 20, write(), "", "", ""},
		{"an error in the middle", Block, 1 << 20, func(w http.ResponseWriter) error {
			_, _ = io.WriteString(w, "hel")
			return failing
		}, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			budget := NewBudget(tt.budget)
			e, err := New(Config{Paranoia: 1, Mode: tt.mode, BodyLimit: 1 << 20, ResponseLimit: limit}, budget)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				w, rec := onto(t, e)
				w.Header().Set("Set-Cookie", "app=secret")
				w.Header().Set("Content-Type", "text/html")
				v, err := w.serve(caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error { return tt.answer(w) }))
				if v.Reason != tt.reason || err != nil && !errors.Is(err, failing) {
					t.Fatalf("%v, %v", v, err)
				}
				if rec.Body.String() != tt.body {
					t.Errorf("the client got %.80q of %d bytes, want %.80q", rec.Body, rec.Body.Len(), tt.body)
				}
				if refused := tt.reason != "" || err != nil; refused == (rec.Header().Get("Set-Cookie") != "") || rec.Header().Get("X-Ours") != "1" {
					t.Errorf("header %v", rec.Header())
				}
				if w.inspection.answer.unread != tt.unread {
					t.Errorf("unread %q, want %q", w.inspection.answer.unread, tt.unread)
				}
			})
			if used := budget.Used(); used != 0 {
				t.Errorf("%d bytes of the budget are still in use", used)
			}
		})
	}
}

// A handler's own panic stays one, and nothing half finished is sent afterwards.
func TestTornAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, rec := watching(t, Block, 1<<20, NewBudget(1<<20))
		func() {
			defer func() {
				if recover() != http.ErrAbortHandler {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = w.serve(caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
				fmt.Fprint(w, "half")
				panic(http.ErrAbortHandler)
			}))
		}()
		time.Sleep(2 * holdTime)
		if rec.Body.Len() != 0 {
			t.Errorf("sent %q", rec.Body)
		}
	})
}

func TestWhatIsRead(t *testing.T) {
	tests := []struct {
		name, method string
		status       int
		header       http.Header
		why          unread
		zipped       bool
	}{
		{"html", "GET", 200, http.Header{"Content-Type": {"text/html; charset=utf-8"}}, "", false},
		{"capitals and spaces", "GET", 200, http.Header{"Content-Type": {" Text/HTML ;charset=utf-8"}}, "", false},
		{"a broken parameter", "GET", 200, http.Header{"Content-Type": {"text/html; ="}}, "", false},
		{"no type", "GET", 200, http.Header{}, "", false},
		{"json", "POST", 500, http.Header{"Content-Type": {"application/problem+json"}}, "", false},
		{"svg", "GET", 200, http.Header{"Content-Type": {"image/svg+xml"}}, "", false},
		{"gzip", "GET", 200, http.Header{"Content-Type": {"text/html"}, "Content-Encoding": {"GZIP"}}, "", true},
		{"identity", "GET", 200, http.Header{"Content-Type": {"text/html"}, "Content-Encoding": {"identity"}}, "", false},
		{"brotli", "GET", 200, http.Header{"Content-Type": {"text/html"}, "Content-Encoding": {"br"}}, unreadEncoding, false},
		{"gzip twice", "GET", 200, http.Header{"Content-Type": {"text/html"}, "Content-Encoding": {"gzip, gzip"}}, unreadEncoding, false},
		{"events", "GET", 200, http.Header{"Content-Type": {"text/event-stream"}}, unreadType, false},
		{"events in capitals", "GET", 200, http.Header{"Content-Type": {"Text/Event-Stream;charset=utf-8"}}, unreadType, false},
		{"grpc", "POST", 200, http.Header{"Content-Type": {"application/grpc+proto"}}, unreadType, false},
		{"grpc with json", "POST", 200, http.Header{"Content-Type": {"application/grpc+json"}}, unreadType, false},
		{"pictures", "GET", 200, http.Header{"Content-Type": {"multipart/x-mixed-replace; boundary=x"}}, unreadType, false},
		{"image", "GET", 200, http.Header{"Content-Type": {"image/png"}}, unreadType, false},
		{"head", "HEAD", 200, http.Header{"Content-Type": {"text/html"}}, unreadBodiless, false},
		{"not modified", "GET", 304, http.Header{}, unreadBodiless, false},
		{"part", "GET", 206, http.Header{"Content-Type": {"text/html"}}, unreadRange, false},
		{"switched", "GET", 101, http.Header{}, unreadUpgrade, false},
		{"switched over HTTP/2", "CONNECT", 200, http.Header{}, unreadUpgrade, false},
		{"not switched over HTTP/2", "CONNECT", 200, http.Header{"Content-Type": {"text/html"}}, "", false},
	}
	for _, tt := range tests {
		if why, zipped := whyUnread(&http.Request{Method: tt.method}, tt.status, tt.header); why != tt.why || zipped != tt.zipped {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, why, zipped, tt.why, tt.zipped)
		}
	}
}

// BenchmarkAnswer is what a page of 8 KB costs with and without inspection of answers.
func BenchmarkAnswer(b *testing.B) {
	page := "<!doctype html><html><body>" + strings.Repeat("<p class=note>All work and no play makes Jack a dull boy.</p>\n", 130) + "</body></html>"
	for _, limit := range []int64{0, DefaultResponseLimit, -DefaultResponseLimit} {
		page, limit := page, limit
		if limit < 0 { // the longest that is read
			page, limit = strings.Repeat(page, 63), -limit
		}
		e, err := New(Config{Paranoia: 1, Mode: Block, BodyLimit: 1 << 20, ResponseLimit: limit}, NewBudget(DefaultBudget))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("limit=%d/page=%d", limit, len(page)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				i := e.Inspect("x")
				r := get("/")
				i.Head(r, netip.Addr{})
				var w http.ResponseWriter = httptest.NewRecorder()
				answer := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
					w.Header().Set("Content-Type", "text/html")
					_, err := io.WriteString(w, page)
					return err
				})
				if i.watches() {
					if v, err := newResponseWriter(w, r, i).serve(answer); v.Given() || err != nil {
						b.Fatal(v, err)
					}
				} else {
					_ = answer.ServeHTTP(w, r)
				}
				i.Close()
			}
		})
	}
}
