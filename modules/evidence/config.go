package evidence

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
)

// Config is what is read of a configuration in Caddy's own language.
type Config struct {
	SHA256 string
	Admin  struct {
		Disabled bool   `json:"disabled"`
		Listen   string `json:"listen"`
	}
	House House
	Sites []Site
	// Listens are what all servers listen on, those without a gate too.
	Listens []string
	// Lowered are TLS policies that name a protocol below 1.3.
	Lowered []string
	// Redirects says that a server answers plain HTTP with redirects.
	Redirects bool
	// Issuers are the modules that get certificates, by name; none: Caddy's own choice, where a site names no certificate.
	Issuers []string
	// Insecure are the insecure_ words that are in force, each once.
	Insecure []string
	// Literals are the words that hold a secret itself, rather than where it is read from.
	Literals []string
}

// House is the global option.
type House struct {
	StateDir   string          `json:"state_dir"`
	KeysFile   string          `json:"keys_file"`
	TLSProfile string          `json:"tls_profile"`
	Mode       json.RawMessage `json:"mode"`
	Store      struct {
		Engine string `json:"engine"`
	} `json:"store"`
	Providers []struct {
		Provider    string `json:"provider"`
		Name        string `json:"name"`
		Issuer      string `json:"issuer"`
		ApproveNew  bool   `json:"approve_new"`
		PasswordMin int    `json:"password_min"`
		Register    bool   `json:"register"`
	} `json:"identity_providers"`
	Rooms   map[string]json.RawMessage `json:"rooms"`
	Tenants map[string]json.RawMessage `json:"tenants"`
	Session Session                    `json:"session"`
	MFA     struct {
		InsecureAdmins bool     `json:"insecure_admins_without_factor"`
		DenyAMR        []string `json:"deny_amr"`
		AMR            []string `json:"amr"`
		Nudge          int      `json:"nudge"`
	} `json:"mfa"`
}

// Session are limits of sessions; zero: the house's, or the default.
type Session struct {
	Idle        time.Duration `json:"idle"`
	AdminIdle   time.Duration `json:"admin_idle"`
	Max         time.Duration `json:"max"`
	MaxSessions int           `json:"max_sessions"`
}

// The defaults of the house, in which a Session is complete (CER-03).
var sessionDefaults = Session{Idle: 30 * time.Minute, AdminIdle: 15 * time.Minute, Max: 12 * time.Hour}

func (s Session) or(other Session) Session {
	return Session{
		cmp.Or(s.Idle, other.Idle), cmp.Or(s.AdminIdle, other.AdminIdle), cmp.Or(s.Max, other.Max), cmp.Or(s.MaxSessions, other.MaxSessions),
	}
}

// Site is a site with a gate.
type Site struct {
	Name    string
	Hosts   []string
	Listens []string // of its server
	Session Session  // effective
	// Row are its handlers by their names; of several of one name, the first.
	Row map[string]json.RawMessage
	// Upstreams are what applications are dialled at.
	Upstreams []string
}

// Host is a name to ask the site by; "" when it has only wildcards.
func (s *Site) Host() string {
	for _, h := range s.Hosts {
		if !strings.Contains(h, "*") {
			return h
		}
	}
	return ""
}

// has reports whether the site has the handler, and reads it.
func (s *Site) has(handler string, into any) bool {
	raw, ok := s.Row[handler]
	return ok && json.Unmarshal(raw, into) == nil
}

type rawRoute struct {
	Match []struct {
		Host []string `json:"host"`
	} `json:"match"`
	Handle []json.RawMessage `json:"handle"`
}

type rawServer struct {
	Listen   []string   `json:"listen"`
	Routes   []rawRoute `json:"routes"`
	Policies []struct {
		Min string `json:"protocol_min"`
	} `json:"tls_connection_policies"`
	Auto struct {
		Disabled bool `json:"disable"`
		NoRedir  bool `json:"disable_redirects"`
	} `json:"automatic_https"`
}

// ReadConfig reads a configuration in Caddy's own language.
func ReadConfig(text []byte) (*Config, error) {
	var raw struct {
		Admin json.RawMessage `json:"admin"`
		Apps  struct {
			Gatehouse json.RawMessage `json:"gatehouse"`
			HTTP      struct {
				Servers map[string]rawServer `json:"servers"`
			} `json:"http"`
			TLS struct {
				Automation struct {
					Policies []struct {
						Issuers []struct {
							Module string `json:"module"`
						} `json:"issuers"`
					} `json:"policies"`
				} `json:"automation"`
			} `json:"tls"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if raw.Apps.Gatehouse == nil {
		return nil, errors.New("the configuration has no gatehouse")
	}
	sum := sha256.Sum256(text)
	c := &Config{SHA256: hex.EncodeToString(sum[:])}
	if raw.Admin != nil {
		if err := json.Unmarshal(raw.Admin, &c.Admin); err != nil {
			return nil, fmt.Errorf("reading the configuration: admin: %w", err)
		}
	}
	if err := json.Unmarshal(raw.Apps.Gatehouse, &c.House); err != nil {
		return nil, fmt.Errorf("reading the configuration: gatehouse: %w", err)
	}
	c.House.Session = c.House.Session.or(sessionDefaults)
	for _, p := range raw.Apps.TLS.Automation.Policies {
		for _, i := range p.Issuers {
			c.Issuers = append(c.Issuers, i.Module)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(raw.Apps.HTTP.Servers)) {
		srv := raw.Apps.HTTP.Servers[name]
		c.Listens = append(c.Listens, srv.Listen...)
		before := len(c.Sites)
		for _, route := range srv.Routes {
			c.addSites(srv, route, nil)
		}
		if len(c.Sites) == before {
			continue
		}
		c.Redirects = c.Redirects || !srv.Auto.Disabled && !srv.Auto.NoRedir
		for _, p := range srv.Policies {
			if p.Min != "" && p.Min != "tls1.3" {
				c.Lowered = append(c.Lowered, name+" "+p.Min)
			}
		}
	}
	if len(c.Sites) == 0 {
		return nil, errors.New("no site of the configuration has a `gatehouse` directive")
	}
	c.Insecure = names(InsecureWords(raw.Apps.Gatehouse))
	c.Literals = literalSecrets(raw.Apps.Gatehouse)
	for _, s := range c.Sites {
		for _, handler := range slices.Sorted(maps.Keys(s.Row)) {
			c.Insecure = append(c.Insecure, names(InsecureWords(s.Row[handler]))...)
		}
	}
	slices.Sort(c.Insecure)
	c.Insecure = slices.Compact(c.Insecure)
	return c, nil
}

func (c *Config) addSites(srv rawServer, route rawRoute, hosts []string) {
	for _, m := range route.Match {
		hosts = append(slices.Clone(hosts), m.Host...)
	}
	site := Site{Hosts: hosts, Listens: srv.Listen, Row: map[string]json.RawMessage{}}
	for _, raw := range route.Handle {
		var h struct {
			Handler   string     `json:"handler"`
			Name      string     `json:"name"`
			Session   Session    `json:"session"`
			Routes    []rawRoute `json:"routes"`
			Upstreams []struct {
				Dial string `json:"dial"`
			} `json:"upstreams"`
		}
		if json.Unmarshal(raw, &h) != nil {
			continue // a handler with other words of these names: none of the gate's
		}
		if _, ok := site.Row[h.Handler]; !ok {
			site.Row[h.Handler] = raw
		}
		if h.Handler == "gatehouse_admit" {
			site.Name = h.Name
		}
		if h.Handler == "gatehouse_authenticate" {
			site.Session = h.Session
		}
		for _, u := range h.Upstreams {
			site.Upstreams = append(site.Upstreams, u.Dial)
		}
		for _, inner := range h.Routes {
			c.addSites(srv, inner, hosts)
		}
	}
	if _, gated := site.Row["gatehouse_admit"]; gated {
		site.Name = cmp.Or(site.Name, site.Host(), "site")
		site.Session = site.Session.or(c.House.Session)
		c.Sites = append(c.Sites, site)
	}
}

// dialAddress is where a listener of Caddy's is found on this machine: host:port; "" when it is none of TCP.
func dialAddress(listen string) string {
	if network, rest, ok := strings.Cut(listen, "/"); ok {
		if network != "tcp" && network != "tcp4" && network != "tcp6" {
			return ""
		}
		listen = rest
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "" || strings.Contains(port, "-") {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// internal reports whether what is dialled is on this machine or in a private network. A name is not known to be.
func internal(dial string) bool {
	if strings.HasPrefix(dial, "unix/") {
		return true
	}
	host, _, err := net.SplitHostPort(dial)
	if err != nil {
		host = dial
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast())
}

// auditKeep is how long the audit log is kept.
func (c *Config) auditKeep() time.Duration {
	var a struct {
		Retention time.Duration `json:"retention"`
	}
	if raw, ok := c.House.Rooms["audit"]; ok {
		_ = json.Unmarshal(raw, &a) // it runs
	}
	return cmp.Or(a.Retention, promisedAudit)
}
