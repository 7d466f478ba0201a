package admit

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/verdict"
)

const key = "dGhlIHNhbXBsZSBub25jZQ=="

func handshake(change func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://app.test/ws", nil)
	r.Header = http.Header{
		"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {key}, "Origin": {"https://app.test"},
	}
	if change != nil {
		change(r)
	}
	return r
}

func TestUpgrade(t *testing.T) {
	tests := []struct {
		name      string
		change    func(*http.Request)
		websocket bool
		reason    verdict.Reason
	}{
		{"a browser's handshake", nil, true, ""},
		{"a program without Origin", func(r *http.Request) { r.Header.Del("Origin") }, true, ""},
		{"the default port may be spelled out", func(r *http.Request) { r.Header.Set("Origin", "https://app.test:443") }, true, ""},
		{"no upgrade at all", func(r *http.Request) { r.Header = http.Header{} }, false, ""},
		{"a foreign page", func(r *http.Request) { r.Header.Set("Origin", "https://evil.test") }, false, verdict.CrossOrigin},
		{"a page over plain HTTP", func(r *http.Request) { r.Header.Set("Origin", "http://app.test") }, false, verdict.CrossOrigin},
		{"another port is another origin", func(r *http.Request) { r.Header.Set("Origin", "https://app.test:8443") }, false, verdict.CrossOrigin},
		{"a sandboxed page", func(r *http.Request) { r.Header.Set("Origin", "null") }, false, verdict.CrossOrigin},
		{"a name that only ends alike", func(r *http.Request) { r.Header.Set("Origin", "https://app.test.evil.test") }, false, verdict.CrossOrigin},
		{"credentials in the origin", func(r *http.Request) { r.Header.Set("Origin", "https://app.test@evil.test") }, false, verdict.CrossOrigin},
		{"two origins", func(r *http.Request) { r.Header.Add("Origin", "https://evil.test") }, false, verdict.CrossOrigin},
		{"h2c", func(r *http.Request) { r.Header.Set("Upgrade", "h2c") }, false, verdict.BadUpgrade},
		{"websocket among others", func(r *http.Request) { r.Header.Set("Upgrade", "websocket, h2c") }, false, verdict.BadUpgrade},
		{"two Upgrade lines", func(r *http.Request) { r.Header.Add("Upgrade", "h2c") }, false, verdict.BadUpgrade},
		{"POST", func(r *http.Request) { r.Method = http.MethodPost }, false, verdict.BadUpgrade},
		{"HTTP/2", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, false, verdict.BadUpgrade},
		{"HTTP/1.0", func(r *http.Request) { r.ProtoMinor = 0 }, false, verdict.BadUpgrade},
		{"no Connection", func(r *http.Request) { r.Header.Del("Connection") }, false, verdict.BadUpgrade},
		{"version 8", func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") }, false, verdict.BadUpgrade},
		{"no key", func(r *http.Request) { r.Header.Del("Sec-Websocket-Key") }, false, verdict.BadUpgrade},
		{"a short key", func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "c2hvcnQ=") }, false, verdict.BadUpgrade},
		{"a key without Upgrade", func(r *http.Request) { r.Header.Del("Upgrade") }, false, verdict.BadUpgrade},
		{"a body", func(r *http.Request) { r.ContentLength = 5 }, false, verdict.BadUpgrade},
		{"a chunked body", func(r *http.Request) { r.ContentLength, r.TransferEncoding = -1, []string{"chunked"} }, false, verdict.BadUpgrade},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			websocket, v := checkUpgrade(handshake(tt.change), nil)
			if websocket != tt.websocket || v.Reason != tt.reason {
				t.Errorf("got websocket %v, reason %q (%s); want %v, %q", websocket, v.Reason, v.Detail, tt.websocket, tt.reason)
			}
		})
	}
}

// What a client claims about itself must not reach the backend in any spelling that some server folds onto the name.
func TestClaimedHeaders(t *testing.T) {
	for _, name := range []string{
		"X-Gatehouse-User", "x-gatehouse-anything", "X_Gatehouse_User", "X.Gatehouse.User", "X~Gatehouse!User", "GATEHOUSE-USER",
		"Remote-User", "REMOTE_USER", "Remote-Groups", "X-Remote-Extra-Scopes", "X-Forwarded-User", "X-Forwarded-For", "X-Forwarded-Uri", "Forwarded", "X-Real-Ip",
		"X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "X-Auth-Request-Email", "X-Webauth-User",
		"X-Goog-Authenticated-User-Email", "X-Ms-Client-Principal-Name", "Cf-Access-Jwt-Assertion", "X-Ssl-Client-S-Dn",
		"Ssl-Client-Verify", "X-Client-Cert", "Proxy", "X-Middleware-Subrequest", "True-Client-Ip", "X-Request-Id",
	} {
		if !claimed(name) {
			t.Errorf("%s from a client would reach the backend", name)
		}
	}
	for _, name := range []string{
		"Accept", "Authorization", "Cookie", "Content-Type", "Host", "Origin", "Referer", "User-Agent", "X-Requested-With",
		"X-Csrf-Token", "X-Auth-Token", "X-Api-Key", "If-None-Match", "Range", "Sec-Fetch-Site", "Traceparent", "Destination",
		"Node-Red-Api-Version", "X-Gatehous", "Remote", "Remotely", strings.Repeat("X", 100),
	} {
		if claimed(name) {
			t.Errorf("%s is an ordinary header and would be dropped", name)
		}
	}
	if n := testing.AllocsPerRun(100, func() { claimed("X-Some-Ordinary-Header") }); n > 0 {
		t.Errorf("claimed allocates %v times", n)
	}
}

func TestKeepHeader(t *testing.T) {
	for name, want := range map[string]bool{
		"X-User-Id": true, "X-Role": true, "X-Gatehouse-User": false, "x_gatehouse_user": false,
		"X-Forwarded-For": false, "Connection": false, "Proxy": false, "": false,
	} {
		if got := keepable(name); got != want {
			t.Errorf("keepable(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestCleanHead(t *testing.T) {
	r := handshake(nil)
	r.Header.Set("Connection", "close, X-Gatehouse-User, upgrade")
	r.Header.Set("X-Gatehouse-User", "root")
	r.Header.Set("X-User-Id", "17")
	r.Header.Set("X-Role", "admin")
	r.Header.Set("Te", "gzip, trailers;q=0.5, trailers")
	r.Header.Set("Trailer", "X-Gatehouse-User")
	r.Header.Set("Accept", "*/*")
	r.Trailer = http.Header{"X-Gatehouse-User": nil}
	cleanHead(r, true, map[string]bool{"X-User-Id": true})
	want := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "X-Gatehouse-User": "", "X-User-Id": "17", "X-Role": "",
		"Te": "trailers", "Trailer": "", "Accept": "*/*", "Sec-Websocket-Key": key,
	}
	for name, value := range want {
		if got := r.Header.Get(name); got != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
	if r.Trailer != nil {
		t.Error("trailers go on: they arrive after everything was judged")
	}
	cleanHead(r, false, nil)
	if r.Header.Get("Connection") != "" || r.Header.Get("Upgrade") != "" {
		t.Error("an ordinary request keeps its hop-by-hop headers")
	}
}

func TestGuessed(t *testing.T) {
	for value, want := range map[string]bool{"": false, "prefetch": true, "prefetch;prerender": true, "prefetch;anonymous-client-ip": true, "x": false} {
		if got := guessed(http.Header{"Sec-Purpose": {value}}); got != want {
			t.Errorf("Sec-Purpose %q: %v, want %v", value, got, want)
		}
	}
	if !guessed(http.Header{"X-Moz": {"prefetch"}}) || !guessed(http.Header{"Purpose": {"preview"}}) || guessed(http.Header{}) {
		t.Error("older browsers' words are not understood, or no word is taken for one")
	}
}

func TestMethods(t *testing.T) {
	for _, m := range []string{"CONNECT", "TRACE", "TRACK", "get", "PROPFIND", "", "GET ", "BREW"} {
		if acceptsMethod(m, nil) {
			t.Errorf("%q is accepted", m)
		}
	}
	if !acceptsMethod("PROPFIND", []string{"PROPFIND"}) || !acceptsMethod("PATCH", nil) {
		t.Error("an ordinary or configured method is refused")
	}
}

func TestWriterHasTheLastWord(t *testing.T) {
	rec := httptest.NewRecorder()
	req := &gatehouse.Request{ID: "ID"}
	req.Grant = verdict.Mint("test")
	w := newWriter(rec, httptest.NewRequest(http.MethodGet, "https://app.test/", nil), req)
	h := w.Header()
	h.Add("Strict-Transport-Security", "max-age=0")
	h.Add("Strict-Transport-Security", "max-age=1")
	h.Set("X-Request-Id", "the backend's own")
	h.Add("Set-Cookie", "app=1")
	h.Add("Set-Cookie", "__host-Gatehouse=stolen; Path=/")
	_, _ = w.Write([]byte("hello"))
	if w.status != http.StatusOK || w.bytes != 5 {
		t.Errorf("status %d, bytes %d", w.status, w.bytes)
	}
	got := rec.Result().Header
	if v := got["Strict-Transport-Security"]; len(v) != 1 || v[0] != "max-age=63072000; includeSubDomains" {
		t.Errorf("HSTS = %q", v)
	}
	if v := got["X-Request-Id"]; len(v) != 1 || v[0] != "ID" {
		t.Errorf("X-Request-Id = %q", v)
	}
	if v := got["Set-Cookie"]; len(v) != 1 || v[0] != "app=1" {
		t.Errorf("a backend sets the gateway's cookie: %q", v)
	}
}

func TestInformationalAnswersAreNotTheAnswer(t *testing.T) {
	w := newWriter(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "https://app.test/", nil), &gatehouse.Request{})
	w.WriteHeader(http.StatusEarlyHints)
	if w.status != 0 {
		t.Error("103 counts as the answer")
	}
	w.WriteHeader(http.StatusSwitchingProtocols)
	if w.status != http.StatusSwitchingProtocols {
		t.Error("101 does not count as the answer")
	}
}

func TestNoHSTSOverPlainHTTP(t *testing.T) {
	rec := httptest.NewRecorder()
	w := newWriter(rec, httptest.NewRequest(http.MethodGet, "http://app.test/", nil), &gatehouse.Request{ID: "ID"})
	w.WriteHeader(http.StatusForbidden)
	if v := rec.Result().Header.Get("Strict-Transport-Security"); v != "" {
		t.Errorf("HSTS over plain HTTP: %q", v)
	}
}
