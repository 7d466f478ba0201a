package evidence

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Predicates on sites, on who is shut out of them, and on what the gateway may dial.

func wafBlocks(c *Config) Setting {
	for _, s := range c.Sites {
		var w struct {
			Mode   string `json:"mode"`
			Off    bool   `json:"insecure_waf_off"`
			Open   bool   `json:"insecure_waf_fail_open"`
			Routes []struct {
				Path string `json:"path"`
				Mode string `json:"mode"`
				Off  bool   `json:"insecure_waf_off"`
			} `json:"routes"`
		}
		const fix = "take insecure_waf_off, insecure_waf_fail_open and `mode detect` out of the site"
		switch {
		case !s.has("gatehouse_waf", &w) || w.Off:
			return no(fix, "%s has no WAF", s.Name)
		case w.Open:
			return no(fix, "%s lets pass what its WAF cannot judge", s.Name)
		case w.Mode != "" && w.Mode != "block":
			return no(fix, "the WAF of %s blocks nothing (mode %s)", s.Name, w.Mode)
		}
		for _, r := range w.Routes {
			if r.Off || r.Mode != "" && r.Mode != "block" {
				return no(fix, "the WAF of %s does not block in %s", s.Name, r.Path)
			}
		}
	}
	return yes("the OWASP Core Rule Set blocks on all sites")
}

func blocklists(c *Config) Setting {
	var b struct {
		Lists []json.RawMessage `json:"blocklists"`
	}
	if raw, ok := c.House.Rooms["ban"]; !ok || json.Unmarshal(raw, &b) != nil || len(b.Lists) == 0 {
		return off("`blocklist <name> <URL>` in `ban`", "no list of others is followed")
	}
	return yes("%d lists are followed, and enforced before TLS", len(b.Lists))
}

func jails(c *Config) Setting {
	var b struct {
		Jails []struct {
			Name string `json:"name"`
			Off  bool   `json:"off"`
		} `json:"jails"`
	}
	if raw, ok := c.House.Rooms["ban"]; ok && json.Unmarshal(raw, &b) == nil {
		for _, j := range b.Jails {
			if j.Off && (j.Name == "login" || j.Name == "waf") {
				return no("take `jail "+j.Name+" off` out of `ban`", "the jail %s is off", j.Name)
			}
		}
	}
	return yes("the jails for logins and attacks are on")
}

// containment looks whether all sites heed the switches of `gatehouse contain`: those of the site directive do.
func containment(c *Config) Setting {
	for _, s := range c.Sites {
		if !s.has("gatehouse_contain", new(struct{})) {
			return no("make the configuration from a Caddyfile of this version, whose site directive has the room `contain`", "%s heeds no containment switch", s.Name)
		}
	}
	return yes("all sites heed containment switches")
}

func tenants(c *Config) Setting {
	if len(c.House.Tenants) == 0 {
		return off("`tenant <name>` in the global gatehouse option", "the gateway serves one customer")
	}
	return yes("%d tenants, each with sessions, keys and logs of its own", len(c.House.Tenants))
}

func bearerTokens(c *Config) Setting {
	for _, s := range c.Sites {
		var a struct {
			Guests []struct {
				Name string `json:"authenticator"`
			} `json:"authenticators"`
		}
		if !s.has("gatehouse_authenticate", &a) {
			continue
		}
		for _, g := range a.Guests {
			if g.Name == "bearer" {
				return yes("%s takes access tokens", s.Name)
			}
		}
	}
	return off("`api { … }` in the site", "no site takes access tokens")
}

func internalUpstreams(c *Config) Setting {
	for _, s := range c.Sites {
		for _, u := range s.Upstreams {
			if !internal(u) {
				return off("bind the application to localhost or a private address, and write that", fmt.Sprintf("the application of %s is at %s, which is not known to be private", s.Name, u))
			}
		}
	}
	return yes("applications are on this machine or in private networks")
}

func certificates(c *Config) Setting {
	if slices.Contains(c.Issuers, "acme") {
		return yes("certificates of an authority (ACME)")
	}
	return yes("certificates of the operator's, or of an authority of the gateway's own")
}

// mode is the name of the mode; "" for none.
func (c *Config) mode() string {
	var mode struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(c.House.Mode, &mode) == nil {
		return mode.Name
	}
	return strings.Trim(string(c.House.Mode), `"`)
}

func strictMode(c *Config) Setting {
	if c.mode() != "strict" {
		return off("`mode strict` in the global gatehouse option", "the mode is not strict")
	}
	return yes("mode strict: nothing but declared applications is dialled")
}

func modes(c *Config) Setting {
	if c.mode() == "" {
		return off("`mode strict`, `hybrid` or `connected` in the global gatehouse option", "no mode is chosen")
	}
	return yes("the mode is %s", c.mode())
}

func securityTxt(c *Config) Setting {
	for _, s := range c.Sites {
		var admit map[string]json.RawMessage
		if s.has("gatehouse_admit", &admit) && admit["security_txt"] != nil {
			return yes("%s publishes where to report vulnerabilities", s.Name)
		}
	}
	if c.House.Rooms["security_txt"] != nil {
		return yes("sites publish where to report vulnerabilities")
	}
	return off("`security_txt { … }`", "no security.txt is configured")
}

func hourlyBackups(c *Config) Setting {
	var b struct {
		Every time.Duration `json:"every"`
	}
	raw, ok := c.House.Rooms["backup"]
	if !ok || json.Unmarshal(raw, &b) != nil || b.Every == 0 || b.Every > time.Hour {
		return off("`every 1h` in `backup`", "the state is not backed up each hour")
	}
	return yes("the state is backed up every %v", b.Every)
}
