package mfa

import (
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/identity"
)

// Methods of RFC 8176 (and Entra ID's "mfa") that mean more than a password, and those that do not count as a second factor
// although providers take them for one (control CER-08).
var (
	defaultAMR     = []string{"mfa", "otp", "hwk", "swk", "sc", "pop", "fpt", "face", "iris", "retina", "vbm"}
	defaultDenyAMR = []string{"sms", "tel"}
)

// policy is who must have a second factor, and what counts as one. The zero policy demands nothing and believes nobody.
type policy struct {
	adminRoles []string // must have one, whatever the configuration says elsewhere
	roles      []string // must have one, too
	amr        []string
	denyAMR    []string
	acr        []string
}

// demands reports whether the house wants a second factor of whoever was proven, or of their role.
func (p *policy) demands(who identity.Proof) (why string) {
	if who.Factor().Expected {
		return "the login is not complete"
	}
	for _, roles := range [][]string{p.adminRoles, p.roles} {
		for _, role := range roles {
			if who.HasRole(role) {
				return "role " + role
			}
		}
	}
	return ""
}

// vouched reports whether what an identity provider's token says of the login proves a second factor. provesBy says that an
// authentication context class does; nil: none but those of the policy. A method that is denied spoils the rest: nobody can
// tell from the list which of them was the second one.
func (p *policy) vouched(who identity.Identity, provesBy func(acr string) bool) bool {
	proven := false
	for _, method := range who.AMR {
		if containsFold(p.denyAMR, method) {
			return false
		}
		proven = proven || slices.Contains(p.amr, method)
	}
	if who.ACR != "" {
		proven = proven || slices.Contains(p.acr, who.ACR) || provesBy != nil && provesBy(who.ACR)
	}
	return proven
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(l string) bool { return strings.EqualFold(l, s) })
}
