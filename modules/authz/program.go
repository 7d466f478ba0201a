package authz

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/reqpath"
)

// Families are the house's names for sets of roles, such as administration (control CER-11).
type Families map[string][]string

// program is a policy made ready to be asked. It is immutable and safe for concurrent use.
type program struct {
	families  Families
	atoms     []atom // by id; those of who are zero
	who       who
	site      part
	routes    []part // the most specific first
	byRoot    map[string][]int32
	openings  []reqpath.Pattern
	openRoot  map[string][]int32
	openLabel []string // what logs call them
	depth     int      // how many segments the longest root of a pattern has
	reads     Reads
}

// part is the site, or a route of it.
type part struct {
	path        reqpath.Pattern
	name        string // "site", or "route /admin/*"
	refuses     string // what logs say when none of its rules lets somebody in
	allow, deny []line
	own         []Obligation
	required    []Obligation // own, those of the routes around it, and the site's
	sensitive   bool
	audit       bool
}

// line is a rule made ready.
type line struct {
	rule    Rule
	conds   []cond
	windows []cond // those of conds that are of time
	cels    []celCond
	anyone  bool
	who     bool   // a log-in may change what it says
	label   string // what logs call it
}

// cond holds if one of its atoms does, or, with not, if none does.
type cond struct {
	ids  []atomID
	not  bool
	who  bool // it speaks of who asks
	time bool // it speaks of the time
	nth  int  // in the rule
}

type celCond struct {
	*expression
	not bool
}

// Reads says what a policy wants to know of people: providers keep no more in a session.
type Reads struct {
	Claims, Groups []string
	AllGroups      bool
}

// compiler makes a program.
type compiler struct {
	*program
	seen map[string]atomID // atoms that are looked at, by their text
}

func compile(p *Policy, families Families) (*program, error) {
	c := compiler{
		program: &program{families: families, byRoot: map[string][]int32{}, openRoot: map[string][]int32{}}, seen: map[string]atomID{},
	}
	c.who.users = map[string]*names{}
	c.who.person, _ = c.next()
	c.mask(c.who.person)
	c.who.guest, _ = c.next()
	c.mask(c.who.guest)
	var err error
	if c.site, err = c.part("site", reqpath.Pattern{}, p.Rules, p.Require); err != nil {
		return nil, err
	}
	c.site.required = c.site.own
	routes := slices.Clone(p.Routes)
	slices.SortFunc(routes, func(a, b Route) int { return a.Path.Compare(b.Path) })
	for _, r := range routes {
		made, err := c.part("route "+r.Path.String(), r.Path, r.Rules, r.Require)
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", r.Path, err)
		}
		made.sensitive, made.audit = r.Sensitive, r.Audit
		c.routes = append(c.routes, made)
	}
	for i := range c.routes {
		r := &c.routes[i]
		r.required = join(c.site.own, nil)
		for j := len(c.routes) - 1; j >= 0; j-- { // the outermost first
			if i == j || holds(c.routes[j].path, r.path) {
				r.required = join(r.required, c.routes[j].own)
			}
		}
		c.byRoot[r.path.Root()] = append(c.byRoot[r.path.Root()], int32(i))
		c.root(r.path)
	}
	c.openings = slices.Clone(p.Public)
	slices.SortFunc(c.openings, reqpath.Pattern.Compare)
	for i, o := range c.openings {
		c.openRoot[o.Root()] = append(c.openRoot[o.Root()], int32(i))
		c.openLabel = append(c.openLabel, "public: "+o.String())
		c.root(o)
	}
	return c.program, nil
}

// root notes how long a pattern's root is.
func (c *compiler) root(p reqpath.Pattern) {
	c.depth = max(c.depth, strings.Count(strings.TrimSuffix(p.Root(), "/"), "/"))
}

// next returns a new atom's id.
func (c *compiler) next() (atomID, error) {
	if len(c.atoms) == maxAtoms {
		return 0, errAtoms
	}
	c.atoms = append(c.atoms, atom{})
	return atomID(len(c.atoms) - 1), nil
}

func (c *compiler) mask(id atomID) { c.who.mask[id>>6] |= 1 << (id & 63) }

// named returns the atom that n finds for a name.
func (c *compiler) named(n *names, name string) (atomID, error) {
	if id, ok := n.ids[name]; ok {
		return id, nil
	}
	id, err := c.next()
	if err != nil {
		return 0, err
	}
	n.add(name, id)
	c.mask(id)
	return id, nil
}

// looked returns the atom that is looked at, known by its text.
func (c *compiler) looked(text string, a atom) (atomID, error) {
	if id, ok := c.seen[text]; ok {
		return id, nil
	}
	id, err := c.next()
	if err != nil {
		return 0, err
	}
	c.atoms[id], c.seen[text] = a, id
	return id, nil
}

func (c *compiler) part(name string, path reqpath.Pattern, rules []Rule, require []Obligation) (part, error) {
	p := part{path: path, name: name, refuses: name + ": no rule allows it", own: require}
	for _, r := range rules {
		l, err := c.line(r, name)
		if err != nil {
			return part{}, at(r.Source, err)
		}
		if r.Deny {
			p.deny = append(p.deny, l)
		} else {
			p.allow = append(p.allow, l)
		}
	}
	return p, nil
}

// at says where.
func at(source string, err error) error {
	if source == "" {
		return err
	}
	return fmt.Errorf("%s: %w", source, err)
}

func (c *compiler) line(r Rule, of string) (line, error) {
	if err := r.validate(); err != nil {
		return line{}, err
	}
	l := line{rule: r, anyone: r.anyone(), who: r.who(), label: of + ": " + r.String()}
	if r.Source != "" {
		l.label += " (" + r.Source + ")"
	}
	for i, condition := range r.If {
		switch condition.Word {
		case "anyone":
		case "cel":
			x, err := compileCEL(condition.Values[0])
			if err != nil {
				return line{}, err
			}
			c.reads.Claims, c.reads.AllGroups = append(c.reads.Claims, x.claims...), c.reads.AllGroups || x.groups
			l.cels = append(l.cels, celCond{x, condition.Not})
		default:
			ids, err := c.ids(condition)
			if err != nil {
				return line{}, err
			}
			made := cond{ids, condition.Not, words[condition.Word].who, condition.Word == "time", i}
			l.conds = append(l.conds, made)
			if condition.Word == "time" {
				l.windows = append(l.windows, made)
			}
		}
	}
	slices.SortStableFunc(l.conds, func(a, b cond) int { return cmp.Compare(a.cost(), b.cost()) })
	return l, nil
}

// cost orders conditions: those of who asks are known already.
func (c cond) cost() int {
	if c.who {
		return 0
	}
	return 1
}

// ids returns the atoms of a condition.
func (c *compiler) ids(condition Condition) (ids []atomID, err error) {
	add := func(id atomID, err2 error) { ids, err = append(ids, id), errors.Join(err, err2) }
	one := func(n *names) {
		for _, v := range condition.Values {
			add(c.named(n, v))
		}
	}
	switch condition.Word {
	case "role":
		one(&c.who.roles)
	case "family":
		for _, family := range condition.Values {
			roles, ok := c.families[family]
			if !ok {
				return nil, fmt.Errorf("family %q is not known: put `roles { family %s <role...> }` into the gatehouse global option", family, family)
			}
			for _, role := range roles {
				add(c.named(&c.who.roles, role))
			}
		}
	case "group":
		one(&c.who.groups)
		c.reads.Groups = append(c.reads.Groups, condition.Values...)
	case "scope":
		one(&c.who.scopes)
	case "service_account":
		one(&c.who.services)
	case "provider":
		one(&c.who.providers)
	case "authenticated":
		add(c.who.person, nil)
	case "guest":
		add(c.who.guest, nil)
	case "claim":
		one(&of(&c.who.claims, condition.Name).names)
		c.reads.Claims = append(c.reads.Claims, condition.Name)
	case "device":
		one(&of(&c.who.facts, "device").names)
	case "user":
		for _, v := range condition.Values {
			provider, subject, _ := strings.Cut(v, ":")
			if c.who.users[provider] == nil {
				c.who.users[provider] = new(names)
			}
			add(c.named(c.who.users[provider], subject))
		}
	default:
		add(c.look(condition))
		for _, v := range condition.Values[1:] {
			if condition.Word == "method" || condition.Word == "host" {
				add(c.looked(condition.Word+" "+v, atom{word: condition.Word, value: v}))
			}
		}
	}
	return ids, err
}

// look returns the atom of a condition that is looked at: of its first value, or of all of them where they are one thing.
func (c *compiler) look(condition Condition) (atomID, error) {
	a, all := atom{word: condition.Word, value: condition.Values[0]}, strings.Join(condition.Values, " ")
	var err error
	switch condition.Word {
	case "method", "host":
		all = a.value
	case "network":
		a.network, err = networkSet(condition.Values)
	case "time":
		a.window, err = parseWindow(condition.Values)
	case "segment":
		a, err = parseSegment(condition.Values)
		c.reads.Claims = append(c.reads.Claims, a.claim)
	default:
		err = fmt.Errorf("the condition %q cannot be judged", condition.Word)
	}
	if err != nil {
		return 0, err
	}
	return c.looked(condition.Word+" "+all, a)
}

// holds reports whether every path of inner is also in outer, and they differ.
func holds(outer, inner reqpath.Pattern) bool {
	if !outer.Subtree() || outer == inner {
		return false
	}
	rest, ok := strings.CutPrefix(inner.Root(), outer.Root())
	return ok && (rest == "" || strings.HasPrefix(rest, "/"))
}
