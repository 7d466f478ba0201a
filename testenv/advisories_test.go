package testenv

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// advisory is one published hole of another gateway, tried on this one: set up as its users were, attacked as they were.
type advisory struct {
	id   string
	what string
	site string // the gateway's words; default: the house configuration
	rest string // what follows them; default: the proxy
	// global switches off for both what Caddy itself has done against the hole since.
	global string
	// naive is plain Caddy with the same mistake: what shows that the attempts are real ones.
	naive string
	try   []attempt
	// stolen says what of a request that reached the application must not have.
	stolen func(sighting) bool
	// publicly says that only a stranger steals: what staff get at is theirs.
	publicly bool
}

// attempt is a request: byte for byte where Raw is given, by a client otherwise.
type attempt struct {
	request
	Raw string   // the target of a GET
	Add []string // further lines
}

// asAdmin is a request that the application may take for one to its admin page.
func asAdmin(s sighting) bool { return len(readAs(s.URI)) > 0 }

// asSomebody is a request that tells the application who the client says it is.
func asSomebody(s sighting) bool { return len(leaks(s.Headers)) > 0 }

// notPublic is any request but those to /healthz and below /assets.
func notPublic(s sighting) bool {
	path := cut(s.URI, "?")
	return path != "/healthz" && !strings.HasPrefix(path, "/assets/")
}

func gets(header http.Header, paths ...string) (all []attempt) {
	for _, p := range paths {
		for _, version := range []string{"1.1", "2", "3"} {
			all = append(all, attempt{request: request{Path: p, HTTP: version, Header: header}})
		}
	}
	return all
}

func raws(targets []string, lines ...string) (all []attempt) {
	for _, target := range targets {
		all = append(all, attempt{Raw: target, Add: append([]string{"Connection: close"}, lines...)})
	}
	return all
}

// claiming is one attempt for each header, with the client's own word in it.
func claiming(path string, names ...string) (all []attempt) {
	for _, name := range names {
		all = append(all, attempt{Raw: path, Add: []string{"Connection: close", name + ": " + forged}})
	}
	return all
}

const refuseRest = "\n\trespond 401\n\t"

var advisories = []advisory{
	{
		id: "CVE-2025-54576", what: "oauth2-proxy: paths that need no login were looked for in the query too",
		naive:  "@open expression `{http.request.uri}.matches('/healthz$|/assets/')`\n\thandle @open {\n\t\treverse_proxy {$BACKEND}\n\t}" + refuseRest,
		try:    gets(nil, "/whoami?x=/healthz", "/admin/?/assets/", "/whoami?next=/assets/app.css", "/api/notes?/healthz", "/whoami?x=%2Fhealthz", "/admin/?a=b&c=/assets/x"),
		stolen: notPublic, publicly: true,
	},
	{
		id: "CVE-2026-41059", what: "oauth2-proxy: the same, behind a # (GHSA-pxq7-h93f-9jrg)",
		naive:  "@open expression `{http.request.orig_uri}.matches('/healthz$')`\n\thandle @open {\n\t\treverse_proxy {$BACKEND}\n\t}" + refuseRest,
		try:    raws([]string{"/whoami#/healthz", "/admin/#/healthz", "/admin/#/assets/", "/whoami%23/healthz", "/admin/%23/assets/../healthz"}),
		stolen: notPublic, publicly: true,
	},
	{
		id: "CVE-2026-40575", what: "oauth2-proxy: the path judged was the one in X-Forwarded-Uri",
		naive:  "@open header X-Forwarded-Uri /healthz*\n\thandle @open {\n\t\treverse_proxy {$BACKEND}\n\t}" + refuseRest,
		try:    raws([]string{"/whoami", "/admin/"}, "X-Forwarded-Uri: /healthz", "X-Original-Url: /healthz", "X-Original-Uri: /healthz", "X-Rewrite-Url: /healthz"),
		stolen: notPublic, publicly: true,
	},
	{
		id: "CVE-2026-76835", what: "oauth2-proxy: the mend of the former trusted everybody by default. Here not even a trusted proxy is asked for the path",
		global: "\tservers {\n\t\ttrusted_proxies static 0.0.0.0/0\n\t}",
		naive:  "@open header_regexp X-Forwarded-Uri .*healthz.*\n\thandle @open {\n\t\treverse_proxy {$BACKEND}\n\t}" + refuseRest,
		try: append(append(raws([]string{"/whoami"}, "X-Forwarded-Uri: /whoami", "X-Forwarded-Uri: /healthz"),
			raws([]string{"/whoami"}, "X_Forwarded_Uri: /healthz", "X-Forwarded_Uri: /healthz", "X-Forwarded-Path: /healthz", "X-Forwarded-Host: app.test/healthz", "X-Forwarded-Prefix: /healthz")...),
			raws([]string{"/whoami"}, "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Uri: https://app.test/healthz", "X-Forwarded-Method: OPTIONS")...),
		stolen: notPublic, publicly: true,
	},
	{
		id: "CVE-2026-34457", what: "oauth2-proxy: whoever called themselves a health check was let in (GHSA-5hvv-m4w4-gf6v)",
		naive: "@open header User-Agent *check*\n\thandle @open {\n\t\treverse_proxy {$BACKEND}\n\t}" + refuseRest,
		try: append(append(gets(http.Header{"User-Agent": {"GoogleHC/1.0 healthcheck"}}, "/whoami", "/admin/"), gets(http.Header{"User-Agent": {"ELB-HealthChecker/2.0 check"}}, "/whoami")...),
			gets(http.Header{"User-Agent": {"kube-probe/1.30 check"}, "X-Health-Check": {"1"}}, "/whoami", "/api/notes")...),
		stolen: notPublic, publicly: true,
	},
	{
		global: "\tservers {\n\t\texpected_underscore_headers X_Forwarded_User X_Forwarded_Email X_Forwarded_Groups X_GATEHOUSE_USER\n\t\texpected_dot_headers X.Forwarded.User\n\t}",
		id:     "CVE-2025-64484", what: "oauth2-proxy: X_Forwarded_User is X-Forwarded-User to many applications, and was not dropped",
		site:   defaultSite + "\n\t\tpublic /whoami",
		naive:  "reverse_proxy {$BACKEND} {\n\t\theader_up -X-Forwarded-User\n\t\theader_up -X-Gatehouse-User\n\t}",
		try:    claiming("/whoami", "X_Forwarded_User", "X-Forwarded_User", "x_forwarded_email", "X_Forwarded_Groups", "X.Forwarded.User", "X_GATEHOUSE_USER", "X-Gatehouse_Roles"),
		stolen: asSomebody,
	},
	{
		global: "\tservers {\n\t\texpected_underscore_headers X_Auth_User X_Webauth_User Remote_User X_Remote_User\n\t\texpected_dot_headers X.Auth.User\n\t}",
		id:     "CVE-2026-54763", what: "Traefik: X_Auth_User survived where X-Auth-User was dropped",
		site:   defaultSite + "\n\t\tpublic /whoami",
		naive:  "reverse_proxy {$BACKEND} {\n\t\theader_up -X-Auth-User\n\t}",
		try:    claiming("/whoami", "X_Auth_User", "x_auth_user", "X-Auth_User", "X_Auth-User", "X.Auth.User", "X_Webauth_User", "Remote_User", "X_Remote_User"),
		stolen: asSomebody,
	},
	{
		id: "CVE-2026-48020", what: "Traefik: the login was asked for by one reading of the path, and StripPrefix made another",
		rest:   "uri strip_prefix /assets\n\treverse_proxy {$BACKEND}",
		naive:  "@open expression `{http.request.orig_uri}.startsWith('/assets')`\n\thandle @open {\n\t\turi strip_prefix /assets\n\t\treverse_proxy {$BACKEND}\n\t}" + refuseRest,
		try:    raws([]string{"/assets/../admin/", "/assets/%2e%2e/admin/", "/assets/./../admin/", "/assets//../admin/", "/assets/..%2fadmin/", "/assets/x/../../admin/", "/assets/..;/admin/", "/assets/..%5cadmin/", "/assets..//admin/", "/assets/%2e%2e%2fadmin/", "//assets/../admin/"}),
		stolen: asAdmin,
	},
	{
		id: "CVE-2026-27587", what: "Caddy: a path pattern with an escape in it was compared with regard to case",
		site:   "encoded_slashes\n\t\tpublic /*\n\t\troute /admin/* {\n\t\t\tallow role admin\n\t\t}",
		naive:  "@closed path_regexp ^/admin(/|%2[fF]|$)\n\trespond @closed 403\n\treverse_proxy {$BACKEND}",
		try:    raws([]string{"/ADMIN%2Fpanel", "/Admin%2fpanel", "/%41dmin%2Fpanel", "/aDMIN%2F", "/ADMIN%2f%2e", "/admin%2Fpanel", "/ADMIN/%2Fpanel", "/%61DMIN/panel%2Fx"}),
		stolen: asAdmin,
	},
	{
		id: "GO-2026-4639", what: "Caddy: forward_auth let a client's identity header pass when the login said nothing of it",
		site: defaultSite + "\n\t\tpublic /whoami\n\t\tforward user name email roles", naive: "reverse_proxy {$BACKEND}",
		try:    claiming("/whoami", "X-Gatehouse-Email", "X-Gatehouse-Name", "X-Gatehouse-Provider", "X-Gatehouse-User", "X-Gatehouse-Roles", "Remote-Email", "Remote-Groups"),
		stolen: asSomebody,
	},
	{
		id: "GO-2026-5346", what: "Caddy: the mend of the former was passed by with underscores, which CGI takes for hyphens (GHSA-f59h-q822-g45g)",
		global: "\tservers {\n\t\texpected_underscore_headers X_Gatehouse_Email X_Gatehouse_Name X_Gatehouse_User Remote_User Remote_Groups\n\t}",
		site:   defaultSite + "\n\t\tpublic /whoami\n\t\tforward user name email roles",
		naive:  "reverse_proxy {$BACKEND} {\n\t\theader_up -X-Gatehouse-Email\n\t\theader_up -Remote-User\n\t}",
		try:    claiming("/whoami", "X_Gatehouse_Email", "x_gatehouse_email", "X-Gatehouse_Email", "X_GATEHOUSE_NAME", "X_Gatehouse_User", "Remote_User", "remote_groups"),
		stolen: asSomebody,
	},
	{
		id: "GO-2026-5730", what: "Caddy: and the mend of that with dots, which PHP takes for underscores (GHSA-49wc-4hcv-v58q)",
		global: "\tservers {\n\t\texpected_dot_headers X.Gatehouse.Email X.Gatehouse.User Remote.User Remote.Groups\n\t}",
		site:   defaultSite + "\n\t\tpublic /whoami\n\t\tforward user name email roles",
		naive:  "reverse_proxy {$BACKEND} {\n\t\theader_up -X-Gatehouse-Email\n\t\theader_up -Remote-User\n\t}",
		try: append(claiming("/whoami", "X.Gatehouse.Email", "x.gatehouse.email", "X-Gatehouse.Email", "X.Gatehouse-Email", "X_Gatehouse.Email", "X.Gatehouse.User", "Remote.User", "remote.groups"),
			raws([]string{"/whoami"}, "Connection: X-Gatehouse-Email", "X.Gatehouse.Email: "+forged, "X-Gatehouse-Email: "+forged)...),
		stolen: asSomebody,
	},
}

// TestAdvisories: holes that were published in gateways of this kind, each tried by a stranger and by staff.
func TestAdvisories(t *testing.T) {
	t.Parallel()
	for _, adv := range advisories {
		t.Run(adv.id, func(t *testing.T) {
			t.Parallel()
			t.Log(adv.what)
			be := startBackend(t)
			g := startGateway(t, config{Backend: be.Listen, Global: adv.global, Site: adv.site, Rest: adv.rest, Roles: "staff"})
			staff := g.newUser(t, "alice", "two cranes over a tin roof")
			for _, who := range []*client{g.stranger(t), staff} {
				if who == staff && adv.publicly {
					continue
				}
				for _, found := range adv.attack(t, who, be) {
					t.Errorf("logged in: %v: %s", who == staff, found)
				}
			}
			if found := adv.attack(t, startPlain(t, config{Backend: be.Listen, Global: adv.global, Rest: adv.naive}).stranger(t), be); len(found) == 0 {
				t.Error("plain Caddy with the same mistake resists as well: this would not notice a gateway that does nothing")
			}
		})
	}
}

// attack tries everything and returns what got through.
func (adv advisory) attack(t *testing.T, c *client, be *backend) (found []string) {
	t.Helper()
	for _, try := range adv.try {
		be.mustForget(t)
		what := try.Path
		var a *answer
		if try.Raw == "" {
			a, _ = c.do(try.request) // no answer is a refusal
		} else {
			what = try.Raw
			lines := try.Add
			if cookie := c.cookieHeader(); cookie != "" {
				lines = append([]string{"Cookie: " + cookie}, lines...)
			}
			a, _ = c.gw.raw1(c.gw.lines1("GET", what, lines...))
		}
		if a != nil && a.Status >= 500 {
			t.Errorf("%s %q: status %d", what, try.Add, a.Status)
		}
		for _, s := range be.mustSee(t).Requests {
			if adv.stolen(s) {
				found = append(found, fmt.Sprintf("%s %q reached the application as %s %v", what, try.Add, s.URI, s.Headers))
			}
		}
	}
	return found
}

// TestAdvisoryCVE202627588: Caddy lost the case of a host when a site had more than a hundred. A Host in other letters
// must lead to the same gate as any.
func TestAdvisoryCVE202627588(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	var hosts []string
	for i := range 150 {
		hosts = append(hosts, fmt.Sprintf("https://h%03d.test:{$PORT}", i))
	}
	hosts = append(hosts, "https://app.test:{$PORT}")
	conf := strings.Replace(config{}.caddyfile(), "https://app.test:{$PORT}", strings.Join(hosts, ", "), 1) +
		"https://other.test:{$PORT} {\n\ttls {$CERT} {$KEY}\n\tgatehouse {\n\t\tpublic /*\n\t}\n\treverse_proxy {$BACKEND}\n}\n"
	g := startGateway(t, config{Backend: be.Listen, Caddyfile: conf})
	if a := g.stranger(t).get(t, "/healthz"); a.Status != http.StatusOK {
		t.Fatalf("the site itself: status %d", a.Status)
	}
	be.mustForget(t)
	for _, host := range []string{"APP.TEST", "App.test", "aPP.tEST", "app.test.", "APP.TEST.", "app%2etest", "other.test", "OTHER.TEST", "h001.test", "H001.TEST"} {
		for _, path := range []string{"/whoami", "/admin/"} {
			a, err := g.raw1(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n", path, host, g.port))
			if err == nil && (a.Status < 400 || a.Status >= 500) {
				t.Errorf("Host %s: status %d", host, a.Status)
			}
		}
	}
	if seen := be.mustSee(t); seen.Total != 0 {
		t.Errorf("reached the application: %+v", seen.Requests)
	}
}

// TestAdvisoryCVE202627585: Caddy's file matcher took what a client wrote for a pattern. What lies beside the public
// files stays where it is.
func TestAdvisoryCVE202627585(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"assets/app.css": "body {}", "private/key.txt": "the-secret-in-the-file", "index.html": "hello"} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Env: []string{"FILES=" + dir}, Roles: "staff", Rest: "root * {$FILES}\n\ttry_files {path} {path}/ /index.html\n\tfile_server",
		Site: "allow role staff\n\t\tpublic /assets/*\n\t\troute /private/* {\n\t\t\tallow role admin\n\t\t}"})
	staff, stranger := g.newUser(t, "alice", "two cranes over a tin roof"), g.stranger(t)
	if a := stranger.get(t, "/assets/app.css"); a.Status != 200 || string(a.Body) != "body {}" {
		t.Fatalf("the public file: status %d", a.Status)
	}
	for _, path := range []string{
		"/private/key.txt", "/privat%3f/key.txt", "/priv*/key.txt", "/p*/k*", "/*/key.txt", "/*/*", "/%5bp%5drivate/key.txt", "/[p]rivate/key.txt", "/{private}/key.txt",
		"/assets/../private/key.txt", "/assets/*", "/assets/..%2f*/key.txt", "/assets/%2e%2e/p*/key.txt", "/%5cprivate/key.txt", "/private%5ckey.txt", "/pri%5cvate/key.txt",
		"/PRIVATE/key.txt", "/private;/key.txt", "/private/key.txt/", "/private/key.txt%00", "/private/key.tx%3f", "/%2a/key.txt",
	} {
		for name, c := range map[string]*client{"a stranger": stranger, "staff": staff} {
			lines := []string{"Connection: close"}
			if cookie := c.cookieHeader(); cookie != "" {
				lines = append(lines, "Cookie: "+cookie)
			}
			a, err := g.raw1(g.lines1("GET", path, lines...))
			if err == nil && (strings.Contains(string(a.Body), "the-secret") || a.Status >= 500) {
				t.Errorf("%s at %s: status %d\n%s", name, path, a.Status, excerpt(a.Body, 200))
			}
		}
	}
	a := startGateway(t, config{Backend: be.Listen, Env: []string{"FILES=" + dir}, Rest: "root * {$FILES}\n\tfile_server", Site: "public /*"}).stranger(t).get(t, "/private/key.txt")
	if !strings.Contains(string(a.Body), "the-secret") {
		t.Error("the file is not served to those who may: this would not notice one that leaks")
	}
}

// TestAdvisoryCVE202640574: oauth2-proxy took ada@evil.test@example.com for somebody of example.com (GHSA-c5c4-8r6x-56w3).
// Here nobody is let in for an address: rules name roles and subjects, and none can name an address.
func TestAdvisoryCVE202640574(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	for _, rule := range []string{"allow email *@example.com", "allow user ada@example.com", "allow domain example.com"} {
		g, err := newGateway(gatehouseBin(t), config{Backend: be.Listen, Site: rule})
		if err != nil {
			t.Fatal(err)
		}
		if _, stderr, code, err := g.command("validate", "--config", g.conf, "--adapter", "caddyfile"); err != nil || code == 0 || !strings.Contains(stderr, "provider:subject") {
			t.Errorf("%s: exit code %d, %v\n%s", rule, code, err, stderr)
		}
		if err := g.close(); err != nil {
			t.Error(err)
		}
	}
	op := newProvider(t)
	op.everybody()
	addresses := []string{"eve@evil.test@example.com", "ada@example.com", "\"ada@example.com\"@evil.test", "ada@example.com, eve@evil.test", "ada@example.com\x00@evil.test"}
	for i, address := range addresses {
		op.People[fmt.Sprintf("eve%d", i)] = map[string]any{"name": "Ada Lovelace", "email": address, "email_verified": true, "preferred_username": "ada", "groups": []string{"@example.com"}}
	}
	g := op.relying(t, true, config{Backend: be.Listen})
	for i, address := range addresses {
		eve := op.seeker(t, g)
		eve.logIn(t, fmt.Sprintf("eve%d", i), "/")
		be.mustForget(t)
		for _, path := range []string{"/whoami", "/admin/"} {
			if err := eve.get(t, path).refusedAs("forbidden", 403); err != nil {
				t.Errorf("%q at %s: %v", address, path, err)
			}
		}
		if n := be.mustSee(t).Total; n != 0 {
			t.Errorf("%q reached the application", address)
		}
	}
}
