package oidc

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// How keys are looked for.
const (
	quietFor   = 30 * time.Second // after a fetch of keys that led nowhere
	unknownFor = time.Minute      // a key that was not there is not looked for again
	maxUnknown = 256              // key ids remembered as unknown
	maxKeyID   = 256              // bytes in a key id; no token with a longer one is worth a fetch
	maxKeys    = 100              // keys taken of a set
	minRSABits = 2048
)

var errSignature = errors.New("no key of the provider's made the signature")

// keySet verifies signatures with the provider's keys. It implements go-oidc's KeySet, and is used in place of its
// RemoteKeySet, which asks the provider once for each bad token.
//
// A token that no key fits may be signed with a newer key, so the set is fetched anew. While no such fetch leads to
// success there is one in quietFor at most, whatever is presented; and none for a key id that was just looked for. A
// provider may change its keys as often as it likes. It is safe for concurrent use.
type keySet struct {
	doc *remote[[]jose.JSONWebKey]

	mu      sync.Mutex
	quiet   time.Time            // guarded by mu; nothing is fetched for a token's sake before
	unknown map[string]time.Time // guarded by mu; key id -> until when it counts as unknown
}

func newKeySet(fetch func(context.Context) ([]jose.JSONWebKey, error)) *keySet {
	return &keySet{doc: &remote[[]jose.JSONWebKey]{fetch: fetch}, unknown: map[string]time.Time{}}
}

// VerifySignature returns the payload of a compact JWS signed by one of the keys. The error is an [ErrDown] when there
// are no keys to judge with, or newer ones are needed and cannot be had.
func (s *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(jwt, joseAlgorithms())
	if err != nil {
		return nil, fmt.Errorf("%w: malformed JWS", errSignature)
	}
	keys, err := s.doc.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	if payload, ok := verify(jws, keys); ok { // Fast path
		return payload, nil
	}
	kid := jws.Signatures[0].Protected.KeyID
	if !s.mayRenew(kid) {
		return nil, errSignature
	}
	if keys, err = s.doc.renew(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	payload, ok := verify(jws, keys)
	if !ok {
		s.forget(kid, keys)
		return nil, errSignature
	}
	s.mu.Lock()
	s.quiet = time.Time{}
	s.mu.Unlock()
	return payload, nil
}

// mayRenew reports whether the set may be fetched for the sake of this key id, and if so reserves the attempt.
func (s *keySet) mayRenew(kid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(kid) > maxKeyID || now.Before(s.quiet) || now.Before(s.unknown[kid]) {
		return false
	}
	s.quiet = now.Add(quietFor)
	return true
}

// forget remembers that the provider has no such key, if it has none.
func (s *keySet) forget(kid string, keys []jose.JSONWebKey) {
	for _, k := range keys {
		if kid == "" || k.KeyID == kid {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for old, until := range s.unknown {
		if !now.Before(until) || len(s.unknown) >= maxUnknown {
			delete(s.unknown, old)
		}
	}
	s.unknown[kid] = now.Add(unknownFor)
}

// verify returns the payload when a key that fits the token's header made its signature. A token or a key without an id
// is tried with all others: they are the provider's own, all of them.
func verify(jws *jose.JSONWebSignature, keys []jose.JSONWebKey) ([]byte, bool) {
	header := jws.Signatures[0].Protected
	for _, k := range keys {
		if header.KeyID != "" && k.KeyID != "" && header.KeyID != k.KeyID {
			continue
		}
		if k.Algorithm != "" && k.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := jws.Verify(k); err == nil {
			return payload, true
		}
	}
	return nil, false
}

func joseAlgorithms() []jose.SignatureAlgorithm {
	list := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, a := range algorithms {
		list[i] = jose.SignatureAlgorithm(a)
	}
	return list
}

// jwks is a JSON Web Key Set as it comes.
type jwks struct {
	Keys []json.RawMessage `json:"keys"`
}

// usable returns the public keys that may have signed a token. Others are passed over, as RFC 7517 5 asks: a provider
// may publish keys that we do not know how to use. A set of none is an error, so that it does not replace a good one.
func (set jwks) usable() ([]jose.JSONWebKey, error) {
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) != nil || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
			continue
		}
		if pub, ok := k.Key.(*rsa.PublicKey); ok && pub.N.BitLen() < minRSABits {
			continue
		}
		if keys = append(keys, k); len(keys) == maxKeys {
			break
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the provider publishes no usable key")
	}
	return keys, nil
}
