package symbol

import (
	"math/bits"
	"testing"
	"unicode/utf8"
)

func TestEveryByteHasExactlyOneSymbol(t *testing.T) {
	for b := range 256 {
		if n := bits.OnesCount64(uint64(Byte(byte(b)))); n != 1 {
			t.Errorf("byte %#x has %d symbols", b, n)
		}
	}
	if n := bits.OnesCount64(uint64(All)); n > 64 || All == 0 {
		t.Errorf("%d symbols", n)
	}
}

func TestPunctuationIsToldApart(t *testing.T) {
	seen := map[Set]byte{}
	for c := byte(' '); c < 0x7f; c++ {
		if Byte(c) == Lower || Byte(c) == Upper || Byte(c) == Digit {
			continue
		}
		if other, ok := seen[Byte(c)]; ok {
			t.Errorf("%q and %q share a symbol", c, other)
		}
		seen[Byte(c)] = c
	}
}

func TestFold(t *testing.T) {
	if got := Fold('k'); got != Lower|Upper|High {
		t.Errorf("k folds to %b: want lower, upper and the Kelvin sign's", got)
	}
	if got := Fold('a'); got != Lower|Upper {
		t.Errorf("a folds to %b", got)
	}
}

func FuzzOf(f *testing.F) {
	f.Add("")
	f.Add("a/B 7\x00é\xff?")
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := Of(s), Bytes(s); got != want {
			t.Errorf("Of(%q) = %b, byte by byte %b", s, got, want)
		}
		var runes Set
		for _, r := range s {
			runes |= Rune(r)
		}
		if utf8.ValidString(s) && runes != Of(s) {
			t.Errorf("the runes of %q have %b, its bytes %b", s, runes, Of(s))
		}
	})
}

func BenchmarkOf(b *testing.B) {
	s := string(make([]byte, 1024))
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		Of(s)
	}
}
