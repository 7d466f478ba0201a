package standard_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
)

func get(t testing.TB, c *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return res, string(body)
}

func wantHSTS(t *testing.T, what string, h http.Header) {
	t.Helper()
	if v := h["Strict-Transport-Security"]; len(v) != 1 || v[0] != "max-age=63072000; includeSubDomains" {
		t.Errorf("%s: Strict-Transport-Security = %q", what, v)
	}
}

// backend answers what its path asks for, with an HSTS header and cookies of its own.
func backend(t testing.TB) (url string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=0")
		w.Header().Add("Set-Cookie", "app=1")
		w.Header().Add("Set-Cookie", "__Host-gatehouse=planted; Path=/; Secure")
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/status/%d", &status); err == nil {
			w.WriteHeader(status)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"path": r.RequestURI, "header": r.Header, "trailer": r.Trailer})
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func openSite(t *testing.T, change ...string) *gatetest.Gateway {
	t.Helper()
	change = append([]string{"policy", "public /*", "backend", "reverse_proxy " + backend(t)}, change...)
	return gatetest.Start(t, fill(newcomer, pairs(change...)))
}

func TestHSTSOnEveryAnswer(t *testing.T) {
	g := openSite(t)
	c := g.Client()
	for _, path := range []string{
		"/", "/status/204", "/status/304", "/status/301", "/status/401", "/status/404", "/status/500", "/a/../b", "/a//b",
		"/.gatehouse/login", "/.gatehouse/nothing", "/?q=<script>alert(1)</script>",
	} {
		res, _ := get(t, c, "https://app.test"+path)
		wantHSTS(t, fmt.Sprintf("%s (%d)", path, res.StatusCode), res.Header)
		if id := res.Header["X-Request-Id"]; len(id) != 1 || len(id[0]) != 26 {
			t.Errorf("%s: X-Request-Id = %q", path, id)
		}
	}
}

func TestBackendCannotSetOurCookies(t *testing.T) {
	g := openSite(t)
	res, _ := get(t, g.Client(), "https://app.test/")
	if v := res.Header["Set-Cookie"]; len(v) != 1 || v[0] != "app=1" {
		t.Errorf("Set-Cookie = %q", v)
	}
}

// A Host that no site has, on a certificate that would fit it, must not get Caddy's empty 200.
func TestUnknownHost(t *testing.T) {
	g := openSite(t)
	res, body := get(t, g.Client(), "https://other.test/")
	if res.StatusCode != http.StatusMisdirectedRequest || !strings.Contains(body, `"reason":"unknown_host"`) {
		t.Errorf("status %d, body %s", res.StatusCode, body)
	}
	wantHSTS(t, "unknown host", res.Header)
}

func TestForeignHostOnAConnection(t *testing.T) {
	g := openSite(t)
	tr := g.Transport()
	tr.TLSClientConfig.ServerName = "other.test"
	defer tr.CloseIdleConnections()
	res, body := get(t, &http.Client{Transport: tr}, "https://app.test/")
	if res.StatusCode != http.StatusMisdirectedRequest || !strings.Contains(body, `"reason":"misdirected"`) {
		t.Errorf("status %d, body %s", res.StatusCode, body)
	}
	wantHSTS(t, "fronting", res.Header)
}

// An operator who proxies in handle_errors must not open a side door around the gate (CADDY 27): the routes see
// errors of granted requests only.
func TestErrorRoutesAreNoSideDoor(t *testing.T) {
	up := backend(t)
	g := gatetest.Start(t, fill(newcomer, pairs(
		"policy", "public /open/*\n allow role staff", "backend", "reverse_proxy 127.0.0.1:1",
		"after", "handle_errors {\n reverse_proxy "+up+"\n}")))
	c := g.Client()
	res, body := get(t, c, "https://app.test/secret")
	if res.StatusCode != http.StatusUnauthorized || strings.Contains(body, `"path"`) {
		t.Errorf("an ungranted request reached the error route's backend: %d %s", res.StatusCode, body)
	}
	res, body = get(t, c, "https://other.test/secret")
	if res.StatusCode != http.StatusMisdirectedRequest || strings.Contains(body, `"path"`) {
		t.Errorf("an unknown host reached the error route's backend: %d %s", res.StatusCode, body)
	}
	res, body = get(t, c, "https://app.test/open/x")
	if !strings.Contains(body, `"path"`) {
		t.Errorf("the operator's error route does not answer a granted request's 502: %d %s", res.StatusCode, body)
	}
	wantHSTS(t, "error route", res.Header)
}

func TestUpstreamDownIsOurPage(t *testing.T) {
	g := openSite(t, "backend", "reverse_proxy 127.0.0.1:1")
	res, body := get(t, g.Client(), "https://app.test/", "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
	if res.StatusCode != http.StatusBadGateway || !strings.Contains(body, "upstream_down") && !strings.Contains(body, res.Header.Get("X-Request-Id")) {
		t.Errorf("status %d, body %.300s", res.StatusCode, body)
	}
	wantHSTS(t, "502", res.Header)
}

// The path judged is the path sent, in one canonical spelling, and the client's identity headers stay outside.
func TestWhatTheBackendSees(t *testing.T) {
	g := openSite(t)
	_, body := get(t, g.Client(), "https://app.test/%7Euser/caf%c3%a9;x=1?q=%7e&r",
		"X-Gatehouse-User", "root", "X-Forwarded-User", "root", "X-Forwarded-For", "1.2.3.4", "X-Request-Id", "mine",
		"Cookie", "a=1; __Host-gatehouse-login=ABCDEFGHIJKLMNOPQRSTUVWXYZ; b=2")
	var got struct {
		Path   string
		Header http.Header
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if want := "/~user/caf%C3%A9;x=1?q=%7e&r"; got.Path != want {
		t.Errorf("the backend got %q, want %q", got.Path, want)
	}
	for name, want := range map[string]string{
		"X-Gatehouse-User": "", "X-Forwarded-User": "", "X-Forwarded-For": "127.0.0.1", "Cookie": "a=1; b=2",
		"X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.test",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s = %q, want %q", name, v, want)
		}
	}
	if id := got.Header.Get("X-Request-Id"); len(id) != 26 {
		t.Errorf("X-Request-Id = %q", id)
	}
}

// Requests in flight when the configuration changes end as they began; a configuration that fails changes nothing.
func TestReloadInFlight(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-release
		}
		_, _ = io.WriteString(w, "done")
	}))
	defer srv.Close()
	change := []string{"policy", "public /*", "backend", "reverse_proxy " + strings.TrimPrefix(srv.URL, "http://")}
	g := gatetest.Start(t, fill(newcomer, pairs(change...)))
	var slow sync.WaitGroup
	slow.Go(func() {
		res, body := get(t, g.Client(), "https://app.test/slow")
		if res.StatusCode != 200 || body != "done" {
			t.Errorf("the request in flight ended with %d %q", res.StatusCode, body)
		}
	})
	<-entered
	if err := g.Load(fill(newcomer, pairs(append(change, "global", "grace_period 20s")...))); err != nil {
		t.Fatal(err)
	}
	if err := g.Load(fill(newcomer, pairs("policy", "forward user"))); err == nil {
		t.Fatal("a broken configuration was accepted")
	}
	res, body := get(t, g.Client(), "https://app.test/after")
	if res.StatusCode != 200 || body != "done" {
		t.Errorf("after the reloads: %d %q", res.StatusCode, body)
	}
	close(release)
	slow.Wait()
}
