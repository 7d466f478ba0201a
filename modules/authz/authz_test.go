package authz

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
)

func proof(subject string, roles ...string) identity.Proof {
	return identity.Prove(identity.Identity{Provider: "local", Subject: subject, Roles: roles}, "s", time.Now())
}

func pattern(t testing.TB, text string) reqpath.Pattern {
	t.Helper()
	p, err := reqpath.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// policy is a site for staff, with a public part, an admin part, a part of that open to auditors, and a laxer corner.
func policy(t testing.TB) *Policy {
	t.Helper()
	p := &Policy{
		Allow:  Rule{Roles: []string{"staff"}},
		Public: []reqpath.Pattern{pattern(t, "/healthz"), pattern(t, "/assets/*"), pattern(t, "/admin/logo.png")},
		Routes: []Route{
			{Path: pattern(t, "/admin/*"), Allow: Rule{Roles: []string{"admin"}}},
			{Path: pattern(t, "/admin/reports/*"), Allow: Rule{Roles: []string{"auditor", "admin"}}},
			{Path: pattern(t, "/assets/private/*"), Allow: Rule{Users: []string{"local:ada"}}},
			{Path: pattern(t, "/lobby/*"), Allow: Rule{Authenticated: true}},
		},
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}

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
	p := policy(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path, err := reqpath.Parse(tt.path, reqpath.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := p.Decide(path, tt.who); d.Allowed != tt.want || d.Rule == "" {
				t.Errorf("Decide(%s, %s) = %+v, want allowed %v", tt.path, tt.who.Name(), d, tt.want)
			}
		})
	}
}

// Obligations are restrictions: every reading of the path and every route around it adds its own.
func TestObligationsAddUp(t *testing.T) {
	ten, each := Obligation{Kind: MFA, MaxAge: 10 * time.Minute}, Obligation{Kind: MFA, Each: true}
	p := policy(t)
	p.Require = []Obligation{{Kind: MFA}}
	for i, r := range p.Routes {
		switch r.Path.String() {
		case "/admin/*":
			p.Routes[i].Require = []Obligation{ten}
		case "/admin/reports/*":
			p.Routes[i].Require = []Obligation{each, ten}
		}
	}
	admin := proof("root", "admin", "staff")
	for path, want := range map[string][]Obligation{
		"/x": {{Kind: MFA}}, "/healthz": nil, "/admin/x": {{Kind: MFA}, ten}, "/ADMIN;a/x": {{Kind: MFA}, ten},
		"/admin/reports/q3": {{Kind: MFA}, each, ten},
	} {
		parsed, err := reqpath.Parse(path, reqpath.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := p.Decide(parsed, admin)
		if !d.Allowed || !slices.Equal(d.Obligations, want) {
			t.Errorf("%s: %+v, want the obligations %v", path, d, want)
		}
	}
	if d := p.Decide(reqpath.Path{}, admin); d.Allowed {
		t.Error("a path that was never parsed is allowed")
	}
	for _, bad := range []Obligation{{}, {Kind: "shoe"}, {Kind: MFA, MaxAge: -1}, {Kind: MFA, MaxAge: 1, Each: true}} {
		if (&Policy{Allow: Rule{Authenticated: true}, Require: []Obligation{bad}}).Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestZeroValuesDeny(t *testing.T) {
	var p Policy
	path, _ := reqpath.Parse("/", reqpath.Options{})
	if p.Decide(path, proof("ada", "admin")).Allowed {
		t.Error("the zero policy allows somebody")
	}
	if policy(t).Decide(reqpath.Path{}, proof("sam", "staff")).Allowed {
		t.Error("a path that was never parsed is allowed")
	}
}

func TestValidate(t *testing.T) {
	admin := pattern(t, "/admin/*")
	tests := []struct {
		name   string
		policy Policy
		want   string
	}{
		{"nobody", Policy{}, "nobody is allowed in"},
		{"a route without anybody", Policy{Routes: []Route{{Path: admin}}}, "nobody is allowed in"},
		{"a route twice", Policy{Allow: Rule{Authenticated: true}, Routes: []Route{{Path: admin}, {Path: admin}}}, "stands twice"},
		{"public and route", Policy{Public: []reqpath.Pattern{admin}, Routes: []Route{{Path: admin, Allow: Rule{Authenticated: true}}}}, "both public and a route"},
		{"an empty role", Policy{Allow: Rule{Roles: []string{""}}}, "role or user is called"},
		{"a user without provider", Policy{Allow: Rule{Users: []string{"ada"}}}, "write provider:subject"},
		{"a route without path", Policy{Allow: Rule{Authenticated: true}, Routes: []Route{{}}}, "no path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.policy.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Validate() = %v, want it to say %q", err, tt.want)
			}
		})
	}
	if err := (&Policy{}).Validate(); !errors.Is(err, ErrNobody) {
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
	p := policy(f)
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
			if p.Decide(path, who).Allowed && !p.Decide(plain, who).Allowed {
				t.Errorf("%q is allowed to %q, %q is not", raw, who.Name(), plain.Decoded)
			}
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	p := policy(b)
	path, _ := reqpath.Parse("/some/page", reqpath.Options{})
	who := proof("sam", "staff")
	for b.Loop() {
		p.Decide(path, who)
	}
}
