package egress

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// There is one network for the whole process, and Go's defaults are the process's: so is the policy.
var (
	inForce                    atomic.Pointer[Policy] // nil: connected
	deniedDials, deniedLookups atomic.Uint64
)

// Use puts a policy in force and returns the one before it; nil: none.
func Use(p *Policy) (before *Policy) { return inForce.Swap(p) }

// GiveBack puts before in force again, if p is still in force.
func GiveBack(p, before *Policy) { inForce.CompareAndSwap(p, before) }

// InForce is the policy in force; nil: none, which is mode connected.
func InForce() *Policy { return inForce.Load() }

// Denied is how many connections and how many look-ups of names were refused since the process began.
func Denied() (dials, lookups uint64) { return deniedDials.Load(), deniedLookups.Load() }

// Check asks the policy in force about a connection that is about to be dialled: see [Policy.Check].
func Check(network, address string) error { return inForce.Load().Check(network, address) }

// DialFunc is the type of net.Dialer.DialContext.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Dialer returns what dials by d, if the policy in force allows it.
func Dialer(d *net.Dialer) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := Check(network, address); err != nil {
			return nil, err
		}
		return d.DialContext(ctx, network, address)
	}
}

// DialContext dials as Go's default transport does, if the policy in force allows it.
var DialContext = Dialer(&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second})

// Proxy is http.ProxyFromEnvironment for clients whose connections nobody can ask about: it fails when the policy in force does
// not allow what the request is for. Where a policy is in force there are no proxies: see [Proxied].
func Proxy(r *http.Request) (*url.URL, error) {
	if err := Check("tcp", r.URL.Host); err != nil {
		return nil, err
	}
	return http.ProxyFromEnvironment(r)
}

// Proxied returns the variable of the environment that has Go's clients use a proxy, behind which nobody sees whom they speak to; "":
// there is none.
func Proxied() string {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

// Install has Go's default transport and its default resolver ask the policy in force. It must be called before anything uses them, and
// does its work once.
var Install = sync.OnceFunc(func() {
	http.DefaultTransport.(*http.Transport).DialContext = DialContext
	var d net.Dialer
	// In place: dialers without a resolver of their own all use this one. Go's own resolver is what a program without cgo has.
	net.DefaultResolver.PreferGo = true
	net.DefaultResolver.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if p := inForce.Load(); p.Mode() == Strict {
			denial := &Denial{Mode: Strict, Network: lookup, Address: address}
			p.deny(denial)
			return nil, denial
		}
		return d.DialContext(ctx, network, address)
	}
})
