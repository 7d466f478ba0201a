package forward

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/recent"
)

// AssertionHeader carries the signed assertion.
const AssertionHeader = "X-Gatehouse-Assertion"

const (
	assertionLasts = 5 * time.Minute
	assertionReuse = time.Minute // an application always has four minutes left
	maxAssertions  = 4096        // remembered per site
	maxAssertion   = 8 << 10     // bytes: what many servers accept of a header
)

// Assertion has the application told in a way that it can verify itself: a JSON web token (RFC 7519), ES256.
type Assertion struct {
	// Who signs: the claim iss. Default: https:// and the site's first host name.
	Issuer string `json:"issuer,omitempty"`
	// For whom: the claim aud. Default: as issuer. An application must insist on its own.
	Audience string `json:"audience,omitempty"`
}

// claims are what an assertion says.
type claims struct {
	Issuer    string   `json:"iss"`
	Audience  string   `json:"aud"`
	Subject   string   `json:"sub"`
	Provider  string   `json:"provider"`
	Kind      string   `json:"kind,omitempty"` // service or guest; of people nothing
	Tenant    string   `json:"tenant,omitempty"`
	Name      string   `json:"name,omitempty"`
	Email     string   `json:"email,omitempty"`
	Roles     []string `json:"roles,omitempty"`
	Method    string   `json:"method"`        // by which credential
	Session   string   `json:"sid,omitempty"` // the session's public name, as in the logs
	AuthTime  int64    `json:"auth_time,omitempty"`
	AMR       []string `json:"amr,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	Factor    string   `json:"factor,omitempty"` // the second one's kind
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"`
}

// errAssertionTooLong says that an assertion would not fit into a header. Half of one would be none.
var errAssertionTooLong = errors.New("the assertion is longer than a header may be: name the roles that the application needs, with `forward … { roles … }`")

// signer signs assertions, and uses each again for a while: one signature costs more than all else that forward does.
// Make one with newSigner; it is safe for concurrent use.
type signer struct {
	Assertion
	made *recent.Map[string]
}

func newSigner(a Assertion) *signer {
	return &signer{Assertion: a, made: recent.New[string](maxAssertions)}
}

// assert returns the assertion about who makes the request: of the fields those that the site chose.
func (s *signer) assert(ring *keyring.Ring, fields []Field, known []string, p identity.Proof, now time.Time, granted ...string) (string, error) {
	c := s.about(fields, known, p, granted...)
	said, err := json.Marshal(c) // without its times: whatever else changes, changes the key
	if err != nil {
		return "", fmt.Errorf("writing an assertion: %w", err)
	}
	key := recent.KeyOf(string(said) + ring.ActiveID()) // none is told again that another key has signed
	if token, ok := s.made.Get(key, now); ok {
		return token, nil
	}
	// NumericDate is in whole seconds; an application's clock may be a little behind.
	c.IssuedAt, c.NotBefore, c.Expires = now.Unix(), now.Add(-time.Minute).Unix(), now.Add(assertionLasts).Unix()
	token, err := sign(ring, c)
	if err != nil {
		return "", err
	}
	s.made.Put(key, token, now, now.Add(assertionReuse))
	return token, nil
}

func (s *signer) about(fields []Field, known []string, p identity.Proof, granted ...string) claims {
	who := p.Identity()
	c := claims{
		Issuer: s.Issuer, Audience: s.Audience, Subject: who.Subject, Provider: who.Provider, Kind: string(p.Kind()), Tenant: p.Tenant(),
		Method: string(p.Method()), Session: p.Session(), AMR: who.AMR, ACR: who.ACR, Factor: p.Factor().Method,
	}
	if !who.AuthTime.IsZero() {
		c.AuthTime = who.AuthTime.Unix()
	}
	if slices.Contains(fields, Name) {
		c.Name = who.Name
	}
	if slices.Contains(fields, Email) {
		c.Email = who.Email
	}
	if slices.Contains(fields, Roles) {
		c.Roles = selected(with(who.Roles, granted), known)
	}
	return c
}

// sign makes a JWS in its compact form (RFC 7515 7.1) of the claims.
func sign(ring *keyring.Ring, c claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("writing an assertion: %w", err)
	}
	if len(ring.Keys()) == 0 {
		return "", fmt.Errorf("signing an assertion: %w", keyring.ErrNoKeys)
	}
	b64 := base64.RawURLEncoding
	text, sig, err := ring.SignES256(keyring.ForAssertions, func(id string) (string, error) {
		text := b64.EncodeToString([]byte(`{"alg":"ES256","kid":"`+id+`","typ":"JWT"}`)) + "." + b64.EncodeToString(payload)
		if len(text) > maxAssertion-90 {
			return "", errAssertionTooLong
		}
		return text, nil
	})
	if errors.Is(err, errAssertionTooLong) {
		return "", err
	}
	if err != nil {
		return "", fmt.Errorf("signing an assertion: %w", err)
	}
	return text + "." + b64.EncodeToString(sig), nil
}
