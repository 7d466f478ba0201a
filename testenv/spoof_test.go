package testenv

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// forged is the value that a client puts wherever it should not reach.
const forged = "forged-by-the-client"

// identityHeaders are names under which applications and frameworks believe a proxy about who the user is.
var identityHeaders = []string{
	"X-Gatehouse-User", "X-Gatehouse-Email", "X-Gatehouse-Name", "X-Gatehouse-Roles", "X-Gatehouse-Tenant", "X-Gatehouse-Anything",
	"x-gatehouse-user", "X-GATEHOUSE-USER", "X_Gatehouse_User", "X_GATEHOUSE_USER", "X-Gatehouse_User", "X_Gatehouse-User",
	"X.Gatehouse.User", "X-Gatehouse.User", "x_gatehouse_roles",
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token",
	"X_Forwarded_User", "Remote-User", "Remote_User", "REMOTE_USER", "X-Remote-User", "X-Remote-Group", "X-Remote-Extra-Scopes",
	"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups", "X-Auth-Request-Access-Token", "X_Auth_Request_User",
	"X-WEBAUTH-USER", "X-Webauth-Role", "X-Authenticated-User", "X-Authentik-Username", "X-Pomerium-Claim-Email",
	"X-Pomerium-Jwt-Assertion", "Cf-Access-Authenticated-User-Email", "Cf-Access-Jwt-Assertion", "X-Goog-Authenticated-User-Email",
	"X-Goog-Iap-Jwt-Assertion", "X-Amzn-Oidc-Identity", "X-Amzn-Oidc-Data", "X-Ms-Client-Principal", "X-Ms-Client-Principal-Name",
	"Remote-Groups", "Remote-Email", "Remote-Name", "Ssl-Client-Verify", "Ssl-Client-S-Dn", "X-Ssl-Client-Cert", "X-Client-Cert",
	"X-Forwarded-Client-Cert", "Client-Cert", "Oidc_claim_sub", "OIDC-Claim-Sub",
}

// routingHeaders are names by which proxies tell applications where a request came from, what it was for and how: the
// gateway sends its own or none.
var routingHeaders = []string{
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Uri",
	"X-Forwarded-Method", "X-Forwarded-Path", "X-Forwarded-Server", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Forwarded-By",
	"X_Forwarded_For", "X_Forwarded_Host", "Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip",
	"X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Url", "X-Original-Uri", "X-Original-Host", "X-Original-Method", "X-Rewrite-Url",
	"X-Host", "X-Url-Scheme", "Front-End-Https", "X-Envoy-Original-Path", "Proxy", "Proxy-Authorization",
	"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Request-Id",
}

// leaks are the headers, as the application got them, in which a client's forged value arrived. Only value counts:
// the gateway may send headers of the same name with its own.
func leaks(headers http.Header) []string {
	var found []string
	for name, values := range headers {
		for _, v := range values {
			if strings.Contains(v, forged) && name != "Connection" {
				found = append(found, name)
			}
		}
	}
	slices.Sort(found)
	return found
}

// TestForgedHeaders sends every name over every HTTP version, as a user and as a stranger on a public path, alone and
// as a hop-by-hop header and as a trailer: no client byte may reach the application under any of these names.
func TestForgedHeaders(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Site: "allow role staff\n\t\tpublic /whoami"})
	names := slices.Concat(identityHeaders, routingHeaders)
	if len(identityHeaders) < 36 {
		t.Fatalf("only %d identity headers", len(identityHeaders))
	}
	people := map[string]*client{"a stranger": g.stranger(t), "a user": g.newUser(t, "alice", "two cranes over a tin roof")}

	for who, c := range people {
		for _, version := range []string{"1.1", "2", "3"} {
			t.Run(who+" over "+version, func(t *testing.T) {
				for _, name := range names {
					be.mustForget(t)
					a, err := c.do(request{Path: "/whoami", HTTP: version, Header: http.Header{name: {forged}}})
					if err != nil {
						// A connection that is refused is fine; but the next name needs a new one.
						t.Logf("%s: %v", name, err)
						continue
					}
					checkForgery(t, name, c, a, be)
				}
			})
		}
	}
	t.Run("hop by hop", func(t *testing.T) { hopByHop(t, g, be, people["a user"]) })
	t.Run("trailers", func(t *testing.T) { forgedTrailers(t, g, be, people["a user"]) })
	t.Run("malformed", func(t *testing.T) { malformedHeaders(t, g, be, people["a user"]) })
	t.Run("http2 fields", func(t *testing.T) { forgedHTTP2(t, g, be, people["a user"]) })
	t.Run("cookies", func(t *testing.T) { ownCookies(t, g, be, people["a user"]) })
}

func checkForgery(t *testing.T, name string, c *client, a *answer, be *backend) {
	t.Helper()
	seen := be.mustSee(t)
	for _, r := range seen.Requests {
		for _, leak := range append(leaks(r.Headers), leaks(r.Trailers)...) {
			t.Errorf("%s: the client's value reached the application as %s", name, leak)
		}
		loggedIn := c.cookie(sessionCookie) != ""
		if got := r.Headers.Get("X-Gatehouse-User"); (got != "") != loggedIn {
			t.Errorf("%s: X-Gatehouse-User is %q, logged in: %v", name, got, loggedIn)
		}
		if got := r.Headers.Get("X-Request-Id"); got == "" || a != nil && got != a.id() {
			t.Errorf("%s: X-Request-Id is %q for the application", name, got)
		}
		if got := r.Headers.Get("X-Forwarded-For"); got != "127.0.0.1" {
			t.Errorf("%s: X-Forwarded-For is %q", name, got)
		}
		if got := r.Headers.Get("X-Forwarded-Proto"); got != "https" {
			t.Errorf("%s: X-Forwarded-Proto is %q", name, got)
		}
	}
	if a != nil && a.Status == http.StatusOK && len(seen.Requests) != 1 {
		t.Errorf("%s: answered 200, but the application saw %d requests", name, len(seen.Requests))
	}
}

// hopByHop asks, in the Connection header, for the removal of what the gateway adds.
func hopByHop(t *testing.T, g *gateway, be *backend, user *client) {
	targets := []string{
		"X-Gatehouse-User", "X-Gatehouse-Roles", "X-Gatehouse-Email", "x-gatehouse-name", "X-Request-Id", "X-Forwarded-For",
		"X-Forwarded-Proto", "X-Forwarded-Host", "Cookie", "Host", "Content-Length",
	}
	for _, target := range targets {
		for _, connection := range []string{
			"Connection: close, " + target, "Connection: " + target + ", close", "Connection: close\r\nConnection: " + target,
			"Connection: close,\t" + strings.ToUpper(target), "Connection: close\r\nProxy-Connection: " + target, "Connection: close\r\nKeep-Alive: " + target,
			"Connection: upgrade, close, " + target,
		} {
			be.mustForget(t)
			a, err := g.raw1(g.lines1("GET", "/whoami", "Cookie: theme=dark; "+user.cookieHeader(), connection))
			if err != nil {
				t.Errorf("%q: %v", connection, err)
				continue
			}
			if a.Status != http.StatusOK {
				continue // refused
			}
			for _, r := range be.mustSee(t).Requests {
				for _, name := range []string{"X-Gatehouse-User", "X-Gatehouse-Roles", "X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
					if r.Headers.Get(name) == "" {
						t.Errorf("%q took %s away", connection, name)
					}
				}
				if got := r.Headers.Get("Cookie"); got != "theme=dark" {
					t.Errorf("%q: the application's cookies are %q", connection, got)
				}
			}
		}
	}
}

// forgedTrailers sends identity headers behind the body, announced or not.
func forgedTrailers(t *testing.T, g *gateway, be *backend, user *client) {
	for _, name := range slices.Concat(identityHeaders, routingHeaders) {
		for _, announce := range []string{"Trailer: " + name, "TE: trailers", "Connection: TE\r\nTE: trailers\r\nTrailer: " + name} {
			be.mustForget(t)
			payload := g.lines1("POST", "/whoami", "Cookie: "+user.cookieHeader(), "Transfer-Encoding: chunked", announce) +
				"5\r\nhello\r\n0\r\n" + name + ": " + forged + "\r\n\r\n"
			a, _ := g.raw1(payload) // no answer is a refusal
			checkForgery(t, "trailer "+name, user, a, be)
		}
		be.mustForget(t)
		lower := strings.ToLower(name)
		a, _ := g.raw2(request2{
			fields: g.fields2("POST", "/whoami", [2]string{"cookie", user.cookieHeader()}, [2]string{"trailer", lower}),
			body:   []byte("hello"), trailers: [][2]string{{lower, forged}},
		})
		checkForgery(t, "h2 trailer "+name, user, a, be)
	}
}

// malformedHeaders writes the name in ways that parsers have disagreed about.
func malformedHeaders(t *testing.T, g *gateway, be *backend, user *client) {
	for _, line := range []string{
		"X-Gatehouse-User : " + forged, "X-Gatehouse-User\t: " + forged, " X-Gatehouse-User: " + forged,
		"X-Other: a\r\n X-Gatehouse-User: " + forged, "X-Other: a\nX-Gatehouse-User: " + forged, "X-Other: a\rX-Gatehouse-User: " + forged,
		"X-Other: a\x00X-Gatehouse-User: " + forged, "X-Gatehouse-User:" + forged, "X-Gatehouse-User: \r\n " + forged,
		"X-Gatehouse-User\x00: " + forged, "X-Gatehouse-User\xc2\xa0: " + forged, "X\xe2\x80\x90Gatehouse-User: " + forged,
		"X-Gatehouse-User: " + forged + "\r\nX-Gatehouse-User: " + forged, "X-Gatehouse-User;: " + forged,
		"X-Gatehouse-User: a, " + forged, "X-Gatehouse--User: " + forged, "X-Gatehouse-User-: " + forged, "-X-Gatehouse-User: " + forged,
		"X Gatehouse User: " + forged, "X+Gatehouse+User: " + forged, "HTTP_X_GATEHOUSE_USER: " + forged, "X~Gatehouse~User: " + forged,
	} {
		be.mustForget(t)
		a, _ := g.raw1(g.lines1("GET", "/whoami", "Cookie: "+user.cookieHeader(), "Connection: close", line))
		for _, r := range be.mustSee(t).Requests {
			for _, leak := range leaks(r.Headers) {
				if strings.HasPrefix(cgi(leak), "HTTP_X_GATEHOUSE_") || strings.HasPrefix(cgi(leak), "HTTP_HTTP_X_GATEHOUSE") {
					t.Errorf("%q reached the application as %q (status %d)", line, leak, a.Status)
				}
			}
			if r.Headers.Get("X-Gatehouse-User") == "" {
				t.Errorf("%q took the real X-Gatehouse-User away", line)
			}
		}
	}
}

// cgi is a header as CGI and WSGI applications read it: everything but letters and digits is _.
func cgi(name string) string {
	return "HTTP_" + strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(name))
}

// forgedHTTP2 sends fields that no HTTP/2 library would.
func forgedHTTP2(t *testing.T, g *gateway, be *backend, user *client) {
	cookie := [2]string{"cookie", user.cookieHeader()}
	for _, more := range [][][2]string{
		{{"X-Gatehouse-User", forged}}, {{"x_gatehouse_user", forged}}, {{"x-gatehouse-user", forged}},
		{{"connection", "x-gatehouse-user"}}, {{"connection", "close, x-gatehouse-user"}}, {{"te", "x-gatehouse-user"}},
		{{"keep-alive", forged}}, {{"proxy-connection", "x-gatehouse-user"}}, {{"transfer-encoding", "chunked"}},
		{{"upgrade", "h2c"}}, {{":x-gatehouse-user", forged}}, {{"x-other", "a\r\nx-gatehouse-user: " + forged}},
		{{"x-other\r\nx-gatehouse-user", forged}}, {{"x-gatehouse-user ", forged}}, {{"host", "other.test"}},
		{{":path", "/admin/"}}, {{":authority", "other.test"}}, {{":method", "POST"}}, {{":protocol", "websocket"}},
	} {
		be.mustForget(t)
		a, _ := g.raw2(request2{fields: g.fields2("GET", "/whoami", append([][2]string{cookie}, more...)...)})
		for _, r := range be.mustSee(t).Requests {
			if l := leaks(r.Headers); len(l) > 0 {
				t.Errorf("%q reached the application as %q", more, l)
			}
			if r.Headers.Get("X-Gatehouse-User") == "" {
				t.Errorf("%q took X-Gatehouse-User away", more)
			}
			if r.URI != "/whoami" || r.Host != appHost+":"+strconv.Itoa(g.port) || r.Method != "GET" {
				t.Errorf("%q became %s %s%s", more, r.Method, r.Host, r.URI)
			}
		}
		if a != nil && a.Status >= 500 {
			t.Errorf("%q: status %d", more, a.Status)
		}
	}
}

// ownCookies checks that the application gets its cookies and none of the gateway's.
func ownCookies(t *testing.T, g *gateway, be *backend, user *client) {
	own := user.cookieHeader()
	for sent, want := range map[string]string{
		own:                           "",
		"a=1; " + own:                 "a=1",
		own + "; a=1":                 "a=1",
		"a=1; " + own + "; b=2":       "a=1; b=2",
		"a=\"x y\"; " + own + "; b=2": "a=\"x y\"; b=2",
		"a=1;" + strings.ReplaceAll(own, "; ", ";") + ";b=2": "a=1; b=2",
		own + "; __Host-gatehouse-login=abc":                 "",
		own + "; session=1; csrf=2":                          "session=1; csrf=2",
	} {
		for _, version := range []string{"1.1", "2", "3"} {
			be.mustForget(t)
			a, err := user.do(request{Path: "/whoami", HTTP: version, Bare: true, Header: http.Header{"Cookie": {sent}}})
			if err != nil || a.Status != http.StatusOK {
				t.Errorf("%q over %s: %v, %v", sent, version, a, err)
				continue
			}
			var echo struct{ Headers http.Header }
			if err := json.Unmarshal(a.Body, &echo); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(echo.Headers["Cookie"], "; "); normalCookies(got) != normalCookies(want) {
				t.Errorf("over %s: of %q the application got %q, want %q", version, sent, got, want)
			}
		}
	}
}

// normalCookies forgives the space behind a semicolon.
func normalCookies(s string) string { return strings.ReplaceAll(s, "; ", ";") }

// TestForgedHeadersPlain is the negative control: plain Caddy lets many of them through.
func TestForgedHeadersPlain(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	c := startPlain(t, config{Backend: be.Listen}).stranger(t)
	passed := 0
	for _, name := range slices.Concat(identityHeaders, routingHeaders) {
		be.mustForget(t)
		if _, err := c.do(request{Path: "/whoami", HTTP: "1.1", Header: http.Header{name: {forged}}}); err != nil {
			continue
		}
		for _, r := range be.mustSee(t).Requests {
			if len(leaks(r.Headers)) > 0 {
				passed++
			}
		}
	}
	t.Logf("plain Caddy forwards %d of %d", passed, len(identityHeaders)+len(routingHeaders))
	if passed < 20 {
		t.Errorf("plain Caddy forwards only %d: this test would not notice a gateway that does nothing", passed)
	}
}
