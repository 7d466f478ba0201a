package keyring

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"math/big"
	"testing"
	"time"
)

// What one key of the ring has signed, its public key verifies, after a rotation and in another process too; no other
// purpose's does.
func TestES256(t *testing.T) {
	secret := make([]byte, KeySize)
	secret[0] = 1
	old, err := NewKey(secret, time.Unix(1700000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	before, err := New(old)
	if err != nil {
		t.Fatal(err)
	}
	msg := []byte("header.payload")
	said := ""
	text, sig, err := before.SignES256("assertion", func(id string) (string, error) { said = id; return string(msg), nil })
	if err != nil || said != old.ID() || text != string(msg) || len(sig) != 64 {
		t.Fatalf("%s, %d bytes, %v", said, len(sig), err)
	}
	again, err := New(old, Generate())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := again.ES256Keys("assertion")
	if err != nil || len(keys) != 2 || keys[1].ID != old.ID() {
		t.Fatalf("%v %v", keys, err)
	}
	holds := func(key *ecdsa.PublicKey) bool {
		sum := sha256.Sum256(msg)
		return ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	}
	if !holds(keys[1].Key) || holds(keys[0].Key) {
		t.Errorf("the old key verifies: %v; the new one: %v", holds(keys[1].Key), holds(keys[0].Key))
	}
	other, err := again.ES256Keys("another")
	if err != nil || holds(other[1].Key) {
		t.Errorf("another purpose's key verifies, %v", err)
	}
}

func BenchmarkSignES256(b *testing.B) {
	r, err := New(Generate())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := r.SignES256("assertion", func(string) (string, error) { return "header.payload", nil }); err != nil {
			b.Fatal(err)
		}
	}
}
