package waf

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse.internal/modules/internal/keyring"
)

const attackFile = "GET /search?q=%3Cscript%3Ealert(1)%3C/script%3E HTTP/1.1\nHost: app.test\nUser-Agent: Mozilla/5.0\nAccept: */*\n\n"

var plainConfig = Config{Paranoia: 1, Mode: Block, BodyLimit: defaultBodyLimit}

func TestRequestInAFile(t *testing.T) {
	tests := []struct {
		name, file string
		refused    bool
		says       []string
	}{
		{"an attack in the query", attackFile, true, []string{"refused, waf_blocked", "941100", "ARGS:q", "markup"}},
		{"an ordinary page", "GET /a HTTP/1.1\nHost: app.test\nUser-Agent: Mozilla/5.0\nAccept: */*\n\n", false, []string{"passes, score 0"}},
		{"an attack in a form", "POST /login HTTP/1.1\r\nHost: app.test\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 999\r\n\r\nuser=x'+OR+1=1--+&p=1\n", true, []string{"942100", "ARGS:user"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			r, err := readRequest([]byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			err = tryRequest(&out, plainConfig, r)
			if errors.Is(err, errRefused) != tt.refused || err != nil && !tt.refused {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, want := range tt.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output does not say %q:\n%s", want, out.String())
				}
			}
			if strings.Contains(out.String(), "alert") {
				t.Errorf("the output quotes the request:\n%s", out.String())
			}
		})
	}
	if _, err := readRequest([]byte("hello")); err == nil {
		t.Error("a file that is no request is accepted")
	}
}

func TestMatchesRoundTrip(t *testing.T) {
	all := []Match{{942100, "ARGS:q", 12, "text", "0123456789abcdef"}, {941100, "REQUEST_HEADERS:User-Agent", 0, "empty", ""}, {920170, "REQUEST_METHOD", 3, "letters", ""}}
	got, err := ParseMatches(FormatMatches(all))
	if err != nil || cmp.Diff(all, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(all, got))
	}
	if got, err := ParseMatches(""); err != nil || got != nil {
		t.Errorf("nothing became %v, %v", got, err)
	}
}

func TestClass(t *testing.T) {
	for value, want := range map[string]string{
		"": "empty", "123": "digits", "abc": "letters", "Zoë": "letters", "a-b_1.c": "word", "' or '": "text", "<b>": "markup", "'--": "punct",
		"a\x00": "binary", "QUJDREVGR0hJSktMTU5PUA==1": "base64", "QUJD+1": "text", "a b": "text",
	} {
		if got := class(value); got != want {
			t.Errorf("class(%q) = %q, want %q", value, got, want)
		}
	}
}

// Equal values have equal digests, others have others, and nothing can be told without the key.
func TestDigestsOfMatches(t *testing.T) {
	keys := map[string]func(string) string{}
	for _, name := range []string{"one", "other"} {
		ring, err := keyring.New(keyring.Generate())
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = func(v string) string { return hex.EncodeToString(ring.MAC("waf.matched", []byte(v))[:digestBytes]) }
	}
	e := engineAt(t, 1, Block)
	find := func(key, value string) string {
		i := e.Inspect("r")
		defer i.Close()
		i.digest = keys[key]
		if v := i.Head(get("/?q="+url.QueryEscape(value)), testClient); !v.Given() || len(i.found.Matches) == 0 {
			t.Fatal("no match")
		}
		return i.found.Matches[0].Digest
	}
	a, b, c, d := find("one", "<script>a()</script>"), find("one", "<script>a()</script>"), find("one", "<script>b()</script>"), find("other", "<script>a()</script>")
	if a != b || a == c || a == d || len(a) != 2*digestBytes {
		t.Errorf("digests %s %s %s %s", a, b, c, d)
	}
}

func FuzzParseMatches(f *testing.F) {
	f.Add("942100 ARGS:q text/12, 1 X y/2")
	f.Add(", ")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ParseMatches(text)
		if err != nil {
			return
		}
		again, err := ParseMatches(FormatMatches(all))
		if err != nil || cmp.Diff(all, again) != "" {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func TestTargetsAreSafeToWriteDown(t *testing.T) {
	for key, want := range map[string]string{
		"": "ARGS", "q": "ARGS:q", "json.flows.0.func": "ARGS:json.flows.0.func", "a b": "ARGS:*", "x\",deny": "ARGS:*",
		"é": "ARGS:*", strings.Repeat("x", 200): "ARGS:*", "a;b": "ARGS:*", "a|b": "ARGS:*",
	} {
		if got := target("ARGS", key); got != want {
			t.Errorf("target(%q) = %q, want %q", key, got, want)
		}
	}
}

const logged1 = `{"level":"info","logger":"gatehouse.events","msg":"request.refused","request_id":"ID1","path":"/x"}
{"level":"info","logger":"gatehouse.access","request_id":"OTHER","path":"/y","detail":"ID1"}
not json "ID1"
{"level":"info","logger":"gatehouse.access","request_id":"ID1","site":"app.test","method":"POST","path":"/wiki/save","status":403,"reason":"waf_blocked","detail":"score 5","client_ip":"192.0.2.1","waf_score":"5","waf_rules":"941100","waf_matched":"941100 ARGS:text markup/40, 949110 TX:x text/1"}
`

func TestExplainFromTheLog(t *testing.T) {
	line, err := FindLine(strings.NewReader(logged1), "ID1")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := explain(&out, line); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"POST app.test/wiki/save", "score 5 reached", "941100", "ARGS:text", "XSS Attack Detected via libinjection", "critical"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q:\n%s", want, out.String())
		}
	}
	if _, err := FindLine(strings.NewReader(logged1), "ID2"); !errors.Is(err, ErrNoSuchRequest) {
		t.Errorf("an unknown id: %v", err)
	}
}

// The proposal must let exactly that request pass, and nothing else: it is tried on the real rules.
func TestProposalIsNarrow(t *testing.T) {
	line, err := FindLine(strings.NewReader(logged1), "ID1")
	if err != nil {
		t.Fatal(err)
	}
	p := Proposal{Path: line.Path, Request: line.RequestID, ID: 10001, Author: "ada", Note: "editors write HTML", Expires: time.Now().AddDate(0, 6, 0)}
	if p.Matches, err = ParseMatches("941100 ARGS:text markup/40, 941110 ARGS:text markup/40, 941160 ARGS:text markup/40, 941390 ARGS:text markup/40, 949110 TX:score text/1"); err != nil {
		t.Fatal(err)
	}
	text, err := p.Text()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "ruleRemoveTargetById=949110") {
		t.Fatalf("the proposal touches the rule that adds up:\n%s", text)
	}
	cfg := plainConfig
	cfg.Rules = RuleFiles{"before/proposal.conf": text}
	request := func(path, field string) string {
		return "POST " + path + " HTTP/1.1\nHost: app.test\nUser-Agent: Mozilla/5.0\nAccept: */*\nContent-Type: application/x-www-form-urlencoded\n\n" + field + "=%3Cscript%3Ealert(1)%3C/script%3E\n"
	}
	tests := []struct {
		name, path, field string
		passes            bool
	}{
		{"the request it was made for", "/wiki/save", "text", true},
		{"another argument", "/wiki/save", "title", false},
		{"another path", "/wiki/save2", "text", false},
		{"a path below", "/wiki/save/x", "text", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			r, err := readRequest([]byte(request(tt.path, tt.field)))
			if err != nil {
				t.Fatal(err)
			}
			err = tryRequest(&out, cfg, r)
			if (err == nil) != tt.passes {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
	if warnings, err := Lint(cfg.Rules, time.Now()); err != nil || len(warnings) > 0 {
		t.Errorf("lint of a fresh proposal: %v, %v", warnings, err)
	}
	warnings, err := Lint(cfg.Rules, time.Now().AddDate(1, 0, 0))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Text, "expired on") {
		t.Errorf("lint a year later: %v, %v", warnings, err)
	}
}

func TestProposalsThatNobodyCouldReview(t *testing.T) {
	good := Proposal{Path: "/a", ID: 1, Author: "ada", Note: "why", Expires: time.Now(), Matches: []Match{{941100, "ARGS:q", 1, "text", ""}}}
	tests := []struct {
		name   string
		change func(*Proposal)
		want   string
	}{
		{"no author", func(p *Proposal) { p.Author = " " }, "author"},
		{"no note", func(p *Proposal) { p.Note = "" }, "note"},
		{"a note of two lines", func(p *Proposal) { p.Note = "x\nSecRuleEngine Off" }, "one line"},
		{"CRS's id range", func(p *Proposal) { p.ID = 949110 }, "89999"},
		{"no expiry", func(p *Proposal) { p.Expires = time.Time{} }, "expiry"},
		{"a path that breaks the rule", func(p *Proposal) { p.Path = "/a\" \"id:1,deny" }, "by hand"},
		{"nothing matched", func(p *Proposal) { p.Matches = nil }, "would change nothing"},
		{"only sums matched", func(p *Proposal) { p.Matches = []Match{{949110, "TX", 1, "text", ""}} }, "would change nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := good
			tt.change(&p)
			if text, err := p.Text(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want it to say %q\n%s", err, tt.want, text)
			}
		})
	}
}

func TestCatalogueKnowsTheRules(t *testing.T) {
	c := Catalogue()
	if len(c) < 500 {
		t.Fatalf("%d rules", len(c))
	}
	got := c[942100]
	want := RuleInfo{942100, "REQUEST-942-APPLICATION-ATTACK-SQLI.conf", "SQL Injection Attack Detected via libinjection", "critical", 1, "attack-sqli"}
	if got != want {
		t.Errorf("942100 is %+v", got)
	}
}
