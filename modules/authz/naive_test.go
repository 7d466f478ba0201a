package authz

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
)

// naive is the policy's meaning, written down as plainly as possible: no index, no atoms, every rule asked in turn.
type naive struct {
	Policy
	families Families
}

func (n naive) decide(q *Query) (allowed bool) {
	if q.Path.Folded == "" || q.Who.Known() && q.Who.Tenant() != q.Tenant {
		return false
	}
	var within, governing []Route
	certain := false
	routes := slices.Clone(n.Routes)
	slices.SortFunc(routes, func(a, b Route) int { return a.Path.Compare(b.Path) })
	var sure []Route
	for _, r := range routes {
		if !r.Path.MatchFolded(q.Path) {
			continue
		}
		within = append(within, r)
		if slices.ContainsFunc(sure, func(inner Route) bool { return contains(r.Path, inner.Path) }) {
			continue
		}
		governing = append(governing, r)
		if r.Path.MatchAll(q.Path) {
			sure = append(sure, r)
			certain = true
		}
	}
	for _, r := range append([]Route{{Rules: n.Rules}}, within...) {
		for _, rule := range r.Rules {
			if rule.Deny && n.matches(rule, q) {
				return false
			}
		}
	}
	for _, o := range n.Public {
		inside := slices.ContainsFunc(governing, func(r Route) bool { return !contains(r.Path, o) })
		if o.MatchAll(q.Path) && !inside {
			return true
		}
	}
	if !certain {
		governing = append(governing, Route{Rules: n.Rules})
	}
	for _, r := range governing {
		if !slices.ContainsFunc(r.Rules, func(rule Rule) bool { return !rule.Deny && n.lets(rule, q) }) {
			return false
		}
	}
	return true
}

// contains is holds, from the texts of the patterns.
func contains(outer, inner reqpath.Pattern) bool {
	root, subtree := strings.CutSuffix(outer.String(), "/*")
	if !subtree || outer == inner {
		return false
	}
	in, _ := strings.CutSuffix(inner.String(), "/*")
	in, root = strings.ToLower(in), strings.ToLower(root)
	return root == "" || in == root || strings.HasPrefix(in, root+"/")
}

func (n naive) lets(r Rule, q *Query) bool { return (r.anyone() || q.Who.Known()) && n.matches(r, q) }

func (n naive) matches(r Rule, q *Query) bool {
	for _, c := range r.If {
		if c.Word != "anyone" && n.holds(c, q) == c.Not {
			return false
		}
	}
	return true
}

func (n naive) holds(c Condition, q *Query) bool {
	id, some := q.Who.Identity(), q.Who.Known()
	hasRole := func(role string) bool {
		return some && (slices.Contains(id.Roles, role) || slices.Contains(q.Granted, role))
	}
	for _, v := range c.Values {
		ok := false
		switch c.Word {
		case "role":
			ok = hasRole(v)
		case "family":
			ok = slices.ContainsFunc(n.families[v], hasRole)
		case "group":
			ok = slices.Contains(id.Groups, v)
		case "user":
			ok = some && id.Provider+":"+id.Subject == v
		case "service_account":
			ok = id.Kind == identity.Service && id.Provider == identity.HouseServices && id.Subject == v
		case "scope":
			ok = slices.Contains(q.Who.Credential().Scopes, v)
		case "claim":
			ok = slices.Contains(id.Claims[c.Name], v)
		case "provider":
			ok = some && id.Provider == v
		case "device":
			ok = some && id.Facts["device"] == v
		case "method":
			ok = q.Method == v
		case "network":
			ok = netip.MustParsePrefix(v).Contains(q.Client)
		case "host":
			ok = strings.EqualFold(v, q.Host)
		}
		if ok {
			return true
		}
	}
	if c.Word == "time" {
		w, err := parseWindow(c.Values)
		return err == nil && w.holds(q.Now)
	}
	if c.Word == "guest" {
		return some && id.Kind == identity.Guest && id.Provider == identity.HouseLinks
	}
	return c.Word == "authenticated" && some && id.Kind == identity.Person
}

// chance makes policies and queries out of few names, so that they meet.
type chance struct{ *rand.Rand }

func (c chance) of(list ...string) string { return list[c.IntN(len(list))] }

func (c chance) some(list ...string) (chosen []string) {
	for _, s := range list {
		if c.IntN(3) == 0 {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

func (c chance) atLeast(list ...string) []string {
	if chosen := c.some(list...); len(chosen) > 0 {
		return chosen
	}
	return []string{c.of(list...)}
}

var (
	someRoles = []string{"a", "b", "c", "d", "admin"}
	somePaths = []string{"/", "/*", "/a", "/a/*", "/a/b", "/a/b/*", "/A/b/*", "/a/b/c", "/a/b/c/*", "/b", "/b/*", "/ab/*", "/a/c/d/e/f/*"}
	someRaw   = []string{
		"/", "/a", "/a/", "/A", "/a/b", "/a/B/c", "/a;x/b", "/a/b.", "/a/b/c/d", "/b", "/B/x", "/ab", "/ab/x", "/a%2Fb/c", "/a/b%2Fc", "//", "/a//b",
		"/a%3Fb", "/a/b%3Fc/d", "/%61/b", "/a/c/d/e/f/g", "/a/c/d/e", "/a%20/b", "/x",
	}
)

func (c chance) condition(deny bool) Condition {
	switch c.IntN(14) {
	case 0:
		return Condition{Word: "group", Values: c.atLeast("g", "h")}
	case 1:
		return Condition{Word: "user", Values: c.atLeast("local:u", "corp:u", "local:v")}
	case 2:
		return Condition{Word: "service_account", Values: c.atLeast("u", "v")}
	case 3:
		return Condition{Word: "scope", Values: c.atLeast("r", "w")}
	case 4:
		return Condition{Word: "claim", Name: c.of("k", "l"), Values: c.atLeast("1", "2")}
	case 5:
		return Condition{Word: "authenticated"}
	case 6:
		return Condition{Word: "family", Values: c.atLeast("f1", "f2")}
	case 7:
		return Condition{Word: "provider", Values: c.atLeast("local", "corp")}
	case 8:
		return Condition{Word: "device", Values: []string{c.of("known", "unknown")}}
	case 9:
		return Condition{Word: "method", Values: c.atLeast("GET", "POST", "DELETE")}
	case 10:
		return Condition{Word: "network", Values: c.atLeast("10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "2001:db8::/32")}
	case 11:
		return Condition{Word: "time", Values: []string{c.of("mon", "mon-wed", "sat,sun"), c.of("08:00-12:00", "22:00-10:00"), "UTC"}}
	}
	if c.IntN(3) == 0 {
		return Condition{Word: "guest"}
	}
	return Condition{Word: "role", Values: c.atLeast(someRoles...)}
}

func (c chance) rule(deny bool) Rule {
	for {
		r := Rule{Deny: deny}
		if !deny && c.IntN(8) == 0 {
			r.If = append(r.If, Condition{Word: "anyone"})
		}
		for range 1 + c.IntN(3) {
			condition := c.condition(deny)
			condition.Not = c.IntN(4) == 0
			r.If = append(r.If, condition)
		}
		if r.validate() == nil {
			return r
		}
	}
}

func (c chance) rules() (rules []Rule) {
	for range 1 + c.IntN(3) {
		rules = append(rules, c.rule(false))
	}
	for range c.IntN(2) {
		rules = append(rules, c.rule(true))
	}
	c.Shuffle(len(rules), func(i, j int) { rules[i], rules[j] = rules[j], rules[i] })
	return rules
}

func (c chance) policy(t testing.TB) Policy {
	p := Policy{Rules: c.rules()}
	paths := slices.Clone(somePaths)
	c.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	for i, text := range paths[:c.IntN(len(paths))] {
		pattern, err := reqpath.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			p.Public = append(p.Public, pattern)
		} else {
			p.Routes = append(p.Routes, Route{Path: pattern, Rules: c.rules()})
		}
	}
	return p
}

func (c chance) query() *Query {
	q := &Query{
		Method: c.of("GET", "POST", "DELETE", "HEAD"), Host: c.of("app.test", "b.test"),
		Client: netip.MustParseAddr(c.of("10.1.2.3", "10.2.0.1", "192.0.2.7", "2001:db8::1", "198.51.100.1")),
		Now:    monday.Add(time.Duration(c.IntN(7*24*60)) * time.Minute), Tenant: c.of("", "", "", "t"),
	}
	q.Path, _ = reqpath.Parse(c.of(someRaw...), reqpath.Options{AllowEncodedSlash: true, AllowEmptySegments: true}) // some are refused: the zero path
	if c.IntN(6) == 0 {
		return q
	}
	id := identity.Identity{
		Provider: c.of("local", "corp", "link"), Subject: c.of("u", "v"), Roles: c.some(someRoles...), Groups: c.some("g", "h"), Tenant: q.Tenant,
		Claims: map[string][]string{"k": c.some("1", "2")}, Kind: identity.Kind(c.of("", "", "", "service", "guest")),
		Facts: map[string]string{"device": c.of("", "known", "unknown")},
	}
	if c.IntN(20) == 0 {
		id.Tenant = "other"
	}
	for i := range c.IntN(2) * 40 {
		id.Roles = append(id.Roles, fmt.Sprintf("many%02d", i))
	}
	q.Who = identity.ProveBy(id, identity.Credential{Method: identity.BySession, Scopes: c.some("r", "w")})
	q.Granted = c.some("admin", "b")
	return q
}

// FuzzAgainstNaive compares the engine with the plain meaning, and its reasons with its answer.
func FuzzAgainstNaive(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	families := Families{"f1": {"a", "admin"}, "f2": {"d"}}
	f.Fuzz(func(t *testing.T, seed uint64) {
		c := chance{rand.New(rand.NewPCG(seed, 1))}
		policy := c.policy(t)
		p, err := compile(&policy, families)
		if err != nil {
			t.Fatal(err)
		}
		model := naive{policy, families}
		for range 40 {
			q := c.query()
			got, want := p.decide(q), model.decide(q)
			if got.Allowed != want {
				t.Fatalf("seed %d: %s %s by %s %v: the engine says %v (%s), the model %v\n%v", seed, q.Method, q.Path, q.Who.Name(), q.Who.Identity(), got.Allowed, got.Rule, want, policy)
			}
			checkReasons(t, got)
		}
	})
}

// checkReasons holds the reasons against the decision: an allowed request has no rule that denied and one that allowed.
func checkReasons(t *testing.T, d Decision) {
	t.Helper()
	decided := false
	for _, r := range d.Reasons() {
		denies := strings.Contains(r.Rule, ": deny ")
		if d.Allowed && denies && r.Matched {
			t.Fatalf("allowed by %s, although %+v", d.Rule, r)
		}
		decided = decided || r.Rule == d.Rule && r.Matched
	}
	if d.Allowed && !decided {
		t.Fatalf("allowed by %s, which is not among the reasons that matched: %v", d.Rule, d.Reasons())
	}
}
