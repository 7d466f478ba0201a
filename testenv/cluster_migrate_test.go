package testenv

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// enrol sets an authenticator application up, and returns its key and the backup codes.
func (c *client) enrol(t *testing.T) (key string, spare []string) {
	t.Helper()
	page := c.visit(t, "/.gatehouse/mfa/app")
	m := regexp.MustCompile(`<code class="secret">([A-Z2-7 ]+)</code>`).FindSubmatch(page.Body)
	f, err := page.form()
	if err != nil || m == nil {
		t.Fatalf("no form, or no key: %v", err)
	}
	key = strings.ReplaceAll(string(m[1]), " ", "")
	f.Fields.Set("code", codeOf(t, key, 0))
	a, err := c.submit(f)
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("setting a factor up: %v, %d\n%s", err, a.Status, excerpt(a.Body, 2000))
	}
	for _, m := range regexp.MustCompile(`<code>([0-9a-z-]{8,})</code>`).FindAllSubmatch(a.Body, -1) {
		spare = append(spare, string(m[1]))
	}
	if len(spare) == 0 {
		t.Fatalf("no backup codes:\n%s", a.Body)
	}
	return key, spare
}

// codeOf is what the application shows, so many steps from now: none works twice.
func codeOf(t *testing.T, key string, steps int) string {
	t.Helper()
	text, err := totp.GenerateCode(key, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// loginWith logs in with a password and a second factor.
func (g *gateway) loginWith(t *testing.T, user, password, code string) {
	t.Helper()
	g.secret(code)
	c := g.stranger(t)
	a, err := c.loginOnce(user, password, "/")
	if err != nil {
		t.Fatal(err)
	}
	if s := c.must(t, request{Path: "/whoami"}).Status; s == http.StatusOK {
		t.Fatal("the password alone lets somebody in who has a second factor")
	}
	for hops := 0; a.Header.Get("Location") != "" && hops < 5; hops++ {
		a = c.visit(t, a.Header.Get("Location"))
	}
	f, err := a.form()
	if err != nil {
		t.Fatal(err)
	}
	f.Fields.Set("code", code)
	if a, err = c.submit(f); err != nil || a.Status >= 400 {
		t.Fatalf("the second factor: %v, %d\n%s", err, a.Status, excerpt(a.Body, 2000))
	}
	if s := c.must(t, request{Path: "/whoami"}).Status; s != http.StatusOK {
		t.Errorf("with the second factor: %d", s)
	}
}

// TestMigrate tells of a gateway that outgrows its embedded store, and goes back again: who is logged in stays so, who is banned too,
// and the second factor is the same.
func TestMigrate(t *testing.T) {
	t.Parallel()
	be, r := startBackend(t), startRedis(t)
	keys := filepath.Join(t.TempDir(), "keys")
	c := config{Backend: be.Listen, Env: []string{"KEYS=" + keys, "VALKEY=unix/" + r.socket()}}
	c.Global = "\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}\n"
	c.House = "keys file {$KEYS}\n\t\tstore valkey {$VALKEY}\n\t\t" + defaultHouse
	shared := c.caddyfile()
	c.House = "keys file {$KEYS}\n\t\t" + defaultHouse
	alone := c.caddyfile()
	g, err := newGateway(gatehouseBin(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	})
	file := map[string]string{"embedded": filepath.Join(g.dir, "alone.Caddyfile"), "valkey": filepath.Join(g.dir, "shared.Caddyfile")}
	for engine, text := range map[string]string{"embedded": alone, "valkey": shared} {
		if err := os.WriteFile(file[engine], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr, code, err := g.command("keys", "create", keys); err != nil || code != 0 {
		t.Fatalf("keys create: %v, %d\n%s", err, code, stderr)
	}
	migrate := func(from, to string, also ...string) (string, bool) {
		t.Helper()
		out, stderr, code, err := g.command(append([]string{"store", "migrate", "--adapter", "caddyfile", "--operator", "olga", "--from", file[from], "--to", file[to]}, also...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out + stderr, code == 0
	}
	begin := func(text string) {
		t.Helper()
		if err := g.configure(text); err != nil {
			t.Fatal(err)
		}
		if err := g.start(); err != nil {
			t.Fatal(err)
		}
	}

	begin(alone)
	const user, password, banned = "alice", "two cranes over a tin roof", "203.0.113.77"
	alice := g.newUser(t, user, password)
	key, spare := alice.enrol(t)
	g.secret(key)
	out := g.stranger(t)
	g.loginWith(t, user, password, codeOf(t, key, 1))
	if _, stderr, code, err := g.command("ban", "add", banned, "--for", "1h", "--address", "unix/"+g.env["ADMIN"]); err != nil || code != 0 {
		t.Fatalf("ban add: %v, %d\n%s", err, code, stderr)
	}
	holds := func(when string) {
		t.Helper()
		if s := alice.must(t, request{Path: "/whoami"}).Status; s != http.StatusOK {
			t.Errorf("%s: alice, who is logged in, gets %d", when, s)
		}
		if s := out.must(t, request{Path: "/whoami"}).Status; s == http.StatusOK {
			t.Errorf("%s: a stranger gets in", when)
		}
		body, err := g.adminGet("/gatehouse/bans?check=" + banned)
		var finding struct{ Action string }
		if err != nil || json.Unmarshal(body, &finding) != nil || finding.Action != "ban" {
			t.Errorf("%s: the ban is %s, %v", when, body, err)
		}
		a := out.must(t, request{Path: "/healthz", Header: http.Header{"X-Forwarded-For": {banned}}})
		if a.Status != http.StatusForbidden || !strings.Contains(string(a.Body), "banned") {
			t.Errorf("%s: who is banned gets %d", when, a.Status)
		}
	}
	holds("before")
	if said, ok := migrate("embedded", "valkey"); ok {
		t.Fatalf("the store of a gateway that runs was moved:\n%s", said)
	}
	holds("after an attempt while it runs")
	stop := func() {
		t.Helper()
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
	}

	stop()
	file["other"] = filepath.Join(g.dir, "other.Caddyfile")
	if _, stderr, code, err := g.command("keys", "create", keys+".other"); err != nil || code != 0 {
		t.Fatalf("keys create: %v, %d\n%s", err, code, stderr)
	}
	if err := os.WriteFile(file["other"], []byte(strings.ReplaceAll(shared, "{$KEYS}", keys+".other")), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, ok := migrate("embedded", "other"); ok || !strings.Contains(said, "could not be opened any more") {
		t.Errorf("to gateways with other keys:\n%s", said)
	}
	said, ok := migrate("embedded", "valkey", "--dry-run")
	if !ok || !strings.Contains(said, "session") || !strings.Contains(said, "Nothing was") {
		t.Fatalf("dry run:\n%s", said)
	}
	if said, ok = migrate("embedded", "valkey"); !ok {
		t.Fatalf("moving:\n%s", said)
	}
	t.Logf("\n%s", said)
	if said, ok := migrate("embedded", "valkey"); ok {
		t.Errorf("a store that is gone was moved once more:\n%s", said)
	}
	begin(shared)
	holds("on Redis")
	g.loginWith(t, user, password, spare[0])
	if said, ok := migrate("valkey", "embedded"); ok || !strings.Contains(said, "stop all gateways") {
		t.Fatalf("the store of a gateway that runs was moved:\n%s", said)
	}

	stop()
	if said, ok = migrate("valkey", "embedded"); !ok {
		t.Fatalf("moving back:\n%s", said)
	}
	t.Logf("\n%s", said)
	if err := g.configure(shared); err != nil {
		t.Fatal(err)
	}
	if err := g.start(); err == nil {
		t.Fatal("a gateway goes on with what was moved away")
	}
	begin(alone)
	holds("back again")
	g.loginWith(t, user, password, spare[1])

	// Both moves are on record, before and after.
	said, stderr, code, err := g.command("audit", "show", g.auditDir())
	if err != nil || code != 0 || strings.Count(said, "store migrate") != 4 || !strings.Contains(said, "olga") {
		t.Errorf("the audit log says (%v, %d):\n%s\n%s", err, code, said, stderr)
	}
}
