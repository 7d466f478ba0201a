package oidc

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/secret"
)

// ErrDown says that the provider cannot be reached or does not work; the login may succeed later. Every other error of a
// [Client] says that this login is refused.
var ErrDown = errors.New("the identity provider is not available")

// Config is what a [Client] needs to know. It must not be changed afterwards.
type Config struct {
	Name         string              // the provider's name in identities
	Issuer       string              // exactly as the provider spells it
	ClientID     string              //
	ClientSecret secret.String       //
	Scopes       []string            // openid is added
	RolesClaim   string              // a claim's name, or a path to it such as realm_access.roles
	Roles        map[string][]string // claim value -> roles of the house; nil: the values are the roles
	Roots        *x509.CertPool      // nil: the system's
	InsecureHTTP bool                // allows http to loopback addresses
}

// Client is the relying party of one provider. It asks the provider for nothing until it has to, and is safe for
// concurrent use.
type Client struct {
	cfg  Config
	http *http.Client
	meta *remote[*metadata]
	keys *keySet
}

// Attempt is one attempt to log in: what the callback must fit. All of it is secret but State and RedirectURI.
type Attempt struct {
	State       string // comes back with the callback; the caller has checked it
	Nonce       string // comes back in the ID token
	Verifier    string // RFC 7636: 43 to 128 unreserved characters
	RedirectURI string
	Started     time.Time
}

// NewClient checks cfg and returns its client.
func NewClient(cfg Config) (*Client, error) {
	if err := safeURL(cfg.Issuer, cfg.InsecureHTTP); err != nil {
		return nil, fmt.Errorf("the issuer is %w", err)
	}
	if u, _ := url.Parse(cfg.Issuer); u.RawQuery != "" || u.ForceQuery {
		return nil, fmt.Errorf("the issuer %q has a query, which no issuer has (OpenID Connect Discovery 3)", cfg.Issuer)
	}
	if cfg.ClientID == "" || cfg.ClientSecret.IsEmpty() {
		return nil, errors.New("the client id or the client secret is empty")
	}
	if !slices.Contains(cfg.Scopes, gooidc.ScopeOpenID) {
		cfg.Scopes = slices.Insert(slices.Clone(cfg.Scopes), 0, gooidc.ScopeOpenID)
	}
	c := &Client{cfg: cfg, http: newHTTPClient(cfg.Roots, cfg.InsecureHTTP)}
	c.meta = &remote[*metadata]{fetch: func(ctx context.Context) (*metadata, error) {
		return discover(ctx, c.http, cfg.Issuer, cfg.InsecureHTTP)
	}}
	c.keys = newKeySet(c.fetchKeys)
	return c, nil
}

func (c *Client) fetchKeys(ctx context.Context) ([]jose.JSONWebKey, error) {
	m, err := c.meta.get(ctx)
	if err != nil {
		return nil, err
	}
	var set jwks
	if err := getJSON(ctx, c.http, m.JWKSURL, "", &set); err != nil {
		return nil, err
	}
	return set.usable()
}

// Warm fetches what logins need. It is never necessary, but tells early what would go wrong later.
func (c *Client) Warm(ctx context.Context) error {
	if _, err := c.meta.get(ctx); err != nil {
		return err
	}
	_, err := c.keys.doc.get(ctx)
	return err
}

// Close lets go of idle connections; the client works on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// AuthURL returns where the person must go to log in. The error is an [ErrDown].
func (c *Client) AuthURL(ctx context.Context, a Attempt) (string, error) {
	m, err := c.meta.get(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrDown, err)
	}
	return c.oauth(m, a).AuthCodeURL(a.State, gooidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), nil
}

func (c *Client) oauth(m *metadata, a Attempt) *oauth2.Config {
	return &oauth2.Config{
		ClientID: c.cfg.ClientID, ClientSecret: c.cfg.ClientSecret.Reveal(), Scopes: c.cfg.Scopes, RedirectURL: a.RedirectURI,
		Endpoint: oauth2.Endpoint{AuthURL: m.AuthURL, TokenURL: m.TokenURL, AuthStyle: m.authStyle},
	}
}

// Finish turns the query of a callback into who came back. The caller has checked the state, and calls it at most once
// for each attempt.
func (c *Client) Finish(ctx context.Context, query url.Values, a Attempt) (*identity.Identity, error) {
	m, err := c.meta.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	code, err := c.codeFrom(query, m)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(gooidc.ClientContext(ctx, c.http), fetchFor)
	defer cancel()
	token, err := c.oauth(m, a).Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return nil, exchangeError(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("the token answer holds no ID token: is this an OpenID provider?")
	}
	cl, err := verifyIDToken(ctx, c.keys, raw, expected{
		issuer: c.cfg.Issuer, clientID: c.cfg.ClientID, nonce: a.Nonce, started: a.Started,
		algorithms: m.Algorithms, accessToken: token.AccessToken,
	})
	if err != nil {
		return nil, err
	}
	if err := c.complete(ctx, cl, m, token.AccessToken); err != nil {
		return nil, err
	}
	return c.identityOf(cl)
}

// codeFrom returns the authorization code of a callback that comes from this provider (RFC 9207) and reports success.
// The error quotes nothing of the query but an error code, since anybody can write a query.
func (c *Client) codeFrom(query url.Values, m *metadata) (string, error) {
	for _, name := range []string{"code", "state", "iss", "error"} {
		if len(query[name]) > 1 { // RFC 6749 3.1
			return "", fmt.Errorf("callback: more than one %s", name)
		}
	}
	// Before all else: what another provider says, an error included, is not for us.
	if query.Has("iss") && query.Get("iss") != c.cfg.Issuer {
		return "", errors.New("callback: iss names another provider (mix-up)")
	}
	if m.SendsIss && !query.Has("iss") {
		return "", errors.New("callback: no iss, though the provider says that it sends one")
	}
	if query.Has("error") {
		return "", callbackError(query.Get("error"))
	}
	code := query.Get("code")
	if code == "" {
		return "", errors.New("callback: no code")
	}
	return code, nil
}

// callbackError names the error codes of RFC 6749 4.1.2.1 and OpenID Connect Core 3.1.2.6. Others are not repeated.
func callbackError(code string) error {
	switch code {
	case "server_error", "temporarily_unavailable":
		return fmt.Errorf("%w: it answered the login with %s", ErrDown, code)
	case "invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type", "invalid_scope",
		"interaction_required", "login_required", "account_selection_required", "consent_required",
		"invalid_request_uri", "invalid_request_object", "request_not_supported", "request_uri_not_supported",
		"registration_not_supported", "invalid_target":
		return fmt.Errorf("callback: the provider answered %s", code)
	}
	return errors.New("callback: an error without a known code")
}

// exchangeError tells a provider that refuses the code from one that does not work. The answer's body is not repeated;
// its description is, for operators, since some providers say only there what is wrong with the client secret.
func exchangeError(err error) error {
	refused := (*oauth2.RetrieveError)(nil)
	if !errors.As(err, &refused) {
		return fmt.Errorf("%w: token endpoint: %w", ErrDown, err)
	}
	status := refused.Response.StatusCode
	if status >= 500 || status == http.StatusTooManyRequests {
		return fmt.Errorf("%w: token endpoint answered %d", ErrDown, status)
	}
	return fmt.Errorf("token endpoint answered %d %.60q: %.200q", status, refused.ErrorCode, refused.ErrorDescription)
}

// complete adds what the userinfo endpoint knows when the ID token does not hold the roles claim: some providers put
// claims there only (Core 5.4). Only roles and what people read is taken, and the ID token's own claims win. An answer
// about somebody else ends the login (Core 5.3.2).
func (c *Client) complete(ctx context.Context, cl claims, m *metadata, accessToken string) error {
	if _, there := cl.at(c.cfg.RolesClaim); there || m.UserInfoURL == "" || cl.overage(c.cfg.RolesClaim) {
		return nil
	}
	info := claims{}
	if err := getJSON(ctx, c.http, m.UserInfoURL, accessToken, &info); err != nil {
		return fmt.Errorf("%w: userinfo: %w", ErrDown, err)
	}
	if sub, err := info.text("sub"); err != nil || sub == "" || sub != cl["sub"] {
		return errors.New("userinfo: it is about somebody else")
	}
	root, _, _ := strings.Cut(c.cfg.RolesClaim, ".")
	take := []string{"name", "preferred_username", c.cfg.RolesClaim, root}
	if cl["email"] == nil && cl["email_verified"] == nil { // they say something together only
		take = append(take, "email", "email_verified")
	}
	for _, name := range take {
		if value, there := info[name]; there && cl[name] == nil {
			cl[name] = value
		}
	}
	return nil
}
