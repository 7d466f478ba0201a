package operators

import (
	"path"
	"slices"
	"strings"
)

// Role is what somebody may do with the gateway (control NAT-06).
type Role string

// The roles.
const (
	Viewer     Role = "viewer"     // sees what becomes of traffic, and changes nothing
	Integrator Role = "integrator" // gives programs access, and sees no traffic
	Auditor    Role = "auditor"    // sees the audit log's state, and nothing else
	Admin      Role = "admin"      // does everything else, but for what is on record

	// TenantAuditor reads what is on record of one tenant, and nothing else (control CAL-26). Its socket says which.
	TenantAuditor Role = "tenant_auditor"
)

// Roles are all of them.
var Roles = []Role{Viewer, Integrator, Auditor, Admin}

const (
	read  = "GET HEAD"
	write = "POST"
	all   = "GET HEAD POST DELETE"
)

// rule is what may be asked for: these methods, at this path, or below it where it ends with a slash.
type rule struct{ methods, path string }

// may is the table of what each role may do, besides the administrator.
var may = map[Role][]rule{
	Viewer: {
		{read, "/gatehouse/status"}, {read, "/gatehouse/posture"}, {read, "/gatehouse/bans"}, {read, "/gatehouse/containment"}, {read, "/gatehouse/sessions"}, {read, "/gatehouse/siem"}, {read, "/gatehouse/alerts"}, {read, "/gatehouse/waf/requests"},
		{read, "/gatehouse/policy/shadow"}, {write, "/gatehouse/policy/explain"},
		{write, "/gatehouse/reveal"}, {write, "/gatehouse/reveal/approve"}, // which ask for a role and a factor of their own
	},
	Integrator: {
		{all, "/gatehouse/service-accounts"}, {all, "/gatehouse/service-accounts/"}, {all, "/gatehouse/api-keys"}, {all, "/gatehouse/api-keys/"},
		{all, "/gatehouse/client-certificates"}, {all, "/gatehouse/client-certificates/"}, {read, "/gatehouse/siem"},
	},
	Auditor:       {{read, "/gatehouse/audit"}},
	TenantAuditor: {{read, "/gatehouse/audit/records"}},
}

// denied is what an administrator may not do: all that is below the gateway's own prefix otherwise.
var denied = []rule{{all, "/gatehouse/audit/"}, {all, "/gatehouse/siem/pseudonym"}}

// May reports whether the role may make this request of the administration endpoint.
func (r Role) May(method, at string) bool {
	if path.Clean(at) != strings.TrimSuffix(at, "/") || !strings.HasPrefix(at, "/gatehouse/") {
		return false
	}
	if r == Admin {
		return strings.Contains(" "+all+" ", " "+method+" ") && !slices.ContainsFunc(denied, func(d rule) bool { return d.holds(method, at) })
	}
	return slices.ContainsFunc(may[r], func(d rule) bool { return d.holds(method, at) })
}

func (d rule) holds(method, at string) bool {
	here := at == d.path || strings.HasSuffix(d.path, "/") && strings.HasPrefix(at, d.path)
	return here && strings.Contains(" "+d.methods+" ", " "+method+" ")
}
