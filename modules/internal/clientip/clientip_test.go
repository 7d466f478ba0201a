package clientip

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"v4", "192.0.2.1", "192.0.2.1"},
		{"v4 port", "192.0.2.1:443", "192.0.2.1"},
		{"v6", "2001:DB8:0::1", "2001:db8::1"},
		{"v6 port", "[2001:db8::1]:443", "2001:db8::1"},
		{"v6 zone", "fe80::1%eth0", "fe80::1"},
		{"v6 zone port", "[fe80::1%eth0]:443", "fe80::1"},
		{"zone with brackets", "[fe80::1%a]:1]:443", "fe80::1"},
		{"mapped", "::ffff:192.0.2.1", "192.0.2.1"},
		{"mapped hex", "::ffff:c000:201", "192.0.2.1"},
		{"mapped port", "[::ffff:192.0.2.1]:1", "192.0.2.1"},
		{"mapped zone", "::ffff:192.0.2.1%x", "192.0.2.1"},
		{"longest", "2001:0db8:1111:2222:3333:4444:255.255.255.255", "2001:db8:1111:2222:3333:4444:ffff:ffff"},
		{"NAT64 stays itself", "64:ff9b::10.0.0.1", "64:ff9b::a00:1"},
		{"loopback", "::1", "::1"},

		{"empty", "", ""},
		{"unix", "@", ""},
		{"unix named", "@gatehouse", ""},
		{"unix path", "/run/gatehouse.sock", ""},
		{"unspecified v4", "0.0.0.0", ""},
		{"unspecified v6", "[::]:80", ""},
		{"unspecified mapped", "::ffff:0.0.0.0", ""},
		{"name", "localhost", ""},
		{"name port", "localhost:80", ""},
		{"port only", ":80", ""},
		{"no port", "192.0.2.1:", ""},
		{"signed port", "192.0.2.1:+80", ""},
		{"port too big", "192.0.2.1:65536", ""},
		{"brackets without port", "[::1]", ""},
		{"brackets around v4", "[192.0.2.1]:80", ""},
		{"v4 zone", "192.0.2.1%eth0", ""},
		{"empty zone", "fe80::1%", ""},
		{"leading zero", "192.0.2.010", ""},
		{"short v4", "192.0.2", ""},
		{"space", " 192.0.2.1", ""},
		{"list", "192.0.2.1, 10.0.0.1", ""},
		{"long", strings.Repeat("1", 1000), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.in)
			if tt.want == "" {
				if !errors.Is(err, ErrInvalid) || got.IsValid() {
					t.Fatalf("Parse(%q) = %v, %v, want ErrInvalid", tt.in, got, err)
				}
				return
			}
			if err != nil || got != netip.MustParseAddr(tt.want) {
				t.Errorf("Parse(%q) = %v, %v, want %v", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestCanonical(t *testing.T) {
	if got := Canonical(netip.MustParseAddr("::ffff:192.0.2.1%x")); got != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("got %v", got)
	}
	if Canonical(netip.Addr{}).IsValid() {
		t.Error("the zero address became valid")
	}
}

func TestAggregate(t *testing.T) {
	tests := []struct {
		name, addr     string
		v4bits, v6bits int
		want           string
	}{
		{"v4", "192.0.2.1", 32, 64, "192.0.2.1/32"},
		{"v4 wider", "192.0.2.1", 24, 64, "192.0.2.0/24"},
		{"mapped", "::ffff:192.0.2.1", 32, 64, "192.0.2.1/32"},
		{"v6", "2001:db8:1:2:3::1", 32, 64, "2001:db8:1:2::/64"},
		{"v6 wider", "2001:db8:1:2:3::1", 32, 56, "2001:db8:1::/56"},
		{"zone", "fe80::1%eth0", 32, 64, "fe80::/64"},
		{"NAT64: one IPv4 client", "64:ff9b::192.0.2.1", 32, 64, "64:ff9b::c000:201/128"},
		{"NAT64 wider", "64:ff9b::192.0.2.1", 24, 56, "64:ff9b::c000:200/120"},
		{"not NAT64", "64:ff9b::1:0:0", 32, 64, "64:ff9b::/64"},
		{"local-use NAT64", "64:ff9b:1::192.0.2.1", 32, 64, "64:ff9b:1::/64"},
		{"6to4: one IPv4 host", "2002:c000:201:7::1", 32, 64, "2002:c000:201::/48"},
		{"6to4 wider", "2002:c000:201:7::1", 24, 64, "2002:c000:200::/40"},
		{"6to4, wider v6", "2002:c000:201:7::1", 32, 32, "2002:c000::/32"},
		{"Teredo", "2001:0:c000:201:8000:63bf:3fff:fdd2", 32, 64, "2001:0:c000:201::/64"},
		{"everything", "2001:db8::1", 0, 0, "::/0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Aggregate(netip.MustParseAddr(tt.addr), tt.v4bits, tt.v6bits)
			if got != netip.MustParsePrefix(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if tt.v4bits == V4Bits && tt.v6bits == V6Bits && Network(netip.MustParseAddr(tt.addr)) != got {
				t.Error("Network differs from the defaults")
			}
		})
	}
	for _, bad := range [][2]int{{33, 64}, {-1, 64}, {32, 129}, {32, -1}} {
		if p := Aggregate(netip.MustParseAddr("::1"), bad[0], bad[1]); p.IsValid() {
			t.Errorf("%v: got %v", bad, p)
		}
	}
	if Network(netip.Addr{}).IsValid() {
		t.Error("the zero address has a network")
	}
}

func TestAllocs(t *testing.T) {
	for _, s := range []string{"192.0.2.1:443", "[2001:db8::1%eth0]:443", "::ffff:192.0.2.1", "@", "example.com:80", ""} {
		if n := testing.AllocsPerRun(100, func() {
			addr, _ := Parse(s)
			Network(addr)
		}); n != 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, s := range []string{"192.0.2.1:443", "[2001:db8::1]:443"} {
		b.Run(s, func(b *testing.B) {
			for b.Loop() {
				_, _ = Parse(s)
			}
		})
	}
}

func BenchmarkNetwork(b *testing.B) {
	addr := netip.MustParseAddr("2001:db8:1:2:3::1")
	for b.Loop() {
		Network(addr)
	}
}
