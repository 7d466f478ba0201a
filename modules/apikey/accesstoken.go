package apikey

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/recent"
	"gatehouse.internal/modules/internal/token"
)

// forTokens is the purpose of the keys that sign access tokens: what else the gateway signs is none.
const forTokens = "access_token"

const (
	defaultTokenLife = 10 * time.Minute
	maxTokenLife     = time.Hour
	maxTokenText     = 8 << 10 // bytes: what many servers accept of a header
	maxTokensKnown   = 8192
	tokenSkew        = time.Minute     // how far another node's clock may be ahead
	readFor          = 5 * time.Minute // for how long a signature need not be verified again, so that a retired key stops counting
)

// Why a token does not count, or is not made.
var (
	errTokenLong   = errors.New("it would be longer than a header may be: ask for the workspaces and scopes that you need")
	errForged      = errors.New("its signature is wrong")
	errTokenOther  = errors.New("it is for another audience or host")
	errTokenOver   = errors.New("it has expired")
	errTokenFuture = errors.New("it was made in the future")
)

// accessClaims are what an access token says (RFC 9068 2.2). Its subject is provider:subject, so that no program passes for a
// person (section 5); its client is the public id of the key that it was made for.
type accessClaims struct {
	Issuer     string        `json:"iss"`
	Audience   string        `json:"aud"`
	Subject    string        `json:"sub"`
	Client     string        `json:"client_id"`
	IssuedAt   int64         `json:"iat"`
	Expires    int64         `json:"exp"`
	ID         string        `json:"jti"`
	Scope      string        `json:"scope,omitempty"`
	Workspaces []string      `json:"workspaces,omitempty"`
	Roles      []string      `json:"roles,omitempty"`
	Tenant     string        `json:"tenant,omitempty"`
	Bound      *confirmation `json:"cnf,omitempty"`
}

// confirmation binds a token to a client certificate (RFC 8705 3.1).
type confirmation struct {
	Thumbprint string `json:"x5t#S256"`
}

// AccessAsk is what a token is to be for: scopes and workspaces are of the key's own.
type AccessAsk struct {
	Issuer, Audience   string
	Scopes, Workspaces []string
	Lasts              time.Duration
}

// Mint makes an access token for a key that counts, which t is about, and returns it with its id and when it expires.
func (b *Book) Mint(k *Key, t *testimony, ask AccessAsk, now time.Time) (text, id string, expires time.Time, err error) {
	expires = now.Add(ask.Lasts).Truncate(time.Second)
	if expires.After(k.Expires) {
		expires = k.Expires
	}
	c := accessClaims{
		Issuer: ask.Issuer, Audience: ask.Audience, Subject: k.Owner(), Client: k.ID, IssuedAt: now.Unix(), Expires: expires.Unix(),
		ID: token.Random("abcdefghijklmnopqrstuvwxyz234567", 16), Scope: strings.Join(ask.Scopes, " "), Workspaces: ask.Workspaces,
		Roles: t.Identity.Roles, Tenant: t.Identity.Tenant,
	}
	if k.Certificate != "" {
		sum, err := hex.DecodeString(k.Certificate)
		if err != nil {
			return "", "", time.Time{}, fmt.Errorf("the certificate of the key %s: %w", k.ID, err)
		}
		c.Bound = &confirmation{base64.RawURLEncoding.EncodeToString(sum)}
	}
	said, err := json.Marshal(c)
	if err != nil {
		return "", "", time.Time{}, fmt.Errorf("writing an access token: %w", err)
	}
	signed, sig, err := b.ring.SignES256(forTokens, func(kid string) (string, error) {
		text := accessHead(kid) + "." + base64.RawURLEncoding.EncodeToString(said)
		if len(text) > maxTokenText-90 {
			return "", errTokenLong
		}
		return text, nil
	})
	if err != nil {
		return "", "", time.Time{}, err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig), c.ID, expires, nil
}

// accessHead is the one head that a token of a key of the ring has, as it stands in the token. A token with any other, such as one of
// another algorithm or type, is none of ours.
func accessHead(kid string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"` + kid + `","typ":"at+jwt"}`))
}

// AccessToken is one that was found good, as far as it itself can say.
type AccessToken struct {
	accessClaims
	key       *Key       // as it was then
	testimony *testimony // what the two prove together
	owner     *testimony // what the key proved then: another one when its owner changes
	until     time.Time  // when its signature is verified again
}

// ours reports whether the text begins like a token that this gateway has signed, and with which key.
func (b *Book) ours(text string) (*ecdsa.PublicKey, error) {
	head, _, ok := strings.Cut(text, ".")
	if !ok || len(text) > maxTokenText {
		return nil, nil
	}
	keys, err := b.ring.ES256Keys(forTokens)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(keys, func(k keyring.ES256Key) bool { return head == accessHead(k.ID) })
	if i < 0 {
		return nil, nil
	}
	return keys[i].Key, nil
}

// FindToken returns the access token of this text and its key, if both count now; nil and nil when it is none of this gateway's. It
// does not judge for whom the token is. Errors are as those of Find.
func (b *Book) FindToken(ctx context.Context, text string, now time.Time) (*AccessToken, error) {
	sum := recent.KeyOf(text)
	known, ok := b.tokens.Get(sum, now)
	if !ok {
		by, err := b.ours(text)
		if by == nil || err != nil {
			return nil, err
		}
		c, err := readToken(text, by)
		if err != nil {
			return nil, err
		}
		known = &AccessToken{accessClaims: *c}
	}
	switch {
	case now.Unix() >= known.Expires:
		return nil, errTokenOver
	case now.Add(tokenSkew).Unix() < known.IssuedAt:
		return nil, errTokenFuture
	}
	k, t, err := b.alive(ctx, known.Client, now)
	if err != nil {
		return nil, err
	}
	if k.Owner() != known.Subject {
		return nil, errNoKey
	}
	if known.key == k && known.owner == t { // Fast path
		return known, nil
	}
	fresh := &AccessToken{accessClaims: known.accessClaims, key: k, owner: t}
	fresh.testimony = fresh.narrowed()
	if !ok {
		fresh.until = now.Add(readFor)
	} else {
		fresh.until = known.until
	}
	b.tokens.Put(sum, fresh, now, fresh.until)
	return fresh, nil
}

// readToken verifies what is said under one of our heads. Nothing in the token chooses how.
func readToken(text string, by *ecdsa.PublicKey) (*accessClaims, error) {
	at := strings.LastIndexByte(text, '.')
	_, payload, ok := strings.Cut(text[:at], ".")
	sig, err1 := base64.RawURLEncoding.Strict().DecodeString(text[at+1:])
	said, err2 := base64.RawURLEncoding.Strict().DecodeString(payload)
	if !ok || err1 != nil || err2 != nil || len(sig) != 64 {
		return nil, errForged
	}
	sum := sha256.Sum256([]byte(text[:at]))
	if !ecdsa.Verify(by, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, errForged
	}
	c := new(accessClaims)
	if err := json.Unmarshal(said, c); err != nil {
		return nil, fmt.Errorf("reading an access token of ours: %w", err)
	}
	return c, nil
}

// narrowed is what the key proves, within the token's bounds.
func (a *AccessToken) narrowed() *testimony {
	both := func(token, key []string) []string {
		return slices.DeleteFunc(slices.Clone(token), func(s string) bool { return !slices.Contains(key, s) })
	}
	by := a.owner.Credential
	by.Until = time.Unix(a.Expires, 0)
	by.Scopes, by.Workspaces = both(strings.Fields(a.Scope), by.Scopes), both(a.Workspaces, by.Workspaces)
	return &testimony{Identity: a.owner.Identity, Credential: by, Check: a.owner.Check}
}

// wordsWithin returns the words that are asked for, sorted, if all are among those that there are; all of these, if none is.
func wordsWithin(asked string, all []string) (words []string, ok bool) {
	if words = strings.Fields(asked); len(words) == 0 {
		return all, true
	}
	slices.Sort(words)
	words = slices.Compact(words)
	return words, !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(all, w) })
}
