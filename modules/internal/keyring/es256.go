package keyring

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"
)

// ForAssertions is the purpose of what applications are told; two rooms need it.
const ForAssertions = "assertion"

// ES256Key verifies what one key of a ring signs for one purpose as ES256 (RFC 7518 3.4): ECDSA on P-256 with SHA-256, for
// those who do not know Ed25519, which is most libraries for JSON web tokens. It is meant to be published.
type ES256Key struct {
	ID   string // as Key.ID
	From time.Time
	Key  *ecdsa.PublicKey
}

// SignES256 signs with the purpose's active key what text makes of that key's id, which a JWS names in its head, and returns it with
// the signature as JWS wants it: r and s, 32 bytes each. What text refuses is returned.
func (r *Ring) SignES256(purpose string, text func(id string) (string, error)) (signed string, sig []byte, err error) {
	k := r.active(purpose)
	key, err := k.es256()
	if err != nil {
		return "", nil, err
	}
	if signed, err = text(hex.EncodeToString(k.id[:])); err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256([]byte(signed))
	a, b, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", nil, fmt.Errorf("keyring: signing: %w", err)
	}
	sig = make([]byte, 64)
	a.FillBytes(sig[:32])
	b.FillBytes(sig[32:])
	return signed, sig, nil
}

// ES256Keys returns the keys that verify what SignES256 makes, made and will make for the purpose, the active one first. Retired ones
// are not among them.
func (r *Ring) ES256Keys(purpose string) (keys []ES256Key, err error) {
	if r.reveal == nil {
		return nil, nil
	}
	st := r.reveal()
	active := st.active()
	masters := first(st.keys, active)
	for i, k := range first(st.all(purpose), active) {
		if k.retired {
			continue
		}
		key, err := k.es256()
		if err != nil {
			return nil, err
		}
		keys = append(keys, ES256Key{masters[i].ID(), masters[i].From(), &key.PublicKey})
	}
	return keys, nil
}

// es256Of makes the private key of 48 derived bytes, as FIPS 186-5 A.2.1 does of random ones: (c mod (n-1)) + 1, with
// 128 bits to spare, so that no key is likelier than another.
func es256Of(secret []byte, purpose string) (*ecdsa.PrivateKey, error) {
	n := elliptic.P256().Params().N
	d := new(big.Int).SetBytes(derive(secret, "es256", purpose, 48))
	d.Mod(d, new(big.Int).Sub(n, big.NewInt(1))).Add(d, big.NewInt(1))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
	if err != nil {
		return nil, fmt.Errorf("keyring: deriving an ES256 key: %w", err)
	}
	return key, nil
}
