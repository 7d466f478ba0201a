package testenv

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// madeAgo has the gateway, which does not run, remember its last backup as so old.
func (g *gateway) madeAgo(t testing.TB, ago time.Duration) {
	t.Helper()
	file := filepath.Join(g.env["STATE"], "backup.json")
	text, err := os.ReadFile(file)
	var book map[string]any
	if err == nil {
		err = json.Unmarshal(text, &book)
	}
	made, _ := book["made"].(map[string]any)
	if err != nil || made == nil {
		t.Fatalf("%s: %v", text, err)
	}
	for _, which := range []string{"made", "last_carried"} {
		if of, ok := book[which].(map[string]any); ok {
			of["time"] = time.Now().Add(-ago).UTC().Format(time.RFC3339)
		}
	}
	if text, err = json.Marshal(book); err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestBackupSchedule: BRF-15 (every hour) and CAL-23 (every day): a backup is made when the one before is so old, and not before, by
// nobody's command; each is restored for trial, and carried elsewhere by a program (CAL-24). While the directory is not there it fails, which is on record, and an alert; so is the age
// of the last good one, when that is twice what it should be.
func TestBackupSchedule(t *testing.T) {
	t.Parallel()
	for name, every := range map[string]time.Duration{"hourly": time.Hour, "daily": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			be := startBackend(t)
			id, err := age.GenerateX25519Identity()
			if err != nil {
				t.Fatal(err)
			}
			safe, identity := filepath.Join(t.TempDir(), "safe"), filepath.Join(t.TempDir(), "identity")
			if err := os.Mkdir(safe, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(identity, []byte(id.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			carry, away := filepath.Join(t.TempDir(), "carry"), filepath.Join(t.TempDir(), "bucket")
			if err := errors.Join(os.Mkdir(away, 0o700), os.WriteFile(carry, []byte("#!/bin/sh\n[ -d \"$2\" ] || { echo no such bucket; exit 1; }\nexec cp \"$1\" \"$2\"\n"), 0o700)); err != nil {
				t.Fatal(err)
			}
			g := startGateway(t, config{Backend: be.Listen, House: defaultHouse + "\n\t\tbackup {\n\t\t\trecipient " + id.Recipient().String() +
				"\n\t\t\tto " + safe + "\n\t\t\tcarry " + carry + " {file} " + away + "\n\t\t\tevery " + every.String() + "\n\t\t}\n\t\talert {\n\t\t\twebhook http://127.0.0.1:1 {\n\t\t\t\tsecret a-secret-for-nobody-at-all-here\n\t\t\t\tinsecure_plain\n\t\t\t}\n\t\t\tinterval 5s\n\t\t}"})
			admin := []string{"--address", "unix/" + g.env["ADMIN"]}
			var verified []string
			files := func() (all []string) {
				found, err := filepath.Glob(filepath.Join(safe, "gatehouse-*.age"))
				if err != nil {
					t.Fatal(err)
				}
				slices.Sort(found)
				return found
			}
			newest := func(n int) {
				t.Helper()
				eventually(t, readyIn, "a backup that nobody asked for", func() bool { return len(files()) == n && g.metric(t, "gatehouse_backup_age_seconds") < 60 })
				file := files()[n-1]
				if said := g.cliOut(t, append([]string{"backup", "verify", file, "--identity", identity}, admin...)...); !strings.Contains(said, "verified in") || slices.Contains(verified, file) {
					t.Errorf("verify %s: %s", file, said)
				}
				verified = append(verified, file)
				if copied, err := filepath.Glob(filepath.Join(away, "*.age")); err != nil || len(copied) != n {
					t.Errorf("elsewhere are %v, %v", copied, err)
				}
			}
			newest(1)
			restart := func(ago time.Duration) {
				t.Helper()
				if err := g.stop(); err != nil {
					t.Fatal(err)
				}
				g.madeAgo(t, ago)
				if err := g.start(); err != nil {
					t.Fatal(err)
				}
			}
			restart(every - 10*time.Minute)
			if age := g.metric(t, "gatehouse_backup_age_seconds"); len(files()) != 1 || age < (every-10*time.Minute).Seconds() {
				t.Errorf("before it is due: %d backups, the last of %v s", len(files()), age)
			}
			restart(every + time.Second)
			newest(2)

			// What cannot be carried elsewhere does not count: it is told of, and its age is that of the last one that is there.
			if err := os.Rename(away, away+".gone"); err != nil {
				t.Fatal(err)
			}
			restart(every + 2*time.Second)
			eventually(t, readyIn, "a backup that cannot be carried", func() bool { return g.metric(t, `gatehouse_events_total{kind="backup.failed"}`) > 0 })
			if said := g.cliOut(t, append([]string{"backup", "list"}, admin...)...); !strings.Contains(said, "It is not elsewhere: ") || !strings.Contains(said, "no such bucket") || len(files()) != 3 {
				t.Errorf("backup list: %s", said)
			}
			if err := os.Rename(away+".gone", away); err != nil {
				t.Fatal(err)
			}

			// Nothing can be written, and the last good one grows old.
			if err := os.Rename(safe, safe+".away"); err != nil {
				t.Fatal(err)
			}
			restart(2*every + time.Minute)
			eventually(t, readyIn, "the failure on record", func() bool { return g.metric(t, `gatehouse_events_total{kind="backup.failed"}`) > 0 })
			eventually(t, 2*readyIn, "the alert", func() bool {
				return strings.Contains(g.cliOut(t, append([]string{"alert", "list"}, admin...)...), "GatehouseBackup")
			})
			said := g.cliOut(t, append([]string{"alert", "list"}, admin...)...)
			for _, want := range []string{"twice as old as it should ever be", "could not be made"} {
				eventually(t, 2*readyIn, "the alert that says "+want, func() bool {
					said = g.cliOut(t, append([]string{"alert", "list"}, admin...)...)
					return strings.Contains(said, want)
				})
			}
			if said := g.cliOut(t, append([]string{"backup", "list"}, admin...)...); !strings.Contains(said, "The last try failed") {
				t.Errorf("backup list: %s", said)
			}
			if got := g.metric(t, "gatehouse_backup_every_seconds"); got != every.Seconds() {
				t.Errorf("it is to be made each %v s", got)
			}
			if err := os.Rename(safe+".away", safe); err != nil {
				t.Fatal(err)
			}
			record := g.cliOut(t, "audit", "show", g.auditDir(), "--kind", "backup")
			if made, failed := strings.Count(record, "backup.made"), strings.Count(record, "backup.failed"); made != 3 || failed != 2 || strings.Count(record, "backup.carried") != 2 || strings.Count(record, "backup.verified") != 2 {
				t.Errorf("on record: %d made, %d failed\n%s", made, failed, record)
			}
			if requested := g.cliOut(t, "audit", "show", g.auditDir(), "--kind", "admin"); strings.Contains(requested, "/gatehouse/backup/now") {
				t.Errorf("somebody asked for one:\n%s", requested)
			}
		})
	}
}
