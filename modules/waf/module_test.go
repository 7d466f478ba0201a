package waf

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/verdict"
)

// provision makes h ready, and tidies up after the test.
func provision(t *testing.T, h *Handler) *Handler {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// admitted returns r with a Request, as admit leaves it.
func admitted(r *http.Request) (*http.Request, *gatehouse.Request) {
	req := &gatehouse.Request{ID: "REQUEST", ClientIP: netip.MustParseAddr("192.0.2.7"), Site: &gatehouse.Site{Name: "app.test"}}
	r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{}))
	gatehouse.Attach(r, req)
	return r, req
}

// row runs both handlers with a grant in between; last is the backend.
func row(h *Handler, last caddyhttp.Handler) caddyhttp.Handler {
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		return h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			if req := gatehouse.FromContext(r.Context()); r.Header.Get("No-Grant") == "" {
				req.Grant = verdict.Mint("test")
			}
			return BodyHandler{}.ServeHTTP(w, r, last)
		}))
	})
}

func reasonOf(err error) verdict.Reason {
	var v verdict.Verdict
	if errors.As(err, &v) {
		return v.Reason
	}
	return ""
}

func notes(req *gatehouse.Request) string {
	var b strings.Builder
	for _, a := range req.Notes() {
		fmt.Fprintf(&b, "%s=%s\n", a.Key, a.Value)
	}
	return b.String()
}

func TestRow(t *testing.T) {
	on, off := provision(t, new(Handler)), provision(t, &Handler{InsecureOff: true})
	attack := "/?q=%3Cscript%3Ealert(1)%3C/script%3E"
	tests := []struct {
		name   string
		h      *Handler
		r      *http.Request
		reason verdict.Reason
		notes  []string
	}{
		{"benign", on, get("/"), "", nil},
		{"attack", on, get(attack), verdict.WAFBlocked, []string{"waf_score=", "waf_rules=941", "waf_message=XSS"}},
		{"attack in the body", on, form("q", "<script>alert(1)</script>"), verdict.WAFBlocked, []string{"waf_rules=941"}},
		{"no grant", on, get("/", "No-Grant", "1"), verdict.Internal, nil},
		{"stream", on, body("PUT", "/", "image/png", "\x00x"), "", []string{"waf_skipped=content_type"}},
		{"off", off, get(attack), "", nil},
		{"off without a grant", off, get("/", "No-Grant", "1"), verdict.Internal, nil},
		{"never provisioned", new(Handler), get("/"), verdict.Internal, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, req := admitted(tt.r)
			w := httptest.NewRecorder()
			reached := false
			err := row(tt.h, caddyhttp.HandlerFunc(func(got http.ResponseWriter, r *http.Request) error {
				reached = true
				if got != http.ResponseWriter(w) {
					t.Error("the writer is wrapped: websockets and event streams need it as it is")
				}
				return nil
			})).ServeHTTP(w, r)
			if got := reasonOf(err); got != tt.reason || reached != (tt.reason == "") {
				t.Fatalf("err = %v, reached = %v", err, reached)
			}
			text := notes(req)
			for _, want := range tt.notes {
				if !strings.Contains(text, want) {
					t.Errorf("notes %q lack %q", text, want)
				}
			}
			if strings.Contains(text, "alert") || tt.notes == nil && text != "" {
				t.Errorf("notes %q", text)
			}
		})
	}
}

func TestRoomsOutOfOrder(t *testing.T) {
	h := provision(t, new(Handler))
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		t.Error("passed")
		return nil
	})
	var status caddyhttp.HandlerError
	if err := h.ServeHTTP(nil, get("/").WithContext(context.WithValue(t.Context(), caddyhttp.VarsCtxKey, map[string]any{})), next); !errors.As(err, &status) || status.StatusCode != 500 {
		t.Errorf("not admitted: %v", err)
	}
	r, req := admitted(get("/"))
	req.Grant = verdict.Mint("test")
	if err := (BodyHandler{}).ServeHTTP(nil, r, next); reasonOf(err) != verdict.Internal {
		t.Errorf("body without head: %v", err)
	}
	r, req = admitted(get("/"))
	req.WAF = off{}
	if err := h.ServeHTTP(nil, r, next); reasonOf(err) != verdict.Internal {
		t.Errorf("head twice: %v", err)
	}
}

func TestSitesShareAnEngine(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "before"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "before", "a.conf"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("SecMarker ONE")
	a, b := provision(t, new(Handler)), provision(t, &Handler{Paranoia: 1, Mode: Block, BodyLimit: defaultBodyLimit})
	if a.engine() != b.engine() {
		t.Error("the defaults, written out, make another engine")
	}
	one, same := provision(t, &Handler{Rules: dir}), provision(t, &Handler{Rules: dir})
	if one.engine() != same.engine() || one.engine() == a.engine() {
		t.Error("equal rules must share an engine, others must not")
	}
	write("SecMarker TWO")
	if two := provision(t, &Handler{Rules: dir}); two.engine() == one.engine() {
		t.Error("changed contents under the same name must make a new engine")
	}
	if err := a.Cleanup(); err != nil {
		t.Fatal(err)
	}
	r, _ := admitted(get("/"))
	if err := row(a, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })).ServeHTTP(httptest.NewRecorder(), r); err != nil {
		t.Errorf("a request of the old configuration after its Cleanup: %v", err)
	}
}

// echo answers with the hash and framing of what it got, as a backend sees it.
func echo(w http.ResponseWriter, r *http.Request) error {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%d %d %v %s", r.ContentLength, n, r.TransferEncoding, hex.EncodeToString(h.Sum(nil)))
	return nil
}

// TestOverTheWire sends real requests, so that framing, Expect and aborts are the server's own.
func TestOverTheWire(t *testing.T) {
	h := provision(t, &Handler{BodyLimit: 1 << 20})
	verdicts := make(chan verdict.Reason, 1)
	handle := row(h, caddyhttp.HandlerFunc(echo))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, _ = admitted(r)
		err := handle.ServeHTTP(w, r)
		if reason := reasonOf(err); reason != "" {
			w.WriteHeader(reason.Status())
		}
		verdicts <- reasonOf(err)
	}))
	t.Cleanup(srv.Close)
	big := `{"text":"` + strings.Repeat("all work and no play ", 2_000) + `"}`
	post := func(framing, text string) string {
		return "POST / HTTP/1.1\r\nHost: app.test\r\nUser-Agent: test\r\nAccept: */*\r\nConnection: close\r\nContent-Type: application/json\r\n" + framing + "\r\n\r\n" + text
	}
	sum := sha256.Sum256([]byte(big))
	tests := []struct {
		name, request string
		reason        verdict.Reason
		want          string
	}{
		{"length", post(fmt.Sprint("Content-Length: ", len(big)), big), "", fmt.Sprintf("%d %d [] %x", len(big), len(big), sum)},
		{"chunked", post("Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(big), big)), "", fmt.Sprintf("-1 %d [chunked] %x", len(big), sum)},
		{"expect", post(fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d", len(big)), big), "", fmt.Sprint(len(big))},
		{"bad chunk", post("Transfer-Encoding: chunked", "zz\r\n{}"), verdict.BodyUnreadable, ""},
		{"cut short", post("Content-Length: 100", `{"a":1`), verdict.ClientClosed, ""},
		{"too large", post("Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 2<<20, strings.Repeat("1", 2<<20))), verdict.BodyTooLarge, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				_, _ = io.WriteString(conn, tt.request)
				if tt.reason == verdict.ClientClosed {
					_ = conn.(*net.TCPConn).CloseWrite()
				}
			}()
			if got := <-verdicts; got != tt.reason {
				t.Fatalf("reason %q, want %q", got, tt.reason)
			}
			if tt.reason != "" {
				return
			}
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err == nil && resp.StatusCode == http.StatusContinue {
				resp, err = http.ReadResponse(in, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(got), tt.want) {
				t.Fatalf("the backend got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
	if used := bodies.Used(); used != 0 {
		t.Errorf("%d bytes of the budget are still in use", used)
	}
}

func TestHandlerJSON(t *testing.T) {
	h := &Handler{Paranoia: 2, Mode: Detect, BodyLimit: 5, Rules: "/r"}
	got, err := json.Marshal(h)
	if want := `{"paranoia":2,"mode":"detect","body_limit":5,"rules":"/r"}`; err != nil || string(got) != want {
		t.Fatalf("%s, %v; want %s", got, err, want)
	}
}
