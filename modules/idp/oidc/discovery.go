package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// algorithms are the signatures that are accepted: asymmetric ones only, so that nobody can sign with what is public
// (RFC 8725 3.1), and never none.
var algorithms = []string{
	gooidc.RS256, gooidc.RS384, gooidc.RS512, gooidc.PS256, gooidc.PS384, gooidc.PS512,
	gooidc.ES256, gooidc.ES384, gooidc.ES512, gooidc.EdDSA,
}

// The ways to authenticate at the token endpoint (OpenID Connect Core 9) that we know, as metadata names them.
const (
	authBasic = "client_secret_basic"
	authPost  = "client_secret_post"
	authKey   = "private_key_jwt"
)

// metadata is what is used of the provider's discovery document (OpenID Connect Discovery 3, RFC 8414, RFC 9126,
// RFC 9207, RP-Initiated Logout 2.1).
type metadata struct {
	Issuer       string   `json:"issuer"`
	AuthURL      string   `json:"authorization_endpoint"`
	TokenURL     string   `json:"token_endpoint"`
	JWKSURL      string   `json:"jwks_uri"`
	UserInfoURL  string   `json:"userinfo_endpoint,omitempty"`
	EndURL       string   `json:"end_session_endpoint,omitempty"`
	PushURL      string   `json:"pushed_authorization_request_endpoint,omitempty"`
	MustPush     bool     `json:"require_pushed_authorization_requests,omitempty"`
	Algorithms   []string `json:"id_token_signing_alg_values_supported,omitempty"`
	AuthMethods  []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	AuthKeyTypes []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	SendsIss     bool     `json:"authorization_response_iss_parameter_supported,omitempty"`

	auth string // authBasic, authPost or authKey
}

// discover fetches the discovery document of the issuer and checks that it can be worked with.
func (c *Client) discover(ctx context.Context) (*metadata, error) {
	m := new(metadata)
	from := strings.TrimSuffix(c.cfg.Issuer, "/") + "/.well-known/openid-configuration"
	if err := getJSON(ctx, c.http, from, "", m); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if err := m.check(&c.cfg); err != nil {
		return nil, fmt.Errorf("discovery at %s: %w", from, err)
	}
	return m, nil
}

func (m *metadata) check(cfg *Config) error {
	if m.Issuer != cfg.Issuer { // exactly, Discovery 4.3
		return fmt.Errorf("it speaks for the issuer %.200q, not %q: configure the issuer exactly as it spells it", m.Issuer, cfg.Issuer)
	}
	for _, e := range []struct {
		name, url string
		optional  bool
	}{
		{"authorization_endpoint", m.AuthURL, false}, {"token_endpoint", m.TokenURL, false},
		{"jwks_uri", m.JWKSURL, false}, {"userinfo_endpoint", m.UserInfoURL, true},
		{"end_session_endpoint", m.EndURL, true}, {"pushed_authorization_request_endpoint", m.PushURL, !m.MustPush},
	} {
		if e.url == "" && e.optional {
			continue
		}
		if err := safeURL(e.url, cfg.InsecureHTTP); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	if m.MustPush && cfg.NoPush {
		return errors.New("it takes pushed authorization requests only: leave out `par off`")
	}
	if m.Algorithms == nil {
		m.Algorithms = []string{gooidc.RS256} // what every provider must support, Core 15.1
	}
	m.Algorithms = slices.DeleteFunc(m.Algorithms, func(a string) bool { return !slices.Contains(algorithms, a) })
	if len(m.Algorithms) == 0 {
		return errors.New("it signs ID tokens with no algorithm that can be accepted: want one of " + strings.Join(algorithms, ", "))
	}
	return m.chooseAuth(cfg.Key)
}

// chooseAuth decides how to authenticate: here and not by trial, since a second try would redeem a code twice, which ends
// the grant.
func (m *metadata) chooseAuth(key *ClientKey) error {
	switch {
	case key != nil && !slices.Contains(m.AuthMethods, authKey):
		return errors.New("it does not take private_key_jwt at its token endpoint: configure a client secret in place of client_key")
	case key != nil:
		if _, err := key.algorithm(m.AuthKeyTypes); err != nil {
			return err
		}
		m.auth = authKey
	case m.AuthMethods == nil, slices.Contains(m.AuthMethods, authBasic): // the default, Discovery 3
		m.auth = authBasic
	case slices.Contains(m.AuthMethods, authPost):
		m.auth = authPost
	default:
		return errors.New("it takes neither client_secret_basic nor client_secret_post at its token endpoint: give it a client_key if it takes private_key_jwt")
	}
	return nil
}
