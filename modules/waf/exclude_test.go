package waf

import (
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/reqpath"
)

func TestParseExclusion(t *testing.T) {
	tests := []struct{ name, words, err string }{
		{"a rule", "941100 ARGS:text", ""},
		{"a rule on a path", "941100 ARGS /wiki/*", ""},
		{"an operator's own rule", "10001 ARGS:text", ""},
		{"a kind of attack", "attack-xss REQUEST_COOKIES:prefs /a", ""},
		{"texts of XML", "942100 XML:/* /soap", ""},
		{"nothing", "", "write `exclude"},
		{"no target", "941100", "write `exclude"},
		{"too much", "941100 ARGS:a /a /b", "write `exclude"},
		{"the rule that refuses", "949110 ARGS:a", "can not be excluded"},
		{"the rule that reports", "980170 ARGS:a", "can not be excluded"},
		{"an initialisation", "901340 ARGS:a", "can not be excluded"},
		{"a guard of ours", "90000 REQUEST_HEADERS:content-type", "can not be excluded"},
		{"the mend", "90050 ARGS:a", "can not be excluded"},
		{"what reads uploads", "90111 REQUEST_HEADERS:content-encoding", "can not be excluded"},
		{"a detection of ours", "90300 XML:/* /a", ""},
		{"the parser's guard", "200002 ARGS:a", "can not be excluded"},
		{"a virtual patch", "95001 ARGS:a", "can not be excluded"},
		{"no such rule", "942999 ARGS:a", "there is no rule"},
		{"not a rule", "-5 ARGS:a", "there is no rule"},
		{"every rule of CRS", "OWASP_CRS ARGS:a", "neither a rule id"},
		{"a level", "paranoia-level/1 ARGS:a", "neither a rule id"},
		{"no such kind", "attack-foo ARGS:a", "neither a rule id"},
		{"a whole collection everywhere", "941100 ARGS", "name a part"},
		{"what adds up", "941100 TX:inbound_anomaly_score", "want one of"},
		{"the body as such", "941100 REQUEST_BODY /a", "want one of"},
		{"a pattern for a name", "941100 ARGS:/^a/", "letters, digits"},
		{"an empty name", "941100 ARGS:", "letters, digits"},
		{"an action smuggled in", "941100 ARGS:a,ctl:ruleEngine=Off", "letters, digits"},
		{"a directive smuggled in", "941100 ARGS:a /x\"id:1", "quote"},
		{"names of XML", "90300 XML://names /a", "XML"},
		{"a glob", "941100 ARGS:a /a/*/b", "at the end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := ParseExclusion(strings.Fields(tt.words))
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("%+v, %v; want %q", e, err, tt.err)
			}
		})
	}
}

func exclusion(t *testing.T, words string) Exclusion {
	t.Helper()
	e, err := ParseExclusion(strings.Fields(words))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What is excluded is not looked at in its place, and in no other.
func TestExclusions(t *testing.T) {
	e := engineOf(t, Config{Exclude: []Exclusion{
		exclusion(t, "attack-xss ARGS:text /wiki/*"),
		exclusion(t, "attack-xss XML:/* /soap"),
		exclusion(t, "attack-sqli REQUEST_COOKIES:prefs"),
	}})
	const script, sqli = "%3Cscript%3Ealert(1)%3C/script%3E", "1'+OR+'1'='1'--"
	tests := []struct {
		name, target string
		headers      []string
		refused      bool
	}{
		{"in its place", "/wiki/a?text=" + script, nil, false},
		{"the root of the path", "/wiki?text=" + script, nil, false},
		{"another argument", "/wiki/a?title=" + script, nil, true},
		{"another path", "/wik/a?text=" + script, nil, true},
		{"a longer name", "/wikis/a?text=" + script, nil, true},
		{"another reading", "/WIKI/a?text=" + script, nil, true},
		{"a slash that may be data", "/wiki%2Fa?text=" + script, nil, true},
		{"another attack", "/wiki/a?text=" + sqli, nil, true},
		{"everywhere", "/x", []string{"Cookie", "prefs=" + sqli}, false},
		{"another cookie", "/x", []string{"Cookie", "pref=" + sqli}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v, i := judge(e, get(tt.target, tt.headers...)); v.Given() != tt.refused {
				t.Errorf("%v, rules %v", v, i.found.Rules)
			}
		})
	}
	xml := func(path string) bool {
		v, _ := judge(e, body("POST", path, "text/xml", "<a>&lt;script&gt;alert(1)&lt;/script&gt;</a>"))
		return v.Given()
	}
	if xml("/soap") || !xml("/soap/x") {
		t.Error("texts of XML are not excluded, or too much is")
	}
	if a, b := (Config{}).Key(), (Config{Exclude: []Exclusion{{Rule: 1, Target: "ARGS:a"}}}).Key(); a == b {
		t.Error("an exclusion makes no other engine")
	}
}

func FuzzWithin(f *testing.F) {
	f.Add("/wiki/a?x", "/wiki/*")
	f.Add("/WIKI/%2e", "/wiki/*")
	f.Fuzz(func(t *testing.T, target, text string) {
		p, err := reqpath.ParsePattern(text)
		if err != nil || !(within{p}).Evaluate(nil, target) {
			return
		}
		path, err := reqpath.Parse(target[:len(target)-len(after(target, "?"))], reqpath.Options{AllowEncodedSlash: true, AllowEmptySegments: true})
		if err != nil || !p.MatchAll(path) || !p.MatchFolded(path) {
			t.Errorf("%q is in %q, and some server reads it otherwise", target, text)
		}
	})
}

// after is the part of s from sep on.
func after(s, sep string) string {
	if n := strings.Index(s, sep); n >= 0 {
		return s[n:]
	}
	return ""
}
