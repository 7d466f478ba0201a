package standard_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

func jailed(t *testing.T, ban string, change ...string) *gatetest.Gateway {
	t.Helper()
	return openSite(t, append([]string{"idp", "voucher\n ban {\n include_private\n " + ban + "\n }"}, change...)...)
}

// Nothing passes after the last offence: neither on the same connection, nor on a new one, which meets no handshake.
func TestBanIsExactAndDropsHandshakes(t *testing.T) {
	reached := 0
	up := handlerBackend(t, func(http.ResponseWriter, *http.Request) { reached++ })
	g := jailed(t, "jail waf 3 in 1m for 10m", "backend", "reverse_proxy "+up)
	c := g.Client()
	get(t, c, "https://app.test/")
	for range 3 {
		if res, _ := get(t, c, "https://app.test/?q=<script>alert(1)</script>"); res.StatusCode != 403 {
			t.Fatalf("the attack: %d", res.StatusCode)
		}
	}
	for range 20 {
		res, body := get(t, c, "https://app.test/")
		wait, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		if res.StatusCode != 403 || !strings.Contains(body, `"reason":"banned"`) || wait < 500 || wait > 600 {
			t.Fatalf("after the last offence: %d, Retry-After %q: %s", res.StatusCode, res.Header.Get("Retry-After"), body)
		}
	}
	if reached != 1 {
		t.Errorf("the application saw %d requests, want the 1 before", reached)
	}
	if res, err := g.Client().Get("https://app.test/"); err == nil {
		res.Body.Close()
		t.Errorf("a new connection is answered: %d", res.StatusCode)
	}
	awaitLog(t, g, "[waf] Ban 127.0.0.1")
	awaitLog(t, g, "ban.added", `"jail":"waf"`)
	// A reload forgets nothing.
	if err := g.Load(fill(newcomer, pairs("policy", "public /*", "idp", "voucher\n ban {\n include_private\n }"))); err != nil {
		t.Fatal(err)
	}
	if res, err := g.Client().Get("https://app.test/"); err == nil {
		res.Body.Close()
		t.Errorf("after a reload: %d", res.StatusCode)
	}
}

// What logged-in people do is no offence; the same by strangers is.
func TestScanJailKnowsItsUsers(t *testing.T) {
	g := jailed(t, "jail scan 5 in 1m for 10m")
	sam := as(t, g, "app.test", "as=sam&roles=staff")
	for range 20 {
		if res, _ := get(t, sam, "https://app.test/status/404"); res.StatusCode != 404 {
			t.Fatalf("who is logged in: %d", res.StatusCode)
		}
	}
	stranger := g.Client()
	for i := range 5 {
		if res, _ := get(t, stranger, "https://app.test/status/404"); res.StatusCode != 404 {
			t.Fatalf("the stranger's request %d: %d", i, res.StatusCode)
		}
	}
	if res, body := get(t, stranger, "https://app.test/"); res.StatusCode != 403 || !strings.Contains(body, "banned") {
		t.Errorf("after five: %d %s", res.StatusCode, body)
	}
}

func TestHoneypot(t *testing.T) {
	g := jailed(t, "honeypot /wp-login.php /.env")
	c := g.Client()
	get(t, c, "https://app.test/wp-login.php", "Sec-Fetch-Site", "cross-site") // another site's doing
	if res, _ := get(t, c, "https://app.test/"); res.StatusCode != 200 {
		t.Fatalf("banned for what another site's page asked for: %d", res.StatusCode)
	}
	get(t, c, "https://app.test/WP-login.php")
	if res, body := get(t, c, "https://app.test/"); res.StatusCode != 403 || !strings.Contains(body, "banned") {
		t.Errorf("after the honeypot: %d %s", res.StatusCode, body)
	}
}

// Without a word private addresses are never banned, whatever they do.
func TestPrivateAddressesAreNotBannedByDefault(t *testing.T) {
	g := openSite(t)
	c := g.Client()
	for range 30 {
		get(t, c, "https://app.test/?q=<script>alert(1)</script>")
	}
	if res, _ := get(t, c, "https://app.test/"); res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
}

// A proxy that the server trusts is never shut out, neither for itself nor for whom it speaks: once the house did not know
// any, and one offender behind a load balancer could have shut everybody out.
func TestTrustedProxiesAreNeverBanned(t *testing.T) {
	g := jailed(t, "jail waf 3 in 1m for 10m", "global", "servers {\n trusted_proxies static 127.0.0.0/8\n }")
	attack := func(c *http.Client, from string) (status int) {
		for range 4 {
			req, err := http.NewRequest("GET", "https://app.test/?q=<script>alert(1)</script>", nil)
			if err != nil {
				t.Fatal(err)
			}
			if from != "" {
				req.Header.Set("X-Forwarded-For", from)
			}
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if status = 0; strings.Contains(string(body), `"reason":"banned"`) {
				status = res.StatusCode
			}
		}
		return status
	}
	if attack(g.Client(), "") != 0 {
		t.Error("the proxy itself is banned")
	}
	if attack(g.Client(), "198.51.100.7") != 403 {
		t.Error("whom it speaks for is not banned")
	}
	if res, _ := get(t, g.Client(), "https://app.test/"); res.StatusCode != 200 {
		t.Errorf("the proxy's next connection: %d", res.StatusCode)
	}
}

// Who is in a blocklist meets no handshake; the allow-list holds here too. (CAL-09)
func TestBlocklist(t *testing.T) {
	name := filepath.Join(t.TempDir(), "hostile.txt")
	if err := os.WriteFile(name, []byte("127.0.0.0/8 ; everybody here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := openSite(t)
	if res, _ := get(t, open.Client(), "https://app.test/"); res.StatusCode != 200 {
		t.Fatalf("without a list: %d", res.StatusCode)
	}
	house := func(words string) string {
		return fill(newcomer, pairs("policy", "public /*", "idp", "voucher\n ban {\n "+words+"\n blocklist hostile "+name+"\n }"))
	}
	if err := open.Load(house("include_private")); err != nil {
		t.Fatal(err)
	}
	awaitDropped(t, open)
	if err := open.Load(house("allow 127.0.0.0/8\n include_private")); err != nil {
		t.Fatal(err)
	}
	if res, _ := get(t, open.Client(), "https://app.test/"); res.StatusCode == 403 {
		t.Errorf("who is allowed: %d", res.StatusCode)
	}
}

// awaitDropped waits until new connections are broken off.
func awaitDropped(t *testing.T, g *gatetest.Gateway) {
	t.Helper()
	for range 200 {
		res, err := g.Client().Get("https://app.test/")
		if err != nil {
			return
		}
		_ = res.Body.Close()
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("new connections are still answered")
}

// A ban ends what its network has running, within a second; the offender still has its last answer, and others go on.
// Controls: CTB-08.
func TestBanCutsWhatRuns(t *testing.T) {
	stop := make(chan struct{})
	up := handlerBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/stream" {
			<-stop // deaf to its client's going
		}
	})
	defer close(stop)
	g := jailed(t, "jail waf 3 in 1m for 10m", "backend", "reverse_proxy "+up+" {\n flush_interval -1\n }")
	open := func(from string, h2 bool) *http.Response {
		tr := g.Transport()
		tr.ForceAttemptHTTP2 = h2
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(ctx, "tcp", g.Addr)
		}
		t.Cleanup(tr.CloseIdleConnections)
		res, err := (&http.Client{Transport: tr}).Get("https://app.test/stream")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		if _, err := res.Body.Read(make([]byte, 6)); err != nil || res.StatusCode != 200 {
			t.Fatalf("%d: %v", res.StatusCode, err)
		}
		return res
	}
	offender := []*http.Response{open("127.0.0.1", false), open("127.0.0.1", true)}
	neighbour := open("127.0.0.2", true)
	c := g.Client()
	for range 3 {
		if res, body := get(t, c, "https://app.test/?q=<script>alert(1)</script>"); res.StatusCode != 403 || !strings.Contains(body, "waf_blocked") {
			t.Fatalf("the attack: %d %s", res.StatusCode, body)
		}
	}
	began := time.Now()
	for _, res := range offender {
		_, err := res.Body.Read(make([]byte, 1))
		if took := time.Since(began); err == nil || err == io.EOF || took > 2*time.Second {
			t.Errorf("%s: the stream's end after %v: %v", res.Proto, took, err)
		}
	}
	awaitLog(t, g, `"path":"/stream"`, `"reason":"banned"`, `"ban_cut":"jail waf`)
	over := make(chan struct{})
	go func() { defer close(over); _, _ = neighbour.Body.Read(make([]byte, 1)) }()
	select {
	case <-over:
		t.Error("the neighbour's stream ended too")
	case <-time.After(100 * time.Millisecond):
	}
}

// An operator sees whom a ban would hit, bans, sees it, and lifts it: also while banned oneself.
// Controls: CTB-08.
func TestBanCommands(t *testing.T) {
	g := operate(t, "idp", "voucher\n ban {\n include_private\n }", "policy", "public /*", "backend", "reverse_proxy "+backend(t))
	sam := as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	for range 3 {
		get(t, sam, "https://app.test/")
	}
	if out := g.ok("ban", "add", "127.0.0.0/24", "--dry-run"); !strings.Contains(out, "(100.0 %), of 1 clients") || !strings.Contains(out, `"voucher:sam"`) {
		t.Errorf("the dry run: %s", out)
	}
	if res, _ := get(t, g.Client(), "https://app.test/"); res.StatusCode != 200 {
		t.Fatalf("the dry run banned: %d", res.StatusCode)
	}
	if out := g.ok("ban", "add", "127.0.0.0/24", "--for", "60s", "--detail", "a trial"); !strings.HasPrefix(out, "banned 127.0.0.0/24 until ") {
		t.Errorf("adding: %s", out)
	}
	if res, err := g.Client().Get("https://app.test/"); err == nil {
		res.Body.Close()
		t.Errorf("banned, and answered: %d", res.StatusCode)
	}
	for _, args := range [][]string{{"list"}, {"check", "127.0.0.1"}, {"history"}} {
		if out := g.ok(append([]string{"ban"}, args...)...); !strings.Contains(out, "127.0.0.0/24") || !strings.Contains(out, `"a trial"`) {
			t.Errorf("%s: %s", args[0], out)
		}
	}
	g.ok("ban", "remove", "127.0.0.0/24")
	if res, _ := get(t, g.Client(), "https://app.test/"); res.StatusCode != 200 {
		t.Errorf("after the ban was lifted: %d", res.StatusCode)
	}
	if out := g.ok("ban", "history"); !strings.Contains(out, "lifted") || !strings.Contains(out, `"olga"`) {
		t.Errorf("history: %s", out)
	}
	if _, err := g.run("ban", "add", "not a network"); err == nil || !strings.Contains(err.Error(), "want an address or a network") {
		t.Errorf("nonsense: %v", err)
	}
}

// Many sites whose TLS differs: above thirty policies Caddy means to ask only those that bear the client's server name. It
// does not, because of how its matchers are loaded; when that is mended there, this test will say that bans need more.
func TestBannedMeetNoHandshakeAmongManySites(t *testing.T) {
	var more strings.Builder
	for i := range 32 {
		fmt.Fprintf(&more, `https://app%d.test:{{addr}} {
	{{tls}} {
		alpn h2 http/1.1 own%[1]d
	}
	gatehouse {
		public /*
		insecure_waf_off
	}
	respond hello
}
`, i)
	}
	// With a listener wrapper that may learn of another client nobody is shut out before the handshake.
	g := jailed(t, "honeypot /.env", "more", more.String(), "global", "servers {\n listener_wrappers {\n proxy_protocol {\n allow 127.0.0.0/8\n }\n tls\n }\n }")
	g.Client()
	dial := func(name string) error {
		c, err := tls.Dial("tcp", g.Addr, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	names := []string{"app.test", "app0.test", "app31.test", "APP3.test"}
	for _, name := range names {
		if err := dial(name); err != nil {
			t.Fatalf("%s before the ban: %v", name, err)
		}
	}
	get(t, g.Client(), "https://app.test/.env")
	for _, name := range append(names, "nobody.test") {
		if dial(name) == nil {
			t.Errorf("%s: a handshake for who is banned", name)
		}
	}
}
