package admit

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/verdict"
)

func TestOriginsThatMayBeNamed(t *testing.T) {
	for _, good := range []string{
		"https://app.example.com", "https://app.example.com:8443", "https://127.0.0.1", "https://[::1]:8443", "https://xn--mnchen-3ya.test",
		"http://localhost:3000", "http://localhost", "http://127.0.0.1:8080", "http://[::1]:3000",
	} {
		if err := checkOrigin(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"*": "in full", "https://*.example.com": "in full", "null": "in full", "": "write scheme",
		"app.example.com": "write scheme", "https://": "write scheme", "https:app.example.com": "write scheme",
		"http://app.example.com": "only https", "ftp://app.example.com": "only https", "http://localhost.evil.test": "only https", "file:///x": "write scheme",
		"https://app.example.com/": "browsers write that https://app.example.com", "https://app.example.com/x": "browsers write",
		"https://app.example.com:443": "browsers write that https://app.example.com", "https://APP.example.com": "browsers write that https://app.example.com",
		"https://user@app.example.com": "browsers write", "https://app.example.com?x": "browsers write", "https://app.example.com#x": "browsers write",
		"https://münchen.test": "xn--", "https://app.example.com:": "browsers write", "HTTPS://app.example.com": "browsers write",
		"http://localhost:80": "browsers write", "https://a.test, https://b.test": "",
	} {
		if err := checkOrigin(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want it to say %q", bad, err, want)
		}
	}
}

// FuzzOriginsThatMayBeNamed: what is accepted is what a browser would write, and is https or the person's own machine.
func FuzzOriginsThatMayBeNamed(f *testing.F) {
	for _, seed := range []string{"https://a.test", "http://localhost:1", "https://[::1]:8443", "https://a.test:443", "https://a.test\\@b", "*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if checkOrigin(text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme+"://"+u.Host != text || strings.ToLower(text) != text || strings.ContainsAny(text, "* ,;\\?#@\r\n\x00") {
			t.Errorf("%q is accepted", text)
		}
		if u.Scheme != "https" && u.Hostname() != "localhost" && !strings.HasPrefix(u.Hostname(), "127.") && !strings.Contains(u.Hostname(), ":") {
			t.Errorf("%q is accepted in the clear", text)
		}
	})
}

func TestSharingsThatAreRefused(t *testing.T) {
	const a = "https://a.test"
	for _, tt := range []struct {
		want string
		list []Sharing
	}{
		{"name at least one", []Sharing{{}}},
		{"stands twice", []Sharing{{Origins: []string{a}}, {Origins: []string{"https://b.test", a}}}},
		{"\"get\" cannot be", []Sharing{{Origins: []string{a}, Methods: []string{"get"}}}},
		{"\"TRACE\" cannot be", []Sharing{{Origins: []string{a}, Methods: []string{"TRACE"}}}},
		{"\"P T\" cannot be", []Sharing{{Origins: []string{a}, Methods: []string{"P T"}}}},
		{"\"*\" cannot be", []Sharing{{Origins: []string{a}, Methods: []string{"*"}}}},
		{"\"*\" is not", []Sharing{{Origins: []string{a}, Headers: []string{"*"}}}},
		{"X-Gatehouse-User is", []Sharing{{Origins: []string{a}, Headers: []string{"X-Gatehouse-User"}}}},
		{"between a second and", []Sharing{{Origins: []string{a}, MaxAge: maxShareAge + 1}}},
	} {
		if _, err := share(tt.list); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want it to say %q", tt.list, err, tt.want)
		}
	}
	if named, err := share(nil); named != nil || err != nil {
		t.Errorf("nothing: %v, %v", named, err)
	}
}

func TestWhatAnOriginIsTold(t *testing.T) {
	named, err := share([]Sharing{
		{Origins: []string{"https://a.test"}},
		{Origins: []string{"https://b.test", "https://c.test"}, Credentials: true, Methods: []string{"PUT", "DELETE"}, Headers: []string{"X-Csrf-Token"}, MaxAge: 60},
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(origin ...string) *shared { return named.of(http.Header{"Origin": origin}) }
	for _, strange := range [][]string{nil, {""}, {"null"}, {"https://A.test"}, {"https://a.test/"}, {"https://a.test:443"}, {"http://a.test"}, {"https://a.test", "https://a.test"}, {"https://x.a.test"}} {
		if ask(strange...) != nil {
			t.Errorf("%q is taken for a named origin", strange)
		}
	}
	for origin, want := range map[string]map[string]string{
		"https://a.test": {"Allow-Origin": "https://a.test", "Allow-Methods": "GET, HEAD, POST", "Allow-Headers": "Content-Type", "Max-Age": "600"},
		"https://c.test": {"Allow-Origin": "https://c.test", "Allow-Credentials": "true", "Allow-Methods": "GET, HEAD, POST, PUT, DELETE", "Allow-Headers": "X-Csrf-Token", "Max-Age": "60"},
	} {
		h := http.Header{}
		ask(origin).preflight(h)
		if len(h) != len(want) {
			t.Errorf("%s is told %v", origin, h)
		}
		for name, value := range want {
			if got := h.Get("Access-Control-" + name); got != value {
				t.Errorf("%s: %s = %q, want %q", origin, name, got, value)
			}
		}
	}
}

// What the application says about other origins stands; where it says nothing, the site's cors does.
func TestAnswersForOtherOrigins(t *testing.T) {
	named, err := share([]Sharing{{Origins: []string{"https://a.test"}, Credentials: true}})
	if err != nil {
		t.Fatal(err)
	}
	type headers = map[string]string
	tests := []struct {
		name    string
		granted bool
		origin  string
		says    headers // the application
		want    headers
	}{
		{"named", true, "https://a.test", nil, headers{"Access-Control-Allow-Origin": "https://a.test", "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}},
		{"not named", true, "https://evil.test", nil, headers{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		{"no origin: a cache must know all the same", true, "", nil, headers{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		{"the application answers itself", true, "https://a.test", headers{"Access-Control-Allow-Origin": "*"}, headers{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "", "Vary": ""}},
		{"it varies already", true, "https://a.test", headers{"Vary": "Accept, origin"}, headers{"Vary": "Accept, origin"}},
		{"the portal's pages are nobody else's", false, "https://a.test", nil, headers{"Access-Control-Allow-Origin": "", "Vary": ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "https://app.test/", nil)
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			req := &gatehouse.Request{ID: "ID"}
			if tt.granted {
				req.Grant = verdict.Mint("test")
			}
			w := newWriter(httptest.NewRecorder(), r, req)
			w.named, w.by = named, named.of(r.Header)
			w.WriteHeader(http.StatusEarlyHints) // must leave nothing behind that the final header would repeat
			for name, value := range tt.says {
				w.Header().Add(name, value)
			}
			w.WriteHeader(http.StatusOK)
			for name, want := range tt.want {
				if got := w.Header().Values(name); strings.Join(got, "|") != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
		})
	}
}
