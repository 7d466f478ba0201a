package waf

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/verdict"
)

// exclusionFiles exclude in every way that a site's files can.
var exclusionFiles = RuleFiles{
	"before/a.conf": `# An exclusion of each kind: ctl:ruleRemoveById=1 in a comment is none.
SecRule REQUEST_FILENAME "@streq /wiki/save" \
    "id:1,phase:1,pass,nolog,t:none,\
    ctl:ruleRemoveTargetById=941100;ARGS:text,\
    ctl:ruleRemoveTargetById=941110;ARGS:/^te[xX]+t$/,ctl:ruleRemoveTargetByTag=attack-sqli;XML:/*"
SecRule REQUEST_FILENAME "@beginsWith /dav/" "id:2,phase:1,pass,nolog,chain"
    SecRule REQUEST_METHOD "@streq PUT" "ctl:ruleRemoveById=941160"
SecRule ARGS:word "@streq forbidden" "id:3,phase:2,deny,status:403,t:none,msg:'A word',ctl:ruleRemoveById=941390"
`,
	"after/b.conf":  "SecRuleRemoveById 942100-942199\nSecRuleUpdateTargetById 920272 \\\n    \"!ARGS:note\"\nSecRuleRemoveByTag attack-rce\n",
	"before/x.data": "ctl:ruleRemoveById=5\n",
}

// TestWithoutExclusions: every exclusion is gone, and everything else is as it was.
func TestWithoutExclusions(t *testing.T) {
	got := exclusionFiles.withoutExclusions()
	if got["before/x.data"] != exclusionFiles["before/x.data"] {
		t.Error("a data file has changed")
	}
	for name, text := range got {
		if strings.Count(text, "\n") != strings.Count(exclusionFiles[name], "\n") {
			t.Errorf("%s: lines have other numbers:\n%s", name, text)
		}
	}
	if left := got.exclusions(); len(left) != 3 || slices.ContainsFunc(left, func(w written) bool { return strings.Count(w.text, nothingExcluded) == 0 }) {
		t.Errorf("left: %+v", left)
	}
	save := func() *requestMaker { return &requestMaker{path: "/wiki/save", fields: []string{"text", scriptText}} }
	for _, tt := range []struct {
		name  string
		r     *requestMaker
		rules []int // that match only without exclusions
	}{
		{"a target, and one by expression", save(), []int{941100, 941110}},
		{"a rule in a directory", &requestMaker{path: "/dav/x", method: "PUT", fields: []string{"q", scriptText}}, []int{941160}},
		{"a rule for all", &requestMaker{path: "/", fields: []string{"q", "1' UNION SELECT a FROM b--"}}, []int{942100, 942190}},
	} {
		with, without := tt.r.judged(t, engineFor(t, exclusionFiles)), tt.r.judged(t, engineFor(t, got))
		for _, id := range tt.rules {
			if slices.Contains(with, id) || !slices.Contains(without, id) {
				t.Errorf("%s: rule %d: with exclusions %v, without %v", tt.name, id, with, without)
			}
		}
	}
	if v, _ := judge(engineFor(t, got), form("word", "forbidden")); v.Reason != verdict.WAFBlocked {
		t.Errorf("what a rule does besides excluding is gone: %+v", v)
	}
}

type requestMaker struct {
	method, path string
	fields       []string
}

// judged returns the rules that match.
func (m *requestMaker) judged(t *testing.T, e *Engine) []int {
	t.Helper()
	r := form(m.fields...)
	r.URL.Path, r.RequestURI = m.path, m.path
	if m.method != "" {
		r.Method = m.method
	}
	_, i := judge(e, r)
	return i.found.Rules
}

var enginesFor = map[string]*Engine{}

// engineFor compiles an engine of detect mode once for each set of files.
func engineFor(t *testing.T, files RuleFiles) *Engine {
	t.Helper()
	cfg := Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, Rules: files}
	if enginesFor[cfg.Key()] == nil {
		e, err := New(cfg, NewBudget(DefaultBudget))
		if err != nil {
			t.Fatal(cfg.locate(err))
		}
		enginesFor[cfg.Key()] = e
	}
	return enginesFor[cfg.Key()]
}

// TestExclusionsInFiles: what lint reads of them.
func TestExclusionsInFiles(t *testing.T) {
	var got []string
	for _, w := range exclusionFiles.exclusions() {
		line := strings.TrimPrefix(w.file, "before/") + " " + w.path
		for _, r := range w.removes {
			line += " | " + r.String()
		}
		got = append(got, line)
	}
	want := []string{
		"after/b.conf  | 942100-942199", "after/b.conf  | 920272 in ARGS:note", "after/b.conf  | attack-rce",
		"a.conf /wiki/save | 941100 in ARGS:text | 941110 in ARGS:/^te[xX]+t$/ | attack-sqli in XML:/*",
		"a.conf  | 941160", "a.conf  | 941390",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestLintAsksTheShadow: an exclusion whose rule matches in nothing that a shadow judges without exclusions is reported;
// without such a shadow in the log nothing is said.
func TestLintAsksTheShadow(t *testing.T) {
	files := RuleFiles{"before/a.conf": `SecRule REQUEST_FILENAME "@streq /wiki/save" \
    "id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=941100;ARGS:text,ctl:ruleRemoveTargetById=941110;ARGS:text"
SecRule REQUEST_FILENAME "@streq /x" "id:2,phase:1,pass,nolog,ctl:ruleRemoveTargetByTag=attack-xss;ARGS"
`, "after/a.conf": "SecRuleUpdateTargetById 942100 \"!ARGS:q\"\nSecRuleRemoveById 920350"}
	const access = `{"ts":1900000000.5,"logger":"gatehouse.access","path":"/wiki/save"}
{"ts":1900000000.5,"logger":"gatehouse.access","path":"/x"}
`
	shadow := func(path, matched, tried string) string {
		return `{"ts":1900000100.5,"logger":"http.handlers.gatehouse_waf.shadow","msg":"rules","path":"` + path + `","shadow_matched":"` + matched + `","shadow":"` + tried + `"}` + "\n"
	}
	lines := shadow("/wiki/save", "941100 ARGS:text markup/25/0123456789abcdef, 942100 ARGS:q text/3", "paranoia 2, no exclusions") +
		shadow("/y", "941110 ARGS:text markup/25, 941160 ARGS:note markup/25", "no exclusions") + shadow("/x", "941120 REQUEST_COOKIES:a text/9", "no exclusions")
	for name, tt := range map[string]struct {
		log  string
		want []string
	}{
		"no shadow":              {access, nil},
		"a shadow with others":   {access + shadow("/x", "", "paranoia 2"), nil},
		"a shadow":               {access + lines, []string{"941110 in ARGS:text", "attack-xss in ARGS", "920350"}},
		"a shadow that finds it": {access + lines + shadow("/x", "941160 ARGS:a text/9", "no exclusions"), []string{"941110 in ARGS:text", "920350"}},
	} {
		found, err := Unused(files, strings.NewReader(tt.log))
		if err != nil || len(found) != len(tt.want) {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
		for _, want := range tt.want {
			if !slices.ContainsFunc(found, func(w Warning) bool {
				return strings.HasPrefix(w.Text, want+" matched in no request") && strings.Contains(w.Text, "2030-03-17")
			}) {
				t.Errorf("%s: nothing about %s: %+v", name, want, found)
			}
		}
	}
}

// TestShadowReport: what would have been refused, and whose requests those were.
func TestShadowReport(t *testing.T) {
	line := func(msg, rest string) string {
		return `{"ts":1900000000.5,"logger":"http.handlers.gatehouse_waf.shadow","msg":"` + msg + `","site":"a","shadow":"paranoia 2",` + rest + "}\n"
	}
	refuse := func(path, rules, user, client string) string {
		return line("would_refuse", `"path":"`+path+`","shadow_rules":"`+rules+`","user":"`+user+`","client_ip":"`+client+`","request_id":"ID`+user+client+`"`)
	}
	log := filepath.Join(t.TempDir(), "log")
	text := refuse("/x", "942200", "local:ada", "192.0.2.1") + refuse("/x", "942200", "local:ada", "192.0.2.2") + refuse("/x", "942200", "", "192.0.2.3") +
		refuse("/x", "942200", "", "192.0.2.4") + refuse("/x", "942200", "", "192.0.2.5") + refuse("/y", "942200", "local:bob", "192.0.2.1") +
		line("judged", `"judged":1200,"dropped":3`) + line("rules", `"path":"/z"`)
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := commandLine(t, shadowCommand(), "--log", log, "--site", "a", "--top", "1")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Tried: paranoia 2. 1200 requests were judged, 3 came too fast. ", "refused 6 requests that passed", "in 1 others",
		"5      /x            942200  local:ada, 192.0.2.3, 192.0.2.4 and 1 others  ID192.0.2.5", "and 1 other combinations",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if out, err := commandLine(t, shadowCommand(), "--log", log, "--within", "1h"); err != nil || !strings.Contains(out, "refused 6 requests") {
		t.Errorf("%v\n%s", err, out) // these lines are of the year 2030
	}
	if _, err := commandLine(t, shadowCommand()); err == nil || !strings.Contains(err.Error(), "--log") {
		t.Error(err)
	}
}

// TestShadowFollowsTheRules: a shadow of another level judges by the site's rules as they are now, one of a candidate by the
// candidate as it is now, and one without exclusions leaves out the new ones, too.
func TestShadowFollowsTheRules(t *testing.T) {
	word := func(w string) RuleFiles {
		return RuleFiles{"before/a.conf": strings.ReplaceAll(forbidsWord, "%s", w) + "\nSecAction \"id:10002,phase:1,pass,nolog,ctl:ruleRemoveById=941100\""}
	}
	for name, c := range map[string]*ShadowConfig{"a level": {Paranoia: 2}, "a candidate": {Rules: "next"}, "no exclusions": {NoExclusions: true}} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Paranoia: 1, Mode: Block, BodyLimit: defaultBodyLimit, Rules: word("one")}
			h := &Handler{logger: zap.NewNop(), live: new(live), Rules: t.TempDir(), Shadow: c}
			p, err := h.plan(cfg)
			if err != nil {
				t.Fatal(err)
			}
			h.live.swap(p)
			sp, err := h.shadowPlan(cfg)
			if err != nil {
				t.Fatal(err)
			}
			h.shadow = &shadowing{Shadow: NewShadow(sp.site, 1), files: cfg.Rules}
			h.shadow.live.swap(sp)
			w := h.watcher(cfg, func(event.Event) {})
			if c.Rules != "" {
				w = h.shadowWatcher(cfg, func(event.Event) {})
			}
			if _, err := w.load(word("two")); err != nil {
				t.Fatal(err)
			}
			shadow := h.shadow.live.plan.Load().site
			if shadow.cfg.Mode != Detect {
				t.Error("the shadow blocks")
			}
			for text, want := range map[string]bool{"one": false, "two": true} {
				if _, i := judge(shadow, form("q", text)); i.found.Blocking != want {
					t.Errorf("%q: %+v, want %v", text, i.found, want)
				}
			}
			if _, i := judge(shadow, form("q", scriptText)); slices.Contains(i.found.Rules, 941100) != c.NoExclusions {
				t.Errorf("exclusions: %v", i.found.Rules)
			}
			if _, err := w.load(RuleFiles{"before/a.conf": "SecRule ARGS \"@rx (\" \"id:1,phase:1,deny\""}); err == nil {
				t.Error("broken rules are loaded")
			}
			if h.shadow.live.plan.Load().site != shadow {
				t.Error("broken rules took the shadow's away")
			}
			h.unshade()
			h.unshade()
			p, _ = h.live.close()
			h.release(p)
		})
	}
}

// FuzzExclusionsInFiles: whatever a file holds, its lines and directives stay where they are, and nothing is excluded twice over.
func FuzzExclusionsInFiles(f *testing.F) {
	for _, text := range exclusionFiles {
		f.Add(text)
	}
	f.Add("SecRule A \"@rx `\" \"ctl:ruleRemoveTargetById=1;ARGS:/a/,id:1\"\\\n# x\\\nSecRuleRemoveById 1")
	f.Fuzz(func(t *testing.T, text string) {
		files := RuleFiles{"before/a.conf": text}
		for _, w := range files.exclusions() {
			for _, r := range w.removes {
				_ = r.covers(Match{Rule: 941100, Target: "ARGS:text"})
			}
			_ = w.at("/")
		}
		got := withoutExclusions(text)
		if strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Fatalf("%q became %q", text, got)
		}
		if again := withoutExclusions(got); again != got {
			t.Errorf("%q, then %q", got, again)
		}
	})
}
