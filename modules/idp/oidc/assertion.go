package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// assertionType is the client_assertion_type of RFC 7523 2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionFor is how long an assertion is good: it is made for the one request that carries it.
const assertionFor = time.Minute

// ClientKey is a private key that a client proves itself with, in place of a secret (private_key_jwt: RFC 7523, OpenID
// Connect Core 9). It does not change, prints as nothing, and is safe for concurrent use.
type ClientKey struct {
	key  func() crypto.Signer // a function, as reflection cannot look into one
	kid  string
	algs []jose.SignatureAlgorithm // what the key can be used with, the best first
}

// ParseClientKey reads an RSA (2,048 bits or more), ECDSA (P-256, P-384, P-521) or Ed25519 key: one PEM block, PKCS #8,
// PKCS #1 or SEC 1. kid is what the provider calls the key; "": its RFC 7638 thumbprint. No error shows of what text holds.
func ParseClientKey(text []byte, kid string) (*ClientKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, errors.New("no private key in PEM form")
	}
	var parsed any
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
		func(b []byte) (any, error) { return x509.ParseECPrivateKey(b) },
	} {
		if key, err := parse(block.Bytes); err == nil {
			parsed = key
			break
		}
	}
	k := &ClientKey{kid: kid}
	switch key := parsed.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("an RSA key of %d bits: want %d or more", key.N.BitLen(), minRSABits)
		}
		k.algs = []jose.SignatureAlgorithm{jose.PS256, jose.RS256}
	case *ecdsa.PrivateKey:
		alg, ok := map[elliptic.Curve]jose.SignatureAlgorithm{
			elliptic.P256(): jose.ES256, elliptic.P384(): jose.ES384, elliptic.P521(): jose.ES512,
		}[key.Curve]
		if !ok {
			return nil, errors.New("an ECDSA key on a curve that JOSE does not know")
		}
		k.algs = []jose.SignatureAlgorithm{alg}
	case ed25519.PrivateKey:
		k.algs = []jose.SignatureAlgorithm{jose.EdDSA}
	default:
		return nil, errors.New("no RSA, ECDSA or Ed25519 private key")
	}
	signer := parsed.(crypto.Signer)
	k.key = func() crypto.Signer { return signer }
	if k.kid == "" {
		sum, err := (&jose.JSONWebKey{Key: signer.Public()}).Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, fmt.Errorf("naming the key: %w", err)
		}
		k.kid = base64.RawURLEncoding.EncodeToString(sum)
	}
	return k, nil
}

// algorithm returns the algorithm to sign with at a provider that names those it takes. One that names none takes RS256
// at least (Discovery 3), so that it comes before PS256 there.
func (k *ClientKey) algorithm(taken []string) (jose.SignatureAlgorithm, error) {
	if len(taken) == 0 {
		return k.algs[len(k.algs)-1], nil
	}
	for _, alg := range k.algs {
		if slices.Contains(taken, string(alg)) {
			return alg, nil
		}
	}
	return "", fmt.Errorf("it takes no client assertion signed with %v, which is what client_key is good for", k.algs)
}

// assertion makes one for the client at the audience.
func (k *ClientKey) assertion(clientID, audience string, taken []string, now time.Time) (string, error) {
	alg, err := k.algorithm(taken)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: k.key(), KeyID: k.kid}},
		(&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	payload, err := json.Marshal(map[string]any{
		"iss": clientID, "sub": clientID, "aud": audience, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionFor).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	return signed.CompactSerialize()
}
