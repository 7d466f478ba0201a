package valkey

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// The server, and whoever reads its memory or its files, sees names of buckets, times, counts and sizes, and nothing else.
// IDs and index entries become names by a keyed hash; IDs and values are sealed, bound to bucket and name, so that none can
// be put in the place of another. What it can do is to forget, and to bring back what was there before.
//
// The keys are derived from one that is made with the store and lies in it, sealed by the keyring: names must stay the same
// when the master keys are rotated.

// purpose is the keyring's for the key of the store.
const purpose = "store"

// nameSize is how many bytes of the hash are a name: 128 bits, for which collisions need not be thought of.
const nameSize = 16

// sealer names and seals. It is safe for concurrent use.
type sealer struct {
	names []byte
	box   cipher.AEAD
}

// newStoreKey returns a random key for a new store, sealed by the ring.
func newStoreKey(ring *keyring.Ring, prefix string) []byte {
	key := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(key) // never fails
	return ring.Seal(purpose, key, []byte(prefix))
}

// SealedKey returns the store's key as it lies there. It is sealed once, by the master key that was active when the store was made.
func (s *remote) SealedKey() []byte { return s.key }

// openStoreKey opens what newStoreKey sealed, on this node or another one.
func openStoreKey(ring *keyring.Ring, prefix string, sealed []byte) (*sealer, error) {
	key, err := ring.OpenStored(purpose, sealed, []byte(prefix))
	if err != nil {
		return nil, fmt.Errorf("the store belongs to gateways with other master keys: give this one the same keys file (%w)", err)
	}
	names, err := hkdf.Key(sha256.New, key, nil, "names", sha256.Size)
	if err != nil {
		return nil, err
	}
	values, err := hkdf.Key(sha256.New, key, nil, "values", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	box, err := chacha20poly1305.NewX(values)
	if err != nil {
		return nil, err
	}
	return &sealer{names: names, box: box}, nil
}

// name is what text of that kind in the bucket is called in the store.
func (s *sealer) name(kind byte, b store.Bucket, text string) string {
	mac := hmac.New(sha256.New, s.names)
	mac.Write([]byte{kind})
	mac.Write([]byte(b))
	mac.Write([]byte{0})
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:nameSize])
}

// key is the name of an item, counter or lease.
func (s *sealer) key(k store.Key) string { return s.name('k', k.Bucket, k.ID) }

// indexes are the names of index entries, sorted and each once, with a space between them.
func (s *sealer) indexes(b store.Bucket, entries []string) string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = s.name('x', b, e)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// sealIndexes seals what index entries are called, sorted and each once, so that an item can be moved; nothing for none.
func (s *sealer) sealIndexes(b store.Bucket, name string, entries []string) string {
	if len(entries) == 0 {
		return ""
	}
	var plain []byte
	for _, e := range slices.Compact(slices.Sorted(slices.Values(entries))) {
		plain = append(binary.BigEndian.AppendUint16(plain, uint16(len(e))), e...) // store.MaxIndex
	}
	return s.seal('s', b, name, plain)
}

// openIndexes opens what sealIndexes made of the same.
func (s *sealer) openIndexes(b store.Bucket, name, sealed string) (entries []string, err error) {
	if sealed == "" {
		return nil, nil
	}
	plain, err := s.open('s', b, name, sealed)
	for err == nil && len(plain) > 0 {
		if len(plain) < 2 || len(plain)-2 < int(binary.BigEndian.Uint16(plain)) {
			return nil, fmt.Errorf("%w in bucket %q: indexes", store.ErrCorrupt, b)
		}
		n := 2 + int(binary.BigEndian.Uint16(plain))
		entries, plain = append(entries, string(plain[2:n])), plain[n:]
	}
	return entries, err
}

// seal seals plain as what of the bucket: an 'i' is an ID, and bound to nothing else; a 'v' a value and an 's' the names of indexes,
// bound to their item's name.
func (s *sealer) seal(what byte, b store.Bucket, name string, plain []byte) string {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	_, _ = rand.Read(nonce) // never fails
	return string(s.box.Seal(nonce, nonce, plain, bound(what, b, name)))
}

// open opens what seal made of the same.
func (s *sealer) open(what byte, b store.Bucket, name, sealed string) ([]byte, error) {
	if len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, fmt.Errorf("%w in bucket %q", store.ErrCorrupt, b)
	}
	nonce, box := []byte(sealed[:chacha20poly1305.NonceSizeX]), []byte(sealed[chacha20poly1305.NonceSizeX:])
	plain, err := s.box.Open(box[:0], nonce, box, bound(what, b, name))
	if err != nil {
		return nil, fmt.Errorf("%w in bucket %q: it does not open", store.ErrCorrupt, b)
	}
	return plain, nil
}

func bound(what byte, b store.Bucket, name string) []byte {
	return append(append(append([]byte{what}, b...), 0), name...)
}

// id opens the ID of an item.
func (s *sealer) id(b store.Bucket, sealed string) (store.Key, error) {
	plain, err := s.open('i', b, "", sealed)
	return store.Key{Bucket: b, ID: string(plain)}, err
}
