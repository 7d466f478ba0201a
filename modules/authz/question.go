package authz

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
)

// Question is a query in an operator's words: what would the policy say, if this came from there? Of whom nothing is said,
// nobody asks.
type Question struct {
	Method string `json:"method,omitempty"` // default: GET
	// URL is https://host/path, or only a path: then of the site's first name.
	URL string `json:"url"`

	User       string              `json:"user,omitempty"` // provider:subject
	Service    string              `json:"service_account,omitempty"`
	Guest      string              `json:"guest,omitempty"` // the id of a link
	Roles      []string            `json:"roles,omitempty"`
	Groups     []string            `json:"groups,omitempty"`
	Claims     map[string][]string `json:"claims,omitempty"`
	Scopes     []string            `json:"scopes,omitempty"`
	Workspaces []string            `json:"workspaces,omitempty"`
	Device     string              `json:"device,omitempty"`
	ACR        string              `json:"acr,omitempty"`

	IP   netip.Addr `json:"ip,omitzero"`   // default: unknown
	Time time.Time  `json:"time,omitzero"` // default: now
}

// somebody is who asks when only roles and the like are said.
const somebody = "somebody:somebody"

// facets are what a question can say, in policy tests and as flags of the command line.
var facets = map[string]func(q *Question, value string) error{
	"user":            func(q *Question, v string) error { q.User = v; return checkUsers(&Condition{Values: []string{v}}) },
	"service_account": func(q *Question, v string) error { q.Service = v; return nil },
	"guest":           func(q *Question, v string) error { q.Guest = v; return nil },
	"role":            func(q *Question, v string) error { q.Roles = append(q.Roles, split(v)...); return nil },
	"group":           func(q *Question, v string) error { q.Groups = append(q.Groups, split(v)...); return nil },
	"scope":           func(q *Question, v string) error { q.Scopes = append(q.Scopes, split(v)...); return nil },
	"workspace":       func(q *Question, v string) error { q.Workspaces = append(q.Workspaces, split(v)...); return nil },
	"device":          func(q *Question, v string) error { q.Device = v; return checkDevice(&Condition{Values: []string{v}}) },
	"acr":             func(q *Question, v string) error { q.ACR = v; return nil },
	"claim": func(q *Question, v string) error {
		name, values, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return fmt.Errorf("claim %q: write <name>=<value>", v)
		}
		if q.Claims == nil {
			q.Claims = map[string][]string{}
		}
		q.Claims[name] = append(q.Claims[name], split(values)...)
		return nil
	},
	"ip": func(q *Question, v string) (err error) {
		if q.IP, err = netip.ParseAddr(v); err != nil || q.IP.Zone() != "" {
			return fmt.Errorf("ip %q is no address", v)
		}
		q.IP = q.IP.Unmap()
		return nil
	},
	"time": func(q *Question, v string) (err error) {
		if q.Time, err = time.Parse(time.RFC3339, v); err != nil {
			return fmt.Errorf("time %q: write it like 2026-03-02T09:30:00+01:00", v)
		}
		return nil
	},
}

func split(list string) (values []string) {
	for v := range strings.SplitSeq(list, ",") {
		if v = strings.TrimSpace(v); v != "" {
			values = append(values, v)
		}
	}
	return values
}

// Say adds one facet: user, role, group, claim, scope, workspace, service_account, guest, device, acr, ip or time. Lists are
// separated by commas.
func (q *Question) Say(facet, value string) error {
	say, known := facets[facet]
	if !known {
		return fmt.Errorf("%q is nothing that a question can say: it can say %s", facet, strings.Join(facetNames(), ", "))
	}
	return say(q, value)
}

func facetNames() []string {
	names := make([]string, 0, len(facets))
	for name := range facets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// host is the host that the question names; "" when it names only a path.
func (q Question) host() (string, error) {
	if strings.HasPrefix(q.URL, "/") {
		return "", nil
	}
	u, err := url.Parse(q.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("url %q: write https://<host>/<path>, or only a path", q.URL)
	}
	return u.Host, nil
}

// target is the path and query, as they would be sent.
func (q Question) target() string {
	if strings.HasPrefix(q.URL, "/") {
		return q.URL
	}
	_, rest, _ := strings.Cut(q.URL, "://")
	if i := strings.IndexAny(rest, "/?"); i >= 0 && rest[i] == '/' {
		return rest[i:]
	} else if i >= 0 {
		return "/" + rest[i:]
	}
	return "/"
}

// who is whoever asks, on a tenant's site.
func (q Question) who(tenant string) identity.Proof {
	id := identity.Identity{
		Roles: q.Roles, Groups: q.Groups, Claims: q.Claims, ACR: q.ACR, Tenant: tenant, AuthTime: q.Time,
	}
	by := identity.Credential{Method: identity.BySession, Name: "supposed", Scopes: q.Scopes, Workspaces: q.Workspaces}
	if q.Device != "" {
		id.Facts = map[string]string{identity.FactDevice: q.Device}
	}
	user := q.User
	switch {
	case q.Service != "":
		id.Provider, id.Subject, id.Kind, by.Method = identity.HouseServices, q.Service, identity.Service, identity.ByAPIKey
		return identity.Suppose(id, by)
	case q.Guest != "":
		id.Provider, id.Subject, id.Kind, by.Method = identity.HouseLinks, q.Guest, identity.Guest, identity.ByLink
		return identity.Suppose(id, by)
	case user == "" && q.Roles == nil && q.Groups == nil && q.Claims == nil && q.Scopes == nil:
		return identity.Proof{}
	case user == "":
		user = somebody
	}
	if q.Scopes != nil {
		by.Method = identity.ByBearer
	}
	id.Provider, id.Subject, _ = strings.Cut(user, ":")
	return identity.Suppose(id, by)
}

// Outcome is what becomes of a request, in one word.
type Outcome string

// The outcomes.
const (
	Allow Outcome = "allow" // it passes
	Prove Outcome = "mfa"   // it passes once a second factor is proven
	Login Outcome = "login" // nobody is logged in, and a login could help
	Deny  Outcome = "deny"  // it is refused
)

// Outcome says what becomes of a request of which this was decided.
func (d Decision) Outcome() Outcome {
	switch {
	case d.Allowed && len(d.Obligations) > 0:
		return Prove
	case d.Allowed:
		return Allow
	case d.LoginHelps:
		return Login
	}
	return Deny
}

// Answer is what a policy says to a question.
type Answer struct {
	Site    string    `json:"site"`
	Outcome Outcome   `json:"outcome"`
	Rule    string    `json:"rule"`
	Until   time.Time `json:"until,omitzero"`
	Reasons []Reason  `json:"reasons"`
}

// oracle is a site's policy, with what it takes to ask it in words.
type oracle struct {
	*program
	site, tenant string
	hosts        []string
	paths        reqpath.Options
	portal       string // the prefix that no policy opens
}

// answer answers a question. The error says what is wrong with the question.
func (a *oracle) answer(q Question) (Answer, error) {
	host, err := q.host()
	if err != nil {
		return Answer{}, err
	}
	if host == "" && len(a.hosts) > 0 {
		host = a.hosts[0]
	}
	if q.Method == "" {
		q.Method = "GET"
	}
	if q.Time.IsZero() {
		q.Time = time.Now()
	}
	path, err := reqpath.Parse(q.target(), a.paths)
	if err != nil {
		why := "the path is refused before any policy sees it: " + err.Error()
		return Answer{Site: a.site, Outcome: Deny, Rule: "bad_path", Reasons: []Reason{{"bad_path", true, why}}}, nil
	}
	if strings.HasPrefix(path.Folded+"/", a.portal) {
		const why = "the gateway answers for itself there"
		return Answer{Site: a.site, Outcome: Deny, Rule: "portal", Reasons: []Reason{{"portal", true, why}}}, nil
	}
	d := a.decide(&Query{
		Path: path, Method: q.Method, Host: host, Client: q.IP, Now: q.Time, Who: q.who(a.tenant), Tenant: a.tenant,
	})
	return Answer{Site: a.site, Outcome: d.Outcome(), Rule: d.Rule, Until: d.Until, Reasons: d.Reasons()}, nil
}

// serves reports whether a request to host is the site's.
func (a *oracle) serves(host string) bool {
	return len(a.hosts) == 0 || slices.ContainsFunc(a.hosts, func(name string) bool { return matchHost(strings.ToLower(name), host) })
}
