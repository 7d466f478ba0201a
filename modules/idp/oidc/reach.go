package oidc

import "gatehouse.internal/modules/gatehouse"

// Reaches implements gatehouse.Reacher. What the provider names in its metadata is asked about when it is dialled.
func (p *Provider) Reaches() []gatehouse.Reach {
	all := []gatehouse.Reach{{What: "the identity provider " + p.ProviderName, Address: p.Issuer}}
	if p.GroupsOverage != "" {
		all = append(all, gatehouse.Reach{What: "what the identity provider " + p.ProviderName + " asks for groups", Address: p.GroupsOverage})
	}
	return all
}
