package reqpath

import (
	"bufio"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// wireRequest is what net/http makes of a request line.
func wireRequest(t *testing.T, method, target string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")))
	if err != nil {
		t.Skipf("net/http refuses it: %v", err)
	}
	return r
}

func TestFromRequestApply(t *testing.T) {
	tests := []struct {
		name, method, target string
		want                 error
		uri                  string // RequestURI after Apply
	}{
		{"origin", "GET", "/a?b=c", nil, "/a?b=c"},
		{"normalised", "GET", "/%61%c3%a9|?q=%61", nil, "/a%C3%A9%7C?q=%61"},
		{"lone question mark", "GET", "/a?", nil, "/a?"},
		{"second question mark", "GET", "/a?b?c", nil, "/a?b?c"},
		{"query ends in question mark", "GET", "/a?b?", nil, "/a?b?"},
		{"sub-delims", "GET", "/a(b)!*'", nil, "/a(b)!*'"},
		{"absolute", "GET", "https://h/a%62?x", nil, "/ab?x"},
		{"absolute without path", "GET", "http://h", nil, "/"},
		{"absolute without path, query", "GET", "http://h?x", nil, "/?x"},
		{"absolute, upper-case scheme", "GET", "HTTP://h/x", nil, "/x"},
		{"absolute, dot segment", "GET", "http://h/x/../admin", ErrDotSegment, ""},
		{"absolute, userinfo", "GET", "http://u@h/x", ErrForm, ""},
		{"absolute, no host", "GET", "http:///x", ErrForm, ""},
		{"absolute, other scheme", "GET", "ftp://h/x", ErrForm, ""},
		{"opaque", "GET", "http:x", ErrForm, ""},
		{"asterisk", "OPTIONS", "*", ErrForm, ""},
		{"authority", "CONNECT", "h:443", ErrForm, ""},
		{"network path", "GET", "//h/admin", ErrEmptySegment, ""},
		{"raw UTF-8", "GET", "/\xc3\xa9", ErrRawByte, ""},
		{"fragment", "GET", "/a#b", ErrFragment, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := wireRequest(t, tt.method, tt.target)
			p, err := FromRequest(r, Options{})
			if !errors.Is(err, tt.want) {
				t.Fatalf("error = %v, want %v", err, tt.want)
			}
			if err != nil {
				return
			}
			p.Apply(r)
			checkApplied(t, r, p)
			if r.RequestURI != tt.uri {
				t.Errorf("RequestURI = %q, want %q", r.RequestURI, tt.uri)
			}
		})
	}
}

// checkApplied: everything in r that spells the path spells it as p does.
func checkApplied(t *testing.T, r *http.Request, p Path) {
	t.Helper()
	if r.URL.Path != p.Decoded || r.URL.EscapedPath() != p.Escaped {
		t.Errorf("URL has %q, %q; want %q, %q", r.URL.Path, r.URL.EscapedPath(), p.Decoded, p.Escaped)
	}
	if got := r.URL.RequestURI(); got != r.RequestURI {
		t.Errorf("the proxy would send %q, RequestURI is %q", got, r.RequestURI)
	}
	if r.URL.IsAbs() || r.URL.Host != "" {
		t.Errorf("URL %v is not in origin-form", r.URL)
	}
}

func TestFromRequestMismatch(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"path":        func(r *http.Request) { r.URL.Path = "/admin" },
		"query":       func(r *http.Request) { r.URL.RawQuery = "x" },
		"request URI": func(r *http.Request) { r.RequestURI = "/admin?q" },
	} {
		r := wireRequest(t, "GET", "/a?q")
		change(r)
		if _, err := FromRequest(r, Options{}); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: error = %v, want ErrMismatch", name, err)
		}
	}
	if _, err := FromRequest(&http.Request{URL: &url.URL{Path: "/a"}}, Options{}); !errors.Is(err, ErrForm) {
		t.Errorf("without RequestURI: error = %v", err)
	}
	if _, err := FromRequest(&http.Request{RequestURI: "/a"}, Options{}); !errors.Is(err, ErrForm) {
		t.Errorf("without URL: error = %v", err)
	}
}

// TestHTTP2 shows that net/http fills RequestURI from :path unchanged.
func TestHTTP2(t *testing.T) {
	var got Path
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("protocol %v", r.Proto)
		}
		var err error
		if got, err = FromRequest(r, Options{}); err != nil {
			t.Error(err)
		}
		got.Apply(r)
		checkApplied(t, r, got)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL + "/%61(b)%28?q=1")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got.Escaped != "/a(b)%28" {
		t.Errorf("Escaped = %q", got.Escaped)
	}
}

func TestFromRequestAllocs(t *testing.T) {
	r := wireRequest(t, "GET", "/assets/app/main.js?v=1")
	got := testing.AllocsPerRun(200, func() {
		p, err := FromRequest(r, Options{})
		if err != nil {
			t.Fatal(err)
		}
		p.Apply(r)
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkFromRequestApply(b *testing.B) {
	r := &http.Request{RequestURI: "/assets/app/main.js?v=1", URL: &url.URL{Path: "/assets/app/main.js", RawQuery: "v=1"}}
	b.ReportAllocs()
	for b.Loop() {
		p, err := FromRequest(r, Options{})
		if err != nil {
			b.Fatal(err)
		}
		p.Apply(r)
	}
}
