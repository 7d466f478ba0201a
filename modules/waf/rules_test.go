package waf

import (
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"gatehouse.internal/modules/internal/verdict"
)

func TestReadRules(t *testing.T) {
	tests := []struct {
		name, file, text string
		want             string // part of the error; "" when it is fine
	}{
		{"a rule", "before/a.conf", `SecRule ARGS "@rx x" "id:1,phase:2,pass"`, ""},
		{"an exclusion", "after/a.conf", "# why\nSecRuleUpdateTargetById 942100 \\\n  \"!ARGS:q\"\n", ""},
		{"a dataset", "before/a.conf", "SecDataset bad `\nSecRuleEngine Off\n`\nSecAction \"id:1\"", ""},
		{"data beside rules", "before/a.conf", `SecRule ARGS "@pmFromFile words.data" "id:1,phase:2,pass"`, ""},
		{"engine off", "before/a.conf", "SecAction \"id:1\"\nsecruleengine Off", "before/a.conf:2: secruleengine"},
		{"after a continued line", "before/a.conf", "SecAction \\\n\"id:1\"\nSecAuditLog /tmp/x", "before/a.conf:3"},
		{"after a dataset", "before/a.conf", "SecDataset bad `\nx\n`\nSecDebugLog /tmp/x", "before/a.conf:4"},
		{"include", "before/a.conf", "Include /etc/passwd", "Include"},
		{"a tab after the word", "before/a.conf", "SecRuleEngine\tOff", "SecRuleEngine"},
		{"elsewhere", "a.conf", `SecAction "id:1"`, "folder before"},
		{"deeper", "before/x/a.conf", `SecAction "id:1"`, "folder before"},
		{"none", "before/a.txt", "x", "no rule file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadRules(fstest.MapFS{tt.file: {Data: []byte(tt.text)}, ".git/config": {Data: []byte("x")}})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("err = %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("a directory too big", func(t *testing.T) {
		if _, err := ReadRules(fstest.MapFS{"before/a.conf": {Data: make([]byte, maxRuleBytes+1)}}); err == nil {
			t.Fatal("no error")
		}
	})
}

func TestSiteRules(t *testing.T) {
	e, err := New(Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, Rules: RuleFiles{
		"before/10-words.conf":     `SecRule ARGS "@pmFromFile words.data" "id:10,phase:2,deny,status:403,log,msg:'A forbidden word: %{MATCHED_VAR}'"`,
		"before/words.data":        "xyzzy\nplugh\n",
		"before/20-exclusion.conf": `SecRule REQUEST_FILENAME "@streq /wiki/save" "id:20,phase:1,pass,nolog,t:none,ctl:ruleRemoveTargetByTag=OWASP_CRS;ARGS:text"`,
		"after/10.conf":            `SecRuleRemoveById 913100`,
	}}, NewBudget(DefaultBudget))
	if err != nil {
		t.Fatal(err)
	}
	v, i := judge(e, get("/?q=xyzzy"))
	if v.Reason != verdict.WAFBlocked || i.found.RuleList() != "10" {
		t.Errorf("own rule: %+v, rules %v", v, i.found.Rules)
	}
	if want := "A forbidden word: %{MATCHED_VAR}"; i.found.Message != want {
		t.Errorf("message %q, want %q: nothing of the request may be in it", i.found.Message, want)
	}
	if strings.Contains(v.Detail, "xyzzy") {
		t.Errorf("detail %q quotes the request", v.Detail)
	}
	if v, i := judge(e, agent(get("/"), "sqlmap/1.8")); v.Given() {
		t.Errorf("rule removed after CRS: %+v %v", v, i.found.Rules)
	}
	r := body("POST", "/wiki/save", "application/x-www-form-urlencoded", "text=%3Cscript%3Ealert(1)%3C%2Fscript%3E")
	if v, i := judge(e, r); v.Given() {
		t.Errorf("excluded argument: %+v %v", v, i.found.Rules)
	}
	if v, _ := judge(e, body("POST", "/wiki/save", "application/x-www-form-urlencoded", "title=%3Cscript%3Ealert(1)%3C%2Fscript%3E")); !v.Given() {
		t.Error("an exclusion of one argument let another through")
	}
}

func TestBrokenRulesAreRefused(t *testing.T) {
	for name, cfg := range map[string]Config{
		"paranoia":       {Paranoia: 5, Mode: Block, BodyLimit: 1},
		"mode":           {Paranoia: 1, Mode: "off", BodyLimit: 1},
		"zero":           {},
		"body limit":     {Paranoia: 1, Mode: Block, BodyLimit: MaxBodyLimit + 1},
		"a broken rule":  {Paranoia: 1, Mode: Block, BodyLimit: 1, Rules: RuleFiles{"before/a.conf": `SecRule ARGS "@rx (" "id:1,phase:2"`}},
		"the same id":    {Paranoia: 1, Mode: Block, BodyLimit: 1, Rules: RuleFiles{"before/a.conf": `SecAction "id:942100,phase:2,pass"`}},
		"a missing file": {Paranoia: 1, Mode: Block, BodyLimit: 1, Rules: RuleFiles{"before/a.conf": `SecRule ARGS "@pmFromFile /etc/passwd" "id:1,phase:2,pass"`}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(cfg, NewBudget(1)); err == nil {
				t.Fatal("compiled")
			}
		})
	}
}

func TestKey(t *testing.T) {
	base := Config{Paranoia: 1, Mode: Block, BodyLimit: 10, Rules: RuleFiles{"before/a.conf": "SecMarker A"}}
	same := base
	same.Rules = RuleFiles{"before/a.conf": "SecMarker A"}
	if base.Key() != same.Key() {
		t.Error("equal configurations have different keys")
	}
	seen := map[string]bool{base.Key(): true}
	for i, change := range []func(*Config){
		func(c *Config) { c.Paranoia = 2 },
		func(c *Config) { c.Mode = Detect },
		func(c *Config) { c.BodyLimit = 11 },
		func(c *Config) { c.Rules = nil },
		func(c *Config) { c.Rules = RuleFiles{"before/a.conf": "SecMarker B"} },
		func(c *Config) { c.Rules = RuleFiles{"after/a.conf": "SecMarker A"} },
	} {
		c := base
		change(&c)
		if seen[c.Key()] {
			t.Errorf("change %d does not change the key", i)
		}
		seen[c.Key()] = true
	}
}

// panics is an operator that panics on the value "panic".
type panics struct{}

func (panics) Evaluate(_ plugintypes.TransactionState, value string) bool {
	if value == "panic" {
		panic("secret " + value)
	}
	return false
}

func init() {
	plugins.RegisterOperator("gatehouseTestPanic", func(plugintypes.OperatorOptions) (plugintypes.Operator, error) {
		return panics{}, nil
	})
}

func TestPanicsFailClosed(t *testing.T) {
	rule := RuleFiles{"before/a.conf": `SecRule ARGS:p "@gatehouseTestPanic x" "id:1,phase:2,pass,t:none"`}
	for _, mode := range []Mode{Block, Detect} {
		e, err := New(Config{Paranoia: 1, Mode: mode, BodyLimit: testLimit, Rules: rule}, NewBudget(DefaultBudget))
		if err != nil {
			t.Fatal(err)
		}
		v, i := judge(e, form("p", "panic"))
		if !i.panics || i.outcome != Failed {
			t.Errorf("%s: outcome %q", mode, i.outcome)
		}
		if strings.Contains(v.Detail, "secret") {
			t.Errorf("%s: the detail %q quotes the panic", mode, v.Detail)
		}
		if refused := v.Reason == verdict.WAFFailed; refused != (mode == Block) || v.Given() != refused {
			t.Errorf("%s: verdict %+v", mode, v)
		}
		if mode == Block && !strings.Contains(v.Detail, "rules_test.go") {
			t.Errorf("detail %q does not say where", v.Detail)
		}
		if v, _ := judge(e, form("p", "fine")); v.Given() {
			t.Errorf("%s: the next request: %+v", mode, v)
		}
		if used := e.budget.Used(); used != 0 {
			t.Errorf("%s: %d bytes still in use", mode, used)
		}
	}
}

// TestPortalBodiesAreNotRead: a password may hold anything, and nothing of it may be found, noted or held.
func TestPortalBodiesAreNotRead(t *testing.T) {
	e := engineAt(t, 1, Block)
	const password = "password=%27%20OR%201%3D1%20--%3Cscript%3Ealert(1)%3C/script%3E"
	r := body("POST", "/.gatehouse/login/local", "application/x-www-form-urlencoded", password)
	i := e.Inspect("r")
	defer i.Close()
	if v := i.Head(r, testClient); v.Given() {
		t.Fatalf("head: %+v %v", v, i.found.Rules)
	}
	original := r.Body
	if v := i.Body(r); v.Given() || len(i.found.Rules) > 0 || i.skipped != "rule" {
		t.Fatalf("body: %+v %v, skipped %q", v, i.found.Rules, i.skipped)
	}
	if r.Body != original || e.budget.Used() != 0 {
		t.Error("the body was read")
	}
	if v, _ := judge(e, get("/.gatehouse/login?x=%3Cscript%3Ealert(1)%3C/script%3E")); !v.Given() {
		t.Error("the portal's other arguments are not inspected")
	}
	if v, _ := judge(e, body("POST", "/x/.gatehouse/login", "application/x-www-form-urlencoded", password)); !v.Given() {
		t.Error("a path that only contains the prefix is not inspected")
	}
}

func TestUnusedEnginesAreReleased(t *testing.T) {
	e, err := New(Config{Paranoia: 1, Mode: Block, BodyLimit: 77}, NewBudget(1))
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan struct{})
	runtime.AddCleanup(e, func(int) { close(released) }, 0) // runs when release does, which is attached the same way
	i := e.Inspect("in flight")
	e = nil
	runtime.GC()
	runtime.GC()
	select {
	case <-released:
		t.Fatal("released while a request was in flight")
	default:
	}
	if v := i.Head(get("/"), testClient); v.Given() {
		t.Fatalf("%+v", v)
	}
	i.Close()
	runtime.KeepAlive(i)
	i = nil
	count := open.Load() // engines of other tests may go as well, so that only fewer is certain
	for deadline := time.After(10 * time.Second); ; runtime.GC() {
		select {
		case <-released:
			if open.Load() >= count {
				continue // its own cleanup is next
			}
			return
		case <-deadline:
			t.Fatal("not released")
		default:
		}
	}
}

func TestMessage(t *testing.T) {
	for raw, want := range map[string]string{
		`SecRule A "@rx b" "id:1,msg:'It\'s bad',tag:'x'"`: `It\'s bad`,
		`SecRule A "@rx b" "id:1"`:                         "",
		`SecRule A "@rx b" "msg:'open`:                     "",
	} {
		if got := message(raw); got != want {
			t.Errorf("message(%s) = %q, want %q", raw, got, want)
		}
	}
}

func TestOurCookiesAreNotShown(t *testing.T) {
	value := strings.Repeat("aZ09-_.=", 5)
	tests := []struct{ name, header, want string }{
		{"alone", "__Host-gatehouse=" + value, ""},
		{"between", "a=1; __Host-gatehouse_session=" + value + "; b=2", "a=1; b=2"},
		{"first", "__Host-gatehouse=" + value + "; b=2", "b=2"},
		{"twice", "__Host-gatehouse=x; __Host-gatehouse=y;a=1", "a=1"},
		{"attack in our name", "__Host-gatehouse=' or 1=1", "__Host-gatehouse=' or 1=1"},
		{"attack in the name", "__Host-gatehouse<script>=x", "__Host-gatehouse<script>=x"},
		{"in another's value", "a=__Host-gatehouse=x", "a=__Host-gatehouse=x"},
		{"other case", "__host-Gatehouse=x", "__host-Gatehouse=x"},
		{"none", `a=1;b="2" ; c`, `a=1;b="2" ; c`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := withoutOurs(tt.header); got != tt.want {
				t.Fatalf("%q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzOurCookies(f *testing.F) {
	f.Add("a=1; __Host-gatehouse=x; b=2")
	f.Add("__Host-gatehouse=';a;__Host-gatehouse")
	f.Fuzz(func(t *testing.T, header string) {
		got := withoutOurs(header)
		if again := withoutOurs(got); again != got {
			t.Fatalf("%q -> %q -> %q", header, got, again)
		}
		// Whatever could be an attack must still be there.
		for _, pair := range strings.Split(header, ";") {
			if pair = strings.Trim(pair, " \t"); !harmless(pair) && !strings.Contains(got, pair) {
				t.Fatalf("%q lost %q: %q", header, pair, got)
			}
		}
	})
}

// TestPluginsOfCRS: a plugin in the form of CRS's own works in a site's directory, and its settings come first.
func TestPluginsOfCRS(t *testing.T) {
	plugin := func(enabled string) RuleFiles {
		return RuleFiles{
			"before/wiki-rule-exclusions-config.conf": `SecAction "id:9599010,phase:1,nolog,pass,t:none,ver:'wiki-rule-exclusions-plugin/1.0.0',setvar:tx.wiki-rule-exclusions-plugin_enabled=` + enabled + `"`,
			"before/wiki-rule-exclusions-before.conf": `SecRule &TX:wiki-rule-exclusions-plugin_enabled "@eq 0" "id:9599098,phase:1,pass,nolog,ver:'wiki-rule-exclusions-plugin/1.0.0',setvar:'tx.wiki-rule-exclusions-plugin_enabled=1'"
SecRule TX:wiki-rule-exclusions-plugin_enabled "@eq 0" "id:9599099,phase:1,pass,nolog,ctl:ruleRemoveById=9599100-9599999"
SecRule REQUEST_FILENAME "!@endsWith /save" "id:9599100,phase:1,pass,t:none,nolog,skipAfter:END-WIKI-SAVE"
SecRule REQUEST_METHOD "@streq POST" "id:9599101,phase:1,pass,t:none,nolog,ctl:ruleRemoveTargetByTag=attack-xss;ARGS:text,ctl:ruleRemoveTargetByTag=OWASP_CRS;ARGS:raw"
SecMarker "END-WIKI-SAVE"`,
			"after/wiki-rule-exclusions-after.conf": `SecRuleUpdateTargetById 942100 "!ARGS:note"`,
		}
	}
	for enabled, want := range map[string]verdict.Reason{"1": "", "0": verdict.WAFBlocked} {
		e := engineOf(t, Config{Rules: plugin(enabled)})
		if v, i := judge(e, form("text", scriptText)); v.Reason != want {
			t.Errorf("enabled %s: %+v %v, want %q", enabled, v, i.found.Rules, want)
		}
		if v, i := judge(e, form("title", scriptText)); v.Reason != verdict.WAFBlocked {
			t.Errorf("enabled %s: another argument: %+v %v", enabled, v, i.found.Rules)
		}
		if on, why := e.Prover(); !on {
			t.Errorf("the prover is off: %s", why)
		}
	}
}
