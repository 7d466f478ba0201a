package seclang_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse.internal/modules/waf/seclang"
)

func TestTheShippedRulesAreReadAsCorazaCompilesThem(t *testing.T) {
	for level := 1; level <= 4; level++ {
		sources := shipped(t, level)
		p, err := seclang.Parse(texts{}, sources)
		if err != nil {
			t.Fatal(err)
		}
		observed, count, err := compile(texts{}, sources)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(observed, count); err != nil {
			t.Errorf("level %d: %v", level, err)
		}
		if len(p.Unread) > 0 {
			t.Errorf("level %d: unread: %q", level, p.Unread)
		}
		if count < 500 {
			t.Errorf("level %d: %d rules: this is not CRS", level, count)
		}
	}
}

func TestCheckTellsWhatDiffers(t *testing.T) {
	sources := []seclang.Source{{Text: `SecAction "id:1,phase:1,pass"
SecMarker END`}}
	observed, count, err := compile(texts{}, sources)
	if err != nil {
		t.Fatal(err)
	}
	p, err := seclang.Parse(texts{}, sources)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(observed, count); err != nil {
		t.Fatalf("equal, and yet: %v", err)
	}
	for name, change := range map[string]func() ([]seclang.Observed, int){
		"one rule less": func() ([]seclang.Observed, int) { return observed[:1], count },
		"one rule more": func() ([]seclang.Observed, int) { return append(observed[:2:2], observed[0]), count },
		"another count": func() ([]seclang.Observed, int) { return observed, count + 1 },
		"another marker": func() ([]seclang.Observed, int) {
			o := append([]seclang.Observed{}, observed...)
			o[1].Marker = "X"
			return o, count
		},
		"another phase": func() ([]seclang.Observed, int) {
			o := append([]seclang.Observed{}, observed...)
			o[0].Phase = 2
			return o, count
		},
		"another raw": func() ([]seclang.Observed, int) {
			o := append([]seclang.Observed{}, observed...)
			o[0].Raw += "x"
			return o, count
		},
		"the other order": func() ([]seclang.Observed, int) { return []seclang.Observed{observed[1], observed[0]}, count },
	} {
		if o, n := change(); p.Check(o, n) == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

// one parses a single rule.
func one(t *testing.T, text string) *seclang.Rule {
	t.Helper()
	p, err := seclang.Parse(texts{}, []seclang.Source{{Text: text}})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if len(p.Rules) == 0 {
		t.Fatalf("%s: no rule", text)
	}
	return p.Rules[len(p.Rules)-1]
}

func TestTargets(t *testing.T) {
	type T = seclang.Target
	for _, row := range []struct {
		name, text string
		want       []T
	}{
		{"plain", "REQUEST_URI", []T{{Variable: "REQUEST_URI"}}},
		{"lower case", "request_uri", []T{{Variable: "REQUEST_URI"}}},
		{"keys are folded", "REQUEST_HEADERS:User-Agent", []T{{Variable: "REQUEST_HEADERS", Key: "user-agent"}}},
		{"but not of arguments", "ARGS:Name|ARGS_GET_NAMES:B", []T{{Variable: "ARGS", Key: "Name"}, {Variable: "ARGS_GET_NAMES", Key: "B"}}},
		{"exceptions are", "ARGS|!ARGS:Name", []T{{Variable: "ARGS"}, {Variable: "ARGS", Key: "name", Negated: true}}},
		{"count", "&ARGS|&TX:A", []T{{Variable: "ARGS", Count: true}, {Variable: "TX", Key: "a", Count: true}}},
		{"pattern", `TX:/^A\S|b$/|ARGS`, []T{{Variable: "TX", Key: `^a\s|b$`, Regex: true}, {Variable: "ARGS"}}},
		{"pattern of arguments", `ARGS:/^A/`, []T{{Variable: "ARGS", Key: `^A`, Regex: true}}},
		{"quoted pattern", `ARGS|!ARGS:'/a|b/'|TX:x`, []T{{Variable: "ARGS"}, {Variable: "ARGS", Key: `a|b`, Regex: true, Negated: true}, {Variable: "TX", Key: "x"}}},
		{"escaped slash", `ARGS:/a\/b/|TX`, []T{{Variable: "ARGS", Key: `a\/b`, Regex: true}, {Variable: "TX"}}},
		{"path", "XML:/*|XML://@*", []T{{Variable: "XML", Key: "/*"}, {Variable: "XML", Key: "//@*"}}},
		{"everything but everything", "ARGS|!ARGS", []T{{Variable: "ARGS"}, {Variable: "ARGS", Negated: true}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			rule := one(t, `SecRule `+row.text+` "@rx x" "id:1,phase:1,pass"`)
			if diff := cmp.Diff(row.want, rule.Targets); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOperators(t *testing.T) {
	for _, row := range []struct {
		text string
		want seclang.Operator
	}{
		{`abc d`, seclang.Operator{Name: "rx", Argument: "abc d"}},
		{`!abc`, seclang.Operator{Name: "rx", Argument: "abc", Negated: true}},
		{`!`, seclang.Operator{Name: "rx", Negated: true}},
		{``, seclang.Operator{Name: "rx"}},
		{`@beginsWith  /x `, seclang.Operator{Name: "beginswith", Argument: "/x"}},
		{`!@eq 0`, seclang.Operator{Name: "eq", Argument: "0", Negated: true}},
		{`@rx a\"b\\c`, seclang.Operator{Name: "rx", Argument: `a"b\\c`}},
	} {
		if got := one(t, `SecRule ARGS "`+row.text+`" "id:1,phase:1,pass"`).Op; cmp.Diff(row.want, got) != "" {
			t.Errorf("%q: %+v, want %+v", row.text, got, row.want)
		}
	}
}

func TestActions(t *testing.T) {
	const defaults = "SecDefaultAction \"phase:1,log,noauditlog,deny,setvar:tx.d=1\"\n"
	for _, row := range []struct{ name, text, want string }{
		{"phase 2 is assumed to log and pass", `SecAction "id:1"`, "id=1 log= auditlog= pass= L A"},
		{"phase 1 assumes nothing", `SecAction "id:1,phase:1"`, "id=1 phase=1"},
		{"defaults come first", defaults + `SecAction "id:1,phase:1,nolog,setvar:tx.a=b"`, "id=1 phase=1 log= noauditlog= setvar=tx.d=1 nolog= setvar=tx.a=b deny="},
		{"block means the default", defaults + `SecAction "id:1,phase:1,block"`, "id=1 phase=1 log= noauditlog= setvar=tx.d=1 deny= L"},
		{"another overrides it", defaults + `SecAction "id:1,phase:1,pass"`, "id=1 phase=1 log= noauditlog= setvar=tx.d=1 pass= L"},
		{"the last disruptive one counts", `SecAction "id:1,phase:1,deny,t:none,pass"`, "id=1 phase=1 pass= t=none"},
		{"quotes and commas", `SecAction "id:'1',phase:1,msg:'a, b: c',setvar:'tx.a=b,c'"`, "id=1 phase=1 msg=a, b: c setvar=tx.a=b,c"},
		{"words of phases", `SecAction "id:1,phase:response"`, "id=1 phase=response"},
	} {
		t.Run(row.name, func(t *testing.T) {
			rule := one(t, row.text)
			var words []string
			for _, a := range rule.Actions {
				words = append(words, a.Name+"="+a.Value)
			}
			if rule.Log {
				words = append(words, "L")
			}
			if rule.Audit {
				words = append(words, "A")
			}
			if got := strings.Join(words, " "); got != row.want {
				t.Errorf("%s\nwant %s", got, row.want)
			}
		})
	}
	rule := one(t, `SecAction "id:1,phase:1,t:lowercase,t:none,t:urlDecodeUni,t:NONE2,capture,multiMatch,tag:a,tag:b"`)
	if diff := cmp.Diff([]string{"urldecodeuni", "none2"}, rule.Transformations); diff != "" || !rule.Capture || !rule.MultiMatch || len(rule.Tags) != 2 {
		t.Errorf("%+v", rule)
	}
}

func TestLinesAndFiles(t *testing.T) {
	files := texts{
		"d/a.conf": "# comment\nSecAction \\\n  \"id:1,\\\n# within\nphase:1\"\n\nInclude b.conf\nSecAction \"id:3,phase:1\"\nSecAction \"id:9,phase:1\" \\",
		"d/b.conf": "SecDataset bad `\none\n# no\n two\n`\nSecRule ARGS \"@pmFromDataset bad\" \"id:2,phase:1\"",
	}
	sources := []seclang.Source{{File: "d/a.conf"}, {Text: `SecAction "id:4,phase:1"`}}
	p, err := seclang.Parse(files, sources)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rule := range p.Rules {
		got = append(got, fmt.Sprintf("%d %s:%d %s %q", rule.ID, rule.File, rule.Line, rule.At, rule.Op.Dataset))
	}
	want := []string{
		`1 d/a.conf:5 d/a.conf:5 []`, `2 d/b.conf:13 d/b.conf:6 ["one" "two"]`, `3 :14 d/a.conf:8 []`, `4 _inline_:16 _inline_:1 []`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	observed, count, err := compile(files, sources)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(observed, count); err != nil {
		t.Error(err)
	}
}

func TestRemovalsAndUpdates(t *testing.T) {
	const three = `SecRule ARGS "@rx a" "id:1,phase:1,deny,tag:x"
SecRule ARGS|TX "@rx a" "id:2,phase:1,deny,tag:y,chain"
  SecRule ARGS "@rx b" "t:none"
SecRule ARGS "@rx a" "id:3,phase:1,deny,tag:x,tag:y"
`
	for _, row := range []struct{ name, text, want string }{
		{"by id", "SecRuleRemoveById 1 3", "2:ARGS,TX>ARGS deny"},
		{"by range", "SecRuleRemoveById 2-3 77", "1:ARGS deny"},
		{"by tag", "SecRuleRemoveByTag y", "1:ARGS deny"},
		{"targets", `SecRuleUpdateTargetById 2 "!ARGS:x|REQUEST_URI"`, "1:ARGS deny 2:ARGS,TX,!ARGS:x,REQUEST_URI>ARGS deny 3:ARGS deny"},
		{"a range goes on, a single id ends", `SecRuleUpdateTargetById 2-3 1 2 TX:a`, "1:ARGS,TX:a deny 2:ARGS,TX,TX:a>ARGS deny 3:ARGS,TX:a deny"},
		{"targets by tag", `SecRuleUpdateTargetByTag x "!ARGS:q"`, "1:ARGS,!ARGS:q deny 2:ARGS,TX>ARGS deny 3:ARGS,!ARGS:q deny"},
		{"by message is nothing", `SecRuleUpdateTargetByMsg x "!ARGS:q"`, "1:ARGS deny 2:ARGS,TX>ARGS deny 3:ARGS deny"},
		{"action", `SecRuleUpdateActionById 1 "pass,nolog"`, "1:ARGS pass nolog 2:ARGS,TX>ARGS deny 3:ARGS deny"},
		{"actions of a range", `SecRuleUpdateActionById 1-2 nolog`, "1:ARGS deny nolog 2:ARGS,TX>ARGS deny nolog 3:ARGS deny"},
	} {
		t.Run(row.name, func(t *testing.T) {
			sources := []seclang.Source{{Text: three + row.text}}
			p, err := seclang.Parse(texts{}, sources)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, rule := range p.Rules {
				var links []string
				for _, link := range rule.Links() {
					var targets []string
					for _, target := range link.Targets {
						text := target.Variable
						if target.Key != "" {
							text += ":" + target.Key
						}
						if target.Negated {
							text = "!" + text
						}
						targets = append(targets, text)
					}
					links = append(links, strings.Join(targets, ","))
				}
				text := fmt.Sprintf("%d:%s", rule.ID, strings.Join(links, ">"))
				for _, name := range []string{"deny", "pass", "nolog"} {
					if rule.Has(name) {
						text += " " + name
					}
				}
				got = append(got, text)
			}
			if text := strings.Join(got, " "); text != row.want {
				t.Errorf("%s\nwant %s", text, row.want)
			}
			observed, count, err := compile(texts{}, sources)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Check(observed, count); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatIsNotModelledIsUnread(t *testing.T) {
	for _, text := range []string{
		`SecAction "phase:1,pass"`,
		`SecAction "id:1,phase:1,pass,chain"`,
		"SecAction \"id:1,phase:1,pass,chain\"\nSecMarker X\nSecAction \"id:2,phase:1,pass\"",
		"SecIgnoreRuleCompilationErrors On",
		"SecAction \"id:1,phase:1,pass\"\nSecRuleUpdateActionById 1 \"id:2\"",
		"SecAction \"id:1,phase:1,pass\"\nSecRuleUpdateActionById 1 \"phase:2\"",
		"SecAction \"id:1,phase:1,pass\"\nSecRuleUpdateActionById 0-1 \"log\"",
		"SecAction \"id:1,phase:1,pass\"\nSecRuleRemoveByMsg x",
	} {
		p, err := seclang.Parse(texts{}, []seclang.Source{{Text: text}})
		if err != nil || len(p.Unread) == 0 {
			t.Errorf("%s: unread %q, error %v", text, p.Unread, err)
		}
	}
}

func TestWhatCorazaRefusesIsAnError(t *testing.T) {
	for _, text := range []string{
		`SecRule ARGS`, `SecRule ARGS "@rx a`, `SecRule ARGS "@rx a" id:1`, `SecNonsense 1`, `SecAction "id:x"`, `SecAction "id:1,phase:6"`,
		`SecAction "id:1,nonsense"`, `Include none.conf`, "SecDataset a `\nb", `SecDefaultAction "log"` + "\n" + `SecAction "id:1"`,
		"SecAction \"id:1\"\nSecAction \"id:1\"", "SecAction \"id:1,chain\"\nSecRule ARGS x \"deny\"", `SecRuleUpdateTargetById 5 ARGS`, `SecMarker`,
		`SecAction "id:1,chain"` + "\n" + `SecRule ARGS "x" "deny"`,
	} {
		sources := []seclang.Source{{Text: text}}
		if _, err := seclang.Parse(texts{}, sources); err == nil {
			t.Errorf("%s: no error", text)
		}
		if _, _, err := compile(texts{}, sources); err == nil {
			t.Errorf("%s: Coraza accepts it", text)
		}
	}
}
