package prefixset_test

import (
	"maps"
	"net/netip"
	"sync"
	"testing"

	"gatehouse.internal/modules/internal/prefixset"
)

func TestTable(t *testing.T) {
	var table prefixset.Table[string]
	addr, wide, narrow := netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.2.1/32")
	if _, ok := table.Lookup(addr); ok || table.Len() != 0 {
		t.Error("the zero table is not empty")
	}
	table.Set(wide, "wide")
	table.Set(narrow, "narrow")
	if v, _ := table.Lookup(addr); v != "narrow" {
		t.Errorf("%q, want the longest prefix's", v)
	}
	before := table.All()
	table.Delete(narrow)
	if v, _ := table.Lookup(addr); v != "wide" {
		t.Errorf("%q after the narrow one is gone", v)
	}
	if n := len(maps.Collect(before)); n != 2 {
		t.Errorf("a copy in use has changed: %d", n)
	}
	table.Replace(maps.All(map[netip.Prefix]string{narrow: "new"}))
	if _, ok := table.Get(wide); ok || table.Len() != 1 {
		t.Error("Replace left what was there")
	}
}

func TestTableIsSafe(t *testing.T) {
	var table prefixset.Table[int]
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i := range 200 {
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n), byte(i)}), 32)
				table.Set(p, i)
				if v, ok := table.Lookup(p.Addr()); !ok || v != i {
					t.Errorf("%v: %d, %v", p, v, ok)
				}
			}
		})
	}
	wg.Wait()
	if table.Len() != 800 {
		t.Errorf("%d of 800: writers lose each other's", table.Len())
	}
}
