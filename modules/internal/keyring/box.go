package keyring

import (
	"crypto/rand"
	"encoding/hex"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// A box is version, key id, nonce, ciphertext and tag. The cipher is XChaCha20-Poly1305: its nonces are long enough to be random for as long
// as a key lives, where AES-GCM's are spent after 2^32 boxes of a purpose; and it is constant in time on every processor.
const (
	boxVersion = 1
	boxHead    = 1 + idSize
	nonceSize  = chacha20poly1305.NonceSizeX
	boxMin     = boxHead + nonceSize + chacha20poly1305.Overhead
)

// Overhead is how many bytes a box is longer than its plaintext.
const Overhead = boxMin

// Seal encrypts plaintext under the purpose's active key. aad is authenticated, not contained: Open must be given the same.
// It panics for a plaintext beyond 256 GiB.
func (r *Ring) Seal(purpose string, plaintext, aad []byte) []byte {
	k := r.active(purpose)
	box := make([]byte, boxHead+nonceSize, boxMin+len(plaintext))
	box[0] = boxVersion
	copy(box[1:], k.id[:])
	_, _ = rand.Read(box[boxHead:]) // never fails: it ends the program instead
	aead, err := chacha20poly1305.NewX(k.seal[:])
	if err != nil {
		panic("keyring: " + err.Error()) // the key's length is constant: cannot happen
	}
	return aead.Seal(box, box[boxHead:], plaintext, additional(box, aad))
}

// Open returns the plaintext of a box, ErrUnknownKey if no key of the ring made it or a retired one, ErrNoBox, or ErrOpen. It is for
// what others hand in.
func (r *Ring) Open(purpose string, box, aad []byte) ([]byte, error) {
	return r.open(purpose, box, aad, false)
}

// OpenStored is Open for what the gateway has kept itself, where nobody else writes: boxes of retired keys open as well.
func (r *Ring) OpenStored(purpose string, box, aad []byte) ([]byte, error) {
	return r.open(purpose, box, aad, true)
}

// SealedBy returns the id of the key that made the box, as Key.ID; "" for what is no box.
func SealedBy(box []byte) string {
	if len(box) < boxMin || box[0] != boxVersion {
		return ""
	}
	return hex.EncodeToString(box[1:boxHead])
}

func (r *Ring) open(purpose string, box, aad []byte, retired bool) ([]byte, error) {
	if len(box) < boxMin || box[0] != boxVersion {
		return nil, ErrNoBox
	}
	k, err := r.byID(purpose, box[1:boxHead], retired)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(k.seal[:])
	if err != nil {
		return nil, ErrOpen
	}
	nonce := box[boxHead : boxHead+nonceSize]
	plaintext, err := aead.Open(nil, nonce, box[boxHead+nonceSize:], additional(box, aad))
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// additional binds the head, too. It is of fixed length, so head and aad cannot run into one another.
func additional(box, aad []byte) []byte { return slices.Concat(box[:boxHead], aad) }
