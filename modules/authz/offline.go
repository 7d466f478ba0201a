package authz

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/reqpath"
)

// SitePolicy is a site's policy as a configuration holds it, read without starting anything.
type SitePolicy struct {
	Site    string
	Tenant  string
	Hosts   []string
	Handler *Handler
	Row     []json.RawMessage // the handlers of the site's row, this one among them

	oracle oracle
}

// ReadSites returns the gated sites of a configuration in Caddy's own language, in their order, their policies made ready.
func ReadSites(config []byte) ([]SitePolicy, error) {
	var c struct {
		Apps struct {
			Gatehouse struct {
				Roles gatehouse.Roles `json:"roles"`
			} `json:"gatehouse"`
			HTTP struct {
				Servers map[string]struct {
					Routes []offlineRoute `json:"routes"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	var names []string
	for name := range c.Apps.HTTP.Servers {
		names = append(names, name)
	}
	slices.Sort(names)
	var found []SitePolicy
	for _, name := range names {
		for _, route := range c.Apps.HTTP.Servers[name].Routes {
			site, err := route.site(route.hosts(), Families(c.Apps.Gatehouse.Roles.Families))
			if err != nil {
				return nil, err
			}
			if site != nil {
				found = append(found, *site)
			}
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no site of the configuration has a `gatehouse` directive")
	}
	return found, nil
}

// offlineRoute is what is read of a route.
type offlineRoute struct {
	Match []struct {
		Host []string `json:"host"`
	} `json:"match"`
	Handle []json.RawMessage `json:"handle"`
}

func (r offlineRoute) hosts() (hosts []string) {
	for _, m := range r.Match {
		hosts = append(hosts, m.Host...)
	}
	return hosts
}

// site returns the policy in the route, or in a route inside; nil when there is none.
func (r offlineRoute) site(hosts []string, families Families) (*SitePolicy, error) {
	var admit struct {
		Name   string `json:"name"`
		Tenant string `json:"tenant"`
	}
	for _, raw := range r.Handle {
		var h struct {
			Handler string         `json:"handler"`
			Routes  []offlineRoute `json:"routes"`
		}
		if err := json.Unmarshal(raw, &h); err != nil {
			return nil, fmt.Errorf("reading the configuration: %w", err)
		}
		switch h.Handler {
		case "subroute":
			for _, inner := range h.Routes {
				if site, err := inner.site(hosts, families); site != nil || err != nil {
					return site, err
				}
			}
		case "gatehouse_admit":
			if err := json.Unmarshal(raw, &admit); err != nil {
				return nil, fmt.Errorf("reading the configuration: %w", err)
			}
		case "gatehouse_authorize":
			handler := new(Handler)
			if err := json.Unmarshal(raw, handler); err != nil {
				return nil, fmt.Errorf("reading the configuration: %w", err)
			}
			if admit.Name == "" && len(hosts) > 0 {
				admit.Name = hosts[0]
			}
			site := &SitePolicy{Site: admit.Name, Tenant: admit.Tenant, Hosts: hosts, Handler: handler, Row: r.Handle}
			o, err := handler.ready(families)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", site.Site, err)
			}
			o.site, o.tenant, o.hosts = admit.Name, admit.Tenant, hosts
			site.oracle = o
			return site, nil
		}
	}
	return nil, nil
}

// Test runs the site's policy tests, and returns how many there are.
func (s *SitePolicy) Test() (int, error) { return s.oracle.runFiles(s.Handler.Tests) }

// Ask asks the site whose name the question's URL has, or the first.
func Ask(sites []SitePolicy, q Question) (Answer, error) {
	host, err := q.host()
	if err != nil {
		return Answer{}, err
	}
	for i := range sites {
		if host == "" || sites[i].oracle.serves(host) {
			return sites[i].oracle.answer(q)
		}
	}
	return Answer{}, fmt.Errorf("no site of the configuration has the name %s", hostName(host))
}

// Summary says in one line what the policy is made of.
func (s *SitePolicy) Summary() string {
	var allow, deny, sensitive int
	for _, part := range s.Handler.parts() {
		for _, rule := range part.Rules {
			if rule.Deny {
				deny++
			} else {
				allow++
			}
		}
		if part.Sensitive {
			sensitive++
		}
	}
	text := fmt.Sprintf("%d rules allow, %d deny; %d routes, %d of them sensitive", allow, deny, len(s.Handler.Routes), sensitive)
	if len(s.Handler.Public) > 0 {
		text += "; public: " + few(patternTexts(s.Handler.Public))
	}
	return text
}

func patternTexts(patterns []reqpath.Pattern) (texts []string) {
	for _, p := range patterns {
		texts = append(texts, p.String())
	}
	return texts
}
