package authz

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/identity"
)

// person is ada, with everything that a condition can ask for.
func person() identity.Identity {
	return identity.Identity{
		Provider: "corp", Issuer: "https://idp.test", Subject: "ada", Roles: []string{"staff"}, Groups: []string{"eng", "hr"},
		Claims: map[string][]string{"department": {"sales", "it"}, "ws": {"acme", "b:c"}}, ACR: "2", AMR: []string{"pwd"},
		Facts: map[string]string{identity.FactDevice: identity.DeviceKnown}, AuthTime: monday.Add(-time.Hour),
	}
}

func service(scopes ...string) identity.Proof {
	return identity.ProveBy(identity.Identity{Provider: "service", Subject: "backup", Kind: identity.Service, Roles: []string{"robot"}},
		identity.Credential{Method: identity.ByAPIKey, Name: "k1", Scopes: scopes})
}

func TestConditions(t *testing.T) {
	ada := identity.Prove(person(), "s", monday)
	guest := identity.ProveBy(identity.Identity{Provider: "link", Subject: "l1", Kind: identity.Guest}, identity.Credential{Method: identity.ByLink})
	at := func(text string) func(*Query) {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return func(q *Query) { q.Now = when }
	}
	from := func(ip string) func(*Query) { return func(q *Query) { q.Client = netip.MustParseAddr(ip) } }
	by := func(method string) func(*Query) { return func(q *Query) { q.Method = method } }
	on := func(host string) func(*Query) { return func(q *Query) { q.Host = host } }
	granted := func(roles ...string) func(*Query) { return func(q *Query) { q.Granted = roles } }
	path := func(p string) func(*Query) { return func(q *Query) { q.Path = parsed(t, p) } }
	same := func(*Query) {}
	tests := []struct {
		rule   string
		who    identity.Proof
		change func(*Query)
		want   bool
	}{
		{"allow role staff", ada, same, true},
		{"allow role admin staff", ada, same, true},
		{"allow role Staff", ada, same, false},
		{"allow role boss", ada, granted("boss"), true},
		{"allow role boss", identity.Proof{}, granted("boss"), false},
		{"allow family administration", ada, same, false},
		{"allow family administration", ada, granted("owner"), true},
		{"allow family governance administration", proof("x", "auditor"), same, true},
		{"allow group hr", ada, same, true},
		{"allow group staff", ada, same, false},
		{"allow user corp:ada", ada, same, true},
		{"allow user local:ada", ada, same, false},
		{"allow user corp:ada:x corp:bob", ada, same, false},
		{"allow claim department it", ada, same, true},
		{"allow claim department hr", ada, same, false},
		{"allow claim ws b:c", ada, same, true},
		{"allow claim nothing it", ada, same, false},
		{"allow authenticated", ada, same, true},
		{"allow authenticated", identity.Proof{}, same, false},
		{"allow authenticated", service(), same, false},
		{"allow authenticated", guest, same, false},
		{"allow guest", guest, same, true},
		{"allow guest network 10.0.0.0/8", guest, from("10.1.2.3"), true},
		{"allow guest network 10.0.0.0/8", guest, from("192.0.2.1"), false},
		{"allow authenticated not guest", guest, same, false},
		{"allow guest", ada, same, false},
		{"allow guest", service(), same, false},
		{"allow guest", identity.Proof{}, same, false},
		{"allow guest", identity.Suppose(identity.Identity{Provider: "corp", Subject: "x", Kind: identity.Guest}, identity.Credential{}), same, false},
		{"allow anyone method GET", identity.Proof{}, same, true},
		{"allow anyone method GET", guest, same, true},
		{"allow anyone network 10.0.0.0/8", identity.Proof{}, same, false},
		{"allow service_account backup", service(), same, true},
		{"allow service_account ada", ada, same, false},
		{"allow service_account other", service(), same, false},
		{"allow scope read write", service("read"), same, true},
		{"allow scope read", service(), same, false},
		{"allow scope read", ada, same, false},
		{"allow role robot", service(), same, true},
		{"allow authenticated provider corp", ada, same, true},
		{"allow authenticated provider local", ada, same, false},
		{"allow authenticated not provider local", ada, same, true},
		{"allow role staff device known", ada, same, true},
		{"allow role staff device known", proof("x", "staff"), same, false},
		{"allow role staff not device known", proof("x", "staff"), same, true},
		{"allow role staff method GET HEAD", ada, same, true},
		{"allow role staff method POST", ada, same, false},
		{"allow role staff method GET", ada, by("HEAD"), false},
		{"allow role staff network 192.0.2.0/24 2001:db8::/32", ada, same, true},
		{"allow role staff network 192.0.2.0/24 2001:db8::/32", ada, from("2001:db8::1"), true},
		{"allow role staff network 192.0.2.0/24", ada, from("198.51.100.1"), false},
		{"allow role staff network 192.0.2.7", ada, same, true},
		{"allow role staff network 0.0.0.0/0", ada, func(q *Query) { q.Client = netip.Addr{} }, false},
		{"allow role staff not network 192.0.2.0/24", ada, same, false},
		{"allow role staff host app.test", ada, on("APP.test:8443"), true},
		{"allow role staff host app.test", ada, on("app.test."), true},
		{"allow role staff host app.test", ada, on("app.testx"), false},
		{"allow role staff host *.app.test", ada, on("a.b.app.test"), true},
		{"allow role staff host *.app.test", ada, on("app.test"), false},
		{"allow role staff host *.app.test", ada, on(".app.test"), false},
		{"allow role staff time mon-fri 08:00-18:00 Europe/Berlin", ada, same, true},
		{"allow role staff time mon-fri 08:00-18:00 Europe/Berlin", ada, at("2026-03-02T17:00:00Z"), false}, // 18:00 there
		{"allow role staff time mon-fri 08:00-18:00 Europe/Berlin", ada, at("2026-07-06T06:00:00Z"), true},  // 8:00 there, in summer
		{"allow role staff time mon-fri 08:00-18:00 Europe/Berlin", ada, at("2026-03-02T06:59:59Z"), false}, // 7:59
		{"allow role staff time mon-fri 08:00-18:00 Europe/Berlin", ada, at("2026-03-07T10:00:00Z"), false}, // a Saturday
		{"allow role staff time fri-mon 00:00-24:00 UTC", ada, same, true},                                  // round the week
		{"allow role staff time tue,wed UTC", ada, same, false},                                             // whole days
		{"allow role staff time mon 22:00-06:00 UTC", ada, at("2026-03-03T05:59:00Z"), true},                // Monday's night
		{"allow role staff time mon 22:00-06:00 UTC", ada, at("2026-03-02T05:59:00Z"), false},               // Sunday's
		{"allow role staff time 09:30-09:31 UTC", ada, same, true},                                          // to the minute
		{"allow role staff time 08:00-18:00 UTC", ada, func(q *Query) { q.Now = time.Time{} }, false},       // unknown is no
		{"allow role staff not time 08:00-18:00 UTC", ada, same, false},
		{"allow segment 2 claim ws", ada, path("/ws/acme/x"), true},
		{"allow segment 2 claim ws", ada, path("/ws/b:c"), true},
		{"allow segment 2 claim ws", ada, path("/ws/other/acme"), false},
		{"allow segment 2 claim ws", ada, path("/ws/ACME/x"), false},
		{"allow segment 2 claim ws", ada, path("/ws/acme;x/x"), false},
		{"allow segment 2 claim ws", ada, path("/ws/acme./x"), false},
		{"allow segment 2 claim ws", ada, path("/ws"), false},
		{"allow segment 2 claim nothing", ada, path("/ws/"), false},
		{"allow role staff method GET network 192.0.2.0/24 host app.test", ada, same, true},
		{"allow role staff method GET network 10.0.0.0/8 host app.test", ada, same, false},
		{`allow role "network" staff`, ada, same, true},
		{`allow role x "network" network 192.0.2.0/24`, proof("n", "network"), same, true},
		{"allow cel `'staff' in roles && in_network(ip, '192.0.2.0/24')`", ada, same, true},
		{"allow cel `claims.department.exists(d, d == 'it') && 'hr' in groups`", ada, same, true},
		{`allow cel "claims['level'].size() > 0"`, ada, same, false}, // no such claim: no value
		{"allow cel `'level' in claims`", ada, same, false},
		{"allow cel `now - auth_time < duration('2h') && acr == '2' && 'pwd' in amr`", ada, same, true},
		{"allow cel `kind == 'service' && 'read' in scopes && credential == 'api_key'`", service("read"), same, true},
		{"allow cel `user == 'corp:ada' && provider == 'corp' && subject == 'ada' && known`", ada, same, true},
		{"allow cel `true`", identity.Proof{}, same, false},
		{"allow anyone cel `!known && method == 'GET' && host == 'app.test' && tenant == ''`", identity.Proof{}, same, true},
		{"allow cel `path.startsWith('/ws/')`", ada, path("/ws/x"), true},
		{"allow cel `path.startsWith('/ws')`", ada, path("/ws;x/y"), false}, // some servers read another path
		{"allow cel `facts['device'] == 'known' && workspaces.size() == 0`", ada, same, true},
		{"allow role staff cel `method == 'POST'`", ada, same, false},
		{"allow role staff not cel `method == 'POST'`", ada, same, true},
		{"allow cel `in_network(user, '10.0.0.0/8')`", ada, same, false},
		{"allow {\n role staff\n network 192.0.2.0/24 method GET\n}", ada, same, true},
		{"allow {\n role staff\n role boss\n not method GET\n}", ada, same, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			q := asked(t, "/x", tt.who)
			tt.change(q)
			d := ready(t, tt.rule).decide(q)
			if d.Allowed != tt.want {
				t.Errorf("%s: %v, want %v: %v", tt.rule, d.Allowed, tt.want, d.Reasons())
			}
			if reasons := d.Reasons(); len(reasons) != 1 || reasons[0].Matched != tt.want || reasons[0].Why == "" {
				t.Errorf("%s: the reasons are %+v", tt.rule, reasons)
			}
			if strings.ContainsAny(d.Summary(), "\n") {
				t.Errorf("the summary has lines: %s", d.Summary())
			}
		})
	}
}

// An expression that has no value does what is safe: it allows nothing, and refuses what it was to refuse.
func TestDenyWins(t *testing.T) {
	p := ready(t, `
		allow role staff
		allow user local:boss
		public /open/*
		deny network 203.0.113.0/24
		deny method DELETE not user local:boss
		route /docs/* {
			allow authenticated
			deny role intern
		}
		route /docs/drafts/* {
			allow role staff
		}
		route /cel/* {
			allow authenticated
			deny cel "claims['level'][0] == 'low'"
		}
	`)
	staff, intern, boss := proof("sam", "staff"), proof("ivy", "intern", "staff"), proof("boss")
	outside := func(q *Query) { q.Client = netip.MustParseAddr("203.0.113.9") }
	remove := func(q *Query) { q.Method = "DELETE" }
	same := func(*Query) {}
	tests := []struct {
		name   string
		path   string
		who    identity.Proof
		change func(*Query)
		want   bool
		login  bool
	}{
		{"the site", "/x", staff, same, true, false},
		{"a network that is refused", "/x", boss, outside, false, false},
		{"refused on what is public, too", "/open/x", identity.Proof{}, outside, false, false},
		{"else it is open", "/open/x", identity.Proof{}, same, true, false},
		{"a method for one alone", "/x", staff, remove, false, false},
		{"for whom it is allowed", "/x", boss, remove, true, false},
		{"who it is may not be known yet", "/x", identity.Proof{}, remove, false, true},
		{"a route's refusal", "/docs/x", intern, same, false, false},
		{"reaches into routes inside", "/docs/drafts/x", intern, same, false, false},
		{"in any spelling", "/DOCS;a/x", intern, same, false, false},
		{"others may", "/docs/drafts/x", staff, same, true, false},
		{"an expression without value refuses", "/cel/x", staff, same, false, false},
		{"nobody is asked to log in from where nobody may", "/x", identity.Proof{}, outside, false, false},
		{"nobody else is", "/x", identity.Proof{}, same, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := asked(t, tt.path, tt.who)
			tt.change(q)
			if d := p.decide(q); d.Allowed != tt.want || d.LoginHelps != tt.login {
				t.Errorf("%v, a login helps: %v: %s: %v", d.Allowed, d.LoginHelps, d.Rule, d.Reasons())
			}
		})
	}
}

// What a tenant vouches for is nothing to another one, on public paths too: there it is nobody.
func TestTenants(t *testing.T) {
	p := ready(t, "allow authenticated\npublic /open")
	for _, tt := range []struct {
		of, at string
		path   string
		want   bool
	}{
		{"", "", "/x", true}, {"acme", "acme", "/x", true}, {"acme", "umbrella", "/x", false}, {"acme", "", "/x", false},
		{"", "acme", "/x", false}, {"acme", "umbrella", "/open", false},
	} {
		who := person()
		who.Tenant = tt.of
		q := asked(t, tt.path, identity.Prove(who, "s", monday))
		q.Tenant = tt.at
		if d := p.decide(q); d.Allowed != tt.want || len(d.Reasons()) == 0 {
			t.Errorf("of %q at %q, %s: %v by %s", tt.of, tt.at, tt.path, d.Allowed, d.Rule)
		}
	}
}

// A decision says when it ends by itself: what was let in for a while does not run on.
func TestUntil(t *testing.T) {
	utc := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	ada := identity.Prove(person(), "s", monday)
	for rules, want := range map[string]string{
		"allow role staff": "",
		"allow role staff time mon-fri 08:00-18:00 UTC":                                  "2026-03-02T18:00:00Z",
		"allow role staff time mon-fri 08:00-18:00 Europe/Berlin":                        "2026-03-02T17:00:00Z",
		"allow role staff time mon,tue UTC":                                              "2026-03-04T00:00:00Z",
		"allow role staff time UTC-is-no-day UTC":                                        "-",
		"allow role staff time 00:00-24:00 UTC":                                          "",
		"allow role staff not time 18:00-20:00 UTC":                                      "2026-03-02T18:00:00Z",
		"allow role staff time 08:00-18:00 UTC time 09:00-12:00 UTC":                     "2026-03-02T12:00:00Z",
		"allow role staff time 08:00-18:00 UTC\nallow role staff time 09:00-19:00 UTC":   "2026-03-02T19:00:00Z",
		"allow role staff time 08:00-18:00 UTC\nallow group hr":                          "",
		"allow role staff\ndeny not time mon-fri 08:00-18:00 UTC":                        "2026-03-02T18:00:00Z",
		"allow role staff\ndeny role other not time mon-fri 08:00-18:00 UTC":             "",
		"allow role staff\nroute /x {\n allow role staff\n deny time 11:00-12:00 UTC\n}": "2026-03-02T11:00:00Z",
		"allow role staff\nroute /y {\n allow role staff\n deny time 11:00-12:00 UTC\n}": "",
		"allow role staff time 22:00-09:45 UTC":                                          "2026-03-02T09:45:00Z",
	} {
		if want == "-" {
			continue
		}
		d := ready(t, rules).decide(asked(t, "/x", ada))
		if !d.Allowed || !d.Until.Equal(utc(want)) {
			t.Errorf("%s: %v until %v, want %s", rules, d.Allowed, d.Until, want)
		}
	}
}

func TestReads(t *testing.T) {
	p := ready(t, "allow group hr\nallow claim department it\nallow segment 1 claim ws\nallow cel `claims.level[0] == '1' || 'x' in claims || claims['y'][0] == 'z'`")
	if got := strings.Join(p.reads.Claims, " "); got != "department ws level x y" || p.reads.AllGroups || strings.Join(p.reads.Groups, " ") != "hr" {
		t.Errorf("it reads %+v", p.reads)
	}
	if !ready(t, "allow cel `groups.exists(g, g.startsWith('a'))`").reads.AllGroups {
		t.Error("an expression about groups reads none")
	}
}

// An expression cannot take the processor: what costs too much has no value.
func TestExpressionsAreBounded(t *testing.T) {
	who := person()
	for i := range 4000 {
		who.Roles = append(who.Roles, strings.Repeat("r", 20)+strings.Repeat("x", i%50))
	}
	q := asked(t, "/x", identity.Prove(who, "s", monday))
	begin := time.Now()
	d := ready(t, "allow cel `roles.all(a, roles.all(b, roles.all(c, (a + b + c).matches('(x+x+)+y') || true)))`").decide(q)
	if d.Allowed || !strings.Contains(d.Reasons()[0].Why, "cost limit") {
		t.Errorf("%v: %v", d.Allowed, d.Reasons())
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := compileCEL(strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100)); err == nil {
		t.Error("deep nesting is accepted")
	}
}
