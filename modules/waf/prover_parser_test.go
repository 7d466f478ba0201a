package waf

import (
	"net/http"
	"net/url"
	"testing"

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
