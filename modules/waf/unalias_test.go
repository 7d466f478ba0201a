package waf

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/verdict"
)

const scriptText = "<script>alert(document.cookie)</script>"

// aliased are requests with one attack among many values whose names repeat, which is what Coraza's cache mixes up.
func aliased() map[string]func() *http.Request {
	values := func(format string, n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf(format, i))
		}
		return out
	}
	const urlencoded = "application/x-www-form-urlencoded"
	others := strings.Join(values("o%02d=some words here", 20), "&")
	part := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	var parts, objects, dotted, cookies, elements strings.Builder
	for i := range 20 {
		parts.WriteString(part("f", fmt.Sprint("word ", i)) + part(fmt.Sprint("o", i), "some words"))
		fmt.Fprintf(&objects, `,{"o%d":"words"}`, i)
		fmt.Fprintf(&dotted, `"a.b":"word %d","o%d":"words",`, i, i)
		fmt.Fprintf(&elements, `<a b="word %d">text %d</a>`, i, i)
	}
	for i := range 40 {
		fmt.Fprintf(&cookies, "; f=word%d; o%d=words", i, i)
	}
	headers := func() *http.Request {
		r := get("/")
		for i := range 20 {
			r.Header.Add("X-Note", fmt.Sprint("word ", i))
			r.Header.Set(fmt.Sprint("X-Other-", i), "words")
		}
		r.Header.Add("X-Note", "() { :; }; echo vulnerable")
		return r
	}
	return map[string]func() *http.Request{
		"form field": func() *http.Request {
			return body("POST", "/save", urlencoded, strings.Join(values("f=word %d", 19), "&")+"&"+others+"&f="+scriptText)
		},
		"empty form field": func() *http.Request {
			return body("POST", "/save", urlencoded, strings.Join(values("=word %d", 19), "&")+"&"+others+"&="+scriptText)
		},
		"empty query name": func() *http.Request {
			return get("/?" + strings.Join(values("=word%d", 19), "&") + "&" + strings.ReplaceAll(others, " ", "+") + "&=%3Cscript%3Ealert(1)%3C/script%3E")
		},
		"one empty name in the query, one in the form": func() *http.Request {
			return body("POST", "/save?=word&"+strings.ReplaceAll(others, " ", "+"), urlencoded, others+"&="+scriptText)
		},
		"cookie":  func() *http.Request { return get("/", "Cookie", cookies.String()[2:]+"; f="+scriptText) },
		"headers": headers,
		"json keys": func() *http.Request {
			return jsonBody("{" + dotted.String() + `"a.b":"` + scriptText + `"}`)
		},
		"multipart fields": func() *http.Request {
			return body("POST", "/save", "multipart/form-data; boundary=b", parts.String()+part("f", scriptText)+"--b--\r\n")
		},
		"xml texts": func() *http.Request {
			return body("POST", "/save", "text/xml", "<r>"+elements.String()+"<a>&lt;script&gt;alert(document.cookie)&lt;/script&gt;</a></r>")
		},
		"xml attributes": func() *http.Request {
			return body("POST", "/save", "text/xml", "<r>"+elements.String()+`<a b="&lt;script&gt;alert(document.cookie)&lt;/script&gt;"/></r>`)
		},
	}
}

// verdicts sends a request n times and returns how often it was refused and which sets of rules it matched.
func verdicts(e *Engine, make func() *http.Request, n int) (refused int, sets map[string]int) {
	sets = map[string]int{}
	for range n {
		v, i := judge(e, make())
		if v.Reason == verdict.WAFBlocked {
			refused++
		}
		slices.Sort(i.found.Rules) // within a phase of one rule the order is Coraza's
		sets[i.found.RuleList()]++
	}
	return refused, sets
}

// TestRepeatedNamesHaveOneVerdict: one request, one verdict, the strict one, by the same rules, however often it is
// tried. Without the mend, the same requests are let through by chance (see TestStockCorazaForgets).
func TestRepeatedNamesHaveOneVerdict(t *testing.T) {
	e, n := engineAt(t, 1, Block), 200
	if raced || testing.Short() {
		n = 30
	}
	for name, make := range aliased() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if refused, sets := verdicts(e, make, n); refused != n || len(sets) != 1 {
				t.Errorf("refused %d of %d, by the rules %v", refused, n, sets)
			}
		})
	}
}

func TestSitesCannotRemoveTheMend(t *testing.T) {
	tests := []struct {
		text    string
		refused bool
	}{
		{"SecRuleRemoveById 90051", true},
		{"secruleremovebyid 1 2-3 90000-90099", true},
		{"SecRuleRemoveById \"90050\"", true},
		{"SecRuleUpdateTargetById 90050 \"!REQUEST_METHOD\"", true},
		{"SecRuleUpdateActionById 90053 \"deny\"", true},
		{`SecAction "id:1,phase:1,pass,ctl:ruleRemoveById=1-99999"`, true},
		{`SecAction "id:1,phase:1,pass,ctl:ruleRemoveTargetById=90051;REQUEST_METHOD"`, true},
		{"SecRuleRemoveById 941100 942100-942190", false},
		{`SecAction "id:90051,phase:1,pass,ctl:ruleRemoveTargetById=941100;ARGS:text"`, false},
	}
	for _, tt := range tests {
		if err := (RuleFiles{"before/x.conf": tt.text}).lint(); (err != nil) != tt.refused {
			t.Errorf("%s: %v", tt.text, err)
		}
	}
}

// TestStockCorazaForgets keeps the test above honest: without the mend the engine contradicts itself. When this fails,
// Coraza has mended its cache, and unalias.go can go.
func TestStockCorazaForgets(t *testing.T) {
	e, err := New(Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, aliased: true}, NewBudget(DefaultBudget))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"form field", "empty form field", "cookie", "json keys", "headers"} {
		t.Run(name, func(t *testing.T) {
			n := 200
			if raced || testing.Short() {
				n = 25 // chances that stock Coraza repeats itself so often are one in millions
			}
			refused, sets := verdicts(e, aliased()[name], n)
			t.Logf("refused %d of %d, by %d sets of rules", refused, n, len(sets))
			if len(sets) == 1 {
				t.Errorf("always the same rules: %v", sets)
			}
		})
	}
}
