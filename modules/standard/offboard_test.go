package standard_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// BRF-20: a tenant that has left is counted, and off-boarded by an officer: sessions, accounts, keys, links, grants, bans and
// sealed records of it are gone, and all of people who were nobody else's; what the audit log says of those cannot be read, nobody
// can tell the tenant's pseudonyms, and the log verifies. Another tenant has what it had, people who belong to both included. The
// certificate is checked with the log's public key.
func TestOffboardTenant(t *testing.T) {
	_, recipient := analyst(t)
	out := filepath.Join(t.TempDir(), "siem.json")
	house := "voucher\nlocal\ntenant acme {\nproviders voucher local\n}\ntenant bolt {\nproviders voucher\n}\nverify {\nnew_device allow\n}\n" +
		"siem {\nsend file " + out + " {\nroll 100 10 7d\n}\n}\nprivacy {\npayloads " + recipient + "\nreveal role analyst\nofficers role dpo\n}"
	words := []string{"idp", house, "policy", "tenant bolt\nallow role staff", "backend", "reverse_proxy " + backend(t)}
	g := operate(t, append(words, "more", "https://acme.test:{{addr}} {\n{{tls}}\ngatehouse {\ntenant acme\nallow role staff\nallow service_account robot\n}\nreverse_proxy "+backend(t)+"\n}")...)
	audit := filepath.Join(g.Dir, "state", "audit")
	dan := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=dan&roles=staff,dpo")
	app, dans := dan.spare()
	both := as(t, g.Gateway, "app.test", "as=bob&roles=staff")
	logIn(t, both, "acme.test", "voucher", "as=bob&roles=staff")
	ann := as(t, g.Gateway, "acme.test", "as=ann&roles=staff&email=ann@example.test")
	wantStatus(t, ann, "https://acme.test/x", 200)
	res, _ := call(t, ann, "POST", "https://acme.test/save", "q=%3Cscript%3Ealert(1)%3C/script%3E", "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://acme.test")
	if res.StatusCode != 403 {
		t.Fatalf("the attack: %d", res.StatusCode)
	}
	g.ok("user", "add", "eve", "--role", "staff") // never logs in, and belongs to acme by her provider alone
	g.ok("service-account", "add", "robot", "--tenant", "acme")
	g.ok("service-account", "add", "other", "--tenant", "bolt")
	g.ok("api-key", "create", "--account", "robot", "--host", "acme.test")
	g.ok("api-key", "create", "--user", "voucher:ann", "--tenant", "acme", "--host", "acme.test")
	g.ok("api-key", "create", "--user", "voucher:bob", "--tenant", "acme", "--host", "acme.test")
	g.ok("api-key", "create", "--user", "voucher:bob", "--tenant", "bolt", "--host", "app.test")
	g.ok("link", "create", "--for", "ines", "--host", "acme.test", "--path", "/x")
	g.ok("link", "create", "--for", "ines", "--host", "app.test", "--path", "/x")
	g.ok("grant", "give", "voucher:bob", "--role", "support", "--ticket", "T-1", "--approver", "voucher:dan", "--site", "acme.test", "--tenant", "acme")
	g.ok("ban", "add", "tenant:acme", "--for", "1h")
	locked := g.ok("contain", "read-only", "--tenant", "acme", "--for", "1h", "--reason", "ticket 8")
	asked := func(who string) string {
		return g.ok("siem", "pseudonym", "user", "voucher:"+who, "--tenant", "acme", "--why", "case 7")
	}
	her := asked("ann")
	eventually(t, "her pseudonym at the collector", func() bool { return strings.Contains(content(out), her) })

	ask := func(tenant, code string, more ...string) []string {
		return append([]string{"privacy", "offboard", tenant, "--as", "voucher:dan", "--code", code, "--why", "contract 7 ended"}, more...)
	}
	g.no("still has sites (acme.test)", ask("acme", dans[0])...)
	if err := g.Load(g.text(words...)); err != nil {
		t.Fatal(err)
	}
	g.no("it takes the role dpo", "privacy", "offboard", "acme", "--as", "voucher:bob", "--code", "1", "--why", "a joke")
	g.no("the code is wrong", ask("acme", "000000")...)
	g.no("still has sites (app.test)", ask("bolt", dans[0])...)
	g.no("is not one of tenant acme", ask("acme", dans[0], "--site", "app.test")...)
	want := []string{"2 people;", "sessions 2", "accounts of local 1", "API keys 3", "links 1", "support grants 1", "bans 1", "containment switches 1", "sealed records 1", "service accounts 1", "what providers said 2", "devices and networks ", "keys of the audit log ", "keys of pseudonyms 1"}
	said := g.ok(ask("acme", dans[1], "--dry-run")...)
	for _, w := range want {
		if !strings.Contains(said, w) {
			t.Errorf("counted: %s\nwant %s", said, w)
		}
	}
	if again := g.ok(ask("acme", dans[2], "--dry-run")...); again[:60] != said[:60] {
		t.Errorf("counting changed something:\n%s\n%s", said, again)
	}

	file, key := filepath.Join(t.TempDir(), "certificate.json"), g.ok("audit", "key", audit)
	g.ok(ask("acme", code(t, app, 1), "--out", file)...)
	check := g.ok("privacy", "check", file, "--audit", audit, "--key", key, "--tenant", "acme")
	counted, _, _ := strings.Cut(strings.TrimPrefix(said, "would be deleted: 2 people; "), "; would be unreadable")
	// What nobody can take out of files is said, with its end: the local log by name, the collectors' file under pseudonyms.
	_, left, _ := strings.Cut(said, "\nwould remain: ")
	days := func(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format(time.DateOnly) }
	for _, w := range []string{"lines of " + out + ", under pseudonyms, until the day after " + days(7), "what Caddy's loggers write, by name", "395 days"} {
		if !strings.Contains(left, w) {
			t.Errorf("what remains: %s\nwant %s", left, w)
		}
	}
	if !strings.Contains(check, ": "+counted+"\nwhat remained then: "+left) {
		t.Errorf("counted %s\nand the certificate says %s", counted, check)
	}
	g.no("not about the tenant bolt", "privacy", "check", file, "--audit", audit, "--key", key, "--tenant", "bolt")
	g.no("not about acme", "privacy", "check", file, "--audit", audit, "--key", key, "--person", "acme")
	show := g.ok("audit", "show", audit)
	for _, gone := range []string{"voucher:ann", "local:eve"} {
		if strings.Contains(show, gone) {
			t.Errorf("the audit log tells of %s:\n%s", gone, show)
		}
		nothing(t, g.Gateway, gone, "log.json", "access.log")
	}
	if !strings.Contains(show, "voucher:bob") || !strings.Contains(show, "privacy.offboarded") {
		t.Errorf("the audit log:\n%s", show)
	}
	if !regexp.MustCompile(`containment.lifted session="` + locked + `".* ended_by="offboarding"`).MatchString(show) {
		t.Errorf("the audit log does not say that the switch %s was lifted:\n%s", locked, show)
	}
	g.ok("audit", "verify", audit, "--key", key)
	g.no("was destroyed", "siem", "pseudonym", "user", "voucher:ann", "--tenant", "acme", "--why", "case 7")
	g.no("was destroyed", "siem", "pseudonym", "user", "voucher:ann", "--tenant", "acme", "--why", "case 7", "--day", time.Now().AddDate(0, -1, 0).Format(time.DateOnly))
	wantStatus(t, both, "https://app.test/x", 200)
	dan.want("a page", "/x", 200, "")
	if keys := g.ok("api-key", "list"); !strings.Contains(keys, "voucher:bob") || strings.Count(keys, "\n") != 1 {
		t.Errorf("keys:\n%s", keys)
	}
	if accounts := g.ok("service-account", "list"); strings.Contains(accounts, "robot") || !strings.Contains(accounts, "other") {
		t.Errorf("service accounts:\n%s", accounts)
	}
	if files, _ := os.ReadDir(filepath.Join(g.Dir, "state", "payloads")); len(files) != 0 {
		t.Errorf("%d sealed records are left", len(files))
	}
	// The name may be another's later, whose pseudonyms are others.
	if err := g.Load(g.text(append(words, "more", "https://acme.test:{{addr}} {\n{{tls}}\ngatehouse {\ntenant acme\nallow role staff\n}\nreverse_proxy "+backend(t)+"\n}")...)); err != nil {
		t.Fatal(err)
	}
	if again := asked("ann"); again == her {
		t.Errorf("she is %s again", again)
	}
	wantStatus(t, ann, "https://acme.test/x", 401)
}
