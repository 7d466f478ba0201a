package testenv

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/pquerna/otp/totp"
)

// TestRestoreOnAnEmptyMachine: a gateway that people use makes a backup of itself. On a machine where no gateway has been, which has
// the identity, it is verified and restored, and everybody logs in with the same password and the same authenticator application
// (BRF-14, BRF-15, CAL-21, CAL-22, CAL-23, CTB-09). Nobody is still logged in, and the audit log of before verifies.
// Controls: CAL-24, NAT-20.
func TestRestoreOnAnEmptyMachine(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	safe, identity := t.TempDir(), filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(identity, []byte(id.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := config{
		Backend: be.Listen, MFA: "admin_roles admin", Site: "allow role staff",
		House: defaultHouse + "\n\t\tbackup {\n\t\t\trecipient " + id.Recipient().String() + "\n\t\t\tto " + safe + "\n\t\t\tevery 1h\n\t\t}",
	}
	before := startGateway(t, conf)
	before.secret(alicesPassword)
	alice, secret := before.enrolledUser(t)

	// It goes on while a backup is made.
	stop, answered := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				answered <- n
				return
			default:
			}
			if a, err := alice.do(request{Path: "/"}); err == nil && a.Status == 200 {
				n++
			} else {
				t.Errorf("while a backup was made: %v, %v", a, err)
			}
		}
	}()
	said := before.cli(t, "backup", "now", "--address", "unix/"+before.env["ADMIN"])
	close(stop)
	if n := <-answered; n == 0 {
		t.Error("no request was made meanwhile: it tests nothing")
	}
	m := regexp.MustCompile(`(gatehouse-\S+\.age)  (?s:.*)sha256 ([0-9a-f]{64})`).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("backup now: %s", said)
	}
	file := filepath.Join(safe, m[1])
	key := strings.TrimSpace(before.cli(t, "audit", "key", before.auditDir()))
	if got := before.cli(t, "backup", "verify", file, "--identity", identity, "--sha256", m[2], "--audit-key", key, "--address", "unix/"+before.env["ADMIN"]); !strings.Contains(got, "verified in") {
		t.Errorf("verify: %s", got)
	}
	for _, want := range []string{"gatehouse_backup_age_seconds", "gatehouse_backup_verified_age_seconds"} {
		metrics, err := before.adminGet("/metrics")
		if err != nil {
			t.Fatal(err)
		}
		v := regexp.MustCompile(`(?m)^` + want + ` (\S+)$`).FindSubmatch(metrics)
		if v == nil {
			t.Errorf("no metric %s", want)
		} else if age, err := strconv.ParseFloat(string(v[1]), 64); err != nil || age <= 0 || age > 60 {
			t.Errorf("%s is %s", want, v[1])
		}
	}
	cut := filepath.Join(t.TempDir(), m[1])
	if whole, err := os.ReadFile(file); err != nil || os.WriteFile(cut, whole[:len(whole)-100], 0o600) != nil {
		t.Fatal(err)
	}
	if _, stderr, code, err := before.command("backup", "verify", cut, "--identity", identity, "--address", "unix/"+before.env["ADMIN"]); err != nil || code == 0 || !strings.Contains(stderr, "damaged") {
		t.Errorf("a backup that was cut: exit code %d, %v\n%s", code, err, stderr)
	}
	record := before.cli(t, "audit", "show", before.auditDir(), "--kind", "backup")
	for _, want := range []string{"backup.made", "backup.verified", "backup.unfit"} {
		if !strings.Contains(record, want) {
			t.Errorf("%s is not on record:\n%s", want, record)
		}
	}
	if err := before.kill9(); err != nil {
		t.Fatal(err)
	}

	// The other machine: another directory, another port, nothing in it.
	began := time.Now()
	after, err := newGateway(gatehouseBin(t), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := after.close(); err != nil {
			t.Error(err)
		}
	})
	after.secret(alicesPassword)
	after.cli(t, "backup", "restore", file, "--identity", identity, "--sha256", m[2], "--audit-key", key, "--to", after.env["STATE"])
	if err := after.start(); err != nil {
		t.Fatal(err)
	}
	t.Logf("from nothing to a gateway that answers: %v", time.Since(began).Round(time.Millisecond))
	if after.setupLink() != "" {
		t.Error("the restored gateway looks for its first user")
	}
	old := after.stranger(t)
	if a := old.must(t, request{Path: "/", Header: map[string][]string{"Cookie": {sessionCookie + "=" + alice.cookie(sessionCookie)}}}); a.Status == 200 {
		t.Error("a session of before the restore is alive")
	}
	c := after.stranger(t)
	a, err := c.login("alice", alicesPassword, "/")
	if err != nil {
		t.Fatal(err)
	}
	c.proveApp(t, a, secret)
	if a := c.get(t, "/"); a.Status != 200 {
		t.Errorf("with the same password and the same factor: %d\n%s", a.Status, excerpt(a.Body, 500))
	}
	if got := after.cli(t, "audit", "verify", filepath.Join(after.env["STATE"], "audit-before"), "--key", key); !strings.Contains(got, "verified") {
		t.Errorf("the audit log of before: %s", got)
	}
	if got := after.cli(t, "audit", "show", after.auditDir(), "--kind", "backup.restored"); !strings.Contains(got, m[2]) {
		t.Errorf("that it was restored is not on record: %s", got)
	}
}

// enrolledUser sets up the first user, with an authenticator application whose secret it returns.
func (g *gateway) enrolledUser(t testing.TB) (*client, string) {
	t.Helper()
	c := g.newUser(t, "alice", alicesPassword)
	page := c.visit(t, "/.gatehouse/mfa/app")
	f, err := page.form()
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.ReplaceAll(regexp.MustCompile(`[A-Z2-7]{4}( [A-Z2-7]{4}){7}`).FindString(string(page.Body)), " ", "")
	if secret == "" {
		t.Fatalf("no secret in the page:\n%s", excerpt(page.Body, 3000))
	}
	g.secret(secret)
	f.Fields.Set("code", appCode(t, secret, time.Now()))
	if a, err := c.submit(f); err != nil || a.Status != 200 || !strings.Contains(string(a.Body), "backup codes") {
		t.Fatalf("setting up an application: %v\n%s", err, excerpt(a.Body, 2000))
	}
	return c, secret
}

func appCode(t testing.TB, secret string, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// proveApp goes on from a login to the page that asks for a code, and types that of the next step: this one's was used.
func (c *client) proveApp(t testing.TB, login *answer, secret string) {
	t.Helper()
	to, err := url.Parse(login.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	page := c.visit(t, to.RequestURI())
	for i := 0; page.Status == 302 || page.Status == 303; i++ {
		if to, err = url.Parse(page.Header.Get("Location")); err != nil || i > 5 {
			t.Fatalf("led on and on: %v", err)
		}
		page = c.visit(t, to.RequestURI())
	}
	f, err := page.form()
	if err != nil {
		t.Fatal(err)
	}
	f.Fields.Set("code", appCode(t, secret, time.Now().Add(30*time.Second)))
	if a, err := c.submit(f); err != nil || a.Status >= 400 {
		t.Fatalf("the code: %v, %d\n%s", err, a.Status, excerpt(a.Body, 2000))
	}
}
