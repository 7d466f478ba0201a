package testenv

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestCookieInTheClear: a session's cookie that a program sends without TLS was read by whoever listens. It is answered like
// any plain HTTP, passed on to nobody, and its session ends; others go on.
func TestCookieInTheClear(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	alice := g.newUser(t, "alice", alicesPassword)
	more := func() *client {
		t.Helper()
		c := g.stranger(t)
		if _, err := c.login("alice", alicesPassword, "/"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	be.mustForget(t)
	for name, parts := range map[string][]string{
		"in one piece":           {"GET /admin/ HTTP/1.1\r\nHost: app.test\r\nCookie: theme=dark; COOKIE\r\n\r\n"},
		"in pieces":              {"GET /admin/ HT", "TP/1.1\r\nHost: app.test\r\ncookie: ", "COOKIE", "\r\n", "\r\n"},
		"a form, its body later": {"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\nCookie: COOKIE\r\n\r\n"},
	} {
		leaking := more()
		conn, err := net.Dial("tcp", g.addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(answersIn))
		for _, part := range parts {
			if _, err := io.WriteString(conn, strings.Replace(part, "COOKIE", sessionCookie+"="+leaking.cookie(sessionCookie), 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond) // so that it is sent by itself
		}
		answer, _ := io.ReadAll(conn) // it may end with a reset
		_ = conn.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.0 400 ") || strings.Contains(strings.ToLower(string(answer)), "location") {
			t.Errorf("%s: answered %q", name, answer)
		}
		if !leaking.gone(t) {
			t.Errorf("%s: the session goes on", name)
		}
	}
	for _, junk := range []string{"\x00\x01", "HELLO\r\n\r\n", "GET", "GET / HTTP/1.1\r\nCookie: " + sessionCookie + "=AAAA\r\n\r\n"} {
		conn, err := net.Dial("tcp", g.addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(answersIn))
		_, _ = io.WriteString(conn, junk)
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.ReadAll(conn)
		_ = conn.Close()
	}
	if alice.gone(t) {
		t.Error("a session whose cookie was never in the clear has ended")
	}
	if n := be.mustSee(t).Total; n != 1 { // alice's
		t.Errorf("%d requests reached the application", n)
	}
	eventually(t, logSoonIn, "the ends are told of", func() bool {
		lines, _ := g.lines("the cookie came over plain HTTP")
		return len(lines) == 3
	})
}
