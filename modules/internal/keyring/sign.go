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
	ID   string            `json:"kid"` // as Key.ID
	From time.Time         `json:"from"`
	Key  ed25519.PublicKey `json:"key"` // 32 bytes
}

// Sign signs msg with the purpose's active key.
func (r *Ring) Sign(purpose string, msg []byte) []byte {
	k := r.active(purpose)
	sig := make([]byte, signHead, SignatureSize)
	sig[0] = signVersion
	copy(sig[1:], k.id[:])
	return append(sig, ed25519.Sign(k.sign, msg)...)
}

// Signer returns the public key that is active now, and what signs with it, though another one is active later: the bare Ed25519
// signature.
func (r *Ring) Signer(purpose string) (ed25519.PublicKey, func(msg []byte) []byte) {
	key := r.active(purpose).sign
	return bytes.Clone(key.Public().(ed25519.PublicKey)), func(msg []byte) []byte { return ed25519.Sign(key, msg) }
}

// Verify returns nil if sig is a signature by Sign for this purpose and message, ErrUnknownKey if no key of the ring made it or
// a retired one, or ErrSignature.
func (r *Ring) Verify(purpose string, msg, sig []byte) error {
	id, raw, err := splitSignature(sig)
	if err != nil {
		return err
	}
	k, err := r.byID(purpose, id, false)
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

// PublicKeys returns the keys that verify what the ring makes, made and will make for the purpose, the active one first. Retired ones
// are not among them.
func (r *Ring) PublicKeys(purpose string) (keys []PublicKey) {
	if r.reveal == nil {
		return nil
	}
	st := r.reveal()
	active := st.active()
	masters := first(st.keys, active)
	for i, k := range first(st.all(purpose), active) {
		if !k.retired {
			keys = append(keys, PublicKey{masters[i].ID(), masters[i].From(), bytes.Clone(k.sign.Public().(ed25519.PublicKey))})
		}
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
