package keyring

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"time"
)

// A signature is version, key id, and the Ed25519 signature (64 bytes) of the message itself, so that other tools can verify it.
const (
	signVersion = 1
	signHead    = 1 + idSize
)

// SignatureSize is the length of what Sign returns.
const SignatureSize = signHead + ed25519.SignatureSize

// PublicKey verifies what one key of a ring signs for one purpose. It is meant to be published.
type PublicKey struct {
	ID      string            `json:"kid"` // as Key.ID
	Created time.Time         `json:"created"`
	Key     ed25519.PublicKey `json:"key"` // 32 bytes
}

// Sign signs msg with the purpose's active key.
func (r *Ring) Sign(purpose string, msg []byte) []byte {
	k := r.active(purpose)
	sig := make([]byte, signHead, SignatureSize)
	sig[0] = signVersion
	copy(sig[1:], k.id[:])
	return append(sig, ed25519.Sign(k.sign, msg)...)
}

// SignRaw signs like Sign, but returns the key's id and the bare Ed25519 signature apart, as a JWS wants them.
func (r *Ring) SignRaw(purpose string, msg []byte) (id string, sig []byte) {
	k := r.active(purpose)
	return hex.EncodeToString(k.id[:]), ed25519.Sign(k.sign, msg)
}

// Verify returns nil if sig is a signature by Sign for this purpose and message, ErrUnknownKey if no key of the ring made it, or ErrSignature.
func (r *Ring) Verify(purpose string, msg, sig []byte) error {
	id, raw, err := splitSignature(sig)
	if err != nil {
		return err
	}
	k, err := r.byID(purpose, id)
	if err != nil {
		return err
	}
	return verify(k.sign.Public().(ed25519.PublicKey), msg, raw)
}

// VerifyWith is Verify for those who hold public keys only: the auditor, offline.
func VerifyWith(keys []PublicKey, msg, sig []byte) error {
	id, raw, err := splitSignature(sig)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.ID == hex.EncodeToString(id) {
			return verify(k.Key, msg, raw)
		}
	}
	return ErrUnknownKey
}

// PublicKey returns the key that verifies what Sign makes now.
func (r *Ring) PublicKey(purpose string) ed25519.PublicKey {
	return bytes.Clone(r.active(purpose).sign.Public().(ed25519.PublicKey))
}

// PublicKeys returns the keys that verify what the ring makes and made for the purpose, the active one first.
func (r *Ring) PublicKeys(purpose string) []PublicKey {
	var keys []PublicKey
	for i, k := range r.all(purpose) {
		m := r.reveal().keys[i]
		keys = append(keys, PublicKey{m.ID(), m.Created(), bytes.Clone(k.sign.Public().(ed25519.PublicKey))})
	}
	return keys
}

func splitSignature(sig []byte) (id, raw []byte, err error) {
	if len(sig) != SignatureSize || sig[0] != signVersion {
		return nil, nil, ErrUnknownKey
	}
	return sig[1:signHead], sig[signHead:], nil
}

func verify(key ed25519.PublicKey, msg, raw []byte) error {
	// ed25519.Verify panics for a key of another length, and PublicKey may come from a file.
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, msg, raw) {
		return ErrSignature
	}
	return nil
}
