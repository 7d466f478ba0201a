package standard_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gatehouse.internal/modules/internal/gatetest"
)

// What an application says when its database or its interpreter fails.
const (
	sqlLeak = "<html><body>You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for the right syntax to use near ''1''' at line 1</body></html>"
	phpLeak = "<html><?php $db = mysql_connect('localhost', $_POST['user'], 'secret'); fopen($_GET['f']); ?></html>"
)

// answering is an application that answers in every way that an inspection of answers could break.
type answering struct {
	seen chan string   // what arrived: method and path
	step chan struct{} // lets the streams go on
}

func (a answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case a.seen <- r.Method + " " + r.URL.Path:
	default:
	}
	rc := http.NewResponseController(w)
	h := w.Header()
	h.Set("Set-Cookie", "app=secret")
	h.Set("X-Inner", "10.0.0.1")
	h.Set("Content-Type", "text/html; charset=utf-8")
	switch r.URL.Path {
	case "/page":
		fmt.Fprint(w, strings.Repeat("<p>hello</p>", 700))
	case "/sql":
		fmt.Fprint(w, sqlLeak)
	case "/sql/500":
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, sqlLeak)
	case "/sql/chunked": // as most pages made by a program come
		fmt.Fprint(w, "<html>")
		_ = rc.Flush()
		fmt.Fprint(w, sqlLeak)
	case "/sql/json":
		h.Set("Content-Type", "application/problem+json")
		fmt.Fprintf(w, `{"error":%q}`, sqlLeak)
	case "/sql/untyped":
		h["Content-Type"] = nil
		fmt.Fprint(w, sqlLeak)
	case "/sql/gzip":
		h.Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		_, _ = io.WriteString(zw, sqlLeak)
		_ = zw.Close()
	case "/php":
		fmt.Fprint(w, phpLeak)
	case "/encoding":
		h.Set("Content-Type", "text/plain")
		fmt.Fprint(w, r.Header["Accept-Encoding"])
	case "/events", "/grpc", "/mixed":
		a.stream(w, r, rc)
	case "/big":
		h.Set("Content-Type", "text/plain")
		line := bytes.Repeat([]byte("all work and no play "), 3_000)
		for range 1_000 { // 63 MB
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	case "/range":
		http.ServeContent(w, r, "a.html", time.Time{}, strings.NewReader(strings.Repeat("0123456789", 100)))
	case "/hints":
		h.Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		h.Del("Link")
		fmt.Fprint(w, "<p>hello</p>")
	case "/trailer":
		h.Set("Trailer", "X-Sum")
		fmt.Fprint(w, "<p>hello</p>")
		h.Set("X-Sum", "42")
	case "/broken": // promises more than it sends
		h.Set("Content-Length", "1000")
		fmt.Fprint(w, "<p>hello</p>")
		_ = rc.Flush()
		panic(http.ErrAbortHandler)
	case "/ws":
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil || conn.Write(r.Context(), kind, data) != nil {
				return
			}
		}
	case "/204":
		w.WriteHeader(http.StatusNoContent)
	}
}

// stream sends one message, waits for the test to have seen it, and sends another.
func (a answering) stream(w http.ResponseWriter, r *http.Request, rc *http.ResponseController) {
	types := map[string]string{"/events": "text/event-stream", "/grpc": "application/grpc+proto", "/mixed": "multipart/x-mixed-replace; boundary=x"}
	w.Header().Set("Content-Type", types[r.URL.Path])
	w.Header().Set("Trailer", "Grpc-Status")
	fmt.Fprint(w, "data: one\n\n")
	_ = rc.Flush()
	select {
	case <-a.step:
	case <-r.Context().Done():
		return
	}
	fmt.Fprint(w, "data: two\n\n")
	w.Header().Set("Grpc-Status", "0")
	w.Header().Set(http.TrailerPrefix+"Grpc-Message", "fine")
}

// inspected runs a site whose answers are inspected.
func inspected(t testing.TB, change ...string) (*gatetest.Gateway, answering) {
	t.Helper()
	app := answering{make(chan string, 100), make(chan struct{}, 10)}
	srv := httptest.NewServer(app)
	t.Cleanup(srv.Close)
	up := "reverse_proxy " + strings.TrimPrefix(srv.URL, "http://")
	change = append([]string{"policy", "public /*\n waf {\n response_inspection\n }", "backend", up}, change...)
	for i := range change {
		change[i] = strings.ReplaceAll(change[i], "{{up}}", up)
	}
	return gatetest.Start(t, fill(newcomer, pairs(change...))), app
}

func TestLeaksAreWithheld(t *testing.T) {
	tests := []struct {
		path string
		rule string // "" passes
	}{
		{"/page", ""}, {"/sql", "951230"}, {"/sql/500", "951230"}, {"/sql/chunked", "951230"}, {"/sql/json", "951230"},
		{"/sql/untyped", "951230"}, {"/sql/gzip", "951230"}, {"/php", "953"}, {"/204", ""}, {"/hints", ""},
	}
	for _, site := range []struct {
		name   string
		change []string
	}{
		{"plain", nil},
		{"with Caddy's access log", []string{"before", "log"}},
		{"with encode", []string{"backend", "encode gzip\n{{up}}"}},
		{"with encode before the gate", []string{"backend", "route {\n{{up}}\n}", "before", "encode gzip"}},
	} {
		t.Run(site.name, func(t *testing.T) {
			g, _ := inspected(t, site.change...)
			c := g.Client()
			for _, tt := range tests {
				res, text := get(t, c, "https://app.test"+tt.path)
				if tt.rule == "" {
					if res.StatusCode >= 400 || res.Header.Get("X-Inner") == "" {
						t.Errorf("%s: %d %v", tt.path, res.StatusCode, res.Header)
					}
					continue
				}
				if res.StatusCode != http.StatusForbidden || !strings.Contains(text, `"reason":"response_blocked"`) {
					t.Errorf("%s: %d %.200s", tt.path, res.StatusCode, text)
				}
				for _, name := range []string{"Set-Cookie", "X-Inner", "Content-Encoding"} {
					if v := res.Header[name]; v != nil && name != "Content-Encoding" {
						t.Errorf("%s: the refusal carries the application's %s: %q", tt.path, name, v)
					}
				}
				wantHSTS(t, tt.path, res.Header)
				if id := res.Header.Get("X-Request-Id"); !logged(g, id, `"reason":"response_blocked"`, `"waf_response_rules":"`+tt.rule) {
					t.Errorf("%s: not in the log: %s", tt.path, lineOf(g, id))
				}
			}
		})
	}
}

func lineOf(g *gatetest.Gateway, id string) string {
	for _, line := range strings.Split(g.Log(), "\n") {
		if strings.Contains(line, id) && strings.Contains(line, `"msg":"request"`) {
			return line
		}
	}
	return ""
}

// logged waits for the request's line, which is written after the client has everything, and looks for all of want.
func logged(g *gatetest.Gateway, id string, want ...string) bool {
	line := ""
	for deadline := time.Now().Add(10 * time.Second); line == "" && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		line = lineOf(g, id)
	}
	for _, w := range want {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

// Detect mode lets the leak pass and says so.
func TestLeaksInDetectMode(t *testing.T) {
	g, _ := inspected(t, "policy", "public /*\n waf {\n response_inspection\n mode detect\n }")
	res, text := get(t, g.Client(), "https://app.test/sql")
	if res.StatusCode != http.StatusOK || text != sqlLeak {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if id := res.Header.Get("X-Request-Id"); !logged(g, id, `"waf_response_rules":"951230`, `"waf_response_mode":"detect"`) {
		t.Errorf("log: %s", lineOf(g, id))
	}
}

// Answers are left alone unless the site asks for it.
func TestAnswersAreNotInspectedByDefault(t *testing.T) {
	g, _ := inspected(t, "policy", "public /*")
	res, text := get(t, g.Client(), "https://app.test/sql")
	if res.StatusCode != http.StatusOK || text != sqlLeak || res.Header.Get("Set-Cookie") != "app=secret" {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, text)
	}
}

// Only encodings that can be inspected are asked for.
func TestAskedEncoding(t *testing.T) {
	g, _ := inspected(t)
	c := g.Client()
	c.Transport.(*http.Transport).DisableCompression = true
	for accept, want := range map[string]string{
		"": "[identity]", "br": "[identity]", "gzip, br": "[gzip]", "br;q=1, gzip;q=0.5": "[gzip]", "gzip;q=0": "[identity]",
	} {
		var header []string
		if accept != "" {
			header = []string{"Accept-Encoding", accept}
		}
		if _, text := get(t, c, "https://app.test/encoding", header...); text != want {
			t.Errorf("Accept-Encoding %q: the application was asked for %s, want %s", accept, text, want)
		}
	}
}

// A stream's first message arrives before its second is sent: the application waits for the test to have seen it.
func TestStreamsAreNotHeld(t *testing.T) {
	for _, site := range []struct{ name, before string }{{"plain", ""}, {"with Caddy's access log", "log"}} {
		g, app := inspected(t, "before", site.before)
		for _, path := range []string{"/events", "/grpc", "/mixed"} {
			for _, h2 := range []bool{false, true} {
				t.Run(fmt.Sprint(site.name, path, h2), func(t *testing.T) {
					tr := g.Transport()
					tr.ForceAttemptHTTP2 = h2
					defer tr.CloseIdleConnections()
					begin := time.Now()
					res, err := (&http.Client{Transport: tr, Timeout: 30 * time.Second}).Get("https://app.test" + path)
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					in := bufio.NewReader(res.Body)
					if line, err := in.ReadString('\n'); line != "data: one\n" {
						t.Fatalf("first message %q, %v", line, err)
					}
					t.Logf("first message after %v", time.Since(begin))
					app.step <- struct{}{}
					if rest, err := io.ReadAll(in); !strings.Contains(string(rest), "data: two") {
						t.Fatalf("second message %q, %v", rest, err)
					}
					if got := res.Trailer.Get("Grpc-Status"); got != "0" {
						t.Errorf("trailer Grpc-Status = %q of %v", got, res.Trailer)
					}
					if got := res.Trailer.Get("Grpc-Message"); got != "fine" {
						t.Errorf("trailer Grpc-Message = %q of %v", got, res.Trailer)
					}
				})
			}
		}
	}
}

func TestAnswersOfEveryShape(t *testing.T) {
	g, _ := inspected(t)
	c := g.Client()
	res, text := get(t, c, "https://app.test/range", "Range", "bytes=10-19")
	if res.StatusCode != http.StatusPartialContent || text != "0123456789" || res.Header.Get("Content-Range") != "bytes 10-19/1000" {
		t.Errorf("range: %d %v %q", res.StatusCode, res.Header, text)
	}
	res, err := c.Head("https://app.test/range")
	if err != nil || res.ContentLength != 1000 {
		t.Errorf("HEAD: %v %v", res, err)
	}
	res, text = get(t, c, "https://app.test/trailer")
	if text != "<p>hello</p>" || res.Trailer.Get("X-Sum") != "42" {
		t.Errorf("trailer of a held answer: %q %v", text, res.Trailer)
	}
	res, err = c.Get("https://app.test/broken")
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	if err == nil {
		t.Error("a torn answer looks complete")
	}
}

func TestWebsocketBehindInspectedAnswers(t *testing.T) {
	for _, before := range []string{"", "log"} {
		g, _ := inspected(t, "before", before)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		tr := g.Transport()
		tr.ForceAttemptHTTP2 = false
		conn, _, err := websocket.Dial(ctx, "wss://app.test/ws", &websocket.DialOptions{
			HTTPClient: &http.Client{Transport: tr}, HTTPHeader: http.Header{"Origin": {"https://" + "app.test"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		// What would be refused as a page is none of ours inside a websocket.
		if err := conn.Write(ctx, websocket.MessageText, []byte(sqlLeak)); err != nil {
			t.Fatal(err)
		}
		if _, data, err := conn.Read(ctx); err != nil || string(data) != sqlLeak {
			t.Fatalf("echo %q, %v", data, err)
		}
		if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Fatal(err)
		}
		// The request has ended when its line is there. Stopping Caddy earlier has it close the tunnel itself, which races
		// with the tunnel's own count of bytes (caddyhttp.hijackedConn).
		awaitLog(t, g, `"logger":"gatehouse.access"`, `"status":101`)
	}
}

// Saying Upgrade changes neither what is asked nor what is answered (pain 1).
func TestForgedUpgrade(t *testing.T) {
	g, app := inspected(t)
	tr := g.Transport()
	tr.ForceAttemptHTTP2 = false
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13",
		"Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Origin", "https://app.test"}
	res, text := get(t, c, "https://app.test/page?id=1%27%20UNION%20SELECT%20password%20FROM%20users--", upgrade...)
	if res.StatusCode != http.StatusForbidden || !strings.Contains(text, "waf_blocked") {
		t.Errorf("an attack that says Upgrade: %d %s", res.StatusCode, text)
	}
	if len(app.seen) != 0 {
		t.Errorf("the application saw %s", <-app.seen)
	}
	res, text = get(t, c, "https://app.test/sql", upgrade...)
	if res.StatusCode != http.StatusForbidden || !strings.Contains(text, "response_blocked") {
		t.Errorf("a leak to a request that says Upgrade: %d %s", res.StatusCode, text)
	}
}

// An answer of 63 MB passes with half a megabyte of it in memory.
func TestLongAnswersStream(t *testing.T) {
	g, _ := inspected(t)
	var before, during, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	res, err := g.Client().Get("https://app.test/big")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	half, err := io.CopyN(io.Discard, res.Body, 30<<20)
	if err != nil {
		t.Fatal(half, err)
	}
	runtime.GC()
	runtime.ReadMemStats(&during)
	if rest, err := io.Copy(io.Discard, res.Body); err != nil || half+rest != 63_000_000 {
		t.Errorf("%d bytes, %v", half+rest, err)
	}
	if id := res.Header.Get("X-Request-Id"); !logged(g, id, `"waf_response":"partial"`) {
		t.Errorf("log: %s", lineOf(g, id))
	}
	// Against what there was before and is left after it: the WAF may prepare something meanwhile, which stays, and what other
	// tests have left may go.
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := int64(during.HeapAlloc) - int64(max(before.HeapAlloc, after.HeapAlloc)); held > 12<<20 {
		t.Errorf("%d MiB more were held in the middle of the answer than before and after it", held>>20)
	}
}
