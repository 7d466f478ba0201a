package waf

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/prove"
)

// clicked is a benign request, changed.
func clicked(change func(x *exchange)) *exchange {
	x := stream("get", 1, 1)[0]
	x.reflect()
	change(x)
	return x
}

// TestTrial: where the prover doubts, and that the verdict is the one of the rules alone.
func TestTrial(t *testing.T) {
	cfg := Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, ResponseLimit: testLimit}
	p := pair{"trial", stockEngine(t, cfg), proverEngine(t, cfg)}
	form := func(text string) func(x *exchange) {
		return func(x *exchange) { x.carry("application/x-www-form-urlencoded", text) }
	}
	tests := []struct {
		name   string
		x      *exchange
		turned bool
		reason string
	}{
		{"a click", clicked(func(*exchange) {}), false, ""},
		{"a form", clicked(form("name=Ada&city=London")), false, ""},
		{"a form whose answer is a page", clicked(func(x *exchange) { form("a=b")(x); x.page = htmlPage(newSeeded(1), 4096) }), false, ""},
		{"an answer without a body", clicked(func(x *exchange) { x.status, x.page = 304, nil }), false, ""},
		{"an attack in the head", clicked(func(x *exchange) { x.set("Referer", "() { :; }; /bin/bash -c id") }), true, "waf_blocked"},
		{"an attack in the query", clicked(func(x *exchange) { x.target = "/?q=%3Cscript%3Ealert(1)%3C/script%3E" }), true, "waf_blocked"},
		{"an attack in a form", clicked(form("q=%3Cscript%3Ealert(1)%3C/script%3E")), true, "waf_blocked"},
		{"an attack in XML", clicked(func(x *exchange) { x.carry("text/xml", "<a b='&lt;script>alert(1)&lt;/script>'/>") }), true, "waf_blocked"},
		{"JSON that is none", clicked(func(x *exchange) { x.carry("application/json", `{"a":`) }), true, "body_unreadable"},
		{"a leak in the answer's head", clicked(func(x *exchange) { x.status = 500; x.page = []byte(leak) }), true, "response_blocked"},
		{"a leak behind a form", clicked(func(x *exchange) { form("a=b")(x); x.page = []byte(leak) }), true, "response_blocked"},
		{"a leak behind a compressed form", clicked(func(x *exchange) {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, _ = w.Write([]byte(strings.Repeat("x=some+words&", 100)))
			_ = w.Close()
			form(b.String())(x)
			x.set("Content-Encoding", "gzip")
			x.page = []byte(leak)
		}), true, "response_blocked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i, v := judgeExchange(p.gatehouse, tt.x)
			if i.trial.turned != tt.turned || i.trial.stands() == tt.turned || string(v.Reason) != tt.reason {
				t.Errorf("turned %v by %d, stands %v, verdict %+v; rules %v", i.trial.turned, i.trial.doubt, i.trial.stands(), v, i.found.Rules)
			}
			if c := p.compare(tt.x); c.diff != nil {
				t.Error(c.diff)
			}
			if i.trial.parser != nil || i.trial.proof != nil {
				t.Error("a transaction or a proof is still held")
			}
		})
	}
}

// TestMatchesChangeOtherRules: rules that were shown to match nothing may do so once another rule has matched. They must not
// be left out then.
func TestMatchesChangeOtherRules(t *testing.T) {
	const mark = `SecRule ARGS:mark "@streq 1" "id:1001,phase:1,pass,t:none,log,msg:'marked',`
	for _, tt := range []struct {
		name, where, rules string
		change             func(x *exchange)
		want               int // the rule that matches because 1001 has
	}{
		{"what they are compared with", "before", mark + `setvar:'tx.allowed_methods=POST'"`, func(*exchange) {}, 911100},
		{"what sets that", "before", mark + `ctl:ruleRemoveById=1002"
SecAction "id:1000,phase:1,pass,nolog,setvar:'tx.allowed_methods=POST'"
SecAction "id:1002,phase:1,pass,nolog,setvar:'tx.allowed_methods=GET POST'"`, func(*exchange) {}, 911100},
		{"what chooses it", "before", mark + `setvar:tx.mark=1"
SecRule TX:mark "@eq 1" "id:1002,phase:1,pass,t:none,nolog,setvar:'tx.allowed_methods=POST'"`, func(*exchange) {}, 911100},
		{"who skips them", "after", mark + `ctl:ruleRemoveById=1002"
SecRule REQUEST_URI "!@pm sought" "id:1002,phase:2,pass,t:none,nolog,skipAfter:SOUGHT"
SecRule REQUEST_URI "@contains mark" "id:1003,phase:2,pass,t:none,log,msg:'found'"
SecMarker SOUGHT`, func(*exchange) {}, 1003},
		{"how many there are", "after", mark + `ctl:ruleRemoveTargetById=1002;ARGS:a"
SecRule &ARGS:a "@eq 0" "id:1002,phase:2,pass,t:none,log,msg:'none'"`, func(*exchange) {}, 1002},
		{"how the body is read", "after", mark + `skipAfter:JSON"
SecRule REQUEST_HEADERS:X-Json "@streq 1" "id:1002,phase:1,pass,t:none,nolog,ctl:requestBodyProcessor=JSON"
SecMarker JSON
SecRule ARGS_POST:q "@streq {1}" "id:1003,phase:2,pass,t:none,log,msg:'read'"`, func(x *exchange) {
			x.carry("application/x-www-form-urlencoded", "q={1}")
			x.set("X-Json", "1")
		}, 1003},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files, err := ReadRules(fstest.MapFS{tt.where + "/own.conf": {Data: []byte(tt.rules + "\n")}})
			if err != nil {
				t.Fatal(err)
			}
			cfg := Config{Paranoia: 1, Mode: Detect, BodyLimit: testLimit, Rules: files}
			p := pair{tt.name, stockEngine(t, cfg), proverEngine(t, cfg)}
			for _, marked := range []bool{false, true} {
				x := clicked(func(x *exchange) {
					tt.change(x)
					if x.target = "/?a=1"; marked {
						x.target = "/?a=1&mark=1"
					}
				})
				if i, v := judgeExchange(p.reference, x); slices.Contains(i.found.Rules, tt.want) != marked {
					t.Errorf("marked %v: the rules alone: %v %+v", marked, i.found.Rules, v)
				}
				if c := p.compare(x); c.diff != nil {
					t.Errorf("marked %v: %v", marked, c.diff)
				}
			}
		})
	}
}

// TestTrialWithoutHead: of a head that is too large, detect mode judges nothing, nor anything of what follows: the rules
// about answers would compare with a threshold that those about the head have not set.
func TestTrialWithoutHead(t *testing.T) {
	cfg := Config{Paranoia: 1, Mode: Detect, BodyLimit: testLimit, ResponseLimit: testLimit}
	p := pair{"without head", stockEngine(t, cfg), proverEngine(t, cfg)}
	x := clicked(func(x *exchange) {
		x.set("Cookie", "a="+strings.Repeat("b", headLimit))
		x.page = []byte(leak)
	})
	if c := p.compare(x); c.diff != nil {
		t.Error(c.diff)
	}
	for _, e := range []*Engine{p.reference, p.gatehouse} {
		i, v := judgeExchange(e, x)
		if v.Given() || i.outcome != Passed || i.skipped != "too_large" || i.answer.outcome != "" || !nothing(i.found) || !nothing(i.answer.found) {
			t.Errorf("%+v, %s, skipped %q, answer %s, %+v, %+v", v, i.outcome, i.skipped, i.answer.outcome, i.found, i.answer.found)
		}
	}
}

// TestTrialKeepsTheHead: between head and body, other rooms change the request's headers. What the rules are shown of
// the head, when the body makes them necessary, is what the head was.
func TestTrialKeepsTheHead(t *testing.T) {
	cfg := Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, Rules: RuleFiles{"after/x.conf": `
SecRule ARGS:both "@streq yes" "id:5000001,phase:2,deny,log,status:403,msg:'both',chain"
  SecRule REQUEST_HEADERS:X-Note "@streq yes" ""`}}
	for name, e := range map[string]*Engine{"stock": stockEngine(t, cfg), "gatehouse": proverEngine(t, cfg)} {
		r := form("both", "yes")
		r.Header.Set("X-Note", "yes")
		i := e.Inspect("r")
		if v := i.Head(r, testClient); v.Given() {
			t.Fatalf("%s: the head: %+v", name, v)
		}
		r.Header = http.Header{"Content-Type": r.Header["Content-Type"]}
		if v := i.Body(r); !v.Given() || v.Detail != "rule 5000001" {
			t.Errorf("%s: %+v", name, v)
		}
		i.Close()
	}
}

// lying returns an engine whose prover vouches for everything.
func lying(t *testing.T) *Engine {
	t.Helper()
	e := proverEngine(t, Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, ResponseLimit: testLimit})
	all, err := prove.New(&obligation.Set{}, sources{}, prove.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.innocence.prover = all
	return e
}

// TestPanickingProver: the rules judge this request and all that follow.
func TestPanickingProver(t *testing.T) {
	e := proverEngine(t, Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit})
	e.innocence.prover = new(prove.Prover) // it has nothing that it needs
	for n := range 2 {
		if v, i := judge(e, form("q", "hello")); v.Given() || i.outcome != Passed || i.trial.stands() {
			t.Errorf("request %d: %+v, %s", n, v, i.outcome)
		}
		if v, _ := judge(e, form("q", scriptText)); v.Reason != "waf_blocked" {
			t.Errorf("request %d: an attack: %+v", n, v)
		}
		if on, why := e.Prover(); on || !strings.Contains(why, "panicked") {
			t.Errorf("the prover is on %v: %q", on, why)
		}
	}
}

// TestEnginesWithoutProver: whatever keeps the prover from being made is no reason not to judge.
func TestEnginesWithoutProver(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		why  string
	}{
		{"switched off", Config{Prover: Off}, "switched off"},
		{"a rule that logs in the last phase", Config{Rules: RuleFiles{"after/x.conf": `SecRule REQUEST_METHOD "@streq PATCH" "id:5000001,phase:5,pass,log,msg:'x'"`}}, "5000001"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Paranoia, tt.cfg.Mode, tt.cfg.BodyLimit = 1, Block, testLimit
			e, err := New(tt.cfg, NewBudget(DefaultBudget))
			if err != nil {
				t.Fatal(err)
			}
			if on, why := e.Prover(); on || !strings.Contains(why, tt.why) {
				t.Errorf("the prover is on %v: %q", on, why)
			}
			if v, _ := judge(e, form("q", scriptText)); v.Reason != "waf_blocked" {
				t.Errorf("an attack: %+v", v)
			}
		})
	}
	if (Config{Prover: Off}).Key() == (Config{Prover: On}).Key() || (Config{}).Key() != (Config{Prover: On}).Key() {
		t.Error("engines with and without a prover must have different keys, and on is the default")
	}
	if _, err := New(Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, Prover: "maybe"}, NewBudget(1)); err == nil {
		t.Error("a switch in no position is accepted")
	}
}
