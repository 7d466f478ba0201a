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
	// ErrNoBox: what should be opened was not made by any ring, or is damaged so that it does not look like it.
	ErrNoBox = errors.New("keyring: not a box")
	// ErrUnknownKey: made with a key the ring does not hold; of signatures, or not by a ring at all.
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
	from    time.Time
	retired bool
	secret  [KeySize]byte
}

// NewKey returns the master key made of KeySize uniformly random bytes, which is the active one from then on, to the second, until a
// later one is.
func NewKey(secret []byte, from time.Time) (Key, error) {
	if len(secret) != KeySize {
		return Key{}, fmt.Errorf("keyring: master key of %d bytes, want %d", len(secret), KeySize)
	}
	if slices.Max(secret) == slices.Min(secret) {
		return Key{}, errors.New("keyring: master key is not random")
	}
	m := &master{from: from.UTC().Truncate(time.Second)}
	copy(m.secret[:], secret)
	copy(m.id[:], derive(m.secret[:], "key-id", "", idSize))
	return keyOf(m), nil
}

// Generate returns a new random master key, active from now on.
func Generate() Key { return generate(time.Now()) }

func generate(from time.Time) Key {
	for {
		secret := make([]byte, KeySize)
		_, _ = rand.Read(secret) // never fails: it ends the program instead
		if k, err := NewKey(secret, from); err == nil {
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

// From returns from when on the key may be the active one, to the second, UTC.
func (k Key) From() time.Time {
	if k.reveal == nil {
		return time.Time{}
	}
	return k.reveal().from
}

// Retired reports whether the key only opens what is stored.
func (k Key) Retired() bool { return k.reveal != nil && k.reveal().retired }

// retire returns the key as a retired one.
func (k Key) retire() Key {
	m := *k.reveal()
	m.retired = true
	return keyOf(&m)
}

// Ring is a set of master keys, safe for concurrent use. Make one with Load, LoadOrCreate, Create or New.
//
// The zero Ring holds no keys: it opens and verifies nothing, and panics when asked to seal, authenticate or sign.
type Ring struct {
	reveal func() *ringState // nil: no keys. A function for the same reason as Key's.
	adopt  func(*ringState)  // nil: no keys
}

// ringState does not change.
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

	retired bool
	sign    ed25519.PrivateKey

	es256 func() (*ecdsa.PrivateKey, error) // made when it is asked for first: few purposes want one
}

// New returns a ring of the keys. Of those whose time has come and that are not retired, the one with the latest is active; of two
// of the same time, the later argument; while none's has come, the oldest. It returns ErrNoKeys, when all are retired too, or
// ErrDuplicate.
func New(keys ...Key) (*Ring, error) {
	keys = slices.Clone(keys)
	slices.Reverse(keys)
	slices.SortStableFunc(keys, func(a, b Key) int { return b.From().Compare(a.From()) })
	if len(keys) == 0 {
		return nil, ErrNoKeys
	}
	if !slices.ContainsFunc(keys, func(k Key) bool { return !k.Retired() }) {
		return nil, fmt.Errorf("%w: all are retired", ErrNoKeys)
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
	now := new(atomic.Pointer[ringState])
	now.Store(&ringState{keys: keys})
	return &Ring{now.Load, now.Store}, nil
}

// Rotate returns a new ring with k, which opens and verifies at once and is the active one from its time on. r does not change.
// It returns an error if k is older than r's active key, since k would not become active then.
func (r *Ring) Rotate(k Key) (*Ring, error) {
	keys := r.Keys()
	if len(keys) > 0 && k.From().Before(keys[0].From()) {
		return nil, fmt.Errorf("keyring: key %s is older than the active key %s", k.ID(), keys[0].ID())
	}
	if r.reveal != nil {
		keys = slices.Clone(r.reveal().keys)
	}
	slices.Reverse(keys)
	return New(append(keys, k)...)
}

// Adopt has r hold the keys of the other from now on, for all who use r already. Neither may be the zero Ring.
func (r *Ring) Adopt(other *Ring) { r.adopt(other.reveal()) }

// Keys returns the keys, the active one first, then the newest. A Key tells its id and age, not its secret.
func (r *Ring) Keys() []Key {
	if r.reveal == nil {
		return nil
	}
	st := r.reveal()
	return first(st.keys, st.active())
}

// ActiveID is the id of the active key; "" for the zero Ring.
func (r *Ring) ActiveID() string {
	if r.reveal == nil {
		return ""
	}
	st := r.reveal()
	return st.keys[st.active()].ID()
}

// active is the place of the active key.
func (st *ringState) active() int {
	if len(st.keys) == 1 { // Fast path
		return 0
	}
	now, at := time.Now(), 0
	for i, k := range st.keys {
		if k.Retired() {
			continue
		}
		if at = i; !k.From().After(now) {
			break
		}
	}
	return at
}

// first returns all with the i-th first.
func first[T any](all []T, i int) []T {
	return slices.Concat(all[i:i+1], all[:i], all[i+1:])
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
	k := subkeys{id: m.id, retired: m.retired, sign: ed25519.NewKeyFromSeed(derive(m.secret[:], "sign", purpose, ed25519.SeedSize))}
	k.es256 = sync.OnceValues(func() (*ecdsa.PrivateKey, error) { return es256Of(m.secret[:], purpose) })
	copy(k.seal[:], derive(m.secret[:], "seal", purpose, len(k.seal)))
	copy(k.mac[:], derive(m.secret[:], "mac", purpose, len(k.mac)))
	return k
}

// all returns the purpose's keys in the order of the ring's; none for the zero Ring.
func (r *Ring) all(purpose string) []subkeys {
	if r.reveal == nil {
		return nil
	}
	return r.reveal().all(purpose)
}

func (st *ringState) all(purpose string) []subkeys {
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
	if r.reveal == nil {
		panic("keyring: use of a Ring without keys")
	}
	st := r.reveal()
	return &st.all(purpose)[st.active()]
}

// byID returns the purpose's key of that id, or ErrUnknownKey: of a retired one, too, unless retired is wanted.
func (r *Ring) byID(purpose string, id []byte, retired bool) (*subkeys, error) {
	ks := r.all(purpose)
	for i := range ks {
		if string(ks[i].id[:]) == string(id) && (retired || !ks[i].retired) {
			return &ks[i], nil
		}
	}
	return nil, ErrUnknownKey
}

// MAC returns the HMAC-SHA256 (32 bytes) of msg under the purpose's active key. It does not name its key.
func (r *Ring) MAC(purpose string, msg []byte) []byte { return r.active(purpose).hmac(msg) }

// CheckMAC reports whether mac is that of msg under any of the purpose's keys but retired ones. Its time does not depend on which one.
func (r *Ring) CheckMAC(purpose string, msg, mac []byte) bool {
	ok := false
	ks := r.all(purpose)
	for i := range ks {
		ok = hmac.Equal(ks[i].hmac(msg), mac) && !ks[i].retired || ok
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
