package prefixset

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// sieved has every set and table of a test use a sieve, however small it is.
func sieved(t testing.TB) {
	before := sieveFrom
	sieveFrom = 0
	t.Cleanup(func() { sieveFrom = before })
}

// What is in a set or table is found with a sieve as without, whatever its length, at its edges too, and when it came later.
func TestSieveHidesNothing(t *testing.T) {
	sieved(t)
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		all, table := map[netip.Prefix]int{}, new(Table[int])
		for i := range 1 + round%11 {
			b := [8]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}
			b[0] = byte(r.IntN(33))
			if i%2 == 1 {
				b[0] = byte(33 + r.IntN(96))
			}
			p := entry(b)
			if i%8 == 7 { // wider than entries are
				p = netip.PrefixFrom(p.Addr(), 1+r.IntN(31)).Masked()
			}
			all[p] = i
			table.Set(p, i)
		}
		replaced := new(Table[int])
		replaced.Replace(maps.All(all))
		var list []netip.Prefix
		for p := range all {
			list = append(list, p)
		}
		set, err := Options{AllowEverything: true}.New(list...)
		if err != nil || set.sieve == nil || replaced.now.Load().sieve == nil {
			t.Fatalf("no sieve: %v", err)
		}
		for p := range all {
			for _, addr := range []netip.Addr{p.Addr(), last(p), last(p).Next(), p.Addr().Prev()} {
				if !addr.IsValid() {
					continue
				}
				want := false
				for q := range all {
					want = want || q.Contains(addr)
				}
				_, one := table.Lookup(addr)
				_, other := replaced.Lookup(addr)
				if set.Contains(addr) != want || one != want || other != want {
					t.Fatalf("%v in %v: %v %v %v, want %v", addr, all, set.Contains(addr), one, other, want)
				}
			}
		}
	}
}

// A table grows a sieve when it is worth one, and loses none of what it had.
func TestTableGrowsASieve(t *testing.T) {
	var table Table[int]
	at := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	before := sieveFrom
	sieveFrom = 1 << 10
	t.Cleanup(func() { sieveFrom = before })
	for i := range sieveFrom + 300 {
		table.Set(at(i), i)
	}
	if table.now.Load().sieve == nil {
		t.Fatal("no sieve")
	}
	for i := range sieveFrom + 300 {
		if v, ok := table.Lookup(at(i).Addr()); !ok || v != i {
			t.Fatalf("%v: %d %v", at(i), v, ok)
		}
	}
	if table.now.Load().sieve.perhaps(netip.MustParseAddr("192.0.2.1")) {
		t.Error("it holds nothing back")
	}
	table.Delete(at(7))
	if _, ok := table.Lookup(at(7).Addr()); ok {
		t.Error("what was taken out is there still")
	}
}
