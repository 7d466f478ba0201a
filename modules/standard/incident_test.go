package standard_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Everything about one person, and nothing about others, leaves in one folder that shows by itself whether it is as the
// gateway sealed it.
// Controls: CER-16, CTB-08.
func TestIncidentExport(t *testing.T) {
	o := operate(t, "idp", "voucher", "policy", "allow role staff", "backend", "reverse_proxy "+backend(t))
	audit := filepath.Join(o.Dir, "state", "audit")
	key := o.ok("audit", "key", audit)
	sam, zoe := as(t, o.Gateway, "app.test", "as=sam&roles=staff"), as(t, o.Gateway, "app.test", "as=zoe&roles=staff")
	get(t, sam, "https://app.test/of-sam")
	get(t, zoe, "https://app.test/of-zoe")
	awaitLog(t, o.Gateway, "/of-zoe", `"status":200`)
	log := filepath.Join(t.TempDir(), "gatehouse.json")
	if err := os.WriteFile(log, []byte(o.Log()+"no JSON\n"+`{"user":"voucher:sam","ts":1,"path":"/long-ago"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "case")
	export := func(dir string, more ...string) []string {
		return append([]string{"audit", "incident", dir, "--audit", audit, "--log", log}, more...)
	}
	o.no("whom or what", export(dir, "--since", "1h", "--why", "x")...)
	o.no("from when on", export(dir, "--user", "voucher:sam", "--why", "x")...)
	o.no("what it is for", export(dir, "--user", "voucher:sam", "--since", "1h")...)
	o.no("there is nothing", export(dir+"-none", "--user", "voucher:nobody", "--since", "1h", "--why", "x")...)
	o.ok(export(dir, "--user", "voucher:sam", "--since", "1h", "--why", "ticket 4711")...)
	o.no("folder of its own", export(dir, "--user", "voucher:sam", "--since", "1h", "--why", "ticket 4711")...)

	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := read("audit.jsonl"); !strings.Contains(got, "login.succeeded") || strings.Contains(got, "zoe") {
		t.Errorf("the audit log's part:\n%s", got)
	}
	if got := read("access.jsonl"); !strings.Contains(got, "/of-sam") || strings.Contains(got, "zoe") || strings.Contains(got, "long-ago") {
		t.Errorf("the log's part:\n%s", got)
	}
	if got := o.ok("audit", "incident", "--check", dir, "--key", key); !strings.Contains(got, "by olga: ticket 4711") {
		t.Errorf("the check: %s", got)
	}
	o.no("kept elsewhere", "audit", "incident", "--check", dir)
	if got := o.ok("audit", "show", audit, "--kind", "incident"); !strings.Contains(got, "manifest_sha256") || !strings.Contains(got, "ticket 4711") {
		t.Errorf("on record: %s", got)
	}

	// Whatever is changed afterwards shows.
	for name, want := range map[string]string{
		"audit.jsonl": "audit.jsonl was changed", "access.jsonl": "access.jsonl was changed", "manifest.json": "does not verify",
		"seal.record": "does not verify", "seal.tlog-proof": "does not verify", "epochs": "does not verify",
	} {
		was := read(name)
		i := strings.IndexAny(was, "0123456789")
		for _, text := range []string{was[:i] + string('0'+(was[i]-'0'+1)%10) + was[i+1:], was[:len(was)/2], ""} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			o.no(want, "audit", "incident", "--check", dir, "--key", key)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(was), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.no("does not verify", "audit", "incident", "--check", dir, "--key", strings.Replace(key, "+A", "+B", 1))
	o.ok("audit", "incident", "--check", dir, "--key", key)
}
