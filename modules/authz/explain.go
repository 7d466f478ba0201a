package authz

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/identity"
)

// Reason says what one rule had to do with a decision.
type Reason struct {
	Rule    string `json:"rule"`    // as it is called in logs
	Matched bool   `json:"matched"` // it applied
	Why     string `json:"why"`
}

// Reasons returns what was looked at, in the order in which it counts: the rules that deny, what is public, then the rules
// that allow of each part that governs the path. It is worked out when asked for. The zero Decision has none.
func (d Decision) Reasons() []Reason {
	p, q := d.policy, &d.query
	switch {
	case p == nil:
		return nil
	case q.Path.Folded == "":
		return []Reason{{Rule: d.Rule, Matched: true, Why: "the path has no single reading"}}
	case q.Who.Known() && q.Who.Tenant() != q.Tenant:
		return []Reason{{Rule: d.Rule, Matched: true, Why: fmt.Sprintf("%s belongs to tenant %q, the site to %q", q.Who.Name(), q.Who.Tenant(), q.Tenant)}}
	}
	e := explainer{program: p, query: q}
	p.who.fill(&e.facts, q)
	p.locate(q.Path, &e.place)
	e.denials()
	e.openings()
	for n := range e.governing.n {
		e.allowances(&p.routes[e.governing.at(n)])
	}
	if !e.certain {
		e.allowances(&p.site)
	}
	return e.reasons
}

// Summary says in one line why, for logs: what decided, and what was nearest to it.
func (d Decision) Summary() string {
	reasons := d.Reasons()
	parts := []string{d.Rule}
	for _, r := range reasons {
		if r.Matched == (r.Rule == d.Rule) && len(parts) < 4 {
			parts = append(parts, r.Rule+": "+r.Why)
		}
	}
	return strings.Join(parts, "; ")
}

type explainer struct {
	*program
	query *Query
	place
	facts   facts
	reasons []Reason
}

func (e *explainer) say(rule string, matched bool, why ...string) {
	e.reasons = append(e.reasons, Reason{rule, matched, strings.Join(why, ", ")})
}

func (e *explainer) denials() {
	parts := []*part{&e.site}
	for n := range e.within.n {
		parts = append(parts, &e.routes[e.within.at(n)])
	}
	for _, of := range parts {
		for i := range of.deny {
			e.line(&of.deny[i])
		}
	}
}

func (e *explainer) openings() {
	opening := e.opening(e.query.Path, &e.place)
	for i, o := range e.program.openings {
		switch {
		case int32(i) == opening:
			e.say(e.openLabel[i], true, "the path is open to everyone")
		case o.MatchAll(e.query.Path):
			e.say(e.openLabel[i], false, "a route that the path could be in lies inside it")
		case o.MatchFolded(e.query.Path):
			e.say(e.openLabel[i], false, "not every server reads the path so")
		}
	}
}

func (e *explainer) allowances(of *part) {
	if len(of.allow) == 0 {
		e.say(of.name, false, "no rule allows anybody")
	}
	for i := range of.allow {
		if l := &of.allow[i]; !l.anyone && !e.query.Who.Known() {
			e.say(l.label, false, "nobody has logged in")
		} else {
			e.line(l)
		}
	}
}

func (e *explainer) line(l *line) {
	var why []string
	cels := l.cels
	for i, c := range l.rule.If {
		switch c.Word {
		case "anyone":
			why = append(why, "anyone")
		case "cel":
			x := cels[0]
			cels = cels[1:]
			v, err := x.eval(e.query)
			if err != nil {
				why = append(why, "no value: "+err.Error())
			} else {
				why = append(why, fmt.Sprintf("%s: it is %v", c, v))
			}
		default:
			made := slices.IndexFunc(l.conds, func(c cond) bool { return c.nth == i })
			held := e.cond(&l.conds[made], e.query, &e.facts)
			verb := "does not hold"
			if held {
				verb = "holds"
			}
			why = append(why, fmt.Sprintf("%s: %s (%s)", c, verb, e.found(c)))
		}
	}
	e.say(l.label, e.matches(l, e.query, &e.facts), why...)
}

// found says what the request has of what a condition looks at.
func (e *explainer) found(c Condition) string {
	q, id := e.query, e.query.Who.Identity()
	switch c.Word {
	case "role":
		return "roles " + few(slices.Concat(id.Roles, q.Granted))
	case "family":
		var roles []string
		for _, f := range c.Values {
			roles = append(roles, e.families[f]...)
		}
		return few(roles) + "; roles " + few(slices.Concat(id.Roles, q.Granted))
	case "group":
		return "groups " + few(id.Groups)
	case "scope":
		return "scopes " + few(q.Who.Credential().Scopes)
	case "claim":
		return few(id.Claims[c.Name])
	case "segment":
		a, _ := parseSegment(c.Values)
		return fmt.Sprintf("it is %q; %s %s", segment(q.Path, a.nth), a.claim, few(id.Claims[a.claim]))
	case "device":
		if v := q.fact(identity.FactDevice); v != "" {
			return v
		}
		return "not found out"
	case "method":
		return q.Method
	case "host":
		return hostName(q.Host)
	case "network":
		return q.Client.String()
	case "time":
		w, _ := parseWindow(c.Values)
		return q.Now.In(w.zone).Format("Mon 15:04 MST 2006-01-02")
	case "provider":
		return id.Provider
	}
	if !q.Who.Known() {
		return "nobody"
	}
	return kindName(q.Who) + " " + q.Who.Name()
}

// few names at most eight of a list.
func few(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	const most = 8
	text := strings.Join(list[:min(len(list), most)], " ")
	if len(list) > most {
		text += fmt.Sprintf(" and %d more", len(list)-most)
	}
	return text
}

// describeUntil says when a decision ends, for explanations; "" when it does not.
func describeUntil(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
