package clientip

import (
	"net/netip"
	"strings"
	"testing"
)

// FuzzParse holds Parse against netip's own two parsers.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80", "fe80::1%eth0", "[fe80::1%a]:1]:443",
		"::ffff:192.0.2.1", "64:ff9b::10.0.0.1", "2002:c000:201::1", "@", "", "[::]:80", "[192.0.2.1]:1", "::1%", "1.2.3.4:00080",
		"[::1%a%b]:1", "[::ffff:1.2.3.4%:]:80", "::1%a:b", "0:0:0:0:0:0:0:0:0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Parse(s)
		want := model(s)
		if got != want || (err == nil) != want.IsValid() {
			t.Fatalf("Parse(%q) = %v, %v; netip says %v", s, got, err, want)
		}
		if err != nil {
			return
		}
		if again, err := Parse(got.String()); err != nil || again != got || Canonical(got) != got {
			t.Fatalf("%q: %v is not canonical: %v, %v", s, got, again, err)
		}
		p := Network(got)
		if !p.IsValid() || !p.Contains(got) || p != p.Masked() || Network(p.Addr()) != p {
			t.Fatalf("Network(%v) = %v", got, p)
		}
	})
}

func model(s string) netip.Addr {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}
		}
		// Stricter than netip: a port has at most five digits.
		if len(s)-strings.LastIndexByte(s, ':') > 6 {
			return netip.Addr{}
		}
		addr = ap.Addr()
	}
	addr = addr.Unmap().WithZone("")
	if addr.IsUnspecified() {
		return netip.Addr{}
	}
	return addr
}
