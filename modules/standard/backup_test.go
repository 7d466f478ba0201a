package standard_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"gatehouse.internal/modules/backup"
	"gatehouse.internal/modules/internal/store"
)

// A backup is made at once, verified by whoever has the identity, and all of that is on record; one that is damaged is, too.
func TestBackup(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	to, identity := t.TempDir(), filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(identity, []byte(id.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	o := operate(t, "idp", "local\n backup {\n recipient "+id.Recipient().String()+"\n to "+to+"\n keep 3\n }")
	o.ok("user", "add", "ada", "--role", "staff")
	made := o.ok("backup", "now")
	m := regexp.MustCompile(`^(gatehouse-\S+\.age)  \d+ bytes, \d+ items in \d+ keyspaces, in .*\nsha256 ([0-9a-f]{64})$`).FindStringSubmatch(made)
	if m == nil {
		t.Fatalf("now: %s", made)
	}
	file := filepath.Join(to, m[1])
	if list := o.ok("backup", "list"); !strings.Contains(list, m[1]) || !strings.Contains(list, "None has been verified yet") {
		t.Errorf("list: %s", list)
	}
	if got := o.ok("backup", "verify", file, "--identity", identity, "--sha256", m[2]); !regexp.MustCompile(`verified in (?s:.*)user +1 (?s:.*)audit log +[1-9]\d* records`).MatchString(got) {
		t.Errorf("verify: %s", got)
	}
	if list := o.ok("backup", "list"); !strings.Contains(list, "Last verified at") {
		t.Errorf("list: %s", list)
	}
	// On another machine: what was found is brought to the gateway as a file.
	elsewhere := filepath.Join(t.TempDir(), "found.json")
	if err := os.WriteFile(elsewhere, []byte(o.ok("backup", "verify", file, "--identity", identity, "--offline", "--json")), 0o600); err != nil {
		t.Fatal(err)
	}
	o.ok("backup", "report", elsewhere)
	foreign := strings.ReplaceAll(string(mustRead(t, elsewhere)), m[2], strings.Repeat("0", 64))
	if err := os.WriteFile(elsewhere, []byte(foreign), 0o600); err != nil {
		t.Fatal(err)
	}
	o.no("none of this gateway's backups", "backup", "report", elsewhere)
	bad := filepath.Join(t.TempDir(), m[1])
	if err := os.WriteFile(bad, mustRead(t, file)[:500], 0o600); err != nil {
		t.Fatal(err)
	}
	o.no("damaged", "backup", "verify", bad, "--identity", identity)

	record := o.ok("audit", "show", filepath.Join(o.Dir, "state", "audit"))
	for _, want := range []string{`admin.requested .*/gatehouse/backup/now`, `backup.made .*sha256="` + m[2], `backup.verified .*file="` + regexp.QuoteMeta(m[1]), `backup.unfit .*damaged`} {
		if !regexp.MustCompile(want).MatchString(record) {
			t.Errorf("the record does not say %s:\n%s", want, record)
		}
	}
}

func mustRead(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// restored are the keyspaces that a restore keeps; whoever makes a new one has to say here or in backup.Fleeting which it is.
var restored = []store.Bucket{
	"access_review", "access_review.alerted", "apikey", "apikey.used", "authn.clock", "ban", "ban_count", "ban_history", "certmagic", "clientcert", "clientcert.revoked", "containment", "keys", "link",
	"mfa", "mfa.guard", "notice", "oidc", "pseudonym", "ratelimit", "register", "roster", "seal", "seal.used", "service", "standing", "support", "user", "verify", "verify.mail",
}

func TestEveryKeyspaceIsRestoredOrNot(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^(?:const |var |\t)?\w+ +(?:store\.Bucket += "|= store\.Bucket\("|Bucket += ")([a-z_.]+)"`)
	n := 0
	sources(t, func(text string) {
		for _, m := range declared.FindAllStringSubmatch(text, -1) {
			n++
			if b := store.Bucket(m[1]); slices.Contains(restored, b) == slices.Contains(backup.Fleeting, b) {
				t.Errorf("the keyspace %s: is it restored from a backup (the list here), or not (backup.Fleeting)?", b)
			}
		}
	})
	if n < 35 {
		t.Errorf("%d keyspaces found: the test is blind", n)
	}
}
