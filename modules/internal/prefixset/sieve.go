package prefixset

import (
	"net/netip"
	"sync/atomic"
)

// sieve says of most addresses that no prefix of a large table holds them, at the price of one look into 2 MiB: a table of a
// million prefixes is several times what processors have at hand, and a look into it waits for memory three times over. It
// has a bit for each IPv4 /24 and, by hash, for IPv6 /32; one that is set says "perhaps". Bits are never taken back. The nil
// sieve says "perhaps" to everything. Safe for concurrent use.
type sieve struct {
	v4   [1 << 24 / 64]atomic.Uint64
	v6   [1 << 20 / 64]atomic.Uint64
	all6 atomic.Bool // a prefix is wider than /32
}

// sieveFrom is how many prefixes a table has before it is worth a sieve: fewer stay in the processor's caches.
var sieveFrom = 1 << 14

// add must come before the prefix is in the table.
func (s *sieve) add(p netip.Prefix) {
	addr, bits := p.Addr(), p.Bits()
	if addr.Is6() {
		if bits < 32 {
			s.all6.Store(true)
			return
		}
		word, bit := place6(addr)
		s.v6[word].Or(bit)
		return
	}
	n := net24(addr)
	if bits > 18 { // within one word, since a prefix begins at a multiple of its size
		s.v4[n/64].Or((1<<(1<<max(24-bits, 0)) - 1) << (n % 64))
		return
	}
	for word := n / 64; word < n/64+1<<(18-bits); word++ {
		s.v4[word].Store(^uint64(0))
	}
}

// perhaps is false when no prefix that was added holds addr, which must be canonical.
func (s *sieve) perhaps(addr netip.Addr) bool {
	switch {
	case s == nil:
		return true
	case addr.Is4():
		n := net24(addr)
		return s.v4[n/64].Load()&(1<<(n%64)) != 0
	case addr.Is6():
		word, bit := place6(addr)
		return s.all6.Load() || s.v6[word].Load()&bit != 0
	}
	return true // the table knows
}

func net24(addr netip.Addr) uint32 {
	b := addr.As4()
	return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
}

func place6(addr netip.Addr) (word int, bit uint64) {
	b := addr.As16()
	h := (uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])) * 0x9e3779b1 >> 12
	return int(h / 64), 1 << (h % 64)
}
