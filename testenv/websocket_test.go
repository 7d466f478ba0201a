package testenv

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// openWebsocket opens a websocket as a page of this origin does.
func (c *client) openWebsocket(path, origin string) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answersIn)
	defer cancel()
	return websocket.Dial(ctx, "wss"+strings.TrimPrefix(c.gw.origin(), "https")+path, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: c.http["1.1"].Transport, Jar: c.jar},
		HTTPHeader: http.Header{"Origin": {origin}},
	})
}

// echo sends a message and waits for the application's echo of it.
func echo(conn *websocket.Conn, message string) error {
	ctx, cancel := context.WithTimeout(context.Background(), answersIn)
	defer cancel()
	if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		return err
	}
	for {
		_, got, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if string(got) == "echo: "+message {
			return nil
		}
		if strings.HasPrefix(string(got), "echo: ") {
			return fmt.Errorf("the application answered %q", got)
		}
	}
}

const handshake = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

// oddHandshakes are upgrades that are not a websocket opened by a page of the site. Each is all header lines but
// Host and Cookie; $ORIGIN is the site's.
var oddHandshakes = map[string]string{
	"foreign origin":          handshake + "\r\nOrigin: https://evil.test",
	"foreign port":            handshake + "\r\nOrigin: https://app.test:1",
	"origin without TLS":      handshake + "\r\nOrigin: http://app.test",
	"origin null":             handshake + "\r\nOrigin: null",
	"origin a prefix":         handshake + "\r\nOrigin: $ORIGIN.evil.test",
	"origin with user":        handshake + "\r\nOrigin: https://app.test@evil.test",
	"two origins":             handshake + "\r\nOrigin: $ORIGIN\r\nOrigin: https://evil.test",
	"two origins in one":      handshake + "\r\nOrigin: $ORIGIN, https://evil.test",
	"version 8":               strings.Replace(handshake, "Version: 13", "Version: 8", 1) + "\r\nOrigin: $ORIGIN",
	"version 0":               strings.Replace(handshake, "Version: 13", "Version: 0", 1) + "\r\nOrigin: $ORIGIN",
	"version 777":             strings.Replace(handshake, "Version: 13", "Version: 777", 1) + "\r\nOrigin: $ORIGIN",
	"version empty":           strings.Replace(handshake, "Version: 13", "Version:", 1) + "\r\nOrigin: $ORIGIN",
	"version a list":          strings.Replace(handshake, "Version: 13", "Version: 13, 8", 1) + "\r\nOrigin: $ORIGIN",
	"two versions":            handshake + "\r\nSec-WebSocket-Version: 8\r\nOrigin: $ORIGIN",
	"no version":              "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: $ORIGIN",
	"no key":                  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nOrigin: $ORIGIN",
	"short key":               strings.Replace(handshake, "dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 1) + "\r\nOrigin: $ORIGIN",
	"two keys":                handshake + "\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: $ORIGIN",
	"h2c":                     "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
	"h2c and websocket":       strings.Replace(handshake, "Upgrade: websocket", "Upgrade: websocket, h2c", 1) + "\r\nOrigin: $ORIGIN",
	"websocket twice":         handshake + "\r\nUpgrade: h2c\r\nOrigin: $ORIGIN",
	"TLS upgrade":             "Upgrade: TLS/1.2\r\nConnection: Upgrade",
	"unknown protocol":        "Upgrade: tunnel\r\nConnection: Upgrade\r\nOrigin: $ORIGIN",
	"connect-udp":             "Upgrade: connect-udp\r\nConnection: Upgrade\r\nCapsule-Protocol: ?1",
	"not asked in Connection": strings.Replace(handshake, "Connection: Upgrade", "Connection: keep-alive", 1) + "\r\nOrigin: $ORIGIN",
	"empty upgrade":           "Upgrade:\r\nConnection: Upgrade",
}

// TestWebsocket: a websocket is for whoever is logged in, opened by the site's own pages; everything else that asks
// for another protocol gets none, and no byte of it reaches the application.
func TestWebsocket(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen})
	user, stranger := g.newUser(t, "alice", "two cranes over a tin roof"), g.stranger(t)

	t.Run("works when logged in", func(t *testing.T) {
		conn, resp, err := user.openWebsocket("/ws", g.origin())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		if got := resp.Header.Values("Strict-Transport-Security"); len(got) != 1 || got[0] != hsts {
			t.Errorf("the 101 answer has Strict-Transport-Security %q", got)
		}
		for i := range 20 {
			if err := echo(conn, strings.Repeat("x", 1+i*997)); err != nil {
				t.Fatal(err)
			}
		}
		seen := be.mustSee(t)
		last := seen.Requests[len(seen.Requests)-1]
		if last.Headers.Get("X-Gatehouse-User") == "" || strings.Contains(last.Headers.Get("Cookie"), sessionCookie) {
			t.Errorf("the application was told %v", last.Headers)
		}
	})
	t.Run("a note reaches the open page", func(t *testing.T) {
		conn, _, err := user.openWebsocket("/ws", g.origin())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		if err := echo(conn, "ready"); err != nil {
			t.Fatal(err)
		}
		user.must(t, request{Method: "POST", Path: "/api/notes", Body: []byte(`{"text":"live from the story"}`), Header: http.Header{"Content-Type": {"application/json"}}})
		ctx, cancel := context.WithTimeout(context.Background(), answersIn)
		defer cancel()
		_, got, err := conn.Read(ctx)
		if err != nil || !strings.Contains(string(got), "live from the story") {
			t.Errorf("the page read %q, %v", got, err)
		}
	})
	t.Run("refused without a session", func(t *testing.T) {
		be.mustForget(t)
		_, resp, err := stranger.openWebsocket("/ws", g.origin())
		if err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("a stranger: %v, %v", resp, err)
		}
		if n := be.mustSee(t).Received; n != 0 {
			t.Errorf("%d bytes reached the application", n)
		}
	})
	for name, lines := range oddHandshakes {
		t.Run(name, func(t *testing.T) {
			lines := strings.ReplaceAll(lines, "$ORIGIN", g.origin())
			for who, c := range map[string]*client{"a user": user, "a stranger": stranger} {
				for _, method := range []string{"GET", "POST"} {
					refuseUpgrade(t, g, be, c, who, method, lines)
				}
			}
		})
	}
	t.Run("well formed but not GET", func(t *testing.T) {
		for _, method := range []string{"POST", "HEAD", "PUT", "OPTIONS"} {
			refuseUpgrade(t, g, be, user, "a user", method, handshake+"\r\nOrigin: "+g.origin())
		}
	})
	t.Run("RFC 8441", func(t *testing.T) {
		for who, c := range map[string]*client{"a user": user, "a stranger": stranger} {
			for _, origin := range []string{"https://evil.test", g.origin()} {
				if who == "a user" && origin == g.origin() {
					continue // what is allowed there is not this story's
				}
				be.mustForget(t)
				a, err := g.raw2(request2{open: true, fields: append(g.fields2("CONNECT", "/ws"), [][2]string{
					{":protocol", "websocket"}, {"sec-websocket-version", "13"}, {"origin", origin}, {"cookie", c.cookieHeader()},
				}...)})
				if err == nil && a.Status < 400 {
					t.Errorf("%s from %s: status %d", who, origin, a.Status)
				}
				if n := be.mustSee(t).Total; n != 0 {
					t.Errorf("%s from %s: reached the application", who, origin)
				}
			}
		}
	})
}

// refuseUpgrade sends a handshake that must not become another protocol. What follows it on the wire must not be
// read as a second request, by anybody.
func refuseUpgrade(t *testing.T, g *gateway, be *backend, c *client, who, method, lines string) {
	t.Helper()
	be.mustForget(t)
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: " + appHost + "\r\n\r\n"
	all := []string{lines}
	if cookie := c.cookieHeader(); cookie != "" {
		all = append(all, "Cookie: "+cookie)
	}
	if method != "GET" && method != "HEAD" {
		all = append(all, "Content-Length: 0")
	}
	conn, err := g.dialTLS(appHost, "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	a, err := exchange(conn, g.lines1(method, "/ws", all...)+smuggled)
	if err == nil && a.Status == http.StatusSwitchingProtocols {
		t.Errorf("%s, %s: 101 %v", who, method, headerLines(a.Header))
	}
	for _, r := range be.mustSee(t).Requests {
		if r.Headers.Get("Upgrade") != "" || r.Headers.Get("Http2-Settings") != "" {
			t.Errorf("%s, %s: the upgrade reached the application: %v", who, method, headerLines(r.Headers))
		}
		if c.cookie(sessionCookie) == "" {
			t.Errorf("%s, %s: %s %s reached the application", who, method, r.Method, r.URI)
		}
	}
	if err == nil && a.Status < 400 {
		t.Errorf("%s, %s: status %d, want a refusal", who, method, a.Status)
	}
}

// TestWebsocketPlain is the negative control.
func TestWebsocketPlain(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startPlain(t, config{Backend: be.Listen})
	conn, _, err := g.stranger(t).openWebsocket("/ws", "https://evil.test")
	if err != nil {
		t.Fatalf("plain Caddy refuses a foreign page's websocket: this test would not notice a gateway that does nothing: %v", err)
	}
	defer conn.CloseNow()
	if err := echo(conn, "hello"); err != nil {
		t.Error(err)
	}
}

// TestServerSentEvents: what streams is not held back.
func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen})
	user := g.newUser(t, "alice", "two cranes over a tin roof")
	for _, version := range []string{"1.1", "2", "3"} {
		t.Run(version, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), answersIn)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, "GET", g.origin()+"/events", nil)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			resp, err := user.http[version].Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			// The stream never ends: that its first three ticks arrive proves that they were not kept for the end.
			s, ticks := bufio.NewScanner(resp.Body), 0
			for ticks < 3 && s.Scan() {
				if s.Text() == "event: tick" {
					ticks++
				}
			}
			if ticks < 3 {
				t.Fatalf("%d ticks: %v", ticks, s.Err())
			}
			if took := time.Since(start); took < 1500*time.Millisecond {
				t.Errorf("three ticks of a second in %v", took)
			}
			// Whoever closes a page leaves its streams: that is nobody's fault, least of all the application's.
			cancel()
			line, err := g.accessLine(resp.Header.Get("X-Request-Id"))
			if err != nil {
				t.Fatal(err)
			}
			if line["reason"] != "client_closed" && line["reason"] != nil {
				t.Errorf("the client left, and the log says %v: %v", line["reason"], line["detail"])
			}
		})
	}
}
