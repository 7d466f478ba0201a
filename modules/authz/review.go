package authz

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
)

// Access is what somebody or something can reach, of all that the policies in force let in.
type Access struct {
	Kind     string    `json:"kind"` // person, service_account, api_key, client_certificate, role, group, everybody
	Name     string    `json:"name"` // provider:subject; of a key or certificate, whose it is and what it is called
	Roles    []string  `json:"roles,omitempty"`
	Groups   []string  `json:"groups,omitempty"`
	Source   string    `json:"source"` // where roles and groups come from
	Created  time.Time `json:"created,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"` // zero: not known, or never
	Disabled bool      `json:"disabled,omitempty"` // it reaches nothing now; Reaches is what it would
	Stale    bool      `json:"stale,omitempty"`    // it was not used for so long as the review asks for
	Reaches  []Reach   `json:"reaches"`

	who    identity.Identity
	by     identity.Credential
	scope  *scope.Scope
	tenant func(site string) bool // whether it could be that of a site's tenant; nil: it is its own
}

// Reach is a part of a site that is reached, and by what.
type Reach struct {
	Site         string   `json:"site"`
	Part         string   `json:"part"` // a path pattern, or "site" for what no route has
	Methods      []string `json:"methods"`
	Rule         string   `json:"rule"`
	When         string   `json:"when,omitempty"` // the address, time or host without which it is not
	SecondFactor bool     `json:"second_factor,omitempty"`
}

// reviewed are the methods that are asked about, besides those that the policy names.
var reviewed = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

const (
	sample      = "access-review-sample" // stands for what is below a path
	maxVariants = 64
)

// circumstance is one in which a policy is asked.
type circumstance struct {
	text string
	host string
	ip   netip.Addr
	now  time.Time
}

// circumstances returns the plainest one first, then those in which some rule of the policy says something else.
func (p *Policy) circumstances(hosts []string, now time.Time) []circumstance {
	plain := circumstance{now: now}
	if len(hosts) > 0 {
		plain.host = strings.Replace(hosts[0], "*", sample, 1)
	}
	ips, times, names := []circumstance{plain}, []circumstance{{}}, []circumstance{{}}
	for _, part := range p.parts() {
		for _, rule := range part.Rules {
			for _, c := range rule.If {
				for _, v := range c.Values {
					switch c.Word {
					case "network":
						if n, err := scope.ParseNetwork(v); err == nil {
							ips = append(ips, circumstance{text: "network " + v, ip: n.Addr()})
						}
					case "host":
						names = append(names, circumstance{text: "host " + v, host: strings.Replace(v, "*", sample, 1)})
					}
				}
				if w, err := parseWindow(c.Values); err == nil && c.Word == "time" {
					if at := w.flips(now); !at.IsZero() {
						times = append(times, circumstance{text: "time " + at.Format(time.RFC3339), now: at})
					}
				}
			}
		}
	}
	var all []circumstance
	seen := map[circumstance]bool{}
	for _, name := range names {
		for _, at := range times {
			for _, ip := range ips {
				c := circumstance{
					text: strings.Join(slices.DeleteFunc([]string{ip.text, at.text, name.text}, func(s string) bool { return s == "" }), ", "),
					host: cmp.Or(name.host, plain.host), ip: ip.ip, now: at.now,
				}
				if c.now.IsZero() {
					c.now = now
				}
				if !seen[c] && len(all) < maxVariants {
					seen[c] = true
					all = append(all, c)
				}
			}
		}
	}
	return all
}

// spot is what is asked about: a part of the policy, by a path that lies in it and in no other part.
type spot struct {
	part string
	path reqpath.Path
}

// places returns what of the site is asked about, for a credential of this scope, which may be nil.
func (a *oracle) places(p *Policy, s *scope.Scope) (all []spot) {
	add := func(part, raw string) {
		if path, err := reqpath.Parse(raw, a.paths); err == nil && !slices.ContainsFunc(all, func(o spot) bool { return o.path.Decoded == path.Decoded }) {
			all = append(all, spot{part, path})
		}
	}
	of := func(pattern reqpath.Pattern, prefix string) {
		text := pattern.String()
		if below, ok := strings.CutSuffix(text, "*"); ok {
			text = below + sample
		}
		add(prefix+pattern.String(), text)
	}
	add("site", "/"+sample)
	for _, r := range p.Routes {
		of(r.Path, "")
	}
	for _, public := range p.Public {
		of(public, "")
	}
	if s != nil {
		for _, pattern := range s.Paths {
			of(pattern, "")
		}
	}
	return all
}

// review fills in what the subject reaches of the site: whatever the policy in force allows it, asked as a request asks.
func (a *oracle) review(p *Policy, s *Access, now time.Time) {
	methods := slices.Clone(reviewed)
	for _, part := range p.parts() {
		for _, rule := range part.Rules {
			for _, c := range rule.If {
				if c.Word == "method" {
					methods = append(methods, c.Values...)
				}
			}
		}
	}
	slices.Sort(methods)
	methods = slices.Compact(methods)
	who := s.who
	if s.tenant != nil {
		if !s.tenant(a.tenant) {
			return
		}
		who.Tenant = a.tenant
	}
	proof := identity.Proof{}
	if who.Subject != "" {
		proof = identity.Suppose(who, s.by)
	}
	circumstances := p.circumstances(a.hosts, now)
	if s.scope != nil { // what it may be used from counts, and its names
		circumstances = scoped(circumstances, s.scope)
	}
	for _, place := range a.places(p, s.scope) {
		for _, method := range methods {
			for _, c := range circumstances {
				if s.scope != nil && s.scope.Covers(scope.Request{Host: c.host, Path: place.path, Method: method, Client: c.ip}) != nil {
					continue
				}
				d := a.decide(&Query{Path: place.path, Method: method, Host: c.host, Client: c.ip, Now: c.now, Who: proof, Tenant: a.tenant})
				if d.Allowed {
					s.reach(Reach{Site: a.site, Part: place.part, Rule: d.Rule, When: c.text, SecondFactor: len(d.Obligations) > 0}, method)
					break
				}
			}
		}
	}
}

// scoped adds the networks of a scope to the circumstances.
func scoped(all []circumstance, s *scope.Scope) []circumstance {
	for _, c := range all[:len(all):len(all)] {
		for _, n := range s.Networks {
			if c.ip == (netip.Addr{}) && len(all) < maxVariants {
				c.ip, c.text = n.Addr(), strings.TrimPrefix(c.text+", network "+n.String(), ", ")
				all = append(all, c)
				c.ip = netip.Addr{}
			}
		}
	}
	return all
}

// reach adds a method to what is reached so.
func (s *Access) reach(r Reach, method string) {
	for i := range s.Reaches {
		o := &s.Reaches[i]
		if o.Site == r.Site && o.Part == r.Part && o.Rule == r.Rule && o.When == r.When && o.SecondFactor == r.SecondFactor {
			o.Methods = append(o.Methods, method)
			return
		}
	}
	r.Methods = []string{method}
	s.Reaches = append(s.Reaches, r)
}

// judge says whether it was used lately enough.
func (s *Access) judge(now time.Time, stale time.Duration) {
	last := s.LastUsed
	if last.IsZero() {
		last = s.Created
	}
	s.Stale = !last.IsZero() && now.Sub(last) > stale
}

// digest names what a review found: who reaches what, and not when they were last here.
func digest(all []*Access) string {
	h := sha256.New()
	for _, s := range all {
		if s.Disabled {
			continue
		}
		text, _ := json.Marshal([]any{s.Kind, s.Name, s.Roles, s.Groups, reachesAlways(s.Reaches)}) // never fails
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// reachesAlways leaves out what changes with the hour.
func reachesAlways(all []Reach) (list []string) {
	for _, r := range all {
		list = append(list, strings.Join([]string{r.Site, r.Part, strings.Join(r.Methods, " ")}, "|"))
	}
	slices.Sort(list)
	return slices.Compact(list)
}
