package standard_test

import (
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

// Who is in a blocklist meets no handshake; the allow-list holds here too.
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
