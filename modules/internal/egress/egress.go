package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Mode is how far the gateway reaches out. The zero Mode is connected.
type Mode string

// The modes.
const (
	Connected Mode = "connected" // whatever is configured
	Hybrid    Mode = "hybrid"    // what an operator allows; records and state stay in private networks
	Strict    Mode = "strict"    // addresses of private networks that an operator allows; no names
)

// Modes are all of them, the strictest first.
var Modes = []Mode{Strict, Hybrid, Connected}

const (
	againIn  = time.Hour // the same destination is told again
	mostTold = 1024      // destinations that are remembered as told
)

// ErrDenied is what a destination is refused with; see [Denial].
var ErrDenied = errors.New("not an allowed destination")

// Denial is an attempt to speak to somebody who is not allowed. It is an error, and ErrDenied.
type Denial struct {
	Mode Mode
	// What was asked for: "tcp" or another network of package net, or "dns".
	Network string
	// host:port
	Address string
}

// Error is for operators.
func (d *Denial) Error() string {
	if d.Network == lookup {
		return fmt.Sprintf("mode %s: a name server (%s) is not asked: write addresses instead of names", d.Mode, d.Address)
	}
	return fmt.Sprintf("mode %s: %s is %v", d.Mode, d.Address, ErrDenied)
}

// Is reports whether target is ErrDenied.
func (d *Denial) Is(target error) bool { return target == ErrDenied }

// lookup is the network of denials of name servers.
const lookup = "dns"

// Policy is a mode, and what is allowed in it. Make one with [New]; it is safe for concurrent use.
type Policy struct {
	mode     Mode
	hosts    map[string]bool // in lower case
	suffixes []string        // of "*.example.com": ".example.com"
	networks []netip.Prefix

	mu           sync.Mutex
	applications map[string]bool      // guarded by mu; host:port
	tell         func(Denial)         // guarded by mu
	told         map[string]time.Time // guarded by mu
}

// New returns a policy. Of what is allowed, each is an address, a network, a name or *.name; in mode strict it is an address or a
// network that is private, and in mode connected there is none.
func New(mode Mode, allow []string) (*Policy, error) {
	if !slices.Contains(Modes, mode) {
		return nil, fmt.Errorf("mode %q: the modes are strict, hybrid, connected", mode)
	}
	if mode == Connected && len(allow) > 0 {
		return nil, errors.New("mode connected: everything is allowed: take `allow` out")
	}
	p := &Policy{mode: mode, hosts: map[string]bool{}, applications: map[string]bool{}, told: map[string]time.Time{}}
	for _, text := range allow {
		if err := p.allow(text); err != nil {
			return nil, fmt.Errorf("mode %s: allow %q: %w", mode, text, err)
		}
	}
	return p, nil
}

func (p *Policy) allow(text string) error {
	network, err := netip.ParsePrefix(text)
	if addr, errAddr := netip.ParseAddr(strings.Trim(text, "[]")); errAddr == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err == nil {
		if p.mode == Strict && !privateNetwork(network) {
			return errors.New("it is not in a private network, and no other is spoken to: take it out, or choose `mode hybrid`")
		}
		p.networks = append(p.networks, network.Masked())
		return nil
	}
	if p.mode == Strict {
		return errors.New("names are not looked up: write an address or a network, such as 10.1.2.3 or 10.1.2.0/24")
	}
	name := strings.ToLower(text)
	suffix, wild := strings.CutPrefix(name, "*.")
	if !hostName(suffix) {
		return errors.New("write a name, *.name, an address or a network, without scheme, port or path")
	}
	if wild {
		p.suffixes = append(p.suffixes, "."+suffix)
	} else {
		p.hosts[name] = true
	}
	return nil
}

// hostName reports whether text looks like the name of a host, and like nothing else.
func hostName(text string) bool {
	return text != "" && len(text) < 254 && !strings.HasPrefix(text, ".") && !strings.ContainsFunc(text, func(c rune) bool {
		return c != '-' && c != '.' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z')
	})
}

// privates are the networks that are nobody's on the Internet (RFC 1918, 4193, 3927, 4291, 6598) and this machine's.
var privates = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
}

// privateNetwork reports whether all of the network is private.
func privateNetwork(n netip.Prefix) bool {
	return slices.ContainsFunc(privates, func(p netip.Prefix) bool { return p.Bits() <= n.Bits() && p.Contains(n.Addr().Unmap()) })
}

// Private reports whether the host is this machine, or an address of a private network. A name is not known to be.
func Private(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return local(host)
	}
	addr = addr.Unmap().WithZone("")
	return privateNetwork(netip.PrefixFrom(addr, addr.BitLen()))
}

// local reports whether the host is this machine.
func local(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// Mode returns the mode. A nil policy is connected.
func (p *Policy) Mode() Mode {
	if p == nil {
		return Connected
	}
	return p.mode
}

// Declare allows an application that is at host:port.
func (p *Policy) Declare(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applications[strings.ToLower(address)] = true
}

// Applications are the addresses of what was declared, sorted.
func (p *Policy) Applications() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]string, 0, len(p.applications))
	for a := range p.applications {
		all = append(all, a)
	}
	slices.Sort(all)
	return all
}

// Tell has f told of each destination that is refused, once an hour at the most; of more than mostTold different ones in an hour
// the rest is only counted. f must not block.
func (p *Policy) Tell(f func(Denial)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell = f
}

// May reports whether the address, which is host:port or a host, may be spoken to; sockets of this machine may always.
func (p *Policy) May(network, address string) bool {
	if p.Mode() == Connected || strings.HasPrefix(network, "unix") {
		return true
	}
	p.mu.Lock()
	declared := p.applications[strings.ToLower(address)]
	p.mu.Unlock()
	if declared {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if local(host) {
		return true
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap().WithZone("")
		return slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(addr) })
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return p.hosts[host] || slices.ContainsFunc(p.suffixes, func(s string) bool { return strings.HasSuffix(host, s) })
}

// Check is May for what is about to be dialled: a refusal is a *Denial, counted and told.
func (p *Policy) Check(network, address string) error {
	if p.May(network, address) {
		return nil
	}
	d := &Denial{Mode: p.mode, Network: network, Address: address}
	p.deny(d)
	return d
}

func (p *Policy) deny(d *Denial) {
	if d.Network == lookup {
		deniedLookups.Add(1)
	} else {
		deniedDials.Add(1)
	}
	now := time.Now()
	key := d.Network + " " + d.Address
	p.mu.Lock()
	if at, ok := p.told[key]; ok && now.Sub(at) < againIn {
		p.mu.Unlock()
		return
	}
	if len(p.told) >= mostTold {
		for k, at := range p.told {
			if now.Sub(at) >= againIn {
				delete(p.told, k)
			}
		}
	}
	tell := p.tell
	if len(p.told) >= mostTold || tell == nil {
		p.mu.Unlock()
		return
	}
	p.told[key] = now
	p.mu.Unlock()
	tell(*d)
}
