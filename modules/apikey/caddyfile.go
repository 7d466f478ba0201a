package apikey

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/reqpath"
)

// Option reads the words of the site directive that say how keys come, and reports whether it was one:
//
//	api_key_header <name...>
//	api_key_forward
//	device_pairing [<path...>] {
//		lasts <duration>
//		methods <METHOD...>
//		scopes <scope...>
//	}
func (a *Authenticator) Option(d *caddyfile.Dispenser) (bool, error) {
	switch d.Val() {
	case "api_key_header":
		args := d.RemainingArgs()
		if len(args) == 0 {
			return true, d.Err("api_key_header: name a header, such as `api_key_header X-Api-Key`")
		}
		for _, name := range args {
			if err := headerName(name); err != nil {
				return true, d.Err(err.Error())
			}
		}
		a.Headers = append(a.Headers, args...)
		return true, nil
	case "device_pairing":
		return true, a.deviceOption(d)
	case "api_key_forward":
		if a.Forward = true; d.NextArg() {
			return true, d.ArgErr()
		}
		return true, nil
	}
	return false, nil
}

// deviceOption reads what the keys are for that programs get by their users' approval.
func (a *Authenticator) deviceOption(d *caddyfile.Dispenser) error {
	if a.Device != nil {
		return d.Err("device_pairing: write it once, with all its paths")
	}
	a.Device = new(Device)
	for _, text := range d.RemainingArgs() {
		p, err := reqpath.ParsePattern(text)
		if err != nil {
			return d.Errf("device_pairing: %v", err)
		}
		a.Device.Paths = append(a.Device.Paths, p)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		args := d.RemainingArgs()
		switch {
		case len(args) == 0:
			return d.ArgErr()
		case word == "lasts" && len(args) == 1:
			lasts, err := caddy.ParseDuration(args[0])
			if err != nil || lasts <= 0 {
				return d.Errf("device_pairing: lasts %q is no duration: write one like 30d", args[0])
			}
			a.Device.Lasts = caddy.Duration(lasts)
		case word == "methods":
			a.Device.Methods = append(a.Device.Methods, args...)
		case word == "scopes":
			a.Device.Scopes = append(a.Device.Scopes, args...)
		default:
			return d.Errf("unknown device_pairing option %q: the options are lasts, methods, scopes", word)
		}
	}
	return nil
}
