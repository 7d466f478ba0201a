package authz

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
)

func proof(subject string, roles ...string) identity.Proof {
	return identity.Prove(identity.Identity{Provider: "local", Subject: subject, Roles: roles}, "s", time.Now())
}

// read reads a policy as it stands in a Caddyfile.
func read(t testing.TB, text string) (*Policy, error) {
	t.Helper()
	p, d := new(Policy), caddyfile.NewTestDispenser(text)
	for d.Next() {
		known, err := p.option(d)
		if err != nil {
			return nil, err
		}
		if !known {
			t.Fatalf("%q is no word of a policy", d.Val())
		}
	}
	return p, p.Validate()
}

// ready reads a policy and makes it ready.
func ready(t testing.TB, text string) *program {
	t.Helper()
	policy, err := read(t, text)
	if err != nil {
		t.Fatal(err)
	}
	p, err := compile(policy, Families{"administration": {"admin", "owner"}, "governance": {"auditor"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parsed(t testing.TB, path string) reqpath.Path {
	t.Helper()
	p, err := reqpath.Parse(path, reqpath.Options{})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return p
}

// monday is a working day's morning.
var monday = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// asked is a query with the usual in what it does not say.
func asked(t testing.TB, path string, who identity.Proof) *Query {
	return &Query{
		Path: parsed(t, path), Method: "GET", Host: "app.test", Client: netip.MustParseAddr("192.0.2.7"), Now: monday, Who: who,
	}
}

// site is for staff, with a public part, an admin part, a part of that open to auditors, and a laxer corner.
const site = `
	allow role staff
	public /healthz /assets/* /admin/logo.png
	route /admin/* {
		allow role admin
	}
	route /admin/reports/* {
		allow role auditor admin
	}
	route /assets/private/* {
		allow user local:ada
	}
	route /lobby/* {
		allow authenticated
	}
`

func TestDecide(t *testing.T) {
	nobody, guest, staff := identity.Proof{}, proof("gus"), proof("sam", "staff")
	admin, auditor, ada := proof("root", "admin"), proof("aud", "auditor"), proof("ada", "staff")
	tests := []struct {
		name string
		path string
		who  identity.Proof
		want bool
	}{
		{"default deny", "/", nobody, false},
		{"logged in is not enough", "/", guest, false},
		{"the site's role", "/x", staff, true},
		{"a public path needs nobody", "/healthz", nobody, true},
		{"a public path is exact", "/healthz/x", nobody, false},
		{"a public path has one case", "/HEALTHZ", nobody, false},
		{"a public subtree", "/assets/app.css", nobody, true},
		{"its root", "/assets", nobody, true},
		{"not its namesakes", "/assetsx", nobody, false},
		{"a route overrides the site", "/admin/x", staff, false},
		{"the route's role", "/admin/x", admin, true},
		{"in another case, as strict", "/Admin/x", staff, false},
		{"with a path parameter, as strict", "/admin;x/y", staff, false},
		{"with a trailing dot, as strict", "/admin./y", staff, false},
		{"the innermost route counts", "/admin/reports/q3", auditor, true},
		{"and only there", "/admin/x", auditor, false},
		{"a public path in a route", "/admin/logo.png", nobody, true},
		{"in another case it is not public", "/admin/Logo.png", nobody, false},
		{"a route in a public subtree", "/assets/private/k", nobody, false},
		{"in any spelling", "/assets/PRIVATE/k", nobody, false},
		{"its user", "/assets/private/k", ada, true},
		{"not another one", "/assets/private/k", staff, false},
		{"a laxer route", "/lobby/x", guest, true},
		{"a laxer route opens only what is surely in it", "/LOBBY/x", guest, false},
		{"in an odd spelling both rules must allow", "/LOBBY/x", staff, true},
		{"admin alone may not use the site by an odd spelling", "/ADMIN/x", admin, false},
	}
	p := ready(t, site)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := p.decide(asked(t, tt.path, tt.who)); d.Allowed != tt.want || d.Rule == "" {
				t.Errorf("decide(%s, %s) = %v by %s, want %v: %v", tt.path, tt.who.Name(), d.Allowed, d.Rule, tt.want, d.Reasons())
			}
		})
	}
}

// Obligations are restrictions: every reading of the path and every route around it adds its own.
func TestObligationsAddUp(t *testing.T) {
	ten, each := Obligation{Kind: MFA, MaxAge: 10 * time.Minute}, Obligation{Kind: MFA, Each: true}
	policy, err := read(t, site)
	if err != nil {
		t.Fatal(err)
	}
	policy.Require = []Obligation{{Kind: MFA}}
	for i, r := range policy.Routes {
		switch r.Path.String() {
		case "/admin/*":
			policy.Routes[i].Require = []Obligation{ten}
		case "/admin/reports/*":
			policy.Routes[i].Require = []Obligation{each, ten}
		}
	}
	p, err := compile(policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	admin := proof("root", "admin", "staff")
	for path, want := range map[string][]Obligation{
		"/x": {{Kind: MFA}}, "/healthz": nil, "/admin/x": {{Kind: MFA}, ten}, "/ADMIN;a/x": {{Kind: MFA}, ten},
		"/admin/reports/q3": {{Kind: MFA}, ten, each},
	} {
		if d := p.decide(asked(t, path, admin)); !d.Allowed || !slices.Equal(d.Obligations, want) {
			t.Errorf("%s: %v by %s, with the obligations %v, want %v", path, d.Allowed, d.Rule, d.Obligations, want)
		}
	}
	for _, bad := range []Obligation{{}, {Kind: "shoe"}, {Kind: MFA, MaxAge: -1}, {Kind: MFA, MaxAge: 1, Each: true}} {
		policy.Require = []Obligation{bad}
		if policy.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestZeroValuesDeny(t *testing.T) {
	zero, err := compile(&Policy{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if zero.decide(asked(t, "/", proof("ada", "admin"))).Allowed {
		t.Error("the zero policy allows somebody")
	}
	if ready(t, "allow authenticated\npublic /*").decide(new(Query)).Allowed {
		t.Error("a path that was never parsed is allowed")
	}
	if (Decision{}).Allowed || (Decision{}).Reasons() != nil {
		t.Error("the zero decision allows, or has reasons")
	}
	if _, err := compile(&Policy{Rules: []Rule{{}}}, nil); err == nil {
		t.Error("the zero rule is accepted")
	}
}

func TestRefusedPolicies(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nobody", "", "nobody is allowed in"},
		{"only denials", "deny role guest", "nobody is allowed in"},
		{"a route without anybody", "allow authenticated\nroute /admin/* {\n deny role x\n}", "nobody is allowed in"},
		{"a route twice", "allow authenticated\nroute /a {\n allow role x\n}\nroute /a {\n allow role y\n}", "stands twice"},
		{"public and route", "public /a\nroute /a {\n allow role x\n}", "both public and a route"},
		{"an empty role", `allow role ""`, "a value is"},
		{"no role", "allow role", "write `role <role...>`"},
		{"nothing", "allow", "allow role <role...>"},
		{"no condition", "allow staff", `"staff" is no condition`},
		{"a quoted word", `allow "role" staff`, "is no condition"},
		{"a user without provider", "allow user ada", "write provider:subject"},
		{"nobody named", "allow method GET", "does not say who"},
		{"nobody but others", "allow not role guest", "does not say who"},
		{"anyone and somebody", "allow anyone role staff", "take one out"},
		{"not anyone", "deny not anyone", "nobody"},
		{"a lower-case method", "deny method get", "capitals"},
		{"no network", "allow role staff network example.com", "10.0.0.0/8"},
		{"host bits", "allow role staff network 10.0.0.1/8", "write 10.0.0.0/8"},
		{"a host in capitals", "allow role staff host App.test", "lower case"},
		{"no zone", "allow role staff time mon-fri 08:00-18:00", "no time zone"},
		{"no hours", "allow role staff time mon-fri 8-18 UTC", "are no hours"},
		{"no days", "allow role staff time work 08:00-18:00 UTC", "are no days"},
		{"the zone of the machine", "allow role staff time 08:00-18:00 Local", "no time zone"},
		{"a segment of nothing", "allow segment x claim ws", "counted from 1"},
		{"cel that is none", "allow cel `roles.`", "cel"},
		{"cel of another type", "allow cel `user`", "yields string"},
		{"cel of an unknown variable", "allow cel `email == 'a'`", "undeclared"},
		{"cel with a claim that nobody can foresee", "allow cel `claims[user][0] == 'x'`", "name the claims"},
		{"a device of which nobody heard", "deny device stolen", "known"},
		{"a claim without value", "allow claim department", "write `claim <name> <value...>`"},
		{"sensitive and open to all", "allow authenticated\nroute /a {\n sensitive\n allow authenticated\n}", "sensitive"},
		{"an unknown family", "allow family nobility", "family nobility <role...>"},
		{"a lonely not", "deny not", "stands alone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			policy, err := read(t, tt.text)
			if err == nil {
				_, err = compile(policy, nil)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v, want it to say %q in one line", err, tt.want)
			}
		})
	}
	if _, err := read(t, ""); !errors.Is(err, ErrNobody) {
		t.Errorf("%v is not ErrNobody", err)
	}
}

// FuzzNoSpellingGivesMore compares with the plain spelling: whoever may not have /admin must not get a path that some
// server reads as it, and nobody may have an odd spelling of anything that they may not have plainly.
func FuzzNoSpellingGivesMore(f *testing.F) {
	for _, s := range []string{
		"/admin", "/%61dmin", "/admin;x", "/Admin", "/admin.", "/admin%20", "/healthz", "/assets/../admin", "/lobby;/x",
		"/assets/private", "/assets/PRIVATE;a/b", "/ａdmin/x", "/admin%3f", "/LOBBY",
	} {
		f.Add(s)
	}
	p := ready(f, site)
	people := []identity.Proof{{}, proof("gus"), proof("sam", "staff"), proof("root", "admin"), proof("aud", "auditor")}
	f.Fuzz(func(t *testing.T, raw string) {
		path, err := reqpath.Parse(raw, reqpath.Options{})
		if err != nil {
			return
		}
		plain, err := reqpath.Parse(path.Folded, reqpath.Options{})
		if err != nil || plain.Folded != plain.Decoded {
			return
		}
		for _, who := range people {
			odd, even := Query{Path: path, Who: who}, Query{Path: plain, Who: who}
			if p.decide(&odd).Allowed && !p.decide(&even).Allowed {
				t.Errorf("%q is allowed to %q, %q is not", raw, who.Name(), plain.Decoded)
			}
		}
	})
}
