package clientip

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// ErrInvalid reports text that is not the address of a client. It never
// repeats the text, which may be the client's.
var ErrInvalid = errors.New("not a client address")

// Default lengths of the aggregate.
const (
	V4Bits = 32
	V6Bits = 64
)

// Parse reads "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80",
// each with or without a zone where netip allows one, and returns the
// canonical address. Anything else is [ErrInvalid]: the empty string, host
// names, unix peers ("@", "/run/x.sock"), bad ports, the unspecified address.
func Parse(s string) (netip.Addr, error) {
	host, ok := splitPort(s)
	if !ok {
		return netip.Addr{}, ErrInvalid
	}
	// netip interns zones, which allocates. Ours is dropped anyway.
	host, zone, zoned := strings.Cut(host, "%")
	if zoned && zone == "" || !plausible(host) {
		return netip.Addr{}, ErrInvalid
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || zoned && addr.Is4() {
		return netip.Addr{}, ErrInvalid
	}
	addr = addr.Unmap()
	if addr.IsUnspecified() {
		return netip.Addr{}, ErrInvalid
	}
	return addr, nil
}

// plausible keeps text that cannot be an address from netip, whose errors
// allocate.
func plausible(s string) bool {
	const longest = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
	if len(s) < 2 || len(s) > longest {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F', c == ':', c == '.':
		default:
			return false
		}
	}
	return true
}

// splitPort returns s without port and brackets.
func splitPort(s string) (host string, ok bool) {
	port := ""
	if rest, bracket := strings.CutPrefix(s, "["); bracket {
		i := strings.LastIndex(rest, "]:")
		if i < 0 {
			return "", false
		}
		host, port = rest[:i], rest[i+2:]
		if !strings.Contains(host, ":") {
			return "", false // brackets are for IPv6 (RFC 3986 §3.2.2)
		}
	} else {
		i := strings.IndexByte(s, ':')
		if i < 0 || i != strings.LastIndexByte(s, ':') {
			return s, true // no colon, or an IPv6 address
		}
		host, port = s[:i], s[i+1:]
	}
	return host, isPort(port)
}

// isPort reports whether s is a decimal 16-bit number.
func isPort(s string) bool {
	if s == "" || len(s) > 5 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// Canonical returns addr unmapped and without zone. Invalid stays invalid.
func Canonical(addr netip.Addr) netip.Addr {
	return addr.Unmap().WithZone("")
}

var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
	sixTo4 = netip.MustParsePrefix("2002::/16")
)

// Aggregate returns the masked prefix that holds addr and all addresses the
// same client can be expected to own: v4bits long for IPv4 (0-32), v6bits
// long for IPv6 (0-128), adapted for NAT64 and 6to4 as the package comment
// says. It returns the zero Prefix, which is not valid, if addr is not valid
// or a length is out of range.
func Aggregate(addr netip.Addr, v4bits, v6bits int) netip.Prefix {
	addr = Canonical(addr)
	if !addr.IsValid() || v4bits < 0 || v4bits > 32 || v6bits < 0 || v6bits > 128 {
		return netip.Prefix{}
	}
	bits := v6bits
	switch {
	case addr.Is4():
		bits = v4bits
	case nat64.Contains(addr):
		bits = nat64.Bits() + v4bits
	case sixTo4.Contains(addr):
		bits = min(v6bits, sixTo4.Bits()+v4bits)
	}
	p, _ := addr.Prefix(bits) // cannot fail: bits are in range
	return p
}

// Network is [Aggregate] with the default lengths.
func Network(addr netip.Addr) netip.Prefix {
	return Aggregate(addr, V4Bits, V6Bits)
}
