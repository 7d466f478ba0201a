package standard_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// rolled makes a file that a logger rolled, whose newest record is so many days old.
func rolled(t *testing.T, live string, days int) string {
	t.Helper()
	at := time.Now().Add(-time.Duration(days) * 24 * time.Hour)
	file := strings.TrimSuffix(live, ".json") + at.Format("-2006-01-02T15-04-05.000") + "-time.json.gz"
	if err := os.WriteFile(file, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
	return file
}

func exists(file string) bool { _, err := os.Stat(file); return err == nil }

// BRF-10: logs of requests and of the WAF are removed after 30 days, those that loggers write and those that collectors' files
// are; a hold keeps them; what went is in the audit log, which verifies.
func TestLogsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	access, siem := filepath.Join(dir, "access.json"), filepath.Join(dir, "siem.json")
	gone := []string{rolled(t, access, 31), rolled(t, siem, 31)}
	kept := []string{rolled(t, access, 29), rolled(t, siem, 29)}
	with := func(house string) []string {
		return []string{"idp", "voucher\n " + house, "policy", "public /*", "backend", "reverse_proxy " + backend(t)}
	}
	o := operate(t, with("")...)
	record := filepath.Join(o.Dir, "state", "audit")
	o.ok("audit", "hold", "case-7", "--why", "the court asks")
	words := fmt.Sprintf("audit {\n logs %s\n }\n siem {\n send file %s\n }", access, siem)
	if err := o.Load(o.text(with(words)...)); err != nil {
		t.Fatal(err)
	}
	looked := regexp.MustCompile(regexp.QuoteMeta(access) + `: 2 files, 6 bytes, kept for 720h0m0s, the oldest of [0-9-]+, looked at [0-9]`)
	eventually(t, "a sweep", func() bool { return looked.MatchString(o.ok("audit", "status")) })
	for _, file := range append(gone, kept...) {
		if !exists(file) {
			t.Errorf("it is held, and gone: %s", file)
		}
	}

	o.ok("audit", "hold", "--release", "case-7")
	if err := o.Load(o.text(with(strings.Replace(words, "siem {", "siem {\n node other", 1))...)); err != nil {
		t.Fatal(err)
	}
	for _, file := range gone {
		eventually(t, "the removal of "+file, func() bool { return !exists(file) })
	}
	for _, file := range kept {
		if !exists(file) {
			t.Errorf("it is too young, and gone: %s", file)
		}
	}
	shown := o.ok("audit", "show", record, "--kind", "logs")
	for _, file := range gone {
		if !strings.Contains(shown, `logs.removed file="`+file+`" bytes="3" newest="`) {
			t.Errorf("%s is not on record:\n%s", file, shown)
		}
	}
	if out := o.ok("audit", "verify", record, "--key", o.ok("audit", "key", record)); !strings.HasPrefix(out, "verified ") {
		t.Errorf("verify: %s", out)
	}
}
