package oidc

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// skew is how far the provider's clock and ours may differ, either way, in every comparison.
const skew = time.Minute

// maxTime is the last second of the year 9999, beyond which times cannot be written down again.
const maxTime = 253402300799

// tokenTypes are the typ headers that an ID token may carry. Access tokens (at+jwt), logout tokens (logout+jwt) and the
// like are signed with the same keys and must not pass for one (RFC 8725 3.11).
var tokenTypes = []string{"", "jwt", "id_token+jwt"}

// expected is what an ID token is held against.
type expected struct {
	issuer, clientID, nonce string
	started                 time.Time // when the nonce was made
	algorithms              []string
	accessToken             string // came beside the ID token; may be empty
}

// keySetErr keeps the key set's error, which go-oidc passes on as text only.
type keySetErr struct {
	set gooidc.KeySet
	err error
}

// VerifySignature implements go-oidc's KeySet.
func (k *keySetErr) VerifySignature(ctx context.Context, jwt string) (payload []byte, err error) {
	payload, k.err = k.set.VerifySignature(ctx, jwt)
	return payload, k.err
}

// verifyIDToken returns the claims of an ID token that is valid for this login (OpenID Connect Core 3.1.3.7).
//
// go-oidc checks the algorithm, the signature, the issuer and the audience, and at_hash on request. It leaves nonce, sub,
// azp, iat and the header's typ to its caller, reads claim names without regard to case, and allows exp no skew but nbf
// five minutes. So its time check is switched off (SkipExpiryCheck), and all claims are judged here by their exact names.
func verifyIDToken(ctx context.Context, keys gooidc.KeySet, raw string, want expected) (claims, error) {
	if err := checkHeader(raw); err != nil {
		return nil, err
	}
	set := &keySetErr{set: keys}
	token, err := gooidc.NewVerifier(want.issuer, set, &gooidc.Config{
		ClientID: want.clientID, SupportedSigningAlgs: want.algorithms, SkipExpiryCheck: true,
	}).Verify(ctx, raw)
	if set.err != nil {
		return nil, set.err
	}
	if err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	var payload json.RawMessage
	if err := token.Claims(&payload); err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	c, err := parseClaims(payload)
	if err != nil {
		return nil, err
	}
	if err := c.checkParties(want); err != nil {
		return nil, err
	}
	if err := c.checkTimes(time.Now(), want.started); err != nil {
		return nil, err
	}
	if token.AccessTokenHash != "" && want.accessToken != "" {
		if err := token.VerifyAccessToken(want.accessToken); err != nil {
			return nil, errors.New("ID token: at_hash does not belong to the access token")
		}
	}
	return c, nil
}

// checkHeader refuses tokens that are no compact JWS, of another type, or with extensions that must be understood.
func checkHeader(raw string) error {
	head, _, ok := strings.Cut(raw, ".")
	if !ok || strings.Count(raw, ".") != 2 {
		return errors.New("ID token: not three parts")
	}
	plain, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return errors.New("ID token: header is not base64url")
	}
	h, err := parseClaims(plain)
	if err != nil {
		return errors.New("ID token: header is not a JSON object")
	}
	typ, err := h.text("typ")
	if err != nil || !slices.Contains(tokenTypes, strings.ToLower(typ)) {
		return fmt.Errorf("ID token: of type %.40q", typ)
	}
	if _, there := h["crit"]; there {
		return errors.New("ID token: critical header extensions")
	}
	return nil
}

func (c claims) checkParties(want expected) error {
	issuer, err1 := c.text("iss")
	subject, err2 := c.text("sub")
	azp, err3 := c.text("azp")
	nonce, err4 := c.text("nonce")
	audience, err5 := c.texts("aud")
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return fmt.Errorf("ID token: %w", err)
	}
	_, logout := c["events"]
	switch {
	case issuer != want.issuer:
		return fmt.Errorf("ID token: from %.200q", issuer)
	case !slices.Contains(audience, want.clientID):
		return fmt.Errorf("ID token: for %.200q", audience)
	case len(audience) > 1 && azp == "":
		return errors.New("ID token: several audiences and no azp")
	case azp != "" && azp != want.clientID:
		return fmt.Errorf("ID token: azp is %.200q", azp)
	case want.nonce == "" || subtle.ConstantTimeCompare([]byte(nonce), []byte(want.nonce)) != 1:
		return errors.New("ID token: nonce is not this login's")
	case logout:
		return errors.New("ID token: it is a security event")
	}
	return checkSubject(subject)
}

// checkSubject refuses what is no subject (Core 2: at most 255 ASCII characters) or would not be safe in a header.
func checkSubject(s string) error {
	if s == "" || len(s) > 255 {
		return errors.New("sub is missing or too long")
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return fmt.Errorf("sub %.80q is not printable ASCII", s)
		}
	}
	return nil
}

// checkTimes judges exp, nbf, iat and auth_time, all with the same skew. A token that carries this login's nonce cannot
// be older than the nonce: one that is comes from a clock that is slow, or was not made for us.
func (c claims) checkTimes(now, started time.Time) error {
	expires, hasExp, err1 := c.time("exp")
	notBefore, hasNbf, err2 := c.time("nbf")
	issued, hasIat, err3 := c.time("iat")
	authTime, hasAuth, err4 := c.time("auth_time")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fmt.Errorf("ID token: %w", err)
	}
	switch {
	case !hasExp || !hasIat:
		return errors.New("ID token: without exp or iat")
	case !now.Before(expires.Add(skew)):
		return fmt.Errorf("ID token: expired %v ago; do the clocks agree?", now.Sub(expires).Round(time.Second))
	case hasNbf && now.Add(skew).Before(notBefore):
		return fmt.Errorf("ID token: not valid for another %v; do the clocks agree?", notBefore.Sub(now).Round(time.Second))
	case now.Add(skew).Before(issued):
		return fmt.Errorf("ID token: issued %v ahead of our clock", issued.Sub(now).Round(time.Second))
	case issued.Before(started.Add(-skew)):
		return fmt.Errorf("ID token: issued %v before this login began; do the clocks agree?", started.Sub(issued).Round(time.Second))
	case hasAuth && now.Add(skew).Before(authTime):
		return fmt.Errorf("ID token: auth_time is %v ahead of our clock", authTime.Sub(now).Round(time.Second))
	}
	return nil
}

// claims is a JSON object, its numbers as they were written. Names are exact: "SUB" is not sub.
type claims map[string]any

func parseClaims(raw []byte) (claims, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var c claims
	if err := d.Decode(&c); err != nil || c == nil {
		return nil, errors.New("not a JSON object")
	}
	return c, nil
}

// text returns a string claim; "" when it is not there.
func (c claims) text(name string) (string, error) {
	switch v := c[name].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", fmt.Errorf("%s is not a string", name)
}

// texts returns a claim that is a string or an array of strings; nil when it is not there.
func (c claims) texts(name string) ([]string, error) { return asTexts(name, c[name]) }

func asTexts(name string, v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		list := make([]string, len(v))
		for i := range v {
			var ok bool
			if list[i], ok = v[i].(string); !ok {
				return nil, fmt.Errorf("%s is not a list of strings", name)
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("%s is neither a string nor a list of strings", name)
}

// time returns a NumericDate (RFC 7519 2), with or without a fraction.
func (c claims) time(name string) (t time.Time, there bool, err error) {
	v, there := c[name]
	if !there || v == nil {
		return time.Time{}, false, nil
	}
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false, fmt.Errorf("%s is not a number", name)
	}
	seconds, err := n.Float64()
	if err != nil || seconds < 0 || seconds > maxTime {
		return time.Time{}, false, fmt.Errorf("%s is not a time", name)
	}
	return time.Unix(int64(seconds), 0), true, nil
}
