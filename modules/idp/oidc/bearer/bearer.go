package bearer

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"gatehouse.internal/modules/idp/oidc"
	"gatehouse.internal/modules/internal/recent"
)

const (
	verifiedFor = 5 * time.Minute // how long what was verified need not be verified again
	maxVerified = 8192            // tokens remembered, of a site
	scheme      = "bearer"
)

var (
	errManyHeaders = errors.New("several Authorization headers")
	errMalformed   = errors.New("not one token after the scheme")
	errUnbound     = errors.New("it is bound to a client certificate that this connection does not have")
	errNoIssuer    = errors.New("no issuer of this API's made it")
)

// tokenIn returns the bearer token of a request's Authorization headers; "" when there is none. The scheme is told in any
// case (RFC 9110 11.1). The error says that there is one which cannot be read; what is returned need not be well formed.
func tokenIn(values []string) (string, error) {
	bearer := false
	for _, v := range values {
		bearer = bearer || len(v) >= len(scheme) && strings.EqualFold(v[:len(scheme)], scheme)
	}
	switch {
	case !bearer:
		return "", nil
	case len(values) > 1:
		return "", errManyHeaders
	}
	rest := values[0][len(scheme):]
	token := strings.TrimLeft(rest, " ")
	if token == rest && rest != "" && token68[rest[0]] {
		return "", nil // another scheme, which begins like ours
	}
	if token == "" || token == rest {
		return "", errMalformed
	}
	return token, nil
}

// wellFormed reports whether the text is one token. One that is known need not be asked.
func wellFormed(token string) bool {
	for i := range len(token) {
		if !token68[token[i]] {
			return false
		}
	}
	return token != ""
}

// token68 holds what may stand in a token (RFC 9110 11.2).
var token68 = func() (set [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=" {
		set[c] = true
	}
	return set
}()

// bound reports whether the token may be used on a connection: it is bound to none, or to this one's client certificate
// (RFC 8705 3). That the client has the certificate's key, TLS has seen to.
func bound(thumbprint string, conn *tls.ConnectionState) error {
	if thumbprint == "" {
		return nil
	}
	if conn == nil || len(conn.PeerCertificates) == 0 {
		return errUnbound
	}
	sum := sha256.Sum256(conn.PeerCertificates[0].Raw)
	if base64.RawURLEncoding.EncodeToString(sum[:]) != thumbprint {
		return errUnbound
	}
	return nil
}

// issuerOf returns the issuer that the token names, without any proof of it: which of them is to verify it.
func issuerOf(issuers []*oidc.TokenIssuer, token string) (*oidc.TokenIssuer, error) {
	if len(issuers) == 1 {
		return issuers[0], nil
	}
	name := oidc.UnverifiedIssuer(token)
	for _, i := range issuers {
		if i.Issuer() == name {
			return i, nil
		}
	}
	return nil, errNoIssuer
}

// logName names a token in logs: nobody can find the token from it.
func logName(k recent.Key) string {
	sum := sha256.Sum256(append([]byte("log"), k[:]...))
	return hex.EncodeToString(sum[:8])
}
