package authz

import "slices"

// Named returns the roles and the families of roles that the policy's rules name, each sorted and once: what the site asks
// of people. What an expression looks at cannot be told.
func (p *Policy) Named() (roles, families []string) {
	for _, part := range p.parts() {
		for _, rule := range part.Rules {
			for _, c := range rule.If {
				switch c.Word {
				case "role":
					roles = append(roles, c.Values...)
				case "family":
					families = append(families, c.Values...)
				}
			}
		}
	}
	slices.Sort(roles)
	slices.Sort(families)
	return slices.Compact(roles), slices.Compact(families)
}
