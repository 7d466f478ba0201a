package authz

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/identity"
)

// large is a site with 200 rules: 120 routes of one to two rules each, and forty rules of the site's own, with networks,
// times, methods, claims and denials among them.
func large(t testing.TB) *program {
	var b strings.Builder
	for i := range 30 {
		fmt.Fprintf(&b, "allow role r%d method GET HEAD network 10.%d.0.0/16\n", i, i%10)
	}
	for i := range 9 {
		fmt.Fprintf(&b, "deny network 203.0.%d.0/24 not role r%d\n", i, i)
	}
	b.WriteString("allow role staff\n")
	for i := range 80 {
		fmt.Fprintf(&b, "route /app%d/section/* {\n allow role r%d admin\n deny method DELETE not role admin\n}\n", i, i)
	}
	for i := range 40 {
		fmt.Fprintf(&b, "route /app0/section/part%d/* {\n allow claim department d%d time mon-fri 08:00-18:00 Europe/Berlin\n}\n", i, i)
	}
	return ready(t, b.String())
}

// widest is a site whose 200 rules all stand in one part, so that each is looked at.
func widest(t testing.TB) *program {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "allow role r%d network 10.%d.0.0/16 method GET\n", i, i%10)
	}
	for i := range 100 {
		fmt.Fprintf(&b, "deny user local:u%d network 10.%d.0.0/16\n", i, i%10)
	}
	return ready(t, b.String())
}

func manyRoles(n int, more ...string) identity.Proof {
	id := identity.Identity{Provider: "local", Subject: "ada", Roles: more, Claims: map[string][]string{"department": {"d39"}}}
	for i := range n {
		id.Roles = append(id.Roles, fmt.Sprintf("group-%04d", i))
	}
	return identity.Prove(id, "s", monday)
}

type judged struct {
	name    string
	program *program
	query   *Query
	want    bool
}

func judgedCases(t testing.TB) []judged {
	one, wide := large(t), widest(t)
	from := func(q *Query, ip string) *Query { q.Client = netip.MustParseAddr(ip); return q }
	return []judged{
		{"site rule", one, asked(t, "/some/page", manyRoles(10, "staff")), true},
		{"deep route", one, asked(t, "/app0/section/part39/a/b", manyRoles(10, "staff")), true},
		{"route refused", one, asked(t, "/app79/section/x", manyRoles(10, "staff")), false},
		{"odd spelling", one, asked(t, "/app79;x/section/x", manyRoles(10, "r79", "staff")), true},
		{"nobody", one, asked(t, "/some/page", identity.Proof{}), false},
		{"2000 groups", one, asked(t, "/some/page", manyRoles(2000, "staff")), true},
		{"200 rules looked at", wide, from(asked(t, "/some/page", manyRoles(10, "r99")), "10.9.1.1"), true},
		{"200 rules looked at, none fits", wide, from(asked(t, "/some/page", manyRoles(10, "r99")), "10.8.1.1"), false},
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	for _, c := range judgedCases(t) {
		t.Run(c.name, func(t *testing.T) {
			if d := c.program.decide(c.query); d.Allowed != c.want {
				t.Fatalf("%v by %s: %v", d.Allowed, d.Rule, d.Reasons())
			}
			if n := testing.AllocsPerRun(200, func() {
				q := *c.query
				if c.program.decide(&q).Allowed != c.want {
					t.Error("it changed its mind")
				}
			}); n > 0 {
				t.Errorf("a decision allocates %v times", n)
			}
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, c := range judgedCases(b) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q := *c.query
				c.program.decide(&q)
			}
		})
	}
	b.Run("expression", func(b *testing.B) {
		p, q := ready(b, "allow cel `'staff' in roles && in_network(ip, '192.0.2.0/24')`"), asked(b, "/x", manyRoles(10, "staff"))
		b.ReportAllocs()
		for b.Loop() {
			p.decide(q)
		}
	})
	b.Run("summary", func(b *testing.B) {
		d := large(b).decide(asked(b, "/app79/section/x", manyRoles(10, "staff")))
		b.ReportAllocs()
		for b.Loop() {
			_ = d.Summary()
		}
	})
}
