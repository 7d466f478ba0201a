package waf

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types/variables"

	"gatehouse.internal/modules/waf/seclang"
)

// TestMixes: only engines whose rules cannot be handed other values' transformations go without the mend.
func TestMixes(t *testing.T) {
	const a = `SecRule REQUEST_HEADERS:Content-Type "@rx a" "id:1,phase:1,pass,nolog,t:lowercase,ctl:requestBodyProcessor=XML"` + "\n"
	tests := []struct {
		rule string
		want bool
	}{
		{"", false},
		{`SecRule REQUEST_HEADERS:content-type "@rx b" "id:2,phase:1,pass,t:lowercase"`, false},
		{`SecRule REQUEST_HEADERS:X-Type "@rx b" "id:2,phase:1,pass,t:none"`, false},
		{`SecRule REQUEST_HEADERS:X-Type "@rx b" "id:2,phase:1,pass,t:lowercase"`, true},
		{`SecRule REQUEST_HEADERS "@rx b" "id:2,phase:1,pass,t:lowercase"`, true},
		{`SecRule &REQUEST_HEADERS:Content-Type "@eq 2" "id:2,phase:1,pass,t:lowercase"`, true},
		{`SecRule REQUEST_HEADERS:/^content-type$/ "@rx b" "id:2,phase:1,pass,t:lowercase"`, true},
		{`SecRule REQUEST_COOKIES:content-type "@rx b" "id:2,phase:1,pass,t:lowercase"`, true},
		{`SecRule REQUEST_METHOD "@rx b" "id:2,phase:1,pass,chain,t:none"` + "\n" + `SecRule ARGS "@rx b" "t:lowercase"`, true},
	}
	for _, tt := range tests {
		p, err := seclang.Parse(sources{}, []seclang.Source{{Text: a + tt.rule}})
		if err != nil {
			t.Fatal(err)
		}
		if got := mixes(p.Rules); got != tt.want {
			t.Errorf("%s: %v", tt.rule, got)
		}
	}
}

// TestOfBodies: the parser evaluates its rules for requests without a body too, unless they are about bodies alone.
func TestOfBodies(t *testing.T) {
	const a = `SecRule REQUEST_HEADERS:Content-Type "@rx a" "id:1,phase:1,pass,nolog,t:lowercase,ctl:requestBodyProcessor=XML"` + "\n"
	tests := []struct {
		rule string
		want bool
	}{
		{"", true},
		{`SecRule REQBODY_PROCESSOR "!@rx b" "id:2,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On"`, true},
		{`SecRule REQUEST_FILENAME "@rx b" "id:2,phase:1,pass,nolog,ctl:requestBodyAccess=Off,ctl:ruleRemoveById=3"`, true},
		{`SecRule REQUEST_FILENAME "@rx b" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"`, false},
		{`SecRule REQUEST_FILENAME "@rx b" "id:2,phase:1,pass,nolog,ctl:forceResponseBodyVariable=On"`, false},
		{`SecRule REQUEST_FILENAME "@rx b" "id:2,phase:1,pass,nolog,ctl:responseBodyAccess=Off"`, false},
		{`SecRule REQUEST_FILENAME "@rx b" "id:2,phase:3,pass,nolog,ctl:responseBodyAccess=Off"`, true},
		{`SecRule REQUEST_FILENAME "@rx b" "id:2,phase:1,pass,log,ctl:requestBodyAccess=Off"`, false},
		{`SecRule REQUEST_FILENAME "@rx b" "id:2,phase:1,deny,nolog,ctl:requestBodyAccess=Off"`, false},
		{`SecRule REQUEST_HEADERS "@rx a" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"`, false},
		{`SecRule REQUEST_HEADERS:X "@rx a" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"`, false},
		{`SecRule &REQUEST_HEADERS:Content-Type "@eq 0" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"`, false},
		{`SecRule REQUEST_HEADERS:Content-Type|REQUEST_FILENAME "@rx a" "id:2,phase:2,pass,nolog,ctl:requestBodyProcessor=XML"`, false},
	}
	for _, tt := range tests {
		p, err := seclang.Parse(sources{}, []seclang.Source{{Text: a + tt.rule}})
		if err != nil {
			t.Fatal(err)
		}
		if got := ofBodies(p.Rules); got != tt.want {
			t.Errorf("%s: %v", tt.rule, got)
		}
	}
	for answers, want := range map[bool]bool{false: true, true: false} { // whose rules say that all answers are read
		if got := side(t, "gatehouse", 1, answers).innocence.ofBodies; got != want {
			t.Errorf("the shipped rules, answers judged %v: %v", answers, got)
		}
	}
}

// TestBodilessRequestsAreParsedAlike: with and without the parser's rules, a request without a body leaves the same to see.
func TestBodilessRequestsAreParsedAlike(t *testing.T) {
	e := side(t, "gatehouse", 1, false)
	for _, x := range stream("get", 20, 5) {
		var seen [2][]string
		for i, ofBodies := range []bool{false, true} {
			by := &innocence{parser: e.innocence.parser, folds: true, ofBodies: ofBodies}
			tx := by.parser.NewTransactionWithID("same")
			head, proof := requestHead{describe(x.request(), testClient)}, e.innocence.prover.Begin(tx.(plugintypes.TransactionState))
			if stop := head.toParser(&trial{by: by, parser: tx, proof: proof}); stop != nil || !head.bodiless {
				t.Fatalf("stopped %v, bodiless %v", stop, head.bodiless)
			}
			if stop := (requestBody{}).to(tx); stop != nil || noticed(tx) {
				t.Fatal("something was noticed")
			}
			variablesOf(tx).All(func(v variables.RuleVariable, c collection.Collection) bool {
				switch v {
				case variables.TX, variables.Duration, variables.Rule, variables.MatchedVar, variables.MatchedVars, variables.MatchedVarName,
					variables.MatchedVarsNames, variables.HighestSeverity, variables.Env:
					return true // which change all the time, so that the prover looks at none
				}
				for _, m := range c.FindAll() {
					if !strings.HasPrefix(v.Name(), "TIME") {
						seen[i] = append(seen[i], v.Name()+":"+m.Key()+"="+m.Value())
					}
				}
				return true
			})
			slices.Sort(seen[i])
			proof.End()
			_ = tx.Close()
		}
		if len(seen[0]) < 20 || !slices.Equal(seen[0], seen[1]) {
			t.Fatalf("%s:\n%q\n%q", x.name, seen[0], seen[1])
		}
	}
}

func TestRequestURI(t *testing.T) {
	for _, sent := range []string{"/", "/a?b=c", "/a?", "/a??", "/%61?%62", "/a b", "*", "http://h/a?b", "/ü?ü", "/a;b?c;d", "//a?b", "/%2f"} {
		u, err := url.ParseRequestURI(sent)
		if err != nil {
			continue
		}
		for _, line := range []string{sent, "/a", "", "/?a", "/a?b=c"} { // what admit has changed is not as it was sent
			if got, want := requestURI(&http.Request{URL: u, RequestURI: line}), u.RequestURI(); got != want {
				t.Errorf("%q of %q: %q, want %q", sent, line, got, want)
			}
		}
	}
}
