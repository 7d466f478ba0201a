package authn

import (
	"slices"
	"time"

	"gatehouse.internal/modules/internal/identity"
)

// Limits bound sessions. Durations are positive; AdminIdle counts for whoever holds one of AdminRoles (control CER-03).
type Limits struct {
	Idle, AdminIdle, Max time.Duration
	AdminRoles           []string
	// Tenant is whose site it is; a session of another one is none (control CAL-12).
	Tenant string
	// Grace is for how long a session goes on after its provider should have renewed it.
	Grace time.Duration
	// Renewer returns who renews for the provider of this name, or nil when nobody does. A nil func: nobody.
	Renewer func(provider string) renewer
	// Vouched reports whether the provider's token proves a second factor. A nil func: none does.
	Vouched func(who identity.Identity) bool
}

// idle returns how long this user's session may stay unused: the strictest limit that applies.
func (l Limits) idle(roles []string) time.Duration {
	if slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(l.AdminRoles, r) }) {
		return min(l.Idle, l.AdminIdle)
	}
	return l.Idle
}

func (l Limits) renewer(provider string) renewer {
	if l.Renewer == nil {
		return nil
	}
	return l.Renewer(provider)
}

// Meta says how a session was begun: where, in words for the person whose it is, and with which second factor.
type Meta struct {
	Agent   string // such as "Firefox on Linux"
	Network string // such as 192.0.2.0/24

	Expected  bool   // the person has a second factor, so that the login is not complete without one
	ProvenFor string // the one request for which the provider had one proven; "" for none
}
