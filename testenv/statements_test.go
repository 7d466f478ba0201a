package testenv

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// TestStatementProfiles starts the configuration of each of the five statements as it is shipped (but for the name, the
// certificate, the port, the places of files, and with the lines that want what only an operator has) and has the gateway show, from outside, what of its statement holds. What fails is
// listed, with the reason.
func TestStatementProfiles(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	for name, missing := range map[string][]string{
		"cerebro":    {},
		"brainframe": {},
		"calbrix":    {},
		"cetbix":     {},
		"natalia":    {},
	} {
		t.Run(name, func(t *testing.T) {
			shipped, dir := shippedStatement(t, name)
			key, err := age.GenerateX25519Identity()
			if err != nil {
				t.Fatal(err)
			}
			g := startGateway(t, config{Backend: be.Listen, Caddyfile: shipped, Env: []string{
				"BACKUP_RECIPIENT=" + key.Recipient().String(), "ANALYSTS_RECIPIENT=" + key.Recipient().String(),
				"SECURITY_TXT_EXPIRES=" + time.Now().AddDate(0, 3, 0).Format(time.DateOnly),
				"ALERT_WEBHOOK=https://127.0.0.1:1/alerts", "ALERT_SECRET=whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32)),
			}})
			c := g.newClient()
			defer c.close()
			if a, err := c.do(request{Path: "/healthz"}); err != nil || a.Status != 200 {
				t.Errorf("/healthz: %v, %v", a, err)
			}
			if a, err := c.do(request{Path: "/"}); err != nil || a.Status != 401 {
				t.Errorf("/ of a stranger: %v, %v", a, err)
			}
			if err := os.Mkdir(filepath.Join(dir, "backup"), 0o700); err != nil {
				t.Fatal(err)
			}
			identity := filepath.Join(dir, "identity")
			if err := os.WriteFile(identity, []byte(key.String()+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			g.cliOut(t, "backup", "now", "--address", "unix/"+g.env["ADMIN"])
			files, err := filepath.Glob(filepath.Join(dir, "backup", "*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("backups: %v, %v", files, err)
			}
			g.cliOut(t, "backup", "verify", files[0], "--identity", identity, "--address", "unix/"+g.env["ADMIN"])
			r, stderr, _ := g.evidence(t, "--statement", name)
			prefix := map[string]string{"cerebro": "CER-", "brainframe": "BRF-", "calbrix": "CAL-", "cetbix": "CTB-", "natalia": "NAT-"}[name]
			var failed []string
			count := map[string]int{}
			for _, c := range r.Controls {
				if !strings.HasPrefix(c.ID, prefix) {
					continue
				}
				count[c.Status]++
				if c.Status == "fail" && c.ID != "NAT-17" { // which asks how this test is confined
					failed = append(failed, c.ID)
				}
			}
			t.Logf("%v, failed: %v", count, failed)
			if !slices.Equal(failed, missing) {
				t.Errorf("failed: %v, want %v\n%s", failed, missing, stderr)
			}
			if count["pass"] == 0 {
				t.Error("nothing passes")
			}
		})
	}
}

// shippedStatement is a statement's configuration as it is shipped, for a gateway of startGateway's, and the directory it lives in.
func shippedStatement(t testing.TB, name string) (text, dir string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "caddyfiles", name+".Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	if dir, err = os.MkdirTemp("", "gh"); err != nil { // short: sockets live in it
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	home := "{$GATEHOUSE_HOME:/tmp/gatehouse-" + name + "}"
	return strings.NewReplacer("https://localhost:{$PORT:8443}", "https://app.test:{$PORT}", "tls internal", "tls {$CERT} {$KEY}",
		"default_bind 127.0.0.1", "default_bind {$BIND}", home+"/admin.sock", "{$ADMIN}", home+"/state", "{$STATE}", home+"/access.log", "{$LOG}", home, dir,
		"{$BACKEND:127.0.0.1:8080}", "{$BACKEND}", "#> ", "").Replace(string(raw)), dir
}
