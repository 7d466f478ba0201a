package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/pseudonym"
)

// LocalLogs says whether the lines of gatehouse.access and gatehouse.events name people. The zero value says that they do: see
// decisions/0027.
type LocalLogs struct {
	// They hold pseudonyms, the same as log collectors have.
	Pseudonyms bool `json:"pseudonyms,omitempty"`
	// But for these tenants' sites.
	ClearTenants []string `json:"clear_tenants,omitempty"`
}

// parse reads
//
//	local_logs pseudonyms
//	local_logs clear [<tenant...>]
func (l *LocalLogs) parse(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	switch {
	case len(args) == 1 && args[0] == "pseudonyms":
		*l = LocalLogs{Pseudonyms: true}
	case len(args) > 0 && args[0] == "clear":
		*l = LocalLogs{Pseudonyms: len(args) > 1, ClearTenants: args[1:]}
	default:
		return d.Err("local_logs: write `local_logs pseudonyms`, `local_logs clear`, or `local_logs clear <tenant...>`")
	}
	return nil
}

func (l LocalLogs) validate(app *App) error {
	for _, tenant := range l.ClearTenants {
		if tenant == "" || !app.KnowsTenant(tenant) {
			return fmt.Errorf("local_logs clear: the house has no tenant %q: name one of its `tenant` words", tenant)
		}
	}
	return nil
}

// check refuses Caddy's own access log beside lines that name nobody: it has addresses, queries and headers.
func (l LocalLogs) check(srv *caddyhttp.Server) error {
	if l.Pseudonyms && srv.Logs != nil {
		return errors.New("local_logs pseudonyms: Caddy's own access log would name people beside it: take `log` out of the sites and `log_credentials` out of the servers option; " +
			"a global `log` that includes gatehouse.access has a line for each request")
	}
	return nil
}

// veils are how the sites' lines name nobody.
type veils struct {
	sites  map[string]*Site
	namers map[string]*pseudonym.Namer // by tenant
}

// Veil replaces what names people in what a line of the log will say, if the house wants that of the site, and returns the address's
// pseudonym. While the keys cannot be had, pseudonyms are ones by which nobody is found.
func (app *App) Veil(e *event.Ended) (client string, veiled bool) {
	if !app.LocalLogs.Pseudonyms { // Fast path
		return "", false
	}
	v := app.veils.Load()
	if v == nil {
		v = app.weave()
	}
	tenant, hosts := "", []string(nil)
	if site := v.sites[e.Site]; site != nil {
		tenant, hosts = site.Tenant, site.Hosts
	}
	if tenant != "" && slices.Contains(app.LocalLogs.ClearTenants, tenant) {
		return "", false
	}
	n := v.namers[tenant]
	if n == nil {
		n = pseudonym.Nobodys()
	}
	return pseudonym.Veil{Namer: n}.Over(e, hosts), true
}

// weave makes the veils, and keeps them if it has the keys. The sites are all there when a request is.
func (app *App) weave() *veils {
	v := &veils{sites: map[string]*Site{}, namers: map[string]*pseudonym.Namer{}}
	for _, site := range app.sites {
		v.sites[site.Name] = site
	}
	state, err := app.State()
	if err != nil {
		return v
	}
	keys, err := state.Pseudonyms()
	if err != nil {
		return v
	}
	for tenant := range app.namedTenants() {
		v.namers[tenant] = keys.Namer(tenant, app.PseudonymEpoch())
	}
	app.veils.Store(v)
	return v
}

// namedTenants are those whose sites there are, and "", the house.
func (app *App) namedTenants() map[string]bool {
	tenants := map[string]bool{"": true}
	for _, site := range app.sites {
		tenants[site.Tenant] = true
	}
	return tenants
}

// PseudonymEpoch is how long a person keeps a pseudonym.
func (app *App) PseudonymEpoch() time.Duration {
	if s, ok := app.rooms["siem"].(interface{ PseudonymEpoch() time.Duration }); ok {
		return s.PseudonymEpoch()
	}
	return pseudonym.Epoch
}

// MakePseudonyms has the tenants whose sites there are, and the house itself, have keys for pseudonyms.
func (app *App) MakePseudonyms(state *State) (*pseudonym.Keys, error) {
	keys, err := state.Pseudonyms()
	if err != nil {
		return nil, err
	}
	for tenant := range app.namedTenants() {
		if err := keys.Make(context.Background(), tenant); err != nil {
			return nil, fmt.Errorf("the key for pseudonyms: %w", err)
		}
	}
	return keys, nil
}

// AppendClient adds what a line says of a client: its address; or, veiled, its pseudonym and network, whose address a is.
func AppendClient(fields []zap.Field, a netip.Addr, client string, veiled bool) []zap.Field {
	switch {
	case !a.IsValid():
		return fields
	case veiled:
		return append(fields, zap.Stringer("client_net", pseudonym.Network(a)), zap.String("client_key", client))
	}
	return append(fields, zap.Stringer("client_ip", a))
}
