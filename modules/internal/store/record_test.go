package store

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRawKey(t *testing.T) {
	for _, c := range []struct {
		name string
		kind byte
		k    Key
	}{
		{"plain", kindItem, Key{"user", "u-1"}},
		{"zero bytes in the ID", kindLease, Key{"user", "\x00a\x00"}},
		{"empty ID, as in a prefix", kindCounter, Key{"user", ""}},
	} {
		kind, k, ok := parseRawKey(rawKey(c.kind, c.k))
		if kind != c.kind || k != c.k || !ok {
			t.Errorf("%s: %c %v %t", c.name, kind, k, ok)
		}
	}
	for _, raw := range []string{"", "i", "iuser"} {
		if _, _, ok := parseRawKey(raw); ok {
			t.Errorf("parsed %q", raw)
		}
	}
}

func TestRecordRefuses(t *testing.T) {
	good := record{version: 7, expires: 9, index: []string{"ab"}, value: []byte("v")}.encode()
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"short", good[:recordHead-1]},
		{"other format", change(0, 2)},
		{"negative expiry", change(9, 0x80)},
		{"too many index entries", change(17, MaxIndexes+1)},
		{"missing index entry", good[:recordHead]},
		{"cut index entry", good[:recordHead+3]},
		{"empty index entry", change(recordHead+1, 0)},
		{"long index entry", change(recordHead, 0xff)},
		{"long value", append(record{}.encode(), make([]byte, MaxValue+1)...)},
	} {
		if _, err := decodeRecord(c.b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", c.name, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add(record{}.encode())
	f.Add(record{version: 1 << 40, expires: 5, index: []string{"user:a", "sid:b"}, value: []byte("value")}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v, want ErrCorrupt", err)
			}
			return
		}
		if diff := cmp.Diff(b, r.encode()); diff != "" {
			t.Fatalf("not the same again:\n%s", diff)
		}
	})
}
