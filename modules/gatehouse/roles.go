package gatehouse

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Roles gives names to sets of roles (control CER-11).
type Roles struct {
	// The roles of each family, by the family's name.
	Families map[string][]string `json:"families,omitempty"`
}

// The families that control CER-11 names, and the four roles of control NAT-06, which belong to them.
const (
	Operational    = "operational"
	Governance     = "governance"
	Administration = "administration"

	Viewer     = "viewer"
	Admin      = "admin"
	Auditor    = "auditor"
	Integrator = "integrator"
)

// fourRoles are the families of the preset.
var fourRoles = map[string][]string{
	Operational: {Viewer, Integrator}, Governance: {Auditor}, Administration: {Admin},
}

var familyName = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

// Validate reports what is wrong with the families.
func (r Roles) Validate() error {
	for name, roles := range r.Families {
		if !familyName.MatchString(name) {
			return fmt.Errorf("roles: family %q: use 1 to 64 of a-z, 0-9, _ and -", name)
		}
		if len(roles) == 0 || slices.ContainsFunc(roles, func(role string) bool { return role == "" || strings.TrimSpace(role) != role }) {
			return fmt.Errorf("roles: family %s: name its roles, such as `family %s admin owner`", name, name)
		}
	}
	return nil
}

// administrators are the roles that count as administrative unless the session's own word says otherwise.
func (r Roles) administrators() []string {
	if roles := r.Families[Administration]; len(roles) > 0 {
		return roles
	}
	return []string{Admin}
}

// Parse reads the block of the word roles at the dispenser's token:
//
//	roles {
//		family <name> <role...>
//		preset four_roles
//	}
func (r *Roles) Parse(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		switch {
		case word == "family" && len(args) > 1:
			r.add(args[0], args[1:]...)
		case word == "preset" && len(args) == 1 && args[0] == "four_roles":
			for name, roles := range fourRoles {
				r.add(name, roles...)
			}
		default:
			return d.Err("roles: write `family <name> <role...>`, such as `family administration admin owner`, or `preset four_roles`")
		}
	}
	if len(r.Families) == 0 {
		return d.Err("roles: it says nothing: write `family <name> <role...>` into it")
	}
	if err := r.Validate(); err != nil {
		return d.Errf("%v", err)
	}
	return nil
}

func (r *Roles) add(family string, roles ...string) {
	if r.Families == nil {
		r.Families = map[string][]string{}
	}
	all := append(slices.Clone(r.Families[family]), roles...)
	slices.Sort(all)
	r.Families[family] = slices.Compact(all)
}

// reads is what the policies of all sites want to know of people.
type reads struct {
	claims, groups []string
	allGroups      bool
}

// Read says that a site's policy reads these claims, and these groups or all of them, so that identity providers tell them
// and sessions keep them. Only Provision may call it.
func (app *App) Read(claims, groups []string, allGroups bool) {
	app.reads.claims = append(app.reads.claims, claims...)
	slices.Sort(app.reads.claims)
	app.reads.claims = slices.Compact(app.reads.claims)
	app.reads.groups = append(app.reads.groups, groups...)
	slices.Sort(app.reads.groups)
	app.reads.groups = slices.Compact(app.reads.groups)
	app.reads.allGroups = app.reads.allGroups || allGroups
}

// Claims returns the claims that some site's policy reads, sorted: an identity provider puts them into identities, and no
// others. The slice must not be changed.
func (app *App) Claims() []string { return app.reads.claims }

// Groups returns which of a provider's groups some site's policy reads, sorted. The slice it is given is not changed.
func (app *App) Groups(of []string) (read []string) {
	for _, group := range of {
		if _, found := slices.BinarySearch(app.reads.groups, group); found || app.reads.allGroups {
			read = append(read, group)
		}
	}
	return read
}
