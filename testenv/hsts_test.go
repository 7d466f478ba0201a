package testenv

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestPromiseOfHTTPS: every answer over TLS says for how long HTTPS must be used, exactly once and in our words, whatever
// the status, whoever made it (the application, the gateway, the server below) and over each HTTP version.
// Controls: CER-17.
func TestPromiseOfHTTPS(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	user, stranger := g.newUser(t, "alice", "two cranes over a tin roof"), g.stranger(t)

	// client.do fails on an answer without the promise: only that there was an answer needs a look here.
	ask := func(t *testing.T, c *client, r request, want int) {
		t.Helper()
		a, err := c.do(r)
		if err != nil {
			t.Errorf("HTTP/%s %s %s: %v", r.HTTP, r.Method, r.Path, err)
		} else if a.Status != want {
			t.Errorf("HTTP/%s %s %s: status %d, want %d", r.HTTP, r.Method, r.Path, a.Status, want)
		}
	}
	for _, version := range []string{"1.1", "2", "3"} {
		t.Run("the application's answers over "+version, func(t *testing.T) {
			for _, code := range []int{
				200, 201, 202, 203, 204, 205, 206, 207, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413,
				414, 415, 416, 418, 421, 422, 423, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 507, 511, 599,
			} {
				ask(t, user, request{HTTP: version, Path: fmt.Sprintf("/status/%d", code)}, code)
			}
			ask(t, user, request{HTTP: version, Method: "HEAD", Path: "/"}, 200)
			ask(t, user, request{HTTP: version, Method: "OPTIONS", Path: "/"}, 405)
		})
		t.Run("the gateway's answers over "+version, func(t *testing.T) {
			ask(t, stranger, request{HTTP: version, Path: "/", Nav: true}, 302)
			ask(t, stranger, request{HTTP: version, Path: "/"}, 401)
			ask(t, stranger, request{HTTP: version, Path: "/?q=<script>alert(1)</script>"}, 403)
			ask(t, stranger, request{HTTP: version, Path: "/?q=<script>alert(1)</script>", Nav: true}, 403)
			ask(t, stranger, request{HTTP: version, Path: "/.gatehouse/login", Nav: true}, 200)
			ask(t, stranger, request{HTTP: version, Path: "/.gatehouse/nothing"}, 404)
			ask(t, stranger, request{HTTP: version, Path: "/x/../y"}, 400)
			ask(t, stranger, request{HTTP: version, Path: "/assets/app.css"}, 200)
			ask(t, user, request{HTTP: version, Path: "/.gatehouse/account", Nav: true}, 200)
			ask(t, user, request{HTTP: version, Path: "/.gatehouse/logout", Nav: true}, 200)
			ask(t, user, request{HTTP: version, Method: "TRACE", Path: "/"}, 405)
			ask(t, user, request{HTTP: version, Method: "BREW", Path: "/"}, 405)
			ask(t, user, request{HTTP: version, Path: "/reset"}, 502)
			ask(t, user, request{HTTP: version, Path: "/", Host: "other.test"}, 421)
		})
	}
	// What is not HTTP is answered by net/http, below any handler, and without the promise: the one exception (ADR 0003).
	// Such an answer says nothing but its status and ends the connection.
	t.Run("to what is not HTTP", func(t *testing.T) {
		for name, payload := range map[string]string{
			"no host":              "GET / HTTP/1.1\r\n\r\n",
			"bad host":             "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
			"two hosts":            "GET / HTTP/1.1\r\nHost: app.test\r\nHost: app.test\r\n\r\n",
			"not HTTP":             "HELLO\r\n\r\n",
			"HTTP/0.9":             "GET /\r\n\r\n",
			"HTTP/3.0 as text":     "GET / HTTP/3.0\r\nHost: app.test\r\n\r\n",
			"HTTP/1.0":             "GET / HTTP/1.0\r\nHost: " + strings.TrimPrefix(g.origin(), "https://") + "\r\n\r\n",
			"space before a colon": g.lines1("GET", "/", "X-A : b"),
			"bad length":           g.lines1("POST", "/", "Content-Length: x"),
			"two lengths":          g.lines1("POST", "/", "Content-Length: 1", "Content-Length: 2"),
			"length and chunks":    g.lines1("POST", "/", "Content-Length: 3", "Transfer-Encoding: chunked") + "0\r\n\r\n",
			"unknown coding":       g.lines1("POST", "/", "Transfer-Encoding: gzip, chunked") + "0\r\n\r\n",
			"unknown expectation":  g.lines1("GET", "/", "Expect: a-miracle"),
			"huge header":          g.lines1("GET", "/", "X-A: "+strings.Repeat("a", 1<<20)),
			"broken escape":        g.lines1("GET", "/%zz"),
			"broken method":        g.lines1("G(T", "/"),
			"long method":          g.lines1(strings.Repeat("G", 100), "/"),
		} {
			a, err := g.raw1(payload)
			switch {
			case errors.Is(err, errNoAnswer): // ended without an answer
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case a.Status < 400 && name != "HTTP/1.0" && name != "length and chunks":
				t.Errorf("%s: status %d", name, a.Status)
			case g.held(a) == nil: // ours
			case !a.Close || len(a.Body) > 100 || len(a.Header) > 3 || a.Header.Get("Set-Cookie") != "":
				t.Errorf("%s: %v %q", name, headerLines(a.Header), excerpt(a.Body, 200))
			default:
				t.Logf("%s: %d without the promise", name, a.Status)
			}
		}
	})
	t.Run("the application is down", func(t *testing.T) {
		be.close()
		for _, version := range []string{"1.1", "2", "3"} {
			ask(t, user, request{HTTP: version, Path: "/"}, http.StatusBadGateway)
			ask(t, user, request{HTTP: version, Path: "/", Nav: true}, http.StatusBadGateway)
		}
	})
}
