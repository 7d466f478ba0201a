package gatehouse

import (
	"cmp"
	"errors"

	"github.com/caddyserver/caddy/v2"
)

// SessionPolicy bounds sessions. Zero fields take the defaults.
type SessionPolicy struct {
	// A session unused for so long ends. Default: 30m.
	Idle caddy.Duration `json:"idle,omitempty"`
	// The same for whoever holds an admin role. Default: 15m.
	AdminIdle caddy.Duration `json:"admin_idle,omitempty"`
	// A session ends so long after the login, used or not. Default: 12h.
	Max caddy.Duration `json:"max,omitempty"`
	// The roles that count as administrative. Default: admin.
	AdminRoles []string `json:"admin_roles,omitempty"`
	// For how long sessions go on whose identity provider should have renewed them and does not answer. Default: 10m.
	RenewalGrace caddy.Duration `json:"renewal_grace,omitempty"`
	// How many sessions a person may have at a time; zero: any number. One more ends the oldest.
	MaxSessions int `json:"max_sessions,omitempty"`
	// One more than MaxSessions is refused, rather than ending the oldest.
	RefuseSessions bool `json:"refuse_sessions,omitempty"`
	// Have browsers forget what the site stored in them when somebody logs out (Clear-Site-Data).
	ClearSiteData bool `json:"clear_site_data,omitempty"`
	// Lead browsers on to the identity provider's own logout, where it has one, without asking.
	ProviderLogout bool `json:"provider_logout,omitempty"`
}

// Or returns the policy with what it leaves open taken from another.
func (p SessionPolicy) Or(other SessionPolicy) SessionPolicy {
	p.Idle, p.AdminIdle = cmp.Or(p.Idle, other.Idle), cmp.Or(p.AdminIdle, other.AdminIdle)
	p.Max, p.RenewalGrace = cmp.Or(p.Max, other.Max), cmp.Or(p.RenewalGrace, other.RenewalGrace)
	if len(p.AdminRoles) == 0 {
		p.AdminRoles = other.AdminRoles
	}
	if p.MaxSessions == 0 {
		p.MaxSessions, p.RefuseSessions = other.MaxSessions, other.RefuseSessions
	}
	p.ClearSiteData = p.ClearSiteData || other.ClearSiteData
	p.ProviderLogout = p.ProviderLogout || other.ProviderLogout
	return p
}

// Validate reports what is wrong with a policy that leaves nothing open.
func (p SessionPolicy) Validate() error {
	if p.AdminIdle <= 0 || p.AdminIdle > p.Idle || p.Idle > p.Max {
		return errors.New("session: want admin_idle <= idle <= max, all positive")
	}
	if p.MaxSessions < 0 {
		return errors.New("session: max_sessions cannot be negative")
	}
	if p.RenewalGrace <= 0 {
		return errors.New("session: want a positive renewal_grace")
	}
	return nil
}

// SessionOrDefault is Session, with nothing left open.
func (app *App) SessionOrDefault() SessionPolicy {
	return app.Session.Or(SessionPolicy{
		Idle: caddy.Duration(defaultIdle), AdminIdle: caddy.Duration(defaultAdminIdle), Max: caddy.Duration(defaultMax),
		AdminRoles: app.Roles.administrators(), RenewalGrace: caddy.Duration(defaultGrace),
	})
}
