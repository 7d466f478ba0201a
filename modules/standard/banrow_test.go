package standard_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
)

// heard counts what comes over a connection.
type heard struct {
	net.Conn
	bytes int
}

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	h.bytes += n
	return n, err
}

// wantShutOut fails the test unless who connects over TCP is answered with nothing.
func wantShutOut(t *testing.T, g *gatetest.Gateway) {
	t.Helper()
	for range 3 {
		raw, err := net.Dial("tcp", g.Addr)
		if err != nil {
			continue // reset already
		}
		c := &heard{Conn: raw}
		if tls.Client(c, &tls.Config{ServerName: gatetest.Host, InsecureSkipVerify: true}).Handshake() == nil || c.bytes != 0 {
			t.Errorf("who is banned is answered %d bytes", c.bytes)
		}
		_ = c.Close()
	}
}

// The jail for logins counts each password that was wrong, whoever it was tried for; after the last one nothing more is
// tried, not the right one either. (CAL-10)
func TestLoginJailIsExact(t *testing.T) {
	g := openSite(t, "idp", "local {\n first_user_roles staff\n }\n ban {\n include_private\n jail login 5 in 1m for 10m\n }", "policy", "allow role staff")
	firstUser(t, g)
	b := g.Browser()
	page := b.Get("/.gatehouse/login")
	for i, user := range []string{"ada", "root", "admin", "ada", "nobody"} {
		page = b.Submit(page, "username", user, "password", "wrong")
		if page.StatusCode != http.StatusForbidden && page.StatusCode != http.StatusTooManyRequests || strings.Contains(page.Body, "banned") {
			t.Fatalf("guess %d: %d %s", i+1, page.StatusCode, page.Body)
		}
	}
	for range 5 {
		b.Submit(page, "username", "ada", "password", "correct horse battery").Want(t, http.StatusForbidden, "<code>banned</code>")
	}
	if n := g.Events("login.failed"); n > 5 {
		t.Errorf("%d logins were tried", n)
	}
	wantShutOut(t, g)
	g.WantEvent("ban.added", `"jail":"login"`, "5 times login.failed")
}

// The jail for limits counts each request that was too many, over all connections.
func TestRateLimitJailIsExact(t *testing.T) {
	reached := 0
	up := handlerBackend(t, func(http.ResponseWriter, *http.Request) { reached++ })
	g := jailed(t, "jail ratelimit 4 in 1m for 10m", "policy", "public /*\n rate_limit 1r/h burst 2", "backend", "reverse_proxy "+up)
	spare := g.Client()
	get(t, spare, "https://app.test/")
	for i, want := range []int{200, 429, 429, 429, 429} {
		if res, body := get(t, g.Client(), "https://app.test/"); res.StatusCode != want {
			t.Fatalf("request %d: %d, want %d: %s", i+2, res.StatusCode, want, body)
		}
	}
	for range 5 {
		if res, body := get(t, spare, "https://app.test/"); res.StatusCode != 403 || !strings.Contains(body, `"reason":"banned"`) {
			t.Fatalf("after the last: %d %s", res.StatusCode, body)
		}
	}
	if reached != 2 {
		t.Errorf("the application saw %d requests, want 2", reached)
	}
	wantShutOut(t, g)
	g.WantEvent("ban.added", `"jail":"ratelimit"`, "4 times rate_limited")
}

// Before a ban, and for its neighbours, the same client is answered: else the tests above would pass for other reasons. Over
// QUIC, too, nothing comes after it.
func TestOnlyTheBannedAreShutOut(t *testing.T) {
	g := openSite(t, "idp", "voucher\n insecure_http3\n ban {\n include_private\n honeypot /.env\n }")
	c := &heard{}
	raw, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Conn = raw
	if err := tls.Client(c, &tls.Config{ServerName: gatetest.Host, InsecureSkipVerify: true}).Handshake(); err != nil || c.bytes == 0 {
		t.Fatalf("before: %v, %d bytes", err, c.bytes)
	}
	_ = c.Close()
	if res, err := over3(g).Get("https://app.test/"); err != nil {
		t.Fatalf("before, over HTTP/3: %v", err)
	} else {
		res.Body.Close()
	}
	get(t, g.Client(), "https://app.test/.env")
	wantShutOut(t, g)
	if res, err := over3(g).Get("https://app.test/"); err == nil {
		res.Body.Close()
		t.Errorf("who is banned is answered over HTTP/3: %d", res.StatusCode)
	}
	if res, _ := get(t, from(t, g, "127.0.0.2"), "https://app.test/"); res.StatusCode != http.StatusOK {
		t.Errorf("a neighbour: %d", res.StatusCode)
	}
}

// Who brings others' connections by the PROXY protocol is not who is refused: its own ban keeps nobody else out.
func TestBannedProxyOfThePROXYProtocol(t *testing.T) {
	up := handlerBackend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	g := jailed(t, "honeypot /.env", "backend", "reverse_proxy "+up, "global", "servers {\n listener_wrappers {\n proxy_protocol {\n allow 127.0.0.0/8\n }\n tls\n }\n }")
	get(t, g.Client(), "https://app.test/.env")
	for range 3 {
		if res, err := g.Client().Get("https://app.test/"); err == nil {
			res.Body.Close()
			t.Fatalf("for itself it is answered %d", res.StatusCode)
		}
		if got := throughProxy(t, g, proxyV1, ""); got != "hello" {
			t.Fatalf("whom it speaks for is answered %q", got)
		}
	}
}
