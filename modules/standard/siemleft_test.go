package standard_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What waits for a sink that was taken out of the configuration is told of, and goes in time or when somebody says so: on record.
func TestSinkThatIsGone(t *testing.T) {
	out := filepath.Join(t.TempDir(), "siem.json")
	house := func(sinks string) string { return "voucher\nsiem {\nsend file " + out + "\n" + sinks + "}" }
	both := house("send syslog tls://127.0.0.1:1 {\nname far\n}\nsend syslog tls://127.0.0.1:1 {\nname old\n}\n")
	g := operate(t, "idp", both, "policy", "public /*")
	g.no("no spool", "siem", "forget", "far", "--why", "case 8") // it has a sink
	get(t, g.Client(), "https://app.test/x")                     // the last record: nothing touches the spools after it
	spool := func(name string) string { return filepath.Join(g.Dir, "state", "siem", name) }
	written := func(name string) bool {
		files, _ := filepath.Glob(filepath.Join(spool(name), "*.spool"))
		return len(files) > 0 && strings.Contains(content(files[0]), "/x")
	}
	eventually(t, "records in both spools", func() bool { return written("far") && written("old") })
	files, _ := filepath.Glob(filepath.Join(spool("old"), "*.spool"))
	for _, f := range files {
		if err := os.Chtimes(f, time.Now(), time.Now().AddDate(0, 0, -31)); err != nil {
			t.Fatal(err)
		}
	}
	load := func(sinks string) {
		t.Helper()
		if err := g.Load(g.text("idp", house(sinks), "policy", "public /*")); err != nil {
			t.Fatal(err)
		}
	}
	load("")
	g.WantEvent("siem.left", `"sink":"far"`)
	eventually(t, "the old spool's end", func() bool { _, err := os.Stat(spool("old")); return os.IsNotExist(err) })
	if status := g.ok("siem", "status"); !strings.Contains(status, "far") || !strings.Contains(status, "names it no more") || strings.Contains(status, "old") {
		t.Errorf("status:\n%s", status)
	}
	if !written("far") {
		t.Error("what is young is gone")
	}
	g.no("--why", "siem", "forget", "far")
	if said := g.ok("siem", "forget", "far", "--why", "case 8"); !strings.HasPrefix(said, "removed ") || strings.HasPrefix(said, "removed 0 ") {
		t.Errorf("it said %s", said)
	}
	if _, err := os.Stat(spool("far")); !os.IsNotExist(err) {
		t.Errorf("it is there still: %v", err)
	}
	shown := g.ok("audit", "show", filepath.Join(g.Dir, "state", "audit"), "--kind", "siem.lost")
	for _, want := range []string{`sink="old"`, `sink="far"`, "case 8", "30 days"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the record does not say %s:\n%s", want, shown)
		}
	}
}
