package admit

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/reqpath"
)

func shieldOf(t *testing.T) *Handler {
	t.Helper()
	named, err := share([]Sharing{{Origins: []string{"https://spa.test"}, Credentials: true}, {Origins: []string{"https://reader.test"}}})
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{named: named}
	for _, text := range []string{"/payments/callback", "/saml/*"} {
		p, err := reqpath.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		h.CrossSite = append(h.CrossSite, p)
	}
	return h
}

func TestShield(t *testing.T) {
	type headers = http.Header
	site := func(v ...string) headers { return headers{"Sec-Fetch-Site": v} }
	from := func(v ...string) headers { return headers{"Origin": v} }
	tests := []struct {
		name   string
		method string
		path   string
		sent   headers
		want   bool // it is a foreign page's doing
	}{
		// Fetch Metadata
		{"own page", "POST", "/", site("same-origin"), false},
		{"typed by the person", "POST", "/", site("none"), false},
		{"another site", "POST", "/", site("cross-site"), true},
		{"a sibling host", "POST", "/", site("same-site"), true},
		{"own page that hides its address", "POST", "/", headers{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"null"}}, false},
		{"another site that claims our Origin", "POST", "/", headers{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://app.test"}}, true},
		{"a value nobody knows", "POST", "/", site("same-planet"), true},
		{"an empty value", "POST", "/", site(""), true},
		{"two values", "POST", "/", site("same-origin", "same-origin"), true},
		{"every method that changes something", "DELETE", "/", site("cross-site"), true},
		{"a method of WebDAV's", "PROPPATCH", "/", site("cross-site"), true},
		{"a link is followed", "GET", "/", site("cross-site"), false},
		{"HEAD", "HEAD", "/", site("cross-site"), false},
		{"OPTIONS", "OPTIONS", "/", site("cross-site"), false},
		// Origin
		{"own origin", "POST", "/", from("https://app.test"), false},
		{"own origin, port spelled out", "POST", "/", from("https://app.test:443"), false},
		{"another origin", "POST", "/", from("https://evil.test"), true},
		{"another port", "POST", "/", from("https://app.test:8443"), true},
		{"own name in the clear", "POST", "/", from("http://app.test"), true},
		{"null", "POST", "/", from("null"), true},
		{"empty", "POST", "/", from(""), true},
		{"two", "POST", "/", from("https://app.test", "https://app.test"), true},
		{"two in one", "POST", "/", from("https://app.test, https://evil.test"), true},
		{"a name that begins alike", "POST", "/", from("https://app.test.evil.test"), true},
		// Referer
		{"own page of an old browser", "POST", "/", headers{"Referer": {"https://app.test/form?x=1"}}, false},
		{"another page of an old browser", "POST", "/", headers{"Referer": {"https://evil.test/https://app.test/"}}, true},
		{"a Referer that is none", "POST", "/", headers{"Referer": {"about:blank"}}, true},
		{"Origin counts before Referer", "POST", "/", headers{"Origin": {"https://app.test"}, "Referer": {"https://evil.test/"}}, false},
		{"a program", "POST", "/", nil, false},
		// origins that cors names
		{"one that acts for the person", "POST", "/", headers{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://spa.test"}}, false},
		{"the same without Fetch Metadata", "POST", "/", from("https://spa.test"), false},
		{"one that may only read", "POST", "/", headers{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://reader.test"}}, true},
		{"no origin's account page", "POST", "/.gatehouse/account", headers{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://spa.test"}}, true},
		// routes
		{"a callback", "POST", "/payments/callback", site("cross-site"), false},
		{"below a route", "POST", "/saml/acs", from("null"), false},
		{"beside it", "POST", "/payments/callback/x", site("cross-site"), true},
		{"in another case", "POST", "/SAML/acs", site("cross-site"), true},
		{"with a parameter that some servers drop", "POST", "/payments/callback;x", site("cross-site"), true},
		// the portal
		{"an answer of an identity provider", "POST", "/.gatehouse/login/oidc/callback", site("cross-site"), false},
		{"the log-out form", "POST", "/.gatehouse/logout", site("cross-site"), true},
		{"the portal, misspelled", "POST", "/.GATEHOUSE/login/oidc", site("cross-site"), true},
	}
	h := shieldOf(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "https://app.test"+tt.path, nil)
			r.Header = tt.sent.Clone()
			if r.Header == nil {
				r.Header = http.Header{}
			}
			path, err := reqpath.FromRequest(r, reqpath.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := h.crossSite(r, &gatehouse.Request{Path: path}); got != tt.want {
				t.Errorf("foreign: %v, want %v", got, tt.want)
			}
		})
	}
	if h.crossSite(httptest.NewRequest(http.MethodPost, "https://app.test/", nil), &gatehouse.Request{}) {
		t.Error("a request that was refused before it had a path is judged again")
	}
}

// The shield protects exactly what authn would take for a session.
func TestAmbient(t *testing.T) {
	for line, want := range map[string]bool{
		"": false, "a=b": false, cookie.Ours + "=x": true, "a=b; " + cookie.Ours + "=x": true, cookie.Ours + "-login=x": false,
		cookie.Ours + "=": false, cookie.Ours + "=x; " + cookie.Ours + "=y": false, "x" + cookie.Ours + "=x": false,
	} {
		r := httptest.NewRequest(http.MethodPost, "https://app.test/", nil)
		r.Header.Set("Cookie", line)
		if got := ambient(r); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func TestUpgradeFromNamedOrigins(t *testing.T) {
	h := shieldOf(t)
	for origin, want := range map[string]bool{"https://spa.test": true, "https://reader.test": false, "https://evil.test": false} {
		websocket, v := checkUpgrade(handshake(func(r *http.Request) { r.Header.Set("Origin", origin) }), h.named)
		if websocket != want || v.Given() == want {
			t.Errorf("a websocket from %s: %v, %v", origin, websocket, v)
		}
	}
}

func TestPreflight(t *testing.T) {
	type headers = http.Header
	for _, tt := range []struct {
		name   string
		method string
		sent   headers
		want   bool
	}{
		{"one", "OPTIONS", headers{"Origin": {"https://a.test"}, "Access-Control-Request-Method": {"PUT"}}, true},
		{"from null", "OPTIONS", headers{"Origin": {"null"}, "Access-Control-Request-Method": {"PUT"}}, true},
		{"no method asked for", "OPTIONS", headers{"Origin": {"https://a.test"}}, false},
		{"an empty one", "OPTIONS", headers{"Origin": {"https://a.test"}, "Access-Control-Request-Method": {""}}, false},
		{"no origin", "OPTIONS", headers{"Access-Control-Request-Method": {"PUT"}}, false},
		{"two origins", "OPTIONS", headers{"Origin": {"https://a.test", "https://b.test"}, "Access-Control-Request-Method": {"PUT"}}, false},
		{"two methods", "OPTIONS", headers{"Origin": {"https://a.test"}, "Access-Control-Request-Method": {"PUT", "GET"}}, false},
		{"another method", "POST", headers{"Origin": {"https://a.test"}, "Access-Control-Request-Method": {"PUT"}}, false},
	} {
		r := httptest.NewRequest(tt.method, "https://app.test/", nil)
		r.Header = tt.sent
		if got := gatehouse.IsPreflight(r); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
