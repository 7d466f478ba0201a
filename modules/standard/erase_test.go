package standard_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is kept of a person is told to an officer, and erased by one: sessions, factors, devices, sealed records and what was last
// said of them are gone, what the audit log says of them cannot be read any more, and it verifies all the same. The certificate
// is checked with the log's public key, and names nobody.
// Controls: CTB-10, NAT-20, NAT-21.
func TestErasePerson(t *testing.T) {
	_, recipient := analyst(t)
	g := private(t, "local\nverify {\nnew_device allow\n}\nprivacy {\npayloads "+recipient+"\nreveal role analyst\nofficers role dpo\n}")
	audit := filepath.Join(g.Dir, "state", "audit")
	dan := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=dan&roles=staff,dpo")
	app, dans := dan.spare()
	eve := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=eve&roles=staff&email=eve@example.test")
	eve.spare()
	eve.want("a page", "/x", 200, "")
	// In a body, which is judged when it is known whose it is.
	res, body := call(t, eve.Client, "POST", "https://app.test/save", "q=%3Cscript%3Ealert(1)%3C/script%3E", "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://app.test")
	if res.StatusCode != 403 || !strings.Contains(body, "waf_blocked") {
		t.Fatalf("the attack: %d %s", res.StatusCode, body)
	}
	id := res.Header.Get("X-Request-Id")
	g.ok("api-key", "create", "--user", "voucher:eve", "--host", "app.test")
	g.ok("client-certificate", "bind", "sha256:"+strings.Repeat("ab", 32), "--user", "voucher:eve", "--host", "app.test")
	g.ok("grant", "give", "voucher:eve", "--role", "support", "--ticket", "T-1", "--approver", "voucher:dan", "--site", "app.test")
	g.ok("user", "add", "kim", "--role", "staff")
	bob := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=bob&roles=staff")
	g.WantEvent("session.created", `"user":"voucher:eve"`)

	ask := func(verb, code string, more ...string) []string {
		return append([]string{"privacy", verb, "voucher:eve", "--as", "voucher:dan", "--code", code, "--why", "request 7"}, more...)
	}
	g.no("it takes the role dpo", "privacy", "erase", "voucher:eve", "--as", "voucher:bob", "--code", "1", "--why", "a joke")
	g.no("the code is wrong", ask("erase", "000000")...)
	g.no("nobody erases themselves", "privacy", "erase", "voucher:dan", "--as", "voucher:dan", "--code", dans[0], "--why", "a joke")
	var x struct {
		Person string
		Known  []struct {
			Source   string
			Identity struct{ Email string }
		}
		Sealed []struct {
			RequestID string `json:"request_id"`
		} `json:"sealed_records"`
		Records []struct{ Kind string } `json:"audit_records"`
	}
	if err := json.Unmarshal([]byte(g.ok(ask("export", dans[1])...)), &x); err != nil {
		t.Fatal(err)
	}
	if x.Person != "voucher:eve" || len(x.Known) == 0 || x.Known[0].Identity.Email != "eve@example.test" || len(x.Sealed) != 1 || x.Sealed[0].RequestID != id || len(x.Records) < 3 {
		t.Errorf("exported: %+v", x)
	}
	g.WantEvent("privacy.exported", `"user":"voucher:dan"`, "request 7")

	// A count counts what erasing erases.
	said := g.ok(ask("erase", dans[2], "--dry-run")...)
	counted, unreadable, _ := strings.Cut(strings.TrimPrefix(said, "would be deleted: "), "; would be unreadable: ")
	for _, want := range []string{"sessions 1", "API keys 1", "client certificates 1", "support grants 1", "second factors 2", "devices and networks 2", "sealed records 1", "what providers said 1"} {
		if !strings.Contains(counted, want) {
			t.Errorf("counted: %s\nwant %s", said, want)
		}
	}
	unreadable, left, _ := strings.Cut(unreadable, "\nwould remain: ")
	if strings.HasPrefix(unreadable, "0 ") || !strings.HasSuffix(unreadable, " records of the audit log") || !strings.Contains(left, "what Caddy's loggers write, by name") {
		t.Errorf("counted: %s", said)
	}
	eve.want("a page", "/x", 200, "")

	file := filepath.Join(t.TempDir(), "certificate.json")
	key := g.ok("audit", "key", audit)
	g.ok(ask("erase", code(t, app, 1), "--out", file)...)
	eve.want("her session", "/x", 302, "/.gatehouse/login")
	bob.want("somebody else's", "/x", 200, "")
	show := g.ok("audit", "show", audit)
	if strings.Contains(show, "voucher:eve") || !strings.Contains(show, "voucher:bob") || !strings.Contains(show, "(what it says of a person was erased") {
		t.Errorf("the audit log:\n%s", show)
	}
	if out := g.ok("audit", "verify", audit, "--key", key); !strings.Contains(out, "erased, or sealed") {
		t.Errorf("verified:\n%s", out)
	}
	for _, text := range []string{"voucher:eve", "eve@example.test"} {
		nothing(t, g.Gateway, text, "log.json")
	}
	if files, _ := os.ReadDir(filepath.Join(g.Dir, "state", "payloads")); len(files) != 0 {
		t.Errorf("%d sealed records are left", len(files))
	}
	for _, text := range []string{"voucher:eve", "eve@example.test", `"eve"`} { // its signatures may hold any three letters
		if strings.Contains(content(file), text) {
			t.Errorf("the certificate says %s", text)
		}
	}
	if out := g.ok("privacy", "check", file, "--audit", audit, "--key", key, "--person", "voucher:eve"); !strings.Contains(out, ": "+counted+"\nwhat remained then: "+left) {
		t.Errorf("the certificate says %s", out)
	}
	g.no("not about voucher:bob", "privacy", "check", file, "--audit", audit, "--key", key, "--person", "voucher:bob")
	forged := filepath.Join(t.TempDir(), "forged.json")
	if err := os.WriteFile(forged, []byte(strings.Replace(content(file), `privacy.erased`, `privacy.Erased`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	g.no("not in the chain", "privacy", "check", forged, "--audit", audit, "--key", key)
	for _, list := range []string{g.ok("api-key", "list"), g.ok("client-certificate", "list"), g.ok("grant", "list", "--all")} {
		if strings.Contains(list, "eve") {
			t.Errorf("it is listed still:\n%s", list)
		}
	}
	// An account of the gateway's own.
	fay := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=fay&roles=staff,dpo")
	_, fays := fay.spare()
	kims := filepath.Join(t.TempDir(), "kim.json")
	g.ok("privacy", "erase", "local:kim", "--as", "voucher:fay", "--code", fays[0], "--why", "request 8", "--out", kims)
	if out := g.ok("privacy", "check", kims, "--audit", audit, "--key", key, "--person", "local:kim"); !strings.Contains(out, "accounts of local 1") {
		t.Errorf("the certificate says %s", out)
	}
	if list := g.ok("user", "list"); strings.Contains(list, "kim") {
		t.Errorf("she has an account:\n%s", list)
	}
	nothing(t, g.Gateway, "local:kim", "log.json")
	eve = comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=eve&roles=staff") // of the same name, and new
	eve.want("a page", "/x", 200, "")
}
