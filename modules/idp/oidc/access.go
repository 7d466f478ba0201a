package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/identity"
)

// Bounds of access tokens.
const (
	maxAccessToken = 12 << 10 // bytes; Caddy takes 16 KiB of header in all
	maxScopes      = 256
	maxWorkspaces  = 4096
	patienceKeys   = 4 * time.Second // how long a request waits for the issuer's first keys
)

// accessTypes are the typ headers of access tokens: RFC 9068 2.1, and what issuers wrote before it. A token that does not
// say what it is, is none.
var accessTypes = []string{"at+jwt", "application/at+jwt", "jwt"}

// IssuerConfig says which issuer's access tokens are taken, and how its claims are read.
type IssuerConfig struct {
	Name         string // of the issuer in the house: identities carry it as their provider
	Issuer       string // exactly as its tokens spell it
	JWKSURL      string // where its keys are; "": as its metadata says
	RolesClaim   string
	Roles        map[string][]string // as in Config
	Roots        *x509.CertPool
	InsecureHTTP bool
}

// TokenIssuer verifies access tokens of one authorization server (RFC 9068, RFC 8725). It is safe for concurrent use.
type TokenIssuer struct {
	rp *Client // reads claims; its keys verify signatures
}

// NewTokenIssuer checks cfg and returns the issuer. It touches no network.
func NewTokenIssuer(cfg IssuerConfig) (*TokenIssuer, error) {
	for _, raw := range []string{cfg.Issuer, cfg.JWKSURL} {
		if raw == "" && cfg.Issuer != "" {
			continue
		}
		if err := safeURL(raw, cfg.InsecureHTTP); err != nil {
			return nil, fmt.Errorf("the issuer or its key set is %w", err)
		}
	}
	at, err := url.Parse(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the issuer: %w", err)
	}
	c := &Client{cfg: Config{
		Name: cfg.Name, Issuer: cfg.Issuer, RolesClaim: cfg.RolesClaim, Roles: cfg.Roles, Roots: cfg.Roots, InsecureHTTP: cfg.InsecureHTTP,
	}}
	c.http = newHTTPClient(cfg.Roots, cfg.InsecureHTTP, at.Host, &c.clock)
	c.graph = c.http
	c.meta = &remote[*metadata]{fetch: func(ctx context.Context) (*metadata, error) { return c.discoverKeys(ctx, cfg.JWKSURL) }}
	c.keys = newKeySet(c.fetchKeys)
	return &TokenIssuer{rp: c}, nil
}

// TokenIssuer is the provider as an issuer of access tokens: what it says of people is read as at their logins.
func (p *Provider) TokenIssuer() *TokenIssuer { return &TokenIssuer{rp: p.client} }

// Name is what the house calls the issuer.
func (i *TokenIssuer) Name() string { return i.rp.cfg.Name }

// Run keeps the issuer's keys young until ctx ends; see [Client.Run].
func (i *TokenIssuer) Run(ctx context.Context, report func(error)) { i.rp.Run(ctx, report) }

// discoverKeys finds where the issuer's keys are: as told, or as its metadata says (OpenID Connect Discovery 4, RFC 8414 3).
func (c *Client) discoverKeys(ctx context.Context, jwksURL string) (*metadata, error) {
	if jwksURL != "" {
		return &metadata{Issuer: c.cfg.Issuer, JWKSURL: jwksURL}, nil
	}
	m := new(metadata)
	err := getJSON(ctx, c.http, strings.TrimSuffix(c.cfg.Issuer, "/")+"/.well-known/openid-configuration", "", m)
	if s := (*statusError)(nil); errors.As(err, &s) && !broken(s.status) {
		u, _ := url.Parse(c.cfg.Issuer) // was parsed before
		u.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
		m = new(metadata)
		err = getJSON(ctx, c.http, u.String(), "", m)
	}
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if m.Issuer != c.cfg.Issuer {
		return nil, fmt.Errorf("discovery: it speaks for the issuer %.200q, not %q: configure the issuer exactly as it spells it", m.Issuer, c.cfg.Issuer)
	}
	if err := safeURL(m.JWKSURL, c.cfg.InsecureHTTP); err != nil {
		return nil, fmt.Errorf("discovery: jwks_uri: %w", err)
	}
	return m, nil
}

// AccessWanted is what an access token must be for.
type AccessWanted struct {
	Audiences      []string // one of these must be in aud
	Algorithms     []string // of [algorithms]; empty: all of those
	WorkspaceClaim string   // where the workspaces are; "": nowhere
	TenantClaim    string   // where the tenant is; "": nowhere
}

// Access is what a valid access token says.
type Access struct {
	Identity        identity.Identity
	Scopes          []string
	Workspaces      []string
	Issued, Expires time.Time
	// Thumbprint is the SHA-256 of the TLS client certificate that the token is bound to, as base64url (RFC 8705 3.1); "":
	// to none.
	Thumbprint string
}

// Verify returns what the token says if it is this issuer's, for one of the audiences, and valid now. The error is an
// [ErrDown] when the issuer's keys cannot be had; it never holds the token.
func (i *TokenIssuer) Verify(ctx context.Context, raw string, want AccessWanted) (*Access, error) {
	if err := checkAccessHeader(raw, want.Algorithms); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patienceKeys, errSlow)
	defer cancel()
	payload, err := i.rp.keys.VerifySignature(ctx, raw)
	if err != nil {
		return nil, err
	}
	c, err := parseExact(payload)
	if err != nil {
		return nil, err
	}
	return i.read(c, want, time.Now())
}

// read judges the claims of a token whose signature is good.
func (i *TokenIssuer) read(c claims, want AccessWanted, now time.Time) (*Access, error) {
	if err := errors.Join(i.checkIssued(c, want), c.checkUse(), c.checkTimes(now, expected{clock: &i.rp.clock})); err != nil {
		return nil, err
	}
	who, err := i.rp.identityOf(c)
	if err != nil {
		return nil, err
	}
	a := &Access{Identity: *who}
	if _, claimed := c["auth_time"]; !claimed {
		a.Identity.AuthTime = time.Time{} // iat says when the token was made, which a refresh token does without the person
	}
	a.Issued, _, _ = c.time("iat") // checked above
	a.Expires, _, _ = c.time("exp")
	a.Expires = a.Expires.Add(skew)
	if service, err := c.service(who.Subject); err != nil {
		return nil, err
	} else if service {
		a.Identity.Kind = identity.Service
	}
	if a.Scopes, err = c.scopes(); err != nil {
		return nil, err
	}
	if a.Thumbprint, err = c.confirmation(); err != nil {
		return nil, err
	}
	if want.WorkspaceClaim != "" {
		if a.Workspaces, err = c.list(want.WorkspaceClaim, maxWorkspaces); err != nil {
			return nil, err
		}
	}
	if want.TenantClaim != "" {
		v, _ := c.at(want.TenantClaim)
		tenant, ok := v.(string)
		if !ok || tenant == "" {
			return nil, fmt.Errorf("%s is no string: whose customer it is for is not said", want.TenantClaim)
		}
		a.Identity.Tenant = tenant
	}
	return a, nil
}

// checkAccessHeader refuses what is no compact JWS in its one exact spelling, of another type or algorithm, or with
// extensions. Keys that a header names or brings (jwk, jku, x5c, x5u) are never looked at.
func checkAccessHeader(raw string, algorithmsWanted []string) error {
	if len(raw) > maxAccessToken {
		return fmt.Errorf("of %d bytes", len(raw))
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return errors.New("not three parts")
	}
	var head []byte
	for n, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || len(b) == 0 || strings.ContainsAny(part, "\r\n") {
			return errors.New("a part is not base64url in its one spelling")
		}
		if n == 0 {
			head = b
		}
	}
	h, err := parseExact(head)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	typ, err1 := h.text("typ")
	alg, err2 := h.text("alg")
	cty, err3 := h.text("cty")
	_, err4 := h.text("kid")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if len(algorithmsWanted) == 0 {
		algorithmsWanted = algorithms
	}
	_, crit := h["crit"]
	_, b64 := h["b64"]
	switch {
	case !slices.Contains(accessTypes, strings.ToLower(typ)):
		return fmt.Errorf("of type %.40q", typ)
	case !slices.Contains(algorithmsWanted, alg):
		return fmt.Errorf("signed with %.40q", alg)
	case crit || b64:
		return errors.New("critical header extensions")
	case cty != "":
		return errors.New("a token inside a token")
	}
	return nil
}

// checkIssued refuses tokens of another issuer, for others, or of nobody.
func (i *TokenIssuer) checkIssued(c claims, want AccessWanted) error {
	issuer, err1 := c.text("iss")
	audience, err2 := c.texts("aud")
	subject, err3 := c.text("sub")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	switch {
	case issuer != i.rp.cfg.Issuer:
		return fmt.Errorf("from %.200q", issuer)
	case !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(want.Audiences, a) }):
		return fmt.Errorf("for %.200q", audience)
	}
	return checkSubject(subject)
}

// checkUse refuses tokens that are genuine but no access tokens: ID tokens, logout tokens, refresh tokens. Before RFC 9068
// they had the same typ header, so they are told by what only they say (RFC 8725 2.8, 3.12).
func (c claims) checkUse() error {
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		if _, there := c[name]; there {
			return fmt.Errorf("it has %s: no access token", name)
		}
	}
	for _, name := range []string{"typ", "token_use"} { // Keycloak; Amazon Cognito
		use, err := c.text(name)
		if err != nil {
			return err
		}
		switch strings.ToLower(use) {
		case "", "bearer", "access", "at+jwt", "jwt":
		default:
			return fmt.Errorf("%s is %.40q: no access token", name, use)
		}
	}
	return nil
}

// service reports whether the token was issued to a program that acts for itself (RFC 9068 2.2, and what Auth0 and Entra
// ID say of it).
func (c claims) service(subject string) (bool, error) {
	client, err1 := c.text("client_id")
	azp, err2 := c.text("azp")
	grant, err3 := c.text("gty")
	app, err4 := c.text("idtyp")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return false, err
	}
	return subject == client || subject == azp || grant == "client-credentials" || app == "app", nil
}

// scopes returns the scopes of scope (RFC 9068 2.2.3: separated by spaces) or scp (Entra ID, Okta).
func (c claims) scopes() ([]string, error) {
	name := "scope"
	if _, there := c[name]; !there {
		name = "scp"
	}
	return c.list(name, maxScopes)
}

// list returns the words of a claim that is a list of strings, or one string with spaces between them; nil when it is not
// there.
func (c claims) list(name string, most int) ([]string, error) {
	v, _ := c.at(name)
	values, err := asTexts(name, v)
	if err != nil {
		return nil, err
	}
	if _, one := v.(string); one {
		values = strings.Fields(values[0])
	}
	if len(values) > most {
		return nil, fmt.Errorf("%s has %d values, more than %d", name, len(values), most)
	}
	return values, nil
}

// confirmation returns what the token is bound to (RFC 7800 3.1). A binding that cannot be checked is an error: whoever
// shows the token alone must not pass.
func (c claims) confirmation() (string, error) {
	v, there := c["cnf"]
	if !there {
		return "", nil
	}
	cnf, ok := v.(map[string]any)
	thumbprint, _ := cnf["x5t#S256"].(string)
	if !ok || len(cnf) != 1 || len(thumbprint) != base64.RawURLEncoding.EncodedLen(sha256.Size) {
		return "", errors.New("cnf binds it to something else than a TLS client certificate (x5t#S256)")
	}
	return thumbprint, nil
}

// parseExact is parseClaims for what may come from anybody: no name stands twice, and nothing follows the object.
func parseExact(raw []byte) (claims, error) {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		text, ok := name.(string)
		if err != nil || !ok {
			return nil, errors.New("not a JSON object")
		}
		if seen[text] {
			return nil, fmt.Errorf("%.40q stands twice", text)
		}
		seen[text] = true
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			return nil, errors.New("not a JSON object")
		}
	}
	if _, err := d.Token(); err != nil || len(strings.TrimSpace(string(raw[d.InputOffset():]))) > 0 {
		return nil, errors.New("not a JSON object alone")
	}
	return parseClaims(raw)
}

// AlgorithmsWanted checks names of signature algorithms from a configuration.
func AlgorithmsWanted(names []string) error {
	for _, name := range names {
		if !slices.Contains(algorithms, name) {
			return fmt.Errorf("the algorithm %q is not accepted: want some of %s", name, strings.Join(algorithms, ", "))
		}
	}
	return nil
}

// Issuer is the issuer as its tokens spell it.
func (i *TokenIssuer) Issuer() string { return i.rp.cfg.Issuer }

// UnverifiedIssuer returns the issuer that a token names, whoever made it; "" when it names none.
func UnverifiedIssuer(token string) string {
	parts := strings.SplitN(token, ".", 3)
	if len(parts) != 3 || len(token) > maxAccessToken {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	c, err := parseExact(payload)
	if err != nil {
		return ""
	}
	issuer, _ := c.text("iss")
	return issuer
}
