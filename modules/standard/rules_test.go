package standard_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

// awaitLog waits until the log holds all of want in one line, for as long as the slowest machine may take.
func awaitLog(t *testing.T, g *gatetest.Gateway, want ...string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for _, line := range strings.Split(g.Log(), "\n") {
			found := true
			for _, w := range want {
				found = found && strings.Contains(line, w)
			}
			if found {
				return
			}
		}
	}
	t.Fatalf("no line of the log holds %q:\n%s", want, g.Log())
}

// TestRulesOfARunningGateway: the canary tells of rules that look away, and changed files are taken up without a
// reload, if they compile.
// Controls: CTB-07.
func TestRulesOfARunningGateway(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("before/a.conf", `SecAction "id:10001,phase:1,pass,nolog,ctl:ruleEngine=Off"`)
	g := openSite(t, "policy", "public /*\n waf {\n rules "+dir+"\n }")
	c := g.Client()
	const attack = "https://app.test/?q=%3Cscript%3Ealert(1)%3C/script%3E"
	awaitLog(t, g, "waf.canary_failed", `"site":"app.test"`, "let through")
	if res, _ := get(t, c, attack); res.StatusCode != http.StatusOK {
		t.Fatalf("the rules do not look away: %d", res.StatusCode)
	}
	write("before/a.conf", "SecMarker NOTHING")
	awaitLog(t, g, "waf.rules_loaded", `"site":"app.test"`)
	if res, _ := get(t, c, attack); res.StatusCode != http.StatusForbidden {
		t.Errorf("the mended rules are not in use: %d", res.StatusCode)
	}
	write("before/b.conf", "\nSecRule ARGS \"@rx (\" \"id:10002,phase:2,deny\"")
	awaitLog(t, g, "waf.rules_rejected", "before/b.conf:2: ")
	if res, _ := get(t, c, attack); res.StatusCode != http.StatusForbidden {
		t.Errorf("a broken file changed the rules in use: %d", res.StatusCode)
	}
}

// What a higher paranoia level would have refused is told, and refuses nothing.
func TestShadowRefusesNothingAndTells(t *testing.T) {
	g := openSite(t, "policy", "public /*\n waf {\n shadow {\n paranoia 4\n share 100%\n }\n }")
	const target = "https://app.test/?q=~!@%23%24%25%5E%26*()-%3D%2B%7B%7D%5B%5D%7C"
	res, body := get(t, g.Client(), target)
	if res.StatusCode != 200 {
		t.Fatalf("the live rules refuse it: %d %s", res.StatusCode, body)
	}
	awaitLog(t, g, `"msg":"would_refuse"`, res.Header.Get("X-Request-Id"))
}
