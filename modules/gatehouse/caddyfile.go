package gatehouse

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() { httpcaddyfile.RegisterGlobalOption("gatehouse", parseHouse) }

// parseHouse reads the global option:
//
//	gatehouse {
//		state_dir <dir>
//		keys file <path>
//		revision <text>
//		store embedded [<file>]
//		local_logs pseudonyms | clear [<tenant...>]
//		waf_budget <size>
//		insecure_http3
//		mode strict|hybrid|connected {
//			allow <address, network or name...>
//		}
//		tls_profile cerebro|brainframe|calbrix|natalia
//		session {
//			idle <duration>
//			admin_idle <duration>
//			max <duration>
//			admin_roles <role...>
//			renewal_grace <duration>
//			max_sessions <n> [evict|refuse]
//			clear_site_data
//			provider_logout
//		}
//		roles {
//			family <name> <role...>
//			preset four_roles
//		}
//		tenant <name> {
//			providers <name...>
//		}
//		mfa {
//			...
//		}
//		ban {
//			...
//		}
//		client_limits {
//			...
//		}
//		verify {
//			...
//		}
//		siem {
//			...
//		}
//		audit {
//			...
//		}
//		alert {
//			...
//		}
//		privacy {
//			...
//		}
//		backup {
//			...
//		}
//		access_review <duration>
//		operators {
//			...
//		}
//		<identity provider> ...
//	}
//
// Rooms that all sites share have words of their own: any module in the namespace gatehouse.rooms, by its name.
// An identity provider is any module in the namespace gatehouse.identity_providers, by its name: local, oidc.
func parseHouse(d *caddyfile.Dispenser, existing any) (any, error) {
	app := new(App)
	if prior, ok := existing.(httpcaddyfile.App); ok {
		return nil, d.Errf("there are two gatehouse options (the other is %d bytes long): put everything into one", len(prior.Value))
	}
	d.Next() // gatehouse
	if d.NextArg() {
		return nil, d.ArgErr()
	}
	for d.NextBlock(0) {
		if err := app.parseOption(d); err != nil {
			return nil, err
		}
	}
	app.placeMode(d)
	return httpcaddyfile.App{Name: "gatehouse", Value: caddyconfig.JSON(app, nil)}, nil
}

func (app *App) parseOption(d *caddyfile.Dispenser) error {
	switch word := d.Val(); word {
	case "state_dir":
		return oneArg(d, &app.StateDir)
	case "keys":
		if !d.NextArg() || d.Val() != "file" {
			return d.Err("keys: write `keys file <path>`")
		}
		return oneArg(d, &app.KeysFile)
	case "revision":
		return oneArg(d, &app.Revision)
	case "local_logs":
		return app.LocalLogs.parse(d)
	case "waf_budget":
		return size(d, &app.WAFBudget)
	case "insecure_http3":
		if app.InsecureHTTP3 = true; d.NextArg() {
			return d.ArgErr()
		}
		return nil
	case "mode":
		return app.parseMode(d)
	case "tls_profile":
		if err := oneArg(d, &app.TLSProfile); err != nil {
			return err
		}
		if _, err := app.profile(); err != nil {
			return d.Err(err.Error())
		}
		return nil
	case "session":
		return app.Session.Parse(d)
	case "tenant":
		return app.parseTenant(d)
	case "roles":
		return app.Roles.Parse(d)
	case "mfa":
		if app.MFARaw != nil {
			return d.Err("there are two mfa blocks: put everything into one")
		}
		unm, err := caddyfile.UnmarshalModule(d, factorModule)
		app.MFARaw = caddyconfig.JSON(unm, nil)
		return err
	case "store":
		if !d.NextArg() {
			return d.ArgErr()
		}
		raw, err := guest(d, "gatehouse.stores.", d.Val(), "engine")
		app.StoreRaw = raw
		return err
	default:
		if _, err := caddy.GetModule("gatehouse.rooms." + word); err == nil {
			return app.parseRoom(d, word)
		}
		if _, err := caddy.GetModule("gatehouse.identity_providers." + word); err != nil {
			return d.Errf("unknown gatehouse option %q: the options are state_dir, keys, store, waf_budget, local_logs, session, mfa, roles, tenant, ban, client_limits, verify, audit, alert, siem, privacy, backup, access_review, operators, mode, tls_profile, insecure_http3, local, oidc, break_glass", word)
		}
		raw, err := guest(d, "gatehouse.identity_providers.", word, "provider")
		if err != nil {
			return err
		}
		app.ProvidersRaw = append(app.ProvidersRaw, raw)
		return nil
	}
}

// parseRoom reads what the house says to a room.
func (app *App) parseRoom(d *caddyfile.Dispenser, name string) error {
	if app.RoomsRaw[name] != nil {
		return d.Errf("there are two %s options: put everything into one", name)
	}
	unm, err := caddyfile.UnmarshalModule(d, "gatehouse.rooms."+name)
	if err != nil {
		return err
	}
	if app.RoomsRaw == nil {
		app.RoomsRaw = caddy.ModuleMap{}
	}
	app.RoomsRaw[name] = caddyconfig.JSON(unm, nil)
	return nil
}

// guest unmarshals the segment at the dispenser's token as the named guest module.
func guest(d *caddyfile.Dispenser, namespace, name, key string) (json.RawMessage, error) {
	unm, err := caddyfile.UnmarshalModule(d, namespace+name)
	if err != nil {
		return nil, err
	}
	return caddyconfig.JSONModuleObject(unm, key, name, nil), nil
}

// Parse reads the block of the word session at the dispenser's token.
func (s *SessionPolicy) Parse(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch d.Val() {
		case "idle":
			err = duration(d, &s.Idle)
		case "admin_idle":
			err = duration(d, &s.AdminIdle)
		case "max":
			err = duration(d, &s.Max)
		case "admin_roles":
			if s.AdminRoles = d.RemainingArgs(); len(s.AdminRoles) == 0 {
				err = d.ArgErr()
			}
		case "renewal_grace":
			err = duration(d, &s.RenewalGrace)
		case "max_sessions":
			err = maxSessions(d, s)
		case "clear_site_data":
			if s.ClearSiteData = true; d.NextArg() {
				err = d.ArgErr()
			}
		case "provider_logout":
			if s.ProviderLogout = true; d.NextArg() {
				err = d.ArgErr()
			}
		default:
			err = d.Errf("unknown session option %q: the options are idle, admin_idle, max, admin_roles, renewal_grace, max_sessions, clear_site_data, provider_logout", d.Val())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// maxSessions reads the number of sessions that a person may have, and what becomes of one more.
func maxSessions(d *caddyfile.Dispenser, s *SessionPolicy) error {
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && args[1] != "evict" && args[1] != "refuse" {
		return d.Err("max_sessions: write `max_sessions <number>`, and perhaps what becomes of one more: evict (the oldest ends) or refuse")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 {
		return d.Errf("max_sessions: %q is not a number of sessions, 1 or more", args[0])
	}
	s.MaxSessions, s.RefuseSessions = n, len(args) == 2 && args[1] == "refuse"
	return nil
}

func oneArg(d *caddyfile.Dispenser, to *string) error {
	if !d.Args(to) || d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

func duration(d *caddyfile.Dispenser, to *caddy.Duration) error {
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	v, err := caddy.ParseDuration(text)
	if err != nil || v <= 0 {
		return d.Errf("%q is not a positive duration: write one like 30m or 12h", text)
	}
	*to = caddy.Duration(v)
	return nil
}

// size reads a whole number of KiB, MiB or GiB, at most 1024 GiB.
func size(d *caddyfile.Dispenser, to *int64) error {
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	for suffix, unit := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		number, ok := strings.CutSuffix(text, suffix)
		if n, err := strconv.ParseInt(number, 10, 64); ok && err == nil && n > 0 && n <= 1<<40/unit {
			*to = n * unit
			return nil
		}
	}
	return d.Errf("%q is not a size: write one like 512MiB or 2GiB", text)
}
