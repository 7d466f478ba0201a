package testenv

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cli runs the gateway's command line and returns what it printed.
func (g *gateway) cli(t testing.TB, args ...string) string {
	t.Helper()
	stdout, stderr, code, err := g.command(args...)
	if err != nil || code != 0 {
		t.Fatalf("gatehouse %s: exit code %d, %v\n%s%s", strings.Join(args, " "), code, err, stdout, stderr)
	}
	return stdout + stderr
}

// TestShadow: what a higher paranoia level would have refused, and of whom, is told from the log, and so is which exclusions
// nobody needs; a candidate for the rules is promoted and holds within seconds. Nobody's request is refused meanwhile.
func TestShadow(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	dir := t.TempDir()
	rules, next := filepath.Join(dir, "rules"), filepath.Join(dir, "next")
	const exclusions = `# Expires: 2099-12-31
SecRule REQUEST_FILENAME "@streq /whoami" "id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetByTag=attack-xss;ARGS:text"
# Expires: 2099-12-31
SecRule REQUEST_FILENAME "@streq /whoami" "id:2,phase:1,pass,nolog,ctl:ruleRemoveTargetById=942100;ARGS:title"
`
	writeRules(t, rules, exclusions)
	writeRules(t, next, exclusions+`SecRule ARGS:word "@streq forbidden" "id:3,phase:2,deny,status:403,log,msg:'A word'"`)
	g := startGateway(t, config{Backend: be.Listen, Site: "public /search\n" + "allow role staff\n" +
		"waf {\n rules " + rules + "\n shadow {\n paranoia 2\n exclusions off\n share 100%\n }\n }"})
	alice := g.newUser(t, "alice", "two cranes over a tin roof")

	save := request{Method: http.MethodPost, Path: "/whoami", Header: typed("application/x-www-form-urlencoded"),
		Body: []byte("title=hello&text=%3Cscript%3Ealert(1)%3C/script%3E")}
	if a := alice.must(t, save); a.Status != http.StatusOK {
		t.Fatalf("an excluded save: %d %s", a.Status, excerpt(a.Body, 300))
	}
	if a := g.stranger(t).get(t, "/search?q=a'+or+b"); a.Status != http.StatusOK {
		t.Fatalf("what only a higher level minds: %d %s", a.Status, excerpt(a.Body, 300))
	}

	// A shadow rests four times as long as it worked, and has the requests of the login before it.
	eventually(t, 2*time.Minute, "the shadow has told", func() bool {
		told, err := g.lines("would_refuse")
		return err == nil && len(told) == 2
	})
	said := g.cli(t, "waf", "shadow", "--log", g.env["LOG"], "--site", "app.test")
	for _, want := range []string{"Tried: paranoia 2, no exclusions. ", "/whoami", "/search", "local:alice", "127.0.0.1", "would have refused 2 requests that passed"} {
		if !strings.Contains(said, want) {
			t.Errorf("the report does not say %q:\n%s", want, said)
		}
	}
	lint := g.cli(t, "waf", "lint", "--log", g.env["LOG"], rules)
	if !strings.Contains(lint, "before/site.conf:4: 942100 in ARGS:title matched in no request that the shadow judged without exclusions") || strings.Contains(lint, "attack-xss") {
		t.Errorf("lint says:\n%s", lint)
	}
	if strings.Contains(said+lint, "alert") {
		t.Errorf("what people typed is told:\n%s\n%s", said, lint)
	}

	word := request{Method: http.MethodPost, Path: "/whoami", Header: typed("application/x-www-form-urlencoded"), Body: []byte("word=forbidden")}
	if a := alice.must(t, word); a.Status != http.StatusOK {
		t.Fatalf("before the candidate is promoted: %d", a.Status)
	}
	told := g.cli(t, "waf", "promote", "--from", next, "--to", rules)
	if !strings.Contains(told, "changed before/site.conf") {
		t.Errorf("promote says:\n%s", told)
	}
	eventually(t, readyIn, "the promoted rules hold", func() bool { return alice.must(t, word).Status == http.StatusForbidden })
	if kept, err := filepath.Glob(rules + ".before-*"); err != nil || len(kept) != 1 {
		t.Errorf("what was live is kept as %v, %v", kept, err)
	}
	if text, err := os.ReadFile(filepath.Join(rules, "before", "site.conf")); err != nil || !strings.Contains(string(text), "A word") {
		t.Errorf("%v\n%s", err, text)
	}
	eventually(t, logSoonIn, "the load of the rules is counted", func() bool {
		return g.metric(t, `gatehouse_waf_rule_loads_total{result="loaded",site="app.test"}`) == 1
	})
}
