package standard_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// CER-12, row A of the audit log's dangers: the record is copied away by itself, to a directory in which nothing can be changed; it
// is verified against that, and an operator hears of a copy that fails.
func TestAuditIsCopied(t *testing.T) {
	place := filepath.Join(t.TempDir(), "worm")
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chattr", "+a", place).CombinedOutput(); err == nil { // where that can be had, as root
		t.Cleanup(func() { _ = exec.Command("chattr", "-R", "-a", place).Run() })
	} else {
		t.Logf("an ordinary directory: %s", out)
	}
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(note string, places ...string) []string {
		return []string{"policy", "allow role staff", "idp", fmt.Sprintf("local\n audit {\n copy %s\n }\n siem {\n node %s\n send stdout {\n streams waf\n }\n }", strings.Join(places, "\n copy "), note)}
	}
	o := operate(t, with("one", place)...)
	dir := filepath.Join(o.Dir, "state", "audit")
	eventually(t, "a copy", func() bool { _, err := os.Stat(filepath.Join(place, "epochs")); return err == nil })
	o.ok("user", "add", "ada", "--role", "staff")
	if err := o.Load(o.text(with("two", place, blocked)...)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was done, in the copy", func() bool {
		// Of whom it was about the copy says nothing without the person's key, which is not copied.
		shown := o.ok("audit", "show", place, "--key", o.ok("audit", "key", dir))
		return strings.Contains(shown, "admin.done") && strings.Contains(shown, `operator="olga"`) && !strings.Contains(shown, "ada")
	})
	if out := o.ok("audit", "verify", dir, "--copy", place); strings.Contains(out, "not compared") {
		t.Errorf("verify: %s", out)
	}
	o.no("no copy of an audit log", "audit", "verify", dir, "--copy", t.TempDir())
	awaitLog(t, o.Gateway, "audit.copy_failed")
	if got := o.metrics(); !strings.Contains(got, fmt.Sprintf("gatehouse_audit_copy_up{copy=%q} 0", blocked)) || !strings.Contains(got, fmt.Sprintf("gatehouse_audit_copy_up{copy=%q} 1", place)) {
		t.Error("the metric does not say which copy fails")
	}
	if got := o.ok("audit", "status"); !strings.Contains(got, "copy "+blocked+": 0 records, NOT UP TO DATE") || strings.Contains(got, "copy "+place+": 0 records") {
		t.Errorf("status: %s", got)
	}

	// Mended, it catches up.
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if err := o.Load(o.text(with("three", place, blocked)...)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other copy", func() bool {
		_, err := o.run("audit", "verify", dir, "--copy", blocked)
		return err == nil
	})
	for words, want := range map[string]string{"copy here": "absolute path", "copy": "has not the arguments", "copy " + dir + "/x": "own directory", "copy /a\n copy /a": "there twice"} {
		if err := o.Load(o.text("idp", "local\n audit {\n "+words+"\n }")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", words, err)
		}
	}
}
