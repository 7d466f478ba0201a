package prefixset

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
)

// FuzzContains holds the table against a linear scan. Entries are eight bytes
// each: the first says the family and the length, the rest is the address.
func FuzzContains(f *testing.F) {
	f.Add([]byte{24, 192, 0, 2, 0, 0, 0, 0}, []byte{192, 0, 2, 9})
	f.Add([]byte{24, 192, 0, 2, 0, 0, 0, 0, 255, 0x20, 1, 0x0d, 0xb8, 0, 0, 0}, []byte("\x20\x01\x0d\xb8abcdefghijkl"))
	f.Add([]byte{8, 10, 0, 0, 0, 0, 0, 0}, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x01\x02\x03"))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 0, 0, 0, 0}, []byte{1, 2, 3, 4})
	sieved(f)
	f.Fuzz(func(t *testing.T, entries, question []byte) {
		var prefixes []netip.Prefix
		different := map[netip.Prefix]bool{}
		for ; len(entries) >= 8; entries = entries[8:] {
			p := entry([8]byte(entries))
			prefixes = append(prefixes, p)
			different[p] = true
		}
		s, err := Options{AllowEverything: true}.New(prefixes...)
		if err != nil {
			t.Fatal(err)
		}
		if s.Len() != len(different) {
			t.Fatalf("Len = %d, want %d", s.Len(), len(different))
		}
		questions := []netip.Addr{{}}
		if addr, ok := netip.AddrFromSlice(question); ok {
			questions = append(questions, addr, addr.WithZone("z"))
		}
		for _, p := range prefixes { // the edges are where tables go wrong
			questions = append(questions, p.Addr(), p.Addr().Prev(), last(p), last(p).Next(), netip.AddrFrom16(last(p).As16()))
		}
		for _, q := range questions {
			want := false
			for _, p := range prefixes {
				want = want || p.Contains(q.Unmap().WithZone(""))
			}
			if got := s.Contains(q); got != want {
				t.Fatalf("Contains(%v) = %v in %v", q, got, prefixes)
			}
		}
	})
}

func entry(b [8]byte) netip.Prefix {
	bits := int(b[0])
	if bits <= 32 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[1:5])), bits).Masked()
	}
	var a [16]byte
	copy(a[:], b[1:])
	if a[0] == 0 {
		a[0] = 0x20 // keep clear of the IPv4-mapped range
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), bits%129).Masked()
}

// last returns the last address of p.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// FuzzParse: any text is a set or an error, and every line that netip
// understands is in the set.
func FuzzParse(f *testing.F) {
	f.Add([]byte(list))
	f.Add([]byte("0.0.0.0/0\n"))
	f.Add([]byte("10.0.0.1/8"))
	f.Add([]byte("1.2.3.4;x\r\n::1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(bytes.NewReader(text))
		if (s == nil) == (err == nil) {
			t.Fatalf("%v, %v", s, err)
		}
		if err != nil {
			return
		}
		for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
			line = strings.TrimRight(line, "\r\n")
			if addr, err := netip.ParseAddr(line); err == nil && !s.Contains(addr) {
				t.Fatalf("%v is missing", addr)
			}
			if p, err := netip.ParsePrefix(line); err == nil && !s.Contains(p.Addr()) {
				t.Fatalf("%v is missing", p)
			}
		}
	})
}
