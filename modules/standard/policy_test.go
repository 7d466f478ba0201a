package standard_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

// policySite fills the newcomer's gaps for a site with this policy and the voucher to log in with.
func policySite(t testing.TB, policy string, change ...string) *gatetest.Gateway {
	t.Helper()
	srv := newEcho(t)
	change = append([]string{"idp", "voucher", "policy", policy + "\n insecure_waf_off", "backend", "reverse_proxy " + srv}, change...)
	for i := 0; i+1 < len(change); i += 2 { // these are stories of policies: administrators need no second factor in them
		if change[i] == "idp" {
			change[i+1] += "\n mfa {\n insecure_admins_without_factor\n }"
		}
	}
	return gatetest.Start(t, fill(newcomer, pairs(change...)))
}

// newEcho is a backend that says what it was asked with.
func newEcho(t testing.TB) (address string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %v", r.Method, r.RequestURI, r.Header)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func send(t testing.TB, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return res, string(body)
}

// do makes one request, with the path spelled as given.
func do(t testing.TB, c *http.Client, method, host, path string, header ...string) (*http.Response, string) {
	t.Helper()
	u, err := url.Parse("https://app.test" + path)
	if err != nil {
		t.Fatal(err)
	}
	req := &http.Request{Method: method, URL: u, Host: host, Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return send(t, c, req)
}

// The matrix of control CER-11: who may do what, by role, route and method; and no other spelling of a path, no other
// spelling of the host, and no header says more than the plain request does.
// Controls: CAL-05.
func TestPolicyMatrix(t *testing.T) {
	g := policySite(t, `
		allow family operational method GET HEAD
		allow family administration
		deny method DELETE not role owner
		public /open/*
		methods PROPFIND
		route /admin/* {
			allow family administration
		}
		route /audit/* {
			allow family governance method GET HEAD
			allow role owner
			deny not method GET HEAD
		}
		route /ws/* {
			allow segment 2 claim ws
		}
	`, "idp", `voucher
		roles {
			family operational staff support
			family governance auditor
			family administration admin owner
		}`)
	people := map[string]*http.Client{"nobody": g.Client()}
	for who, query := range map[string]string{
		"staff": "as=sam&roles=staff&ws=acme", "auditor": "as=aud&roles=auditor", "admin": "as=adm&roles=admin", "owner": "as=own&roles=owner,staff",
	} {
		people[who] = as(t, g, "app.test", query)
	}
	routes := []string{"/x", "/admin/users", "/audit/log", "/ws/acme/doc", "/ws/other/doc", "/open/x"}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"}
	// Who may: by route, then method. What is not here is refused.
	may := map[string]map[string][]string{
		"/x": {"GET": {"staff", "admin", "owner"}, "HEAD": {"staff", "admin", "owner"}, "POST": {"admin", "owner"}, "PUT": {"admin", "owner"},
			"PATCH": {"admin", "owner"}, "DELETE": {"owner"}, "PROPFIND": {"admin", "owner"}},
		"/admin/users": {"GET": {"admin", "owner"}, "HEAD": {"admin", "owner"}, "POST": {"admin", "owner"}, "PUT": {"admin", "owner"},
			"PATCH": {"admin", "owner"}, "DELETE": {"owner"}, "PROPFIND": {"admin", "owner"}},
		"/audit/log":   {"GET": {"auditor", "owner"}, "HEAD": {"auditor", "owner"}}, // nobody alters it
		"/ws/acme/doc": {"GET": {"staff"}, "HEAD": {"staff"}, "POST": {"staff"}, "PUT": {"staff"}, "PATCH": {"staff"}, "PROPFIND": {"staff"}},
		"/open/x":      {},
	}
	for _, m := range methods {
		may["/open/x"][m] = []string{"nobody", "staff", "auditor", "admin", "owner"}
	}
	may["/open/x"]["DELETE"] = []string{"owner"} // a refusal counts on what is public, too
	allowed := func(who, method, route string) bool { return slices.Contains(may[route][method], who) }
	requests := 0
	for who, c := range people {
		for _, route := range routes {
			for _, method := range methods {
				want := allowed(who, method, route)
				res, body := do(t, c, method, "app.test", route)
				requests++
				if got := res.StatusCode == http.StatusOK; got != want || !got && res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s %s %s: status %d, want allowed %v: %s", who, method, route, res.StatusCode, want, body)
				}
			}
			for _, spelling := range spellings(route) {
				for _, method := range []string{"GET", "POST", "DELETE"} {
					res, _ := do(t, c, method, "app.test", spelling)
					requests++
					if res.StatusCode == http.StatusOK && !allowed(who, method, route) {
						t.Errorf("%s %s %s got through, which %s does not", who, method, spelling, route)
					}
				}
			}
			for _, host := range []string{"app.test.", "APP.test", "app.test:443", "other.test", "app.test.other.test"} {
				res, _ := do(t, c, "POST", host, route)
				requests++
				if res.StatusCode == http.StatusOK && !allowed(who, "POST", route) {
					t.Errorf("%s POST %s on %s got through", who, route, host)
				}
			}
			for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_METHOD_OVERRIDE", "X-Original-Method"} {
				res, body := do(t, c, "GET", "app.test", route, name, "DELETE")
				requests++
				if (res.StatusCode == http.StatusOK) != allowed(who, "GET", route) || strings.Contains(body, "DELETE") {
					t.Errorf("%s GET %s with %s: DELETE answered %d %s", who, route, name, res.StatusCode, body)
				}
			}
			for _, name := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Host", "X-Gatehouse-Roles", "X-Gatehouse-User"} {
				res, _ := do(t, c, "GET", "app.test", route, name, "/open/x")
				requests++
				if (res.StatusCode == http.StatusOK) != allowed(who, "GET", route) {
					t.Errorf("%s GET %s with %s answered %d", who, route, name, res.StatusCode)
				}
			}
		}
	}
	t.Logf("%d requests", requests)
}

// spellings are other ways to write a path, each of which some server takes for it, or which lead there from elsewhere.
func spellings(path string) []string {
	rest := strings.TrimPrefix(path, "/")
	first, more, _ := strings.Cut(rest, "/")
	tail := ""
	if more != "" {
		tail = "/" + more
	}
	hex := fmt.Sprintf("%%%02x", rest[0])
	list := []string{
		"//" + rest, "/./" + rest, "/open/../" + rest, "/open/%2e%2e/" + rest, "/open/.%2e/" + rest, "/open%2f..%2f" + rest,
		"/open//../" + rest, "/open/..;/" + rest, "/open/;/../" + rest, "/%2e/" + rest, "/" + strings.ToUpper(first) + tail,
		"/" + first + ";open" + tail, "/;/" + rest, "/" + first + "." + tail, "/" + first + "%20" + tail, "/" + first + "%00" + tail,
		"/" + hex + rest[1:], "/%25" + hex[1:] + rest[1:], "/" + first + "%3fopen" + tail, "/" + first + "%23" + tail, "/open%5c..%5c" + rest,
		path + "/", path + "/.", path + "/..;/" + rest, path + "?/open/x", path + "%3f/open/x",
	}
	return list
}

// BRF-05: where a folder shows in the URL, it can be given to some.
func TestRoleByFolder(t *testing.T) {
	g := policySite(t, `
		allow role member
		route /ws/acme/folder/hr/* {
			allow role hr
		}
		route /ws/acme/folder/board/* {
			allow role board
			allow user voucher:secretary method GET
		}
	`)
	may := map[string][]string{
		"/ws/acme/folder/public/f": {"member", "hr", "board", "secretary"}, "/ws/acme/folder/hr/f": {"hr"}, "/ws/acme/folder/hr": {"hr"},
		"/ws/acme/folder/board/f": {"board", "secretary"}, "/ws/acme/folder/HR/f": {"hr"}, // some servers do not care, so that both rules count
	}
	for who, query := range map[string]string{
		"member": "as=mia&roles=member", "hr": "as=hans&roles=member,hr", "board": "as=bea&roles=member,board", "secretary": "as=secretary&roles=member",
	} {
		c := as(t, g, "app.test", query)
		for folder, allowed := range may {
			res, body := get(t, c, "https://app.test"+folder)
			if (res.StatusCode == http.StatusOK) != slices.Contains(allowed, who) {
				t.Errorf("%s: %s answered %d: %s", who, folder, res.StatusCode, body)
			}
		}
	}
}

// A refusal says in the log which rules were looked at and why none let the request in; a grant says which did.
func TestLogSaysWhy(t *testing.T) {
	g := policySite(t, "allow role staff network 192.0.2.0/24\n allow group it\n deny method DELETE\n route /admin/* {\n sensitive\n allow role admin\n}")
	c := as(t, g, "app.test", "as=sam&roles=staff&groups=it,hr")
	get(t, c, "https://app.test/granted")
	get(t, c, "https://app.test/admin/refused")
	do(t, c, "DELETE", "app.test", "/denied")
	get(t, g.Client(), "https://app.test/nobody")
	for path, want := range map[string][]string{
		"/granted":       {`"grant":"site: allow group it (Caddyfile:`},
		"/admin/refused": {`"reason":"forbidden"`, "route /admin/*: no rule allows it", "role admin: does not hold (roles staff)", `"sensitive":"route /admin/*"`},
		"/denied":        {`"reason":"forbidden"`, "site: deny method DELETE", "holds (DELETE)"},
		"/nobody":        {`"reason":"login_required"`, "site: no rule allows it"},
	} {
		line := logLine(t, g, `"path":"`+path+`"`)
		for _, w := range want {
			if !strings.Contains(line, w) {
				t.Errorf("%s: the log does not say %s: %s", path, w, line)
			}
		}
	}
}

// logLine waits for the access log's line that holds the text.
func logLine(t *testing.T, g *gatetest.Gateway, text string) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(g.Log()) {
			if strings.Contains(line, text) && strings.Contains(line, `"msg":"request"`) {
				return line
			}
		}
	}
	t.Fatalf("no line of the log holds %s", text)
	return ""
}

// CAL-12: what is proven on one tenant's site is nothing on another's, also when a configuration hands a host over.
// Controls: CTB-02.
func TestTenantsAreApart(t *testing.T) {
	const text = `{
	{{house}}
	gatehouse {
		state_dir {{dir}}/state
		voucher
		voucher second
		tenant acme {
			providers voucher
		}
		tenant umbrella {
			providers second
		}
	}
}
(site) {
	{{tls}}
	gatehouse {
		allow authenticated
		public /open
		tenant {args[0]}
		insecure_waf_off
	}
	respond hello
}
https://a.test:{{addr}} {
	import site {{a}}
}
https://b.test:{{addr}} {
	import site umbrella
}
`
	g := gatetest.Start(t, text, "{{a}}", "acme")
	c := as(t, g, "a.test", "as=ada&tenant=umbrella")
	wantStatus(t, c, "https://a.test/", http.StatusOK)
	session := c.Jar.Cookies(&url.URL{Scheme: "https", Host: "a.test", Path: "/"})
	elsewhere := g.Client()
	for _, path := range []string{"/", "/open"} {
		res, _ := get(t, elsewhere, "https://b.test"+path, "Cookie", session[0].Name+"="+session[0].Value)
		if want := map[string]int{"/": http.StatusUnauthorized, "/open": http.StatusOK}[path]; res.StatusCode != want {
			t.Errorf("acme's session on umbrella's site: %s answered %d, want %d", path, res.StatusCode, want)
		}
	}
	if res, _ := get(t, elsewhere, "https://b.test/.gatehouse/login/voucher?as=ada"); res.StatusCode != http.StatusNotFound {
		t.Errorf("umbrella's site knows acme's provider: %d", res.StatusCode)
	}
	load := func(tenant string) {
		t.Helper()
		if err := g.Load(text, "{{a}}", tenant); err != nil {
			t.Fatal(err)
		}
		c.CloseIdleConnections() // one that lives on may be answered by the configuration before
	}
	load("umbrella")
	wantStatus(t, c, "https://a.test/", http.StatusUnauthorized)
	wantStatus(t, c, "https://a.test/open", http.StatusOK)
	load("acme")
	wantStatus(t, c, "https://a.test/", http.StatusOK)
	for tenant, want := range map[string]string{"initech": "`tenant initech`", "Acme": "names are"} {
		if err := g.Load(text, "{{a}}", tenant); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a site of %s: %v", tenant, err)
		}
	}
}

func wantStatus(t *testing.T, c *http.Client, url string, status int) {
	t.Helper()
	if res, body := get(t, c, url); res.StatusCode != status {
		t.Errorf("%s answered %d, want %d: %.200s", url, res.StatusCode, status, body)
	}
}
