package prefixset

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

const list = "\ufeff# a list\r\n" +
	"192.0.2.0/24\r\n" +
	"\n" +
	"198.51.100.7   # one host\n" +
	"203.0.113.0/24 ; SBL1\n" +
	"2001:db8::/32\n" +
	"::ffff:10.1.0.0/112\n" +
	"192.0.2.0/24\n"

func TestParse(t *testing.T) {
	s, err := Parse(strings.NewReader(list))
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 5 {
		t.Errorf("Len = %d, want 5", s.Len())
	}
	for addr, want := range map[string]bool{
		"192.0.2.200": true, "192.0.3.1": false, "198.51.100.7": true, "198.51.100.8": false, "203.0.113.9": true,
		"2001:db8:ffff::1": true, "2001:db9::1": false, "10.1.2.3": true, "10.2.0.1": false,
		"::ffff:192.0.2.1": true, "::ffff:192.0.3.1": false, "2001:db8::1%eth0": true, "::ffff:10.1.0.1%eth0": true,
	} {
		if got := s.Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Contains(%s) = %v", addr, got)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name, in string
		o        Options
		want     error
		line     int
	}{
		{"name", "192.0.2.1\nexample.com\n", Options{}, ErrInvalid, 2},
		{"port", "192.0.2.1:80", Options{}, ErrInvalid, 1},
		{"zone", "fe80::1%eth0", Options{}, ErrInvalid, 1},
		{"zone in prefix", "fe80::%eth0/64", Options{}, ErrInvalid, 1},
		{"two on a line", "192.0.2.1 192.0.2.2", Options{}, ErrInvalid, 1},
		{"length", "192.0.2.0/33", Options{}, ErrInvalid, 1},
		{"leading zero", "192.0.2.010", Options{}, ErrInvalid, 1},
		{"NUL", "\x00", Options{}, ErrInvalid, 1},
		{"HTML instead of a list", "<!doctype html>", Options{}, ErrInvalid, 1},
		{"host bits", "#\n#\n10.0.0.1/8", Options{}, ErrHostBits, 3},
		{"everything", "0.0.0.0/0", Options{}, ErrEverything, 1},
		{"everything v6", "::/0", Options{}, ErrEverything, 1},
		{"everything mapped", "::ffff:0:0/96", Options{}, ErrEverything, 1},
		{"too many", "192.0.2.1\n192.0.2.1\n192.0.2.2\n192.0.2.3", Options{Max: 2}, ErrTooMany, 4},
		{"long line", "192.0.2.1\n#" + strings.Repeat("x", maxLine), Options{}, ErrLongLine, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := tt.o.Parse(strings.NewReader(tt.in))
			if !errors.Is(err, tt.want) || s != nil {
				t.Fatalf("%v, %v; want %v", s, err, tt.want)
			}
			if prefix := fmt.Sprintf("line %d: ", tt.line); !strings.HasPrefix(err.Error(), prefix) {
				t.Errorf("error %q does not begin with %q", err, prefix)
			}
		})
	}
	if _, err := Parse(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("1.2.3.4\n5.6.7.8\n")))); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("read error lost: %v", err)
	}
}

func TestNew(t *testing.T) {
	all := netip.MustParsePrefix("0.0.0.0/0")
	if _, err := New(all); !errors.Is(err, ErrEverything) {
		t.Errorf("error = %v", err)
	}
	if _, err := New(netip.Prefix{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("error = %v", err)
	}
	s, err := Options{AllowEverything: true}.New(all)
	if err != nil || !s.Contains(netip.MustParseAddr("192.0.2.1")) || s.Contains(netip.MustParseAddr("::1")) {
		t.Errorf("%v, %v", s, err)
	}
}

func TestZeroValues(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	var a Atomic
	empty, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Set{"nil": nil, "zero": {}, "no prefixes": empty, "atomic": a.Load()} {
		if s.Contains(addr) || s.Contains(netip.Addr{}) || s.Len() != 0 {
			t.Errorf("%s set is not empty", name)
		}
	}
	if s, _ := (Options{AllowEverything: true}).New(netip.MustParsePrefix("::/0")); s.Contains(netip.Addr{}) {
		t.Error("the invalid address is in a set")
	}
}

func TestAtomic(t *testing.T) {
	var a Atomic
	addr := netip.MustParseAddr("192.0.2.1")
	s, _ := New(netip.MustParsePrefix("192.0.2.0/24"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				a.Contains(addr)
			}
		})
	}
	for range 100 {
		a.Store(s)
		a.Store(nil)
	}
	wg.Wait()
	a.Store(s)
	if !a.Contains(addr) || a.Load() != s {
		t.Error("the stored set is not the current one")
	}
}

func TestAllocs(t *testing.T) {
	var a Atomic
	s, _ := Parse(strings.NewReader(list))
	a.Store(s)
	mapped, zoned := netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("2001:db8::1%eth0")
	if n := testing.AllocsPerRun(100, func() { a.Contains(mapped); a.Contains(zoned) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// large returns n lines of distinct prefixes.
func large(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d.%d.%d.0/24\n", 1+i>>16, i>>8&255, i&255)
	}
	return b.String()
}

func BenchmarkContains(b *testing.B) {
	s, err := Parse(strings.NewReader(large(100_000) + "2001:db8::/32\n"))
	if err != nil {
		b.Fatal(err)
	}
	for _, text := range []string{"1.77.3.9", "203.0.113.1", "2001:db8::1"} {
		addr := netip.MustParseAddr(text)
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Contains(addr)
			}
		})
	}
}

func BenchmarkParse100k(b *testing.B) {
	text := large(100_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(io.Reader(strings.NewReader(text))); err != nil {
			b.Fatal(err)
		}
	}
}
