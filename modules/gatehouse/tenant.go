package gatehouse

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Tenant is one of several customers that a house serves (control CAL-12).
type Tenant struct {
	// The identity providers that vouch for people on its sites. Default: all.
	Providers []string `json:"providers,omitempty"`

	vouching []IdentityProvider
}

var tenantName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// TenantName reports whether name can be a tenant's: a DNS label in lower case, so that it can stand in file names, logs
// and host names alike.
func TenantName(name string) bool { return tenantName.MatchString(name) }

// ProvidersOf returns the identity providers that vouch for people on the tenant's sites, in the order in which they were
// configured; "" is the house itself. The slice must not be changed.
func (app *App) ProvidersOf(tenant string) []IdentityProvider {
	if t := app.Tenants[tenant]; t != nil {
		return t.vouching
	}
	return app.providers
}

// KnowsTenant reports whether a site may name the tenant: any, as long as the house names none.
func (app *App) KnowsTenant(name string) bool {
	return name == "" || TenantName(name) && (len(app.Tenants) == 0 || app.Tenants[name] != nil)
}

// validateTenants finds the tenants' providers.
func (app *App) validateTenants() error {
	for name, t := range app.Tenants {
		if !TenantName(name) || t == nil {
			return fmt.Errorf("tenant %q: use 1 to 63 of a-z, 0-9 and -", name)
		}
		t.vouching = app.providers
		if len(t.Providers) == 0 {
			continue
		}
		t.vouching = nil
		for _, p := range app.providers {
			if slices.Contains(t.Providers, p.Name()) {
				t.vouching = append(t.vouching, p)
			}
		}
		if len(t.vouching) != len(t.Providers) {
			return fmt.Errorf("tenant %s: one of the providers %q is none of the house: name them as they are called there, each once", name, t.Providers)
		}
	}
	return nil
}

// parseTenant reads
//
//	tenant <name> {
//		providers <name...>
//	}
func (app *App) parseTenant(d *caddyfile.Dispenser) error {
	var name string
	if !d.Args(&name) || d.NextArg() {
		return d.Err("tenant: write `tenant <name>`, such as `tenant acme { providers corp }`")
	}
	if !TenantName(name) || app.Tenants[name] != nil {
		return d.Errf("tenant %q: use 1 to 63 of a-z, 0-9 and -, each name once", name)
	}
	t := new(Tenant)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "providers" {
			return d.Errf("unknown tenant option %q: the only one is providers", d.Val())
		}
		if t.Providers = d.RemainingArgs(); len(t.Providers) == 0 {
			return d.ArgErr()
		}
	}
	if app.Tenants == nil {
		app.Tenants = map[string]*Tenant{}
	}
	app.Tenants[name] = t
	return nil
}
