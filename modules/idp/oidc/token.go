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

// The typ headers that tokens may carry. Access tokens (at+jwt) and the like are signed with the same keys, and none must
// pass for another (RFC 8725 3.11).
var (
	idTokenTypes     = []string{"", "jwt", "id_token+jwt"}
	logoutTokenTypes = []string{"", "jwt", "logout+jwt"} // without the header it is told by its events
)

// errOther says that a token, or an answer, that is genuine is about somebody or something else than it should be.
var errOther = errors.New("it is not about this login")

// expected is what an ID token is held against.
type expected struct {
	issuer, clientID, nonce string
	started                 time.Time // when the nonce was made, or the renewal began
	algorithms              []string
	accessToken             string        // came beside the ID token; may be empty
	acr                     []string      // one of these was asked for; empty: none
	maxAge                  time.Duration // the login may be so old; zero: any age
	anew                    bool          // the person was to log in again
	original                *kept         // of a renewal: what the first ID token said; nil: this is the first
	clock                   *clock
}

// keySetErr keeps the key set's error, which go-oidc passes on as text only.
type keySetErr struct {
	set    gooidc.KeySet
	err    error
	signed bool // the signature is good
}

// VerifySignature implements go-oidc's KeySet.
func (k *keySetErr) VerifySignature(ctx context.Context, jwt string) (payload []byte, err error) {
	payload, k.err = k.set.VerifySignature(ctx, jwt)
	k.signed = k.err == nil
	return payload, k.err
}

// verifySigned returns a token of one of the types that the provider signed for this client, and its claims.
//
// go-oidc checks the algorithm, the signature, the issuer and the audience, and at_hash on request. It leaves nonce, sub,
// azp, iat and the header's typ to its caller, reads claim names without regard to case, and allows exp no skew but nbf
// five minutes. So its time check is switched off (SkipExpiryCheck), and all claims are judged here by their exact names.
func verifySigned(ctx context.Context, keys gooidc.KeySet, raw string, types []string, want expected) (*gooidc.IDToken, claims, error) {
	if err := checkHeader(raw, types); err != nil {
		return nil, nil, err
	}
	set := &keySetErr{set: keys}
	token, err := gooidc.NewVerifier(want.issuer, set, &gooidc.Config{
		ClientID: want.clientID, SupportedSigningAlgs: want.algorithms, SkipExpiryCheck: true,
	}).Verify(ctx, raw)
	switch {
	case set.err != nil:
		return nil, nil, set.err
	case err != nil && set.signed:
		return nil, nil, fmt.Errorf("%w: %w", errOther, err)
	case err != nil:
		return nil, nil, err
	}
	var payload json.RawMessage
	if err := token.Claims(&payload); err != nil {
		return nil, nil, err
	}
	c, err := parseClaims(payload)
	if err != nil {
		return nil, nil, err
	}
	if err := c.checkAudience(want); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errOther, err)
	}
	return token, c, nil
}

// verifyIDToken returns the claims of an ID token that is valid for this login (OpenID Connect Core 3.1.3.7), or for the
// renewal of one (12.2).
func verifyIDToken(ctx context.Context, keys gooidc.KeySet, raw string, want expected) (claims, error) {
	token, c, err := verifySigned(ctx, keys, raw, idTokenTypes, want)
	if err == nil {
		err = c.checkParties(want)
	}
	if err == nil {
		err = c.checkTimes(time.Now(), want)
	}
	if err == nil {
		err = c.checkProof(time.Now(), want)
	}
	if err == nil && token.AccessTokenHash != "" && want.accessToken != "" && token.VerifyAccessToken(want.accessToken) != nil {
		err = errors.New("at_hash does not belong to the access token")
	}
	if err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	return c, nil
}

// checkHeader refuses tokens that are no compact JWS, of another type, or with extensions that must be understood.
func checkHeader(raw string, types []string) error {
	head, _, ok := strings.Cut(raw, ".")
	if !ok || strings.Count(raw, ".") != 2 {
		return errors.New("not three parts")
	}
	plain, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return errors.New("header is not base64url")
	}
	h, err := parseClaims(plain)
	if err != nil {
		return errors.New("header is not a JSON object")
	}
	typ, err := h.text("typ")
	if err != nil || !slices.Contains(types, strings.ToLower(typ)) {
		return fmt.Errorf("of type %.40q", typ)
	}
	if _, there := h["crit"]; there {
		return errors.New("critical header extensions")
	}
	return nil
}

func (c claims) checkAudience(want expected) error {
	issuer, err1 := c.text("iss")
	audience, err2 := c.texts("aud")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	switch {
	case issuer != want.issuer:
		return fmt.Errorf("from %.200q", issuer)
	case !slices.Contains(audience, want.clientID):
		return fmt.Errorf("for %.200q", audience)
	}
	return nil
}

func (c claims) checkParties(want expected) error {
	subject, err1 := c.text("sub")
	azp, err2 := c.text("azp")
	nonce, err3 := c.text("nonce")
	audience, err4 := c.texts("aud")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	_, logout := c["events"]
	switch {
	case len(audience) > 1 && azp == "":
		return fmt.Errorf("%w: several audiences and no azp", errOther)
	case azp != "" && azp != want.clientID:
		return fmt.Errorf("%w: azp is %.200q", errOther, azp)
	case logout:
		return fmt.Errorf("%w: it is a security event", errOther)
	}
	if err := checkSubject(subject); err != nil {
		return err
	}
	if want.original != nil {
		return c.checkSame(subject, azp, nonce, audience, want.original)
	}
	if want.nonce == "" || subtle.ConstantTimeCompare([]byte(nonce), []byte(want.nonce)) != 1 {
		return fmt.Errorf("%w: nonce is not this login's", errOther)
	}
	return nil
}

// checkSame holds a renewed ID token against the first one (Core 12.2). Only a nonce may be missing.
func (c claims) checkSame(subject, azp, nonce string, audience []string, first *kept) error {
	authTime, claimed, err := c.time("auth_time")
	if err != nil {
		return err
	}
	for _, one := range first.audience {
		if !slices.Contains(audience, one) {
			return fmt.Errorf("%w: the audience %.200q is gone", errOther, one)
		}
	}
	switch {
	case subject != first.subject:
		return fmt.Errorf("%w: sub is another than at the login", errOther)
	case azp != first.azp:
		return fmt.Errorf("%w: azp is %.200q, and was %.200q at the login", errOther, azp, first.azp)
	case nonce != "" && subtle.ConstantTimeCompare([]byte(nonce), []byte(first.nonce)) != 1:
		return fmt.Errorf("%w: nonce is another than at the login", errOther)
	case claimed && first.claimed && authTime.After(first.authTime):
		return fmt.Errorf("%w: auth_time is later than at the login", errOther)
	}
	return nil
}

// checkSubject refuses what is no subject (Core 2: at most 255 ASCII characters) or would not be safe in a header.
func checkSubject(s string) error {
	if !plain(s) {
		return fmt.Errorf("sub %.80q is not 1 to 255 printable ASCII characters", s)
	}
	return nil
}

// checkTimes judges exp, nbf, iat and auth_time, all with the same skew. A token made for this login, or this renewal,
// cannot be older than that: one that is comes from a clock that is slow, or was not made for us.
func (c claims) checkTimes(now time.Time, want expected) error {
	expires, hasExp, err1 := c.time("exp")
	notBefore, hasNbf, err2 := c.time("nbf")
	issued, hasIat, err3 := c.time("iat")
	authTime, hasAuth, err4 := c.time("auth_time")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	switch {
	case !hasExp || !hasIat:
		return errors.New("without exp or iat")
	case !now.Before(expires.Add(skew)):
		return want.clock.wrong("expired %v ago", now.Sub(expires).Round(time.Second))
	case hasNbf && now.Add(skew).Before(notBefore):
		return want.clock.wrong("not valid for another %v", notBefore.Sub(now).Round(time.Second))
	case now.Add(skew).Before(issued):
		return want.clock.wrong("issued %v ahead of our clock", issued.Sub(now).Round(time.Second))
	case issued.Before(want.started.Add(-skew)):
		return want.clock.wrong("issued %v before it was asked for", want.started.Sub(issued).Round(time.Second))
	case hasAuth && now.Add(skew).Before(authTime):
		return want.clock.wrong("auth_time is %v ahead of our clock", authTime.Sub(now).Round(time.Second))
	}
	return nil
}

// checkProof holds the ID token against what this login asked for beyond who it is. A provider may ignore acr_values and
// prompt (Core 3.1.2.1); then the login is not what was asked for.
func (c claims) checkProof(now time.Time, want expected) error {
	acr, err1 := c.text("acr")
	authTime, claimed, err2 := c.time("auth_time")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	switch {
	case len(want.acr) > 0 && !slices.Contains(want.acr, acr):
		return fmt.Errorf("acr is %.200q, and one of %.200q was asked for", acr, want.acr)
	case (want.maxAge > 0 || want.anew) && !claimed:
		return errors.New("without auth_time, though max_age was asked for")
	case want.maxAge > 0 && now.Sub(authTime) > want.maxAge+skew:
		return want.clock.wrong("the person logged in %v ago, and max_age was %v", now.Sub(authTime).Round(time.Second), want.maxAge)
	case want.anew && authTime.Before(want.started.Add(-skew)):
		return want.clock.wrong("the person did not log in again")
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

// sid returns the provider's name of its session; "" when there is none. One that cannot be looked for later is an error:
// without it a back-channel logout would find nothing, and nobody would know.
func (c claims) sid() (string, error) {
	sid, err := c.text("sid")
	if err != nil || sid == "" {
		return "", err
	}
	if !plain(sid) {
		return "", errors.New("sid is not 1 to 255 printable ASCII characters")
	}
	return sid, nil
}

// plain reports whether a name of the provider's is 1 to 255 printable ASCII characters.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 255
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
