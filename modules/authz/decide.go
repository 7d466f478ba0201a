package authz

import (
	"strings"
	"time"

	"gatehouse.internal/modules/internal/reqpath"
)

// nest collects routes that lie in each other, the most specific first. Beyond its array it spills onto the heap, which
// takes a path that lies in more than a dozen of them.
type nest struct {
	n     int
	few   [12]int32
	spill []int32
}

func (f *nest) add(i int32) {
	if f.n < len(f.few) {
		f.few[f.n] = i
	} else {
		f.spill = append(f.spill, i)
	}
	f.n++
}

// at returns the ith.
func (f *nest) at(i int) int32 {
	if i < len(f.few) {
		return f.few[i]
	}
	return f.spill[i-len(f.few)]
}

// candidates collects the patterns whose root the path begins with, the most specific first: all that can match it in any
// reading, and perhaps more.
func (p *program) candidates(path reqpath.Path, index map[string][]int32, to *nest) {
	if len(index) == 0 {
		return
	}
	root := first(path.Folded, p.depth)
	for len(root) > 1 {
		for _, i := range index[root] {
			to.add(i)
		}
		root = root[:strings.LastIndexByte(root, '/')]
	}
	for _, i := range index["/"] {
		to.add(i)
	}
	for _, i := range index[""] {
		to.add(i)
	}
}

// first returns the first n segments of a folded path, or all that there are.
func first(folded string, n int) string {
	for i := 1; i < len(folded); i++ {
		if folded[i] == '/' {
			if n--; n <= 0 {
				return folded[:i]
			}
		}
	}
	if n <= 0 {
		return ""
	}
	return folded
}

// place is where in the policy a path lies.
type place struct {
	within    nest // the routes that it is in by some reading
	governing nest // those of them whose rules for letting in count
	certain   bool // they count instead of the site's
}

// locate finds the routes of a path. A route counts if some server could take the path to be in it. Only one that every
// server takes it to be in (certain) overrides those around it, and the site's own rules: otherwise a route that is laxer
// than its surroundings would open, by its odd spelling, a path that is not in it.
func (p *program) locate(path reqpath.Path, at *place) {
	var near, sure nest
	p.candidates(path, p.byRoot, &near)
	for n := range near.n {
		i := near.at(n)
		r := &p.routes[i]
		if !r.path.MatchFolded(path) {
			continue
		}
		at.within.add(i)
		if p.anyHeld(r.path, &sure) {
			continue
		}
		at.governing.add(i)
		if r.path.MatchAll(path) {
			sure.add(i)
			at.certain = true
		}
	}
}

// anyHeld reports whether one of the routes lies in outer.
func (p *program) anyHeld(outer reqpath.Pattern, routes *nest) bool {
	for n := range routes.n {
		if holds(outer, p.routes[routes.at(n)].path) {
			return true
		}
	}
	return false
}

// opening returns the index of the opening that covers the path in every reading, unless a route lies inside it; or -1.
func (p *program) opening(path reqpath.Path, at *place) int32 {
	var near nest
	p.candidates(path, p.openRoot, &near)
search:
	for n := range near.n {
		opening := p.openings[near.at(n)]
		if !opening.MatchAll(path) {
			continue
		}
		for g := range at.governing.n {
			if !holds(p.routes[at.governing.at(g)].path, opening) {
				continue search
			}
		}
		return near.at(n)
	}
	return -1
}

// decide answers one query. It allocates nothing unless it runs an expression, or a path lies oddly.
func (p *program) decide(q *Query) Decision {
	d := Decision{Part: "site", policy: p, query: *q}
	switch {
	case q.Path.Folded == "":
		d.Rule = "no path"
		return d
	case q.Who.Known() && q.Who.Tenant() != q.Tenant:
		d.Rule = "somebody of another tenant"
		return d
	}
	var f facts
	var at place
	p.who.fill(&f, q)
	p.locate(q.Path, &at)
	if at.within.n > 0 {
		d.Part = p.routes[at.within.at(0)].name
	}
	for n := range at.within.n {
		r := &p.routes[at.within.at(n)]
		d.Sensitive = d.Sensitive || r.sensitive
		if r.audit && d.Audited == "" {
			d.Audited = r.name
		}
	}
	if l := p.denied(q, &f, &at); l != nil {
		d.Rule, d.LoginHelps = l.label, l.who && !q.Who.Known()
		return d
	}
	if i := p.opening(q.Path, &at); i >= 0 {
		d.Allowed, d.Rule, d.Part = true, p.openLabel[i], p.openLabel[i]
		return d
	}
	p.let(q, &f, &at, &d)
	if d.Allowed {
		d.Obligations = p.required(&at)
		d.Until = earliest(d.Until, p.denyBegins(q, &f, &at))
	} else if !q.Who.Known() {
		d.LoginHelps = p.loginHelps(q, &f, &at)
	}
	return d
}

// let asks every part that governs the path whether it lets the query in; all must.
func (p *program) let(q *Query, f *facts, at *place, d *Decision) {
	for n := range at.governing.n {
		r := &p.routes[at.governing.at(n)]
		l, until := p.allows(r, q, f)
		if l == nil {
			d.Rule = r.refuses
			return
		}
		d.Rule, d.Until = l.label, earliest(d.Until, until)
	}
	if !at.certain {
		l, until := p.allows(&p.site, q, f)
		if l == nil {
			d.Rule = p.site.refuses
			return
		}
		if d.Until = earliest(d.Until, until); d.Rule == "" {
			d.Rule = l.label
		}
	}
	d.Allowed = true
}

// allows returns the line of a part that lets the query in, and until when; nil when none does. Of several, it is one that
// does so for longest.
func (p *program) allows(of *part, q *Query, f *facts) (best *line, until time.Time) {
	for i := range of.allow {
		l := &of.allow[i]
		if !l.anyone && !q.Who.Known() || !p.matches(l, q, f) {
			continue
		}
		if len(l.windows) == 0 {
			return l, time.Time{}
		}
		ends := p.flips(l, q, f)
		if ends.IsZero() {
			return l, ends
		}
		if best == nil || ends.After(until) {
			best, until = l, ends
		}
	}
	return best, until
}

// denied returns the line that refuses the query, whatever others say; nil when none does.
func (p *program) denied(q *Query, f *facts, at *place) *line {
	if l := p.denies(&p.site, q, f); l != nil {
		return l
	}
	for n := range at.within.n {
		if l := p.denies(&p.routes[at.within.at(n)], q, f); l != nil {
			return l
		}
	}
	return nil
}

func (p *program) denies(of *part, q *Query, f *facts) *line {
	for i := range of.deny {
		if p.matches(&of.deny[i], q, f) {
			return &of.deny[i]
		}
	}
	return nil
}

// matches reports whether all conditions of a line hold. An expression that has no value makes a line that refuses
// match, and one that allows not.
func (p *program) matches(l *line, q *Query, f *facts) bool {
	for i := range l.conds {
		if !p.cond(&l.conds[i], q, f) {
			return false
		}
	}
	for i := range l.cels {
		v, err := l.cels[i].eval(q)
		if err != nil {
			if !l.rule.Deny {
				return false
			}
			continue
		}
		if v == l.cels[i].not {
			return false
		}
	}
	return true
}

func (p *program) cond(c *cond, q *Query, f *facts) bool {
	for _, id := range c.ids {
		if f.holds(p, q, id) {
			return !c.not
		}
	}
	return c.not
}

// flips returns when the first of a line's windows changes; zero: never.
func (p *program) flips(l *line, q *Query, f *facts) (at time.Time) {
	for i := range l.windows {
		for _, id := range l.windows[i].ids {
			at = earliest(at, p.atoms[id].window.flips(q.Now))
		}
	}
	return at
}

// denyBegins returns when the first rule begins to refuse that does not now only because of the time; zero: never.
func (p *program) denyBegins(q *Query, f *facts, at *place) (begins time.Time) {
	begins = p.beginsIn(&p.site, q, f)
	for n := range at.within.n {
		begins = earliest(begins, p.beginsIn(&p.routes[at.within.at(n)], q, f))
	}
	return begins
}

func (p *program) beginsIn(of *part, q *Query, f *facts) (begins time.Time) {
lines:
	for i := range of.deny {
		l := &of.deny[i]
		if len(l.windows) == 0 {
			continue
		}
		for c := range l.conds {
			if !l.conds[c].time && !p.cond(&l.conds[c], q, f) {
				continue lines
			}
		}
		begins = earliest(begins, p.flips(l, q, f))
	}
	return begins
}

// loginHelps reports whether there is somebody whom the parts that govern the path would let in just now.
func (p *program) loginHelps(q *Query, f *facts, at *place) bool {
	for n := range at.governing.n {
		if !p.couldAllow(&p.routes[at.governing.at(n)], q, f) {
			return false
		}
	}
	return at.certain || p.couldAllow(&p.site, q, f)
}

func (p *program) couldAllow(of *part, q *Query, f *facts) bool {
lines:
	for i := range of.allow {
		for c := range of.allow[i].conds {
			if cond := &of.allow[i].conds[c]; !cond.who && !p.cond(cond, q, f) {
				continue lines
			}
		}
		return true
	}
	return false
}

// required returns what the site and every route that could hold the path ask for.
func (p *program) required(at *place) []Obligation {
	if at.within.n == 0 {
		return p.site.required
	}
	inner := &p.routes[at.within.at(0)]
	asked := inner.required // covers the routes that hold it
	for n := 1; n < at.within.n; n++ {
		if r := &p.routes[at.within.at(n)]; !holds(r.path, inner.path) {
			asked = join(asked, r.required)
		}
	}
	return asked
}

// earliest returns the earlier of two times, of which zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
