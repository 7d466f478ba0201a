package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// algorithms are the signatures that are accepted: asymmetric ones only, so that nobody can sign with what is public
// (RFC 8725 3.1), and never none.
var algorithms = []string{
	gooidc.RS256, gooidc.RS384, gooidc.RS512, gooidc.PS256, gooidc.PS384, gooidc.PS512,
	gooidc.ES256, gooidc.ES384, gooidc.ES512, gooidc.EdDSA,
}

// metadata is what is used of the provider's discovery document (OpenID Connect Discovery 3, RFC 8414, RFC 9207).
type metadata struct {
	Issuer      string   `json:"issuer"`
	AuthURL     string   `json:"authorization_endpoint"`
	TokenURL    string   `json:"token_endpoint"`
	JWKSURL     string   `json:"jwks_uri"`
	UserInfoURL string   `json:"userinfo_endpoint"`
	Algorithms  []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	SendsIss    bool     `json:"authorization_response_iss_parameter_supported"`

	authStyle oauth2.AuthStyle
}

// discover fetches the discovery document of the issuer and checks that it can be worked with.
func discover(ctx context.Context, client *http.Client, issuer string, insecure bool) (*metadata, error) {
	m := new(metadata)
	from := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	if err := getJSON(ctx, client, from, "", m); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if err := m.check(issuer, insecure); err != nil {
		return nil, fmt.Errorf("discovery at %s: %w", from, err)
	}
	return m, nil
}

func (m *metadata) check(issuer string, insecure bool) error {
	if m.Issuer != issuer { // exactly, Discovery 4.3
		return fmt.Errorf("it speaks for the issuer %.200q, not %q: configure the issuer exactly as it spells it", m.Issuer, issuer)
	}
	for _, e := range []struct {
		name, url string
		optional  bool
	}{
		{"authorization_endpoint", m.AuthURL, false}, {"token_endpoint", m.TokenURL, false},
		{"jwks_uri", m.JWKSURL, false}, {"userinfo_endpoint", m.UserInfoURL, true},
	} {
		if e.url == "" && e.optional {
			continue
		}
		if err := safeURL(e.url, insecure); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	if m.Algorithms == nil {
		m.Algorithms = []string{gooidc.RS256} // what every provider must support, Core 15.1
	}
	m.Algorithms = slices.DeleteFunc(m.Algorithms, func(a string) bool { return !slices.Contains(algorithms, a) })
	if len(m.Algorithms) == 0 {
		return errors.New("it signs ID tokens with no algorithm that can be accepted: want one of " + strings.Join(algorithms, ", "))
	}
	// Decided here and not by trial, as x/oauth2 would: a second try redeems the code twice, which ends the grant.
	switch {
	case m.AuthMethods == nil, slices.Contains(m.AuthMethods, "client_secret_basic"): // the default, Discovery 3
		m.authStyle = oauth2.AuthStyleInHeader
	case slices.Contains(m.AuthMethods, "client_secret_post"):
		m.authStyle = oauth2.AuthStyleInParams
	default:
		return errors.New("it takes neither client_secret_basic nor client_secret_post at its token endpoint")
	}
	return nil
}
