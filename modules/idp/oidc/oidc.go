package oidc

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"gatehouse.internal/modules/internal/secret"
)

// How long a login waits to see that the provider is there, before anybody is sent to it.
const (
	seenWithin = 30 * time.Second // an answer so young is enough
	patience   = 4 * time.Second  // for a new one; then the person is told
)

// ErrDown says that the provider cannot be reached or does not work; the login may succeed later. Every other error of a
// [Client] says that this login is refused.
var ErrDown = errors.New("the identity provider is not available")

// Config is what a [Client] needs to know. It must not be changed afterwards.
type Config struct {
	Name           string                         // the provider's name in identities
	Issuer         string                         // exactly as the provider spells it
	ClientID       string                         //
	ClientSecret   secret.String                  // empty with Key
	Key            *ClientKey                     // for private_key_jwt; nil with ClientSecret
	KeyForEndpoint bool                           // assertions are for the token endpoint's URL, rather than for the issuer
	Scopes         []string                       // openid is added
	NoRefresh      bool                           // refresh tokens are not kept
	NoPush         bool                           // authorization requests are not pushed (RFC 9126), though the provider offers it
	RolesClaim     string                         // a claim's name, or a path to it such as realm_access.roles
	Roles          map[string][]string            // claim value -> roles of the house; nil: the values are the roles
	Claims         func() []string                // further claims that identities are to have, or paths to them; nil: none
	Groups         func(values []string) []string // which values of the roles claim identities are to have as groups; nil: none
	Graph          string                         // https://graph.microsoft.com, asked for groups that do not fit the token; "": nobody
	Roots          *x509.CertPool                 // nil: the system's
	InsecureHTTP   bool                           // allows http to loopback addresses
	OnSkew         func(time.Duration)            // told how far the provider's clock is ahead, from 5 s on and as it changes; may be nil
}

// Client is the relying party of one provider. It asks the provider for nothing until it has to, and is safe for
// concurrent use.
type Client struct {
	cfg   Config
	http  *http.Client // to the provider
	graph *http.Client // to Graph; as bounded
	clock clock
	meta  *remote[*metadata]
	keys  *keySet
	shelf atomic.Pointer[shelf] // nil: nothing outlives the client
}

// Attempt is one attempt to log in: what the callback must fit. All of it is secret but State and RedirectURI.
type Attempt struct {
	State       string // comes back with the callback; the caller has checked it
	Nonce       string // comes back in the ID token
	Verifier    string // RFC 7636: 43 to 128 unreserved characters
	RedirectURI string
	Started     time.Time

	// What the login must prove beyond who it is. The callback needs the same.
	ACR    []string      // authentication context classes, the best first, of which the login must have one; empty: any
	MaxAge time.Duration // how long ago the person may have proven who they are, in seconds; zero: any time ago
	Anew   bool          // the person must prove it now (prompt=login)
	Prompt string        // none, consent or select_account, or several after spaces; "": as the provider sees fit
}

// NewClient checks cfg and returns its client.
func NewClient(cfg Config) (*Client, error) {
	if err := safeURL(cfg.Issuer, cfg.InsecureHTTP); err != nil {
		return nil, fmt.Errorf("the issuer is %w", err)
	}
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil || issuer.RawQuery != "" || issuer.ForceQuery {
		return nil, fmt.Errorf("the issuer %q has a query, which no issuer has (OpenID Connect Discovery 3)", cfg.Issuer)
	}
	switch {
	case cfg.ClientID == "" || len(cfg.ClientID) > maxSmall || len(cfg.Issuer) > maxSmall:
		return nil, fmt.Errorf("the client id is empty, or it or the issuer has more than %d bytes", maxSmall)
	case cfg.ClientSecret.IsEmpty() == (cfg.Key == nil):
		return nil, errors.New("want a client secret or a client key, one of them")
	case cfg.Graph != "" && safeURL(cfg.Graph, cfg.InsecureHTTP) != nil:
		return nil, fmt.Errorf("groups_overage: Graph is %w", safeURL(cfg.Graph, cfg.InsecureHTTP))
	}
	cfg.Graph = strings.TrimSuffix(cfg.Graph, "/")
	if !slices.Contains(cfg.Scopes, gooidc.ScopeOpenID) {
		cfg.Scopes = slices.Insert(slices.Clone(cfg.Scopes), 0, gooidc.ScopeOpenID)
	}
	c := &Client{cfg: cfg}
	c.clock.tell = cfg.OnSkew
	c.http = newHTTPClient(cfg.Roots, cfg.InsecureHTTP, issuer.Host, &c.clock)
	c.graph = newHTTPClient(cfg.Roots, cfg.InsecureHTTP, "", nil)
	c.meta = &remote[*metadata]{fetch: c.discover, keep: c.keepMetadata}
	c.keys = newKeySet(c.fetchKeys)
	c.keys.doc.keep = c.keepKeys
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

// Close lets go of idle connections; the client works on.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.graph.CloseIdleConnections()
}

// AuthURL returns where the person must go to log in. The error is an [ErrDown] when the provider is not there now: a
// person is better told by us than by their browser.
func (c *Client) AuthURL(ctx context.Context, a Attempt) (string, error) {
	m, err := c.meta.recent(ctx, seenWithin, patience)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrDown, err)
	}
	params := url.Values{
		"response_type": {"code"}, "client_id": {c.cfg.ClientID}, "redirect_uri": {a.RedirectURI},
		"scope": {strings.Join(c.cfg.Scopes, " ")}, "state": {a.State}, "nonce": {a.Nonce},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(a.Verifier)}, "code_challenge_method": {"S256"},
	}
	if len(a.ACR) > 0 {
		params.Set("acr_values", strings.Join(a.ACR, " "))
	}
	if prompt := a.prompt(); prompt != "" {
		params.Set("prompt", prompt)
	}
	if a.MaxAge > 0 || a.Anew { // with max_age the provider must say auth_time, by which it is checked
		age := int64(a.MaxAge / time.Second)
		if a.Anew {
			age = 0
		}
		params.Set("max_age", strconv.FormatInt(age, 10))
	}
	if m.PushURL != "" && !c.cfg.NoPush {
		ctx, cancel := context.WithTimeoutCause(ctx, patience, errSlow)
		defer cancel()
		uri, err := c.push(ctx, m, params)
		if err != nil {
			return "", err
		}
		params = url.Values{"client_id": {c.cfg.ClientID}, "request_uri": {uri}}
	}
	return withQuery(m.AuthURL, params), nil
}

// prompt returns what to ask the provider to show.
func (a Attempt) prompt() string {
	if a.Anew && !slices.Contains(strings.Fields(a.Prompt), "login") {
		return strings.TrimSpace("login " + a.Prompt)
	}
	return a.Prompt
}

// withQuery adds parameters to a URL of the metadata, which may have some of its own (RFC 6749 3.1).
func withQuery(to string, params url.Values) string {
	if strings.Contains(to, "?") {
		return strings.TrimSuffix(to, "&") + "&" + params.Encode()
	}
	return to + "?" + params.Encode()
}

// Finish turns the query of a callback into who came back. The caller has checked the state, and calls it at most once
// for each attempt.
func (c *Client) Finish(ctx context.Context, query url.Values, a Attempt) (*Session, error) {
	m, err := c.meta.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	code, err := c.codeFrom(query, m)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchFor)
	defer cancel()
	g, err := c.redeem(ctx, m, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.RedirectURI}, "code_verifier": {a.Verifier},
	})
	if err != nil {
		return nil, err
	}
	if g.idToken == "" {
		return nil, errors.New("the token answer holds no ID token: is this an OpenID provider?")
	}
	cl, err := verifyIDToken(ctx, c.keys, g.idToken, expected{
		issuer: c.cfg.Issuer, clientID: c.cfg.ClientID, nonce: a.Nonce, started: a.Started, algorithms: m.Algorithms,
		accessToken: g.access, acr: a.ACR, maxAge: a.MaxAge, anew: a.Anew, clock: &c.clock,
	})
	if err != nil {
		return nil, err
	}
	k, err := c.keepOf(cl, a.Nonce)
	if err != nil {
		return nil, err
	}
	if err := c.complete(ctx, cl, m, g.access); err != nil {
		return nil, err
	}
	who, err := c.identityOf(cl)
	if err != nil {
		return nil, err
	}
	k.authTime = who.AuthTime
	k.describe(who)
	c.adopt(k, g)
	return c.session(who, k, g.expires), nil
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
