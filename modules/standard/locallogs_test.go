package standard_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
)

// NAT-05, BRF-23: the gateway's own log names nobody either, where the house says so: not in the lines of requests, events, bans and
// the shadow's; pseudonyms are those that collectors have; a tenant may have it otherwise; operators find people all the same.
func TestLocalLogsNameNobody(t *testing.T) {
	const canary = "kw7Rt2Xq9ZmCANARY42"
	out := filepath.Join(t.TempDir(), "siem.json")
	site := func(host, tenant string) string {
		return "https://" + host + ":{{addr}} {\n {{tls}}\n gatehouse {\n tenant " + tenant + "\n allow role staff\n }\n reverse_proxy " + backend(t) + "\n}"
	}
	g := operate(t,
		"idp", "voucher\n local\n tenant acme {\n }\n tenant open {\n }\n local_logs clear open\n siem {\n send file "+out+"\n }\n "+
			"ban {\n include_private\n jail waf 1000 in 5m for 1h\n honeypot /trap\n jail honeypot 1 in 1m for 1h\n }",
		"policy", "tenant acme\n allow role staff\n waf {\n shadow {\n paranoia 3\n }\n }", "backend", "reverse_proxy "+backend(t), "more", site("open.test", "open"))
	ann := as(t, g.Gateway, "app.test", "as=ann@example.com&roles=staff")
	for _, r := range append(canaried(t, canary), mustGet(t, "https://app.test/last-one")) {
		res, err := ann.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", r.URL.Path, err)
		}
		res.Body.Close()
	}
	bob := as(t, g.Gateway, "open.test", "as=bob@example.com&roles=staff")
	get(t, bob, "https://open.test/in-clear")
	g.ok("user", "add", "cleo", "--role", "staff", "--email", "cleo@example.com", "--display-name", "Cleo Nym")
	g.ok("ban", "add", "198.51.100.9", "--for", "1h", "--detail", "somebody@example.com again")
	eventually(t, "the last lines", func() bool {
		log := g.Log()
		return strings.Contains(log, "/in-clear") && strings.Contains(log, "/last-one") && strings.Contains(log, `"ban.added"`) && strings.Contains(log, `"user.created"`)
	})
	var lines int
	for _, line := range strings.Split(g.Log(), "\n") {
		for _, secret := range []string{canary, strings.ToLower(canary), "ann@", "203.0.113", "cleo", "Cleo", "somebody@", "198.51.100.9"} {
			if strings.Contains(line, secret) {
				t.Errorf("the log tells %q: %s", secret, line)
			}
		}
		if !strings.Contains(line, `"logger":"gatehouse`) && !strings.Contains(line, `"logger":"http`) {
			continue
		}
		switch open := strings.Contains(line, "open.test"); {
		case strings.Contains(line, "127.0.0.1") && !open && strings.Contains(line, "client"):
			t.Errorf("the log tells an address: %s", line)
		case open && strings.Contains(line, "/in-clear"):
			if !strings.Contains(line, `"client_ip":"127.0.0.1"`) || !strings.Contains(line, "bob@example.com") {
				t.Errorf("the log does not tell what it may: %s", line)
			}
			lines++
		case strings.Contains(line, "/last-one"):
			her := decode(t, line)[0]
			if her["client_net"] != "127.0.0.0/24" || !strings.HasPrefix(her["client_key"].(string), "ip_") ||
				her["user"] != g.ok("siem", "pseudonym", "user", "voucher:ann@example.com", "--tenant", "acme", "--why", "case 7") {
				t.Errorf("her line: %s", line)
			}
			eventually(t, "her pseudonym at the collector", func() bool { return strings.Contains(content(out), her["user"].(string)) })
			why := runCommand(t, "why", her["request_id"].(string), "--log", g.LogFile(), "--audit", filepath.Join(g.Dir, "state", "audit"))
			if !strings.Contains(why, her["user"].(string)) || !strings.Contains(why, "from "+her["client_key"].(string)+" in 127.0.0.0/24") {
				t.Errorf("why says: %s", why)
			}
			lines++
		}
	}
	if lines < 2 { // an event may name the path as well
		t.Errorf("%d lines were looked at", lines)
	}
	// What an administrator typed of a person is sealed with the person's key in the audit log, that they asked included.
	audit := filepath.Join(g.Dir, "state", "audit")
	segments, _ := filepath.Glob(filepath.Join(audit, "segment-*"))
	for _, file := range segments {
		if text := content(file); strings.Contains(text, "cleo@") || strings.Contains(text, "Cleo") || !strings.Contains(text, "admin.requested") {
			t.Errorf("%s has her address or name", file)
		}
	}
	if show := g.ok("audit", "show", audit, "--kind", "admin.requested"); len(segments) == 0 || !strings.Contains(show, `user="local:cleo"`) || !strings.Contains(show, `email="cleo@example.com"`) {
		t.Errorf("with the key it shows:\n%s", show)
	}
	if check := g.ok("ban", "check", "198.51.100.9"); !strings.Contains(check, "198.51.100.9") {
		t.Errorf("an operator is told: %s", check)
	}
}

func mustGet(t testing.TB, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Words that cannot be meant are refused; so is a log of Caddy's that would name people beside it.
func TestRefusedLocalLogs(t *testing.T) {
	for words, want := range map[string]string{
		"local_logs":                             "local_logs pseudonyms",
		"local_logs pseudonyms acme":             "local_logs pseudonyms",
		"local_logs clear acme":                  "",
		"local_logs clear two":                   "",
		"tenant acme {\n}\nlocal_logs clear two": `no tenant "two"`,
	} {
		err := gatetest.New(t).Load(fill(newcomer, pairs("idp", "local\n"+words)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", words, err, want)
		}
	}
	err := gatetest.New(t).Load(fill(newcomer, pairs("idp", "local\nlocal_logs pseudonyms", "policy", "allow authenticated\n}\nlog {\noutput discard")))
	if err == nil || !strings.Contains(err.Error(), "take `log` out of the sites") {
		t.Errorf("Caddy's log beside it: %v", err)
	}
}
