package evidence

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// attacks are what a web application firewall must know. Each is sent with a word of its own, and once more without the attack.
var attacks = []struct{ what, query string }{
	{"SQL injection", "' UNION SELECT password FROM users--"},
	{"SQL injection", "1' OR '1'='1' AND SLEEP(5)-- -"},
	{"cross-site scripting", "<script>alert(document.cookie)</script>"},
	{"path traversal", "../../../../etc/passwd"},
	{"command injection", "; cat /etc/passwd | sh"},
}

func probeWAF(ctx context.Context, r *Run, s *Site) Result {
	const fix = "take insecure_waf_off and `mode detect` out of the site, and look at the exclusions in `waf`"
	for _, attack := range attacks {
		path := "/gatehouse-evidence-" + nonce() + "?q="
		a, err := r.ask(ctx, s, http.MethodGet, path+url.QueryEscape(attack.query), nil)
		if err != nil {
			return unreachable(err)
		}
		if a.status != http.StatusForbidden || a.reason != "waf_blocked" || a.id == "" || !strings.Contains(a.body, a.id) {
			return failed(fix, "%s is answered with %d %s", attack.what, a.status, a.reason)
		}
		plain, err := r.ask(ctx, s, http.MethodGet, path+"a+harmless+question", nil)
		if err != nil {
			return unreachable(err)
		}
		if plain.reason == "waf_blocked" {
			return failed("the WAF refuses everything: look at `rules` and `paranoia` in `waf`", "a harmless request is refused like %s", attack.what)
		}
	}
	return passed("%d attacks refused, the same requests without them not", len(attacks))
}

// claims are headers by which applications learn who somebody is. Each is tried in further spellings that some servers take for it.
var claims = []string{
	"X-Gatehouse-User", "X-Gatehouse-Roles", "Remote-User", "X-Remote-User", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups",
	"X-Auth-Request-User", "X-Auth-Request-Email", "X-User", "X-Webauth-User", "X-Authenticated-User", "Cf-Access-Authenticated-User-Email",
	"X-Goog-Authenticated-User-Email", "X-Ms-Client-Principal-Name", "X-Authentik-Username", "X-Pomerium-Claim-Email", "X-Client-Cert", "X-Real-Ip",
}

func probeSpoof(ctx context.Context, r *Run, s *Site) Result {
	if r.Echo == "" {
		return declared("nothing tells which headers arrive: name a public path of the application that does, with --echo")
	}
	lie, harmless := nonce(), nonce()
	header := headerOf("X-Evidence-Harmless", harmless)
	for _, name := range claims {
		header[name] = []string{lie}
		header[strings.ReplaceAll(name, "-", "_")] = []string{lie}
		header[strings.ToUpper(name)] = []string{lie}
	}
	header["Connection"] = []string{"close, X-Gatehouse-User"}
	a, err := r.ask(ctx, s, http.MethodGet, r.Echo, header)
	if err != nil {
		return unreachable(err)
	}
	if !strings.Contains(a.body, harmless) {
		return declared("%s does not tell which headers arrived (%d): not even a harmless one is there", r.Echo, a.status)
	}
	if strings.Contains(a.body, lie) {
		return failed("take `keep_header` out of the site", "a client's word of who it is arrives at the application")
	}
	return passed("%d headers in %d spellings did not arrive, a harmless one did", len(claims), 3*len(claims))
}

// pageHeaders are what every page of the gateway has.
var pageHeaders = []struct {
	name string
	ok   func(value string) bool
}{
	{"Content-Security-Policy", func(v string) bool {
		return strings.Contains(v, "default-src 'none'") && strings.Contains(v, "frame-ancestors 'none'") && !strings.Contains(v, "unsafe-inline")
	}},
	{"X-Content-Type-Options", func(v string) bool { return v == "nosniff" }},
	{"Referrer-Policy", func(v string) bool { return v == "no-referrer" || v == "strict-origin" }},
	{"Cache-Control", func(v string) bool { return strings.Contains(v, "no-store") }},
}

func probePageHeaders(ctx context.Context, r *Run, s *Site) Result {
	const fix = "is there a proxy in front that changes headers, or a `header` directive in the site?"
	a, err := r.ask(ctx, s, http.MethodGet, "/.gatehouse/"+nonce(), browser())
	if err != nil {
		return unreachable(err)
	}
	for _, h := range pageHeaders {
		if v := a.header.Values(h.name); len(v) != 1 || !h.ok(v[0]) {
			return failed(fix, "%s is %q on a page (%d)", h.name, strings.Join(v, ", "), a.status)
		}
	}
	const elsewhere = "gatehouse-evidence.invalid"
	for _, next := range []string{"//" + elsewhere, "https://" + elsewhere + "/", `/\` + elsewhere, "/%09/" + elsewhere} {
		a, err := r.ask(ctx, s, http.MethodGet, "/.gatehouse/login?next="+url.QueryEscape(next), browser())
		if err != nil {
			return unreachable(err)
		}
		to, err := url.Parse(a.header.Get("Location"))
		if err != nil || to.Hostname() == elsewhere {
			return failed(fix, "a login leads to %s", a.header.Get("Location"))
		}
	}
	return passed("pages cannot be framed, cached or run foreign scripts; logins lead nowhere else")
}

func probeCookies(ctx context.Context, r *Run, s *Site) Result {
	n := 0
	for _, path := range []string{"/.gatehouse/login", "/" + nonce()} {
		a, err := r.ask(ctx, s, http.MethodGet, path, browser())
		if err != nil {
			return unreachable(err)
		}
		for _, line := range a.header["Set-Cookie"] {
			c, err := http.ParseSetCookie(line)
			if err != nil || !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite < http.SameSiteLaxMode {
				name, _, _ := strings.Cut(line, "=")
				return failed("is there a proxy in front that changes cookies?", "the cookie %s is not __Host-, Secure, HttpOnly and SameSite", name)
			}
			n++
		}
	}
	if n == 0 {
		return declared("a stranger gets no cookie")
	}
	return passed("%d cookies: __Host-, Secure, HttpOnly, SameSite", n)
}

func probeRateLimit(ctx context.Context, r *Run, s *Site) Result {
	a, err := r.ask(ctx, s, http.MethodGet, "/.gatehouse/login", browser())
	if err != nil {
		return unreachable(err)
	}
	limit := a.header.Get("RateLimit-Policy")
	if limit == "" {
		return failed("take `rate_limit … off` for /.gatehouse out of the site", "the login says of no limit")
	}
	return passed("the login has the limit %s", limit)
}
