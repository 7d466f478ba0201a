package apikey

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// Option reads the words of the site directive that say how keys come, and reports whether it was one:
//
//	api_key_header <name...>
//	api_key_forward
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
	case "api_key_forward":
		if a.Forward = true; d.NextArg() {
			return true, d.ArgErr()
		}
		return true, nil
	}
	return false, nil
}
