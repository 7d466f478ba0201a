package keyring

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// key is the same in every run: n, repeated but for the last byte.
func key(t testing.TB, n byte, created time.Time) Key {
	t.Helper()
	k, err := NewKey(append(bytes.Repeat([]byte{n}, KeySize-1), 0xff), created)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ring(t testing.TB, keys ...Key) *Ring {
	t.Helper()
	r, err := New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNewKeyRefuses(t *testing.T) {
	for name, b := range map[string][]byte{"nothing": nil, "short": make([]byte, 31), "long": make([]byte, 33), "zeros": make([]byte, 32)} {
		if _, err := NewKey(b, epoch); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestNewOrder(t *testing.T) {
	a, b, c := key(t, 1, epoch), key(t, 2, epoch.Add(time.Hour)), key(t, 3, epoch.Add(time.Hour))
	for _, test := range []struct {
		name   string
		keys   []Key
		active Key
		err    error
	}{
		{"newest is active", []Key{b, a}, b, nil},
		{"of two as old, the later", []Key{a, b, c}, c, nil},
		{"of two as old, the later, again", []Key{c, b, a}, b, nil},
		{"none", nil, Key{}, ErrNoKeys},
		{"zero key", []Key{a, {}}, Key{}, ErrNoKeys},
		{"twice", []Key{a, b, a}, Key{}, ErrDuplicate},
	} {
		r, err := New(test.keys...)
		if !errors.Is(err, test.err) {
			t.Errorf("%s: %v, want %v", test.name, err, test.err)
		}
		if err == nil && r.Keys()[0].ID() != test.active.ID() {
			t.Errorf("%s: active %v, want %v", test.name, r.Keys()[0], test.active)
		}
	}
}

// Computed by other means (HKDF in Python, the public key by OpenSSL) from the key 01…01ff; the box is our own.
const (
	stableID     = "006cb329"
	stableMAC    = "78ee2677f6c15d8643f924e1a92b78576a9aabbf45fdfd36d4a354d562c3b5d0"
	stablePublic = "9d1865dac41cd9f37c81831fbbdf15d314421d0dffdf6ac075504fc3f5b3a02e"
	stableBox    = "AQBssymqNC6Umgh2TkWR0gg5pOEwsZMquI8nDEI1a3ba93U1iJoJqnJPtOcgdLfLWw=="
)

// TestStable: what is sealed, derived and signed today must open and verify in every later version of this package.
func TestStable(t *testing.T) {
	r := ring(t, key(t, 1, epoch))
	if got := r.Keys()[0].ID(); got != stableID {
		t.Errorf("id %s", got)
	}
	if got := hex.EncodeToString(r.MAC("p", []byte("m"))); got != stableMAC {
		t.Errorf("MAC %s", got)
	}
	if got := hex.EncodeToString(r.PublicKey("p")); got != stablePublic {
		t.Errorf("public key %s", got)
	}
	box, _ := base64.StdEncoding.DecodeString(stableBox)
	if got, err := r.Open("p", box, []byte("a")); err != nil || string(got) != "text" {
		t.Errorf("Open = %q, %v (a new one: %s)", got, err, base64.StdEncoding.EncodeToString(r.Seal("p", []byte("text"), []byte("a"))))
	}
}

func TestSeal(t *testing.T) {
	r := ring(t, key(t, 1, epoch))
	for _, n := range []int{0, 1, 64, 4096} {
		plaintext, aad := bytes.Repeat([]byte("x"), n), []byte("aad")
		box := r.Seal("session", plaintext, aad)
		if len(box) != n+Overhead {
			t.Errorf("box of %d bytes for %d", len(box), n)
		}
		if got, err := r.Open("session", box, aad); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("Open = %q, %v", got, err)
		}
		if bytes.Equal(box, r.Seal("session", plaintext, aad)) {
			t.Error("sealed the same twice")
		}
		for i := range box[:min(len(box), 60)] {
			bad := bytes.Clone(box)
			bad[i] ^= 1
			want := ErrOpen
			if i == 0 {
				want = ErrNoBox
			} else if i < boxHead {
				want = ErrUnknownKey
			}
			if _, err := r.Open("session", bad, aad); !errors.Is(err, want) {
				t.Errorf("byte %d changed: %v, want %v", i, err, want)
			}
		}
	}
	box := r.Seal("session", []byte("x"), []byte("aad"))
	for _, c := range []struct {
		name, purpose, aad string
		box                []byte
		want               error
	}{
		{"other purpose", "code", "aad", box, ErrOpen},
		{"other aad", "session", "aa", box, ErrOpen},
		{"no aad", "session", "", box, ErrOpen},
		{"cut", "session", "aad", box[:len(box)-1], ErrOpen},
		{"longer", "session", "aad", append(bytes.Clone(box), 0), ErrOpen},
		{"nothing", "session", "aad", nil, ErrNoBox},
		{"no box", "session", "aad", bytes.Repeat([]byte("x"), len(box)), ErrNoBox},
	} {
		if _, err := r.Open(c.purpose, c.box, []byte(c.aad)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestMAC(t *testing.T) {
	r := ring(t, key(t, 1, epoch))
	mac := r.MAC("link", []byte("m"))
	for _, c := range []struct {
		name, purpose, msg string
		mac                []byte
		want               bool
	}{
		{"good", "link", "m", mac, true},
		{"other purpose", "lin", "m", mac, false},
		{"other message", "link", "n", mac, false},
		{"cut", "link", "m", mac[:31], false},
		{"nothing", "link", "m", nil, false},
	} {
		if got := r.CheckMAC(c.purpose, []byte(c.msg), c.mac); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestSign(t *testing.T) {
	r := ring(t, key(t, 1, epoch))
	msg := []byte("checkpoint")
	sig := r.Sign("audit", msg)
	changed := bytes.Clone(sig)
	changed[20] ^= 1
	foreign := bytes.Clone(sig)
	foreign[2] ^= 1
	for _, c := range []struct {
		name, purpose, msg string
		sig                []byte
		want               error
	}{
		{"good", "audit", "checkpoint", sig, nil},
		{"other purpose", "jwt", "checkpoint", sig, ErrSignature},
		{"other message", "audit", "x", sig, ErrSignature},
		{"changed", "audit", "checkpoint", changed, ErrSignature},
		{"unknown key", "audit", "checkpoint", foreign, ErrUnknownKey},
		{"cut", "audit", "checkpoint", sig[:SignatureSize-1], ErrUnknownKey},
		{"nothing", "audit", "checkpoint", nil, ErrUnknownKey},
	} {
		if err := r.Verify(c.purpose, []byte(c.msg), c.sig); !errors.Is(err, c.want) {
			t.Errorf("Verify, %s: %v, want %v", c.name, err, c.want)
		}
		if err := VerifyWith(r.PublicKeys(c.purpose), []byte(c.msg), c.sig); !errors.Is(err, c.want) {
			t.Errorf("VerifyWith, %s: %v, want %v", c.name, err, c.want)
		}
	}
	id := r.Keys()[0].ID()
	if key, sign := r.Signer("audit"); !key.Equal(r.PublicKey("audit")) || !ed25519.Verify(key, msg, sign(msg)) {
		t.Error("Signer")
	}
	if err := VerifyWith([]PublicKey{{ID: id, Key: []byte("short")}}, msg, sig); !errors.Is(err, ErrSignature) {
		t.Errorf("short public key: %v", err)
	}
}

func TestRotate(t *testing.T) {
	old := ring(t, key(t, 1, epoch))
	msg := []byte("m")
	box, mac, sig := old.Seal("p", msg, nil), old.MAC("p", msg), old.Sign("p", msg)
	fresh, err := old.Rotate(key(t, 2, epoch))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fresh.Open("p", box, nil); err != nil || !bytes.Equal(got, msg) {
		t.Errorf("Open = %q, %v", got, err)
	}
	if !fresh.CheckMAC("p", msg, mac) || fresh.Verify("p", msg, sig) != nil || VerifyWith(fresh.PublicKeys("p"), msg, sig) != nil {
		t.Error("the old key no longer verifies")
	}
	if _, err := old.Open("p", fresh.Seal("p", msg, nil), nil); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("sealed with the old key after the rotation: %v", err)
	}
	if old.CheckMAC("p", msg, fresh.MAC("p", msg)) || old.Verify("p", msg, fresh.Sign("p", msg)) == nil || len(old.Keys()) != 1 {
		t.Error("the old ring knows the new key")
	}
	if _, err := fresh.Rotate(key(t, 3, epoch.Add(-time.Hour))); err == nil {
		t.Error("rotated to an older key")
	}
	if _, err := fresh.Rotate(key(t, 1, epoch)); !errors.Is(err, ErrDuplicate) {
		t.Errorf("rotated to a key it has: %v", err)
	}
	third, err := fresh.Rotate(key(t, 3, epoch))
	if err != nil || third.Keys()[0].ID() != key(t, 3, epoch).ID() || third.Keys()[1].ID() != key(t, 2, epoch).ID() {
		t.Errorf("order after a second rotation: %v, %v", third, err)
	}
}

func TestZeroRing(t *testing.T) {
	var r Ring
	if _, err := r.Open("p", ring(t, key(t, 1, epoch)).Seal("p", nil, nil), nil); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("Open = %v", err)
	}
	if r.CheckMAC("p", nil, make([]byte, 32)) || r.CheckMAC("p", nil, nil) || len(r.PublicKeys("p")) != 0 {
		t.Error("the zero Ring vouches for something")
	}
	defer func() {
		if recover() == nil {
			t.Error("the zero Ring seals")
		}
	}()
	r.Seal("p", nil, nil)
}

func TestPurposesAreBounded(t *testing.T) {
	r := ring(t, key(t, 1, epoch))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range maxPurposes + 50 {
				p := strconv.Itoa(i)
				if !r.CheckMAC(p, nil, r.MAC(p, nil)) {
					t.Error(p)
				}
			}
		})
	}
	wg.Wait()
	n := 0
	r.reveal().derived.Range(func(any, any) bool { n++; return true })
	if n > maxPurposes {
		t.Errorf("%d purposes kept", n)
	}
}

// TestNothingPrints: no verb, marshaller or logger shows key material, at any depth.
func TestNothingPrints(t *testing.T) {
	k := key(t, 0xab, epoch)
	r := ring(t, k)
	r.MAC("p", nil) // derived keys are there, too
	type holder struct {
		R *Ring
		K Key
		r *Ring
		v Ring
		k []Key
	}
	h := holder{r, k, r, *r, []Key{k}}
	leak := func(s string) bool {
		s = strings.ToLower(s)
		return strings.Contains(s, "abab") || strings.Contains(s, "171 171") || strings.Contains(s, "0xab, 0xab") || strings.Contains(s, "q6ur") || strings.Contains(s, "ab ab")
	}
	for _, v := range []any{r, *r, &r, k, &k, h, &h, []any{r, k}, map[string]Key{"k": k}} {
		for c := 'A'; c <= 'z'; c++ {
			for _, flags := range []string{"", "+", "#", " "} {
				if got := fmt.Sprintf("%"+flags+string(c), v); leak(got) {
					t.Errorf("%%%s%c of %T: %s", flags, c, v, got)
				}
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		b, err := json.Marshal(v)
		if leak(log.String()) || leak(string(b)) || err != nil {
			t.Errorf("%T: log %s, JSON %s, %v", v, log.String(), b, err)
		}
	}
	if got := fmt.Sprint(r); got != "keyring["+k.ID()+"]" {
		t.Errorf("String = %s", got)
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, key(f, 1, epoch))
	f.Add(r.Seal("p", []byte("text"), nil), []byte(nil))
	f.Add(r.Sign("p", []byte("m")), []byte("m"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, in, msg []byte) {
		if _, err := r.Open("p", in, msg); err != nil && !errors.Is(err, ErrOpen) && !errors.Is(err, ErrUnknownKey) && !errors.Is(err, ErrNoBox) {
			t.Errorf("Open = %v", err)
		}
		if err := r.Verify("p", msg, in); err != nil && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrUnknownKey) {
			t.Errorf("Verify = %v", err)
		}
		r.CheckMAC("p", msg, in)
		if got, err := r.Open("p", r.Seal("p", in, msg), msg); err != nil || !bytes.Equal(got, in) {
			t.Errorf("round trip: %v", err)
		}
	})
}

func BenchmarkRing(b *testing.B) {
	r := ring(b, key(b, 1, epoch), key(b, 2, epoch))
	msg := make([]byte, 1024)
	box, mac, sig := r.Seal("p", msg, nil), r.MAC("p", msg), r.Sign("p", msg)
	for _, c := range []struct {
		name string
		fn   func() bool
	}{
		{"Seal1k", func() bool { return len(r.Seal("p", msg, nil)) > 0 }},
		{"Open1k", func() bool { _, err := r.Open("p", box, nil); return err == nil }},
		{"MAC1k", func() bool { return len(r.MAC("p", msg)) > 0 }},
		{"CheckMAC1kTwoKeys", func() bool { return r.CheckMAC("p", msg, mac) }},
		{"Sign1k", func() bool { return len(r.Sign("p", msg)) > 0 }},
		{"Verify1k", func() bool { return r.Verify("p", msg, sig) == nil }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !c.fn() {
					b.Fatal("failed")
				}
			}
		})
	}
}
