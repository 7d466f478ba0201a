package oidc

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/secret"
	"gatehouse.internal/modules/internal/verdict"
)

func init() { caddy.RegisterModule(Provider{}) }

// callback is the path, below the provider's, that the OpenID provider sends people back to.
const callback = "/callback"

// Provider lets people log in with an OpenID Connect provider. The redirect URI to register there is
// https://<site>/.gatehouse/login/<name>/callback, once for each site.
type Provider struct {
	// The provider's name in the house, in identities and in the redirect URI. Default: oidc.
	ProviderName string `json:"name,omitempty"`

	// What the login page calls the provider. Default: the issuer's host.
	Title string `json:"label,omitempty"`

	// The issuer, spelled exactly as its discovery document spells it. Placeholders are allowed.
	Issuer string `json:"issuer"`

	// The client id. Placeholders are allowed.
	ClientID string `json:"client_id"`

	// The client secret, best as a placeholder: {env.NAME} or {file./path}.
	ClientSecret string `json:"client_secret"`

	// What to ask for. Default: openid profile email.
	Scopes []string `json:"scopes,omitempty"`

	// The claim that holds roles, or the path to it: realm_access.roles. Default: groups.
	RolesClaim string `json:"roles_claim,omitempty"`

	// Roles of the house by value of the roles claim. When there are any, other values give no role; when there are none,
	// the values themselves are the roles.
	Roles map[string][]string `json:"roles,omitempty"`

	// A PEM file with certificate authorities to trust for the provider, besides the system's.
	TrustPEM string `json:"trust_pem,omitempty"`

	// Allows a provider on a loopback address to be reached over plain HTTP.
	InsecureHTTP bool `json:"insecure_http,omitempty"`

	client *Client
	logger *zap.Logger
	ctx    caddy.Context
}

// CaddyModule returns the Caddy module information.
func (Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.identity_providers.oidc", New: func() caddy.Module { return new(Provider) }}
}

// Provision resolves placeholders and makes the client. It touches no network.
func (p *Provider) Provision(ctx caddy.Context) error {
	p.ctx, p.logger = ctx, ctx.Logger()
	repl := caddy.NewReplacer()
	issuer, err1 := resolve(repl, "issuer", p.Issuer)
	id, err2 := resolve(repl, "client id", p.ClientID)
	clientSecret, err3 := resolve(repl, "client secret", p.ClientSecret)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if !isPlaceholder(p.ClientSecret) {
		p.logger.Warn("the client secret is written into the configuration, where `GET /config/` shows it; use {env.NAME} or {file./path}")
	}
	if p.InsecureHTTP {
		p.logger.Warn("insecure_http: tokens and the client secret may travel in clear on this machine", zap.String("issuer", issuer))
	}
	roots, err := p.roots()
	if err != nil {
		return err
	}
	p.ProviderName = cmp.Or(p.ProviderName, "oidc")
	p.RolesClaim = cmp.Or(p.RolesClaim, "groups")
	if p.Scopes == nil {
		p.Scopes = []string{"openid", "profile", "email"}
	}
	p.client, err = NewClient(Config{
		Name: p.ProviderName, Issuer: issuer, ClientID: id, ClientSecret: secret.New(clientSecret), Scopes: p.Scopes,
		RolesClaim: p.RolesClaim, Roles: p.Roles, Roots: roots, InsecureHTTP: p.InsecureHTTP,
	})
	if err != nil {
		return fmt.Errorf("oidc: %w", err)
	}
	if u, err := url.Parse(issuer); err == nil {
		p.Title = cmp.Or(p.Title, u.Hostname())
	}
	return nil
}

// resolve expands the placeholders of a setting that must not be empty. The error never holds the value.
func resolve(repl *caddy.Replacer, what, raw string) (string, error) {
	value, err := repl.ReplaceOrErr(raw, true, true)
	if value = strings.TrimSpace(value); err == nil && value != "" {
		return value, nil
	}
	if isPlaceholder(raw) {
		return "", fmt.Errorf("the %s is empty: give the environment variable or file that %s stands for a value", what, raw)
	}
	return "", fmt.Errorf("the %s is empty: write it after `oidc`, as in `oidc https://idp.example.com {env.OIDC_ID} {env.OIDC_SECRET}`", what)
}

// isPlaceholder reports whether raw is one placeholder and nothing else.
func isPlaceholder(raw string) bool {
	return strings.HasPrefix(raw, "{") && strings.IndexByte(raw, '}') == len(raw)-1
}

// roots returns the system's certificate authorities and those of trust_pem; nil for just the system's.
func (p *Provider) roots() (*x509.CertPool, error) {
	if p.TrustPEM == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(p.TrustPEM)
	if err != nil {
		return nil, fmt.Errorf("trust_pem: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any; then the file's are all
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("trust_pem: no certificate in %s", p.TrustPEM)
	}
	return pool, nil
}

// Cleanup lets go of idle connections. Logins in flight go on.
func (p *Provider) Cleanup() error {
	if p.client != nil {
		p.client.Close()
	}
	return nil
}

// Name implements [gatehouse.IdentityProvider].
func (p *Provider) Name() string { return p.ProviderName }

// Label implements [gatehouse.IdentityProvider].
func (p *Provider) Label() string { return p.Title }

// Form implements [gatehouse.IdentityProvider].
func (p *Provider) Form() bool { return false }

// Open implements [gatehouse.IdentityProvider]. The provider needs nothing of its house.
func (p *Provider) Open(*gatehouse.App) error { return nil }

// Start looks, without waiting, whether the provider is there, so that a mistake is seen before the first login.
func (p *Provider) Start() error {
	go func() {
		if err := p.client.Warm(p.ctx); err != nil && p.ctx.Err() == nil {
			p.logger.Warn("the identity provider is not available yet; logins will try again", zap.String("provider", p.ProviderName), zap.Error(err))
		}
	}()
	return nil
}

// ServeLogin implements [gatehouse.IdentityProvider].
func (p *Provider) ServeLogin(w http.ResponseWriter, r *http.Request, l gatehouse.Login) (*gatehouse.Vouching, error) {
	if l.Sub != "" && l.Sub != callback {
		return nil, &gatehouse.LoginError{Reason: verdict.NotFound}
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return nil, &gatehouse.LoginError{Reason: verdict.BadMethod}
	}
	attempt := Attempt{
		State: l.Flow.Token, Nonce: l.Flow.Derive("nonce"), Verifier: l.Flow.Derive("pkce"),
		RedirectURI: l.Origin + l.Base + callback, Started: l.Flow.Started,
	}
	if l.Sub == callback {
		return p.finish(r, l.Flow.Fresh, attempt)
	}
	to, err := p.client.AuthURL(r.Context(), attempt)
	if err != nil {
		return nil, loginError(err)
	}
	h := w.Header()
	h.Set("Location", to) // not http.Redirect: its body would show the state once more
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusFound)
	return nil, nil
}

func (p *Provider) finish(r *http.Request, fresh bool, a Attempt) (*gatehouse.Vouching, error) {
	if fresh {
		return nil, &gatehouse.LoginError{Reason: verdict.LoginExpired, Err: errors.New("callback without the state of a login that this browser began")}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &gatehouse.LoginError{Reason: verdict.LoginFailed, Err: errors.New("callback: malformed query")}
	}
	who, err := p.client.Finish(r.Context(), query, a)
	if err != nil {
		return nil, loginError(err)
	}
	return &gatehouse.Vouching{Identity: *who}, nil
}

func loginError(err error) error {
	reason := verdict.LoginFailed
	switch {
	case errors.Is(err, context.Canceled):
		reason = verdict.ClientClosed
	case errors.Is(err, ErrDown):
		reason = verdict.ProviderDown
	}
	return &gatehouse.LoginError{Reason: reason, Err: err}
}

var (
	_ gatehouse.IdentityProvider = (*Provider)(nil)
	_ gatehouse.Starter          = (*Provider)(nil)
	_ caddy.Provisioner          = (*Provider)(nil)
	_ caddy.CleanerUpper         = (*Provider)(nil)
	_ caddyfile.Unmarshaler      = (*Provider)(nil)
)
