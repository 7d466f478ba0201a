package standard_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

func limited(t *testing.T, words string, change ...string) *gatetest.Gateway {
	t.Helper()
	return openSite(t, append([]string{"idp", "local\n client_limits {\n " + words + "\n }"}, change...)...)
}

// from returns a client with another loopback address.
func from(t *testing.T, g *gatetest.Gateway, address string) *http.Client {
	t.Helper()
	tr := g.Transport()
	tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext(ctx, "tcp", g.Addr)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

// trickle writes a byte in each pause until the reader has gone or enough has been written.
func trickle(w *io.PipeWriter, pause time.Duration, bytes int) {
	for range bytes {
		if _, err := w.Write([]byte("a")); err != nil {
			return
		}
		time.Sleep(pause)
	}
	w.Close()
}

// A body that comes too slowly is not waited for, over any protocol, whether it says how long it will be or not; one that
// comes, and a call of gRPC, which may be silent as long as it likes, are.
func TestSlowBodies(t *testing.T) {
	up := handlerBackend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	g := limited(t, "body_rate 500B grace 300ms", "backend", "reverse_proxy "+up, "global", "servers {\n timeouts {\n read_body_idle 250ms\n }\n }")
	for _, tt := range []struct {
		name, contentType string
		h2                bool
		length            int64
		pause             time.Duration
		bytes             int
		cut               bool
	}{
		{"HTTP/1.1", "text/plain", false, 1000, 20 * time.Millisecond, 1000, true},
		{"HTTP/2", "text/plain", true, 1000, 20 * time.Millisecond, 1000, true},
		{"HTTP/2, to be streamed", "video/mp4", true, 1000, 20 * time.Millisecond, 1000, true},
		{"of no known length", "application/octet-stream", false, -1, 20 * time.Millisecond, 1000, true},
		{"fast enough", "text/plain", true, 1000, time.Millisecond / 2, 1000, false},
		{"gRPC", "application/grpc", true, -1, 20 * time.Millisecond, 50, false},
		{"gRPC, with pauses", "application/grpc", true, -1, 600 * time.Millisecond, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := g.Transport()
			tr.ForceAttemptHTTP2 = tt.h2
			defer tr.CloseIdleConnections()
			r, w := io.Pipe()
			defer r.Close()
			go trickle(w, tt.pause, tt.bytes)
			req, err := http.NewRequest(http.MethodPost, "https://app.test/", r)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = tt.length
			req.Header.Set("Content-Type", tt.contentType)
			began := time.Now()
			res, err := tr.RoundTrip(req)
			took, status := time.Since(began), 0
			if err == nil {
				status = res.StatusCode
				res.Body.Close()
			}
			switch {
			case tt.cut && (tt.h2 && status == 0 || status != 0 && status != http.StatusRequestTimeout || took > 5*time.Second):
				t.Errorf("answered %d after %v", status, took)
			case !tt.cut && status != http.StatusOK:
				t.Errorf("answered %d after %v: %v", status, took, err)
			}
		})
	}
	awaitLog(t, g, `"reason":"request_timeout"`, `"slow_body"`)
}

// hold opens a TLS connection that stays open; nil when it is closed instead.
func hold(t *testing.T, g *gatetest.Gateway) net.Conn {
	t.Helper()
	conf := g.Transport().TLSClientConfig.Clone()
	conf.ServerName = "app.test"
	conn, err := tls.Dial("tcp", g.Addr, conf)
	if err != nil {
		return nil
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Connections are bounded by client network, but not those of a proxy that speaks for many; and all together.
func TestTooManyConnections(t *testing.T) {
	trusting := "servers {\n trusted_proxies static 127.0.0.0/8\n }"
	for _, tt := range []struct {
		name, words, global string
		fourth, neighbour   bool
	}{
		{"of one client", "connections 3", "", false, true},
		{"of a trusted proxy", "connections 3", trusting, true, true},
		{"of all", "all_connections 3", trusting, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := limited(t, tt.words, "global", tt.global)
			var held []net.Conn
			gatetest.Eventually(t, "three connections", func() bool { // those of the test before may still be closing
				if c := hold(t, g); c != nil {
					held = append(held, c)
				}
				return len(held) == 3
			})
			if got := hold(t, g) != nil; got != tt.fourth {
				t.Errorf("the fourth stays open: %v", got)
			}
			res, err := from(t, g, "127.0.0.2").Get("https://app.test/")
			if err == nil {
				res.Body.Close()
			}
			if (err == nil) != tt.neighbour {
				t.Errorf("a neighbour is served: %v", err)
			}
			held[0].Close()
			gatetest.Eventually(t, "a place is free again", func() bool { return hold(t, g) != nil })
		})
	}
}

// Who has cost the gateway more than a client's share waits; neighbours do not.
func TestClientBudget(t *testing.T) {
	for _, tt := range []struct{ name, words, detail, path, body string }{
		{"the WAF's time", "cpu 1%", "processor time of client network 127.0.0.1/32", "/?q=<script>alert(1)</script>", ""},
		{"bodies", "body 2KiB burst 64KiB", "body bytes of client network 127.0.0.1/32", "/", strings.Repeat("harmless text ", 1<<11)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := limited(t, tt.words)
			c := from(t, g, "127.0.0.1")
			status, wait, id := 0, 0, ""
			for range 3000 {
				res, err := c.Post("https://app.test"+tt.path, "text/plain", strings.NewReader(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if status = res.StatusCode; status == http.StatusTooManyRequests {
					wait, _ = strconv.Atoi(res.Header.Get("Retry-After"))
					id = res.Header.Get("X-Request-Id")
					break
				}
			}
			if status != http.StatusTooManyRequests || wait < 1 || wait > 40 {
				t.Fatalf("%d, Retry-After %d", status, wait)
			}
			if line := logLine(t, g, id); !strings.Contains(line, tt.detail) {
				t.Errorf("the log does not say why: %s", line)
			}
			if res, _ := get(t, from(t, g, "127.0.0.2"), "https://app.test/"); res.StatusCode != http.StatusOK {
				t.Errorf("a neighbour: %d", res.StatusCode)
			}
		})
	}
}

func TestTooManyHeaders(t *testing.T) {
	for _, tt := range []struct {
		policy string
		fields int
		status int
	}{{"public /*", 100, 200}, {"public /*", 140, 431}, {"public /*\n max_headers 200", 140, 200}, {"public /*\n max_headers 200", 220, 431}} {
		g := openSite(t, "policy", tt.policy)
		req, err := http.NewRequest(http.MethodGet, "https://app.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range tt.fields {
			req.Header.Add(fmt.Sprintf("X-Field-%d", i/2), "v")
		}
		res, err := g.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.status {
			t.Errorf("%s, %d fields: %d", tt.policy, tt.fields, res.StatusCode)
		}
	}
}

// Bad words are refused with one sentence.
func TestClientLimitsRefused(t *testing.T) {
	for words, says := range map[string]string{
		"connections 0":              "not a positive number",
		"cpu 120%":                   "cpu: ",
		"cpu 0.5":                    "share of the machine",
		"body_rate":                  "body_rate: write",
		"body_rate 500B grace never": "not a positive duration",
		"body 10 bursts 20":          "body: write",
		"body 0B":                    "not a size",
		"conections 5":               "unknown client_limits option",
	} {
		g := gatetest.New(t)
		err := g.Load(fill(newcomer, pairs("idp", "local\n client_limits {\n "+words+"\n }")))
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "Caddyfile:") {
			t.Errorf("%s: %v", words, err)
		}
	}
}
