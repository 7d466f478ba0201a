package keyring

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// KeySize is the length of a master key in bytes.
const KeySize = 32

const (
	idSize      = 4
	domain      = "gatehouse/v1/"
	maxPurposes = 1024
	redacted    = "***"
)

var (
	// ErrNoKeys: a ring needs at least one key.
	ErrNoKeys = errors.New("keyring: no keys")
	// ErrDuplicate: a key is in the ring twice.
	ErrDuplicate = errors.New("keyring: duplicate key")
	// ErrUnknownKey: made with a key the ring does not hold, or not by a ring at all.
	ErrUnknownKey = errors.New("keyring: unknown key")
	// ErrOpen: the box was changed, or made for another purpose or other additional data.
	ErrOpen = errors.New("keyring: box does not open")
	// ErrSignature: the signature is not one for this message and purpose.
	ErrSignature = errors.New("keyring: invalid signature")
)

// Key is a master key. It never prints itself. The zero Key is none.
type Key struct {
	reveal func() *master // nil: none. Not a pointer: fmt follows those of unexported fields when a verb does not fit.
}

func keyOf(m *master) Key { return Key{func() *master { return m }} }

type master struct {
	id      [idSize]byte
	created time.Time
	secret  [KeySize]byte
}

// NewKey returns the master key made of KeySize uniformly random bytes. Its order among others is that of created, to the second.
func NewKey(secret []byte, created time.Time) (Key, error) {
	if len(secret) != KeySize {
		return Key{}, fmt.Errorf("keyring: master key of %d bytes, want %d", len(secret), KeySize)
	}
	if slices.Max(secret) == slices.Min(secret) {
		return Key{}, errors.New("keyring: master key is not random")
	}
	m := &master{created: created.UTC().Truncate(time.Second)}
	copy(m.secret[:], secret)
	copy(m.id[:], derive(m.secret[:], "key-id", "", idSize))
	return keyOf(m), nil
}

// Generate returns a new random master key, created now.
func Generate() Key {
	for {
		secret := make([]byte, KeySize)
		_, _ = rand.Read(secret) // never fails: it ends the program instead
		if k, err := NewKey(secret, time.Now()); err == nil {
			return k
		}
	}
}

// ID names the key: eight hexadecimal digits, fit for a JWK's kid. Empty for the zero Key.
func (k Key) ID() string {
	if k.reveal == nil {
		return ""
	}
	return hex.EncodeToString(k.reveal().id[:])
}

// Created returns when the key was made, to the second, UTC.
func (k Key) Created() time.Time {
	if k.reveal == nil {
		return time.Time{}
	}
	return k.reveal().created
}

// Ring is an immutable set of master keys, safe for concurrent use. Make one with Load, LoadOrCreate, Create or New.
//
// The zero Ring holds no keys: it opens and verifies nothing, and panics when asked to seal, authenticate or sign.
type Ring struct {
	reveal func() *ringState // nil: no keys. A function for the same reason as Key's.
}

type ringState struct {
	keys    []Key    // newest first, never empty
	derived sync.Map // purpose → []subkeys, as keys
	count   atomic.Int64
}

// subkeys are what one purpose makes of one master key.
type subkeys struct {
	id   [idSize]byte
	seal [32]byte
	mac  [32]byte
	sign ed25519.PrivateKey

	es256 func() (*ecdsa.PrivateKey, error) // made when it is asked for first: few purposes want one
}

// New returns a ring of the keys. The one with the latest created time is active; of two as old, the later argument.
// It returns ErrNoKeys or ErrDuplicate.
func New(keys ...Key) (*Ring, error) {
	keys = slices.Clone(keys)
	slices.Reverse(keys)
	slices.SortStableFunc(keys, func(a, b Key) int { return b.Created().Compare(a.Created()) })
	if len(keys) == 0 {
		return nil, ErrNoKeys
	}
	seen := map[string]bool{}
	for _, k := range keys {
		if k.reveal == nil {
			return nil, fmt.Errorf("%w: zero Key", ErrNoKeys)
		}
		if seen[k.ID()] {
			return nil, fmt.Errorf("%w: %s", ErrDuplicate, k.ID())
		}
		seen[k.ID()] = true
	}
	st := &ringState{keys: keys}
	return &Ring{func() *ringState { return st }}, nil
}

// Rotate returns a new ring in which k is active and r's keys still open and verify. r does not change.
// It returns an error if k is older than r's active key, since k would not become active then.
func (r *Ring) Rotate(k Key) (*Ring, error) {
	keys := r.Keys()
	if len(keys) > 0 && k.Created().Before(keys[0].Created()) {
		return nil, fmt.Errorf("keyring: key %s is older than the active key %s", k.ID(), keys[0].ID())
	}
	slices.Reverse(keys)
	return New(append(keys, k)...)
}

// Keys returns the keys, the active one first. A Key tells its id and age, not its secret.
func (r *Ring) Keys() []Key {
	if r.reveal == nil {
		return nil
	}
	return slices.Clone(r.reveal().keys)
}

// derive is HKDF-SHA256. use is one of a few words without a slash, so use and purpose cannot be mistaken for one another.
func derive(secret []byte, use, purpose string, n int) []byte {
	b, err := hkdf.Key(sha256.New, secret, nil, domain+use+"/"+purpose, n)
	if err != nil {
		panic("keyring: HKDF: " + err.Error()) // lengths are constant: cannot happen
	}
	return b
}

func (m *master) subkeys(purpose string) subkeys {
	k := subkeys{id: m.id, sign: ed25519.NewKeyFromSeed(derive(m.secret[:], "sign", purpose, ed25519.SeedSize))}
	k.es256 = sync.OnceValues(func() (*ecdsa.PrivateKey, error) { return es256Of(m.secret[:], purpose) })
	copy(k.seal[:], derive(m.secret[:], "seal", purpose, len(k.seal)))
	copy(k.mac[:], derive(m.secret[:], "mac", purpose, len(k.mac)))
	return k
}

// all returns the purpose's keys, the active one first; none for the zero Ring.
func (r *Ring) all(purpose string) []subkeys {
	if r.reveal == nil {
		return nil
	}
	st := r.reveal()
	if ks, ok := st.derived.Load(purpose); ok {
		return ks.([]subkeys)
	}
	ks := make([]subkeys, 0, len(st.keys))
	for _, k := range st.keys {
		ks = append(ks, k.reveal().subkeys(purpose))
	}
	if st.count.Add(1) > maxPurposes {
		st.count.Add(-1)
		return ks
	}
	if kept, loaded := st.derived.LoadOrStore(purpose, ks); loaded {
		st.count.Add(-1)
		return kept.([]subkeys)
	}
	return ks
}

func (r *Ring) active(purpose string) *subkeys {
	ks := r.all(purpose)
	if len(ks) == 0 {
		panic("keyring: use of a Ring without keys")
	}
	return &ks[0]
}

func (r *Ring) byID(purpose string, id []byte) (*subkeys, error) {
	ks := r.all(purpose)
	for i := range ks {
		if string(ks[i].id[:]) == string(id) {
			return &ks[i], nil
		}
	}
	return nil, ErrUnknownKey
}

// MAC returns the HMAC-SHA256 (32 bytes) of msg under the purpose's active key. It does not name its key.
func (r *Ring) MAC(purpose string, msg []byte) []byte { return r.active(purpose).hmac(msg) }

// CheckMAC reports whether mac is that of msg under any of the purpose's keys. Its time does not depend on which one.
func (r *Ring) CheckMAC(purpose string, msg, mac []byte) bool {
	ok := false
	ks := r.all(purpose)
	for i := range ks {
		ok = hmac.Equal(ks[i].hmac(msg), mac) || ok
	}
	return ok
}

func (k *subkeys) hmac(msg []byte) []byte {
	h := hmac.New(sha256.New, k.mac[:])
	h.Write(msg)
	return h.Sum(nil)
}

// String returns the ids of the keys, the active one first.
func (r *Ring) String() string {
	if r == nil {
		return "keyring(nil)"
	}
	ids := make([]string, 0, 4)
	for _, k := range r.Keys() {
		ids = append(ids, k.ID())
	}
	return fmt.Sprintf("keyring%v", ids)
}

// GoString is String.
func (r *Ring) GoString() string { return r.String() }

// Format writes String for every verb and flag.
func (r *Ring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue is String.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalJSON returns "***".
func (r *Ring) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// String returns the id.
func (k Key) String() string { return "key(" + k.ID() + ")" }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Format writes String for every verb and flag.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON returns "***".
func (k Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
