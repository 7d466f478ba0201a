package certstore

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile reads the global option
//
//	storage gatehouse {
//		keys file <path>
//		store <engine> ...
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "keys":
			if !d.NextArg() || d.Val() != "file" || !d.AllArgs(&m.KeysFile) {
				return d.Err("storage gatehouse: keys: write `keys file <path>`")
			}
		case "store":
			if !d.NextArg() {
				return d.ArgErr()
			}
			name := d.Val()
			unm, err := caddyfile.UnmarshalModule(d, "gatehouse.stores."+name)
			if err != nil {
				return err
			}
			m.StoreRaw = caddyconfig.JSONModuleObject(unm, "engine", name, nil)
		default:
			return d.Errf("storage gatehouse: unknown word %q: the words are keys file <path> and store <engine> ..., as in the gatehouse option", d.Val())
		}
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Module)(nil)
