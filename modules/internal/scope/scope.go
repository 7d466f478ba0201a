package scope

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/reqpath"
)

// Bounds of a scope, so that no record grows without end.
const (
	maxHosts, maxPaths, maxMethods, maxNetworks = 32, 64, 16, 64
)

// Scope is what a credential may be used for.
type Scope struct {
	Hosts    []string          `json:"hosts"`              // lower case, without port; none: nowhere
	Paths    []reqpath.Pattern `json:"paths"`              // none: nothing
	Methods  []string          `json:"methods,omitempty"`  // none: all that the site takes
	Networks []netip.Prefix    `json:"networks,omitempty"` // where clients may be; none: anywhere
}

// Request is what a scope is asked about. Host may have a port.
type Request struct {
	Host   string
	Path   reqpath.Path
	Method string
	Client netip.Addr
}

// The ways in which a request can be out of scope. They are wrapped; the texts are for operators.
var (
	ErrHost    = errors.New("not for this host")
	ErrPath    = errors.New("not for this path")
	ErrMethod  = errors.New("not for this method")
	ErrNetwork = errors.New("not from this network")
)

// Covers returns nil when the request is in scope, and otherwise how it is not.
func (s *Scope) Covers(r Request) error {
	switch {
	case !slices.Contains(s.Hosts, Hostname(r.Host)):
		return ErrHost
	case !slices.ContainsFunc(s.Paths, func(p reqpath.Pattern) bool { return p.MatchAll(r.Path) }):
		return ErrPath
	case len(s.Methods) > 0 && !slices.Contains(s.Methods, r.Method):
		return ErrMethod
	case !s.From(r.Client):
		return ErrNetwork
	}
	return nil
}

// From reports whether a client there may use the credential.
func (s *Scope) From(client netip.Addr) bool {
	return len(s.Networks) == 0 || slices.ContainsFunc(s.Networks, func(p netip.Prefix) bool { return p.Contains(client) })
}

// Normalize brings the scope into the form that Covers reads, or says what is wrong with it.
func (s *Scope) Normalize() error {
	if len(s.Hosts) == 0 || len(s.Paths) == 0 {
		return errors.New("a scope needs a host and a path")
	}
	if len(s.Hosts) > maxHosts || len(s.Paths) > maxPaths || len(s.Methods) > maxMethods || len(s.Networks) > maxNetworks {
		return fmt.Errorf("a scope has %d hosts, %d paths, %d methods and %d networks at the most", maxHosts, maxPaths, maxMethods, maxNetworks)
	}
	for i, host := range s.Hosts {
		if host = Hostname(host); host == "" || strings.ContainsAny(host, "/*@: ") && host[0] != '[' {
			return fmt.Errorf("%q is no host name: write one like app.example.com, without a port", s.Hosts[i])
		}
		s.Hosts[i] = host
	}
	for _, p := range s.Paths {
		if p.String() == "" {
			return errors.New("a path of the scope is empty")
		}
	}
	for i, m := range s.Methods {
		if m == "" || strings.ContainsFunc(m, func(r rune) bool { return r < 'A' || r > 'Z' && r < 'a' || r > 'z' }) {
			return fmt.Errorf("%q is no method: write one like GET", m)
		}
		s.Methods[i] = strings.ToUpper(m)
	}
	if slices.Contains(s.Methods, "GET") && !slices.Contains(s.Methods, "HEAD") {
		s.Methods = append(s.Methods, "HEAD") // says less than GET
	}
	for i, p := range s.Networks {
		if !p.IsValid() {
			return errors.New("a network of the scope is none")
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		s.Networks[i] = p.Masked()
	}
	return nil
}

// ParseNetwork reads an address or a prefix.
func ParseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network: write one like 192.0.2.0/24", text)
	}
	return p, nil
}

// Hostname returns the host of an authority in lower case, without its port.
func Hostname(authority string) string {
	host := authority
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.Trim(host[i+1:], "0123456789") == "" {
		host = host[:i]
	}
	return strings.ToLower(host)
}
