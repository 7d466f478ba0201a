package authz

import (
	"net/netip"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
)

// Query is one request, as a policy sees it. The zero Query is refused by every policy.
//
// Host is as the client sent it. Client is canonical. Tenant is the site's. Granted are roles that Who holds for a while,
// sorted, besides those of its own (see package support).
type Query struct {
	Path    reqpath.Path
	Method  string
	Host    string
	Client  netip.Addr
	Now     time.Time
	Who     identity.Proof
	Tenant  string
	Granted []string
	Device  string // identity.DeviceKnown or DeviceUnknown; "": not found out
}

// fact is what the gateway has found out, by name.
func (q *Query) fact(name string) string {
	if name == identity.FactDevice && q.Device != "" {
		return q.Device
	}
	return q.Who.Fact(name)
}

// hostName is the host without port and final dot, in lower case.
func hostName(host string) string { return strings.ToLower(bareHost(host)) }

// bareHost is the host without port and final dot. It allocates nothing.
func bareHost(host string) string {
	if strings.HasPrefix(host, "[") { // an IPv6 address
		if i := strings.IndexByte(host, ']'); i >= 0 {
			return host[:i+1]
		}
		return host
	}
	if i := strings.IndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}

// matchHost reports whether the host is the name, or below it when that begins with "*.". Names are in lower case.
func matchHost(name, host string) bool {
	host = bareHost(host)
	if below, ok := strings.CutPrefix(name, "*"); ok {
		if len(host) <= len(below) {
			return false
		}
		name, host = below, host[len(host)-len(below):]
	}
	if len(name) != len(host) {
		return false
	}
	for i := range len(name) { // ASCII: in TLS server names there is nothing else, and Unicode folds more than it should
		c := host[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// segment returns the nth segment of the path, from 1; "" when there is none, or when some server would read it
// differently.
func segment(path reqpath.Path, n int) string {
	if !path.Plain() {
		return ""
	}
	rest := path.Decoded
	for {
		rest = strings.TrimPrefix(rest, "/")
		here, after, more := strings.Cut(rest, "/")
		if n--; n == 0 {
			return here
		}
		if !more {
			return ""
		}
		rest = "/" + after
	}
}
