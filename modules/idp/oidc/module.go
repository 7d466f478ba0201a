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
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/secret"
	"gatehouse.internal/modules/internal/verdict"
)

func init() { caddy.RegisterModule(Provider{}) }

// defaultGraph is Microsoft Graph of the worldwide cloud.
const defaultGraph = "https://graph.microsoft.com"

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

	// The client secret, best as a placeholder: {env.NAME} or {file./path}. Empty with client_key.
	ClientSecret string `json:"client_secret,omitempty"`

	// A PEM file with a private key that proves the client in place of a secret (private_key_jwt).
	ClientKey string `json:"client_key,omitempty"`

	// What the provider calls the key. Default: its RFC 7638 thumbprint.
	ClientKeyID string `json:"client_key_id,omitempty"`

	// Whom assertions are for: issuer, or token_endpoint for providers that want the endpoint's URL (Entra ID, Okta).
	// Default: issuer.
	ClientKeyAudience string `json:"client_key_audience,omitempty"`

	// Refresh tokens: "offline" asks for them with the scope offline_access, "off" does not use them. Default: those that
	// the provider gives without being asked are used.
	Refresh string `json:"refresh,omitempty"`

	// "off" sends authorization requests through the browser even where the provider takes pushed ones.
	PAR string `json:"par,omitempty"`

	// Authentication context classes, the best first: the provider is asked for them, and a login must have one of them.
	ACR []string `json:"acr,omitempty"`

	// How long ago the person may have proven to the provider who they are. Default: however long.
	MaxAge caddy.Duration `json:"max_age,omitempty"`

	// What the provider is to show: login (the person must prove anew who they are), consent, select_account. Default: what
	// it thinks fit.
	Prompt []string `json:"prompt,omitempty"`

	// The base URL of Microsoft Graph, to ask for groups that Entra ID left out of the token. Default: nobody is asked.
	GroupsOverage string `json:"groups_overage,omitempty"`

	// What to ask for. Default: openid profile email.
	Scopes []string `json:"scopes,omitempty"`

	// The claim that holds roles, or the path to it: realm_access.roles. Default: groups.
	RolesClaim string `json:"roles_claim,omitempty"`

	// Roles of the house by value of the roles claim. When there are any, other values give no role; when there are none,
	// the values themselves are the roles.
	Roles map[string][]string `json:"roles,omitempty"`

	// Whom the gateway does not know yet has to be approved by an administrator before their first session.
	ApproveNew bool `json:"approve_new,omitempty"`

	// The provider is asked, anew, when somebody must prove a second factor. What its tokens prove counts as they say.
	StepUp bool `json:"step_up,omitempty"`

	// The authentication context classes to ask for then (acr_values), the best first; a token with one of them proves a
	// second factor. Default: none is asked for.
	StepUpACR []string `json:"step_up_acr,omitempty"`

	// A PEM file with certificate authorities to trust for the provider, besides the system's.
	TrustPEM string `json:"trust_pem,omitempty"`

	// Allows a provider on a loopback address to be reached over plain HTTP.
	InsecureHTTP bool `json:"insecure_http,omitempty"`

	client *Client
	logger *zap.Logger
	ctx    caddy.Context
	state  func() (*gatehouse.State, error)
	house  *gatehouse.App
}

// CaddyModule returns the Caddy module information.
func (Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.identity_providers.oidc", New: func() caddy.Module { return new(Provider) }}
}

// Provision resolves placeholders and makes the client. It touches no network.
func (p *Provider) Provision(ctx caddy.Context) error {
	p.ctx, p.logger = ctx, ctx.Logger()
	p.ProviderName = cmp.Or(p.ProviderName, "oidc")
	p.RolesClaim = cmp.Or(p.RolesClaim, "groups")
	if p.Scopes == nil {
		p.Scopes = []string{"openid", "profile", "email"}
	}
	cfg, err := p.config()
	if err != nil {
		return err
	}
	if p.client, err = NewClient(cfg); err != nil {
		return fmt.Errorf("oidc: %w", err)
	}
	if p.ClientSecret != "" && !isPlaceholder(p.ClientSecret) {
		p.logger.Warn("the client secret is written into the configuration, where `GET /config/` shows it; use {env.NAME} or {file./path}")
	}
	if p.InsecureHTTP {
		p.logger.Warn("insecure_http: tokens and the client secret may travel in clear on this machine", zap.String("issuer", cfg.Issuer))
	}
	if u, err := url.Parse(cfg.Issuer); err == nil {
		p.Title = cmp.Or(p.Title, u.Hostname())
	}
	return gatehouse.RegisterMetrics(ctx, providerUp, clockSkew, renewals)
}

// config turns the settings into the engine's.
func (p *Provider) config() (Config, error) {
	cfg := Config{
		Name: p.ProviderName, Scopes: p.Scopes, RolesClaim: p.RolesClaim, Roles: p.Roles, Graph: p.GroupsOverage,
		NoRefresh: p.Refresh == "off", NoPush: p.PAR == "off", KeyForEndpoint: p.ClientKeyAudience == "token_endpoint",
		InsecureHTTP: p.InsecureHTTP, OnSkew: p.skewed, Claims: p.claims, Groups: p.groups,
	}
	for _, w := range []struct{ word, value, allowed string }{
		{"refresh", p.Refresh, "offline off"}, {"par", p.PAR, "off"}, {"client_key_audience", p.ClientKeyAudience, "issuer token_endpoint"},
	} {
		if w.value != "" && !slices.Contains(strings.Fields(w.allowed), w.value) {
			return cfg, fmt.Errorf("oidc: %s %q: want one of %q", w.word, w.value, strings.Fields(w.allowed))
		}
	}
	if p.Refresh == "offline" && !slices.Contains(p.Scopes, gooidc.ScopeOfflineAccess) {
		cfg.Scopes = append(slices.Clone(p.Scopes), gooidc.ScopeOfflineAccess)
	}
	for _, what := range p.Prompt {
		if !slices.Contains([]string{"login", "consent", "select_account"}, what) {
			return cfg, fmt.Errorf("oidc: prompt %q: want login, consent or select_account", what)
		}
	}
	repl := caddy.NewReplacer()
	var err1, err2, err3, err4 error
	cfg.Issuer, err1 = resolve(repl, "issuer", p.Issuer)
	cfg.ClientID, err2 = resolve(repl, "client id", p.ClientID)
	if p.ClientKey == "" {
		var clientSecret string
		clientSecret, err3 = resolve(repl, "client secret", p.ClientSecret)
		cfg.ClientSecret = secret.New(clientSecret)
	} else {
		cfg.Key, err3 = p.key()
	}
	cfg.Roots, err4 = p.roots()
	return cfg, errors.Join(err1, err2, err3, err4)
}

// key reads the client key.
func (p *Provider) key() (*ClientKey, error) {
	if p.ClientSecret != "" {
		return nil, errors.New("oidc: a client secret and a client_key: give one of them")
	}
	text, err := os.ReadFile(p.ClientKey)
	if err != nil {
		return nil, fmt.Errorf("client_key: %w", err)
	}
	if info, err := os.Stat(p.ClientKey); err == nil && info.Mode().Perm()&0o077 != 0 {
		p.logger.Warn("client_key: others may read the file", zap.String("file", p.ClientKey), zap.Stringer("mode", info.Mode()))
	}
	key, err := ParseClientKey(text, p.ClientKeyID)
	if err != nil {
		return nil, fmt.Errorf("client_key %s: %w", p.ClientKey, err)
	}
	return key, nil
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

// ApprovesNew implements [gatehouse.Approver].
func (p *Provider) ApprovesNew() bool { return p.ApproveNew }

// Form implements [gatehouse.IdentityProvider].
func (p *Provider) Form() bool { return false }

// Open implements [gatehouse.IdentityProvider].
func (p *Provider) Open(house *gatehouse.App) error {
	p.house, p.state = house, house.State
	return nil
}

// claims are those that the policies of the house's sites read.
func (p *Provider) claims() []string {
	if p.house == nil {
		return nil
	}
	return p.house.Claims()
}

// groups are those among the provider's that the policies of the house's sites read.
func (p *Provider) groups(of []string) []string {
	if p.house == nil {
		return nil
	}
	return p.house.Groups(of)
}

// Start takes up the last good metadata and keys, and from then on keeps them young, without waiting for the provider: a
// mistake is seen before the first login.
func (p *Provider) Start() error {
	state, err := p.state()
	if err != nil {
		return err
	}
	if err := p.client.Shelve(p.ctx, state.Store, state.Keys); err != nil {
		p.logger.Warn("starting without the identity provider's last good metadata and keys", zap.String("provider", p.ProviderName), zap.Error(err))
	}
	go p.client.Run(p.ctx, p.seen)
	return nil
}

// seen tells operators whether the provider is there.
func (p *Provider) seen(err error) {
	name := zap.String("provider", p.ProviderName)
	if err != nil {
		providerUp.WithLabelValues(p.ProviderName).Set(0)
		p.logger.Warn("the identity provider is not available; logins will try again", name, zap.Error(err))
		return
	}
	providerUp.WithLabelValues(p.ProviderName).Set(1)
	p.logger.Info("the identity provider is available", name)
}

// skewed tells operators how the provider's clock differs from ours.
func (p *Provider) skewed(ahead time.Duration) {
	log := p.logger.Warn
	if ahead.Abs() < skewWarn {
		ahead, log = 0, p.logger.Info
	}
	clockSkew.WithLabelValues(p.ProviderName).Set(ahead.Seconds())
	log("the identity provider's clock, less ours", zap.String("provider", p.ProviderName),
		zap.Duration("ahead", ahead.Round(time.Second)), zap.Duration("tolerated", skew))
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
	attempt := p.attempt(l)
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
	v, err := p.client.Finish(r.Context(), query, a)
	if err != nil {
		return nil, loginError(err)
	}
	return vouching(v), nil
}

func vouching(s *Session) *gatehouse.Vouching {
	return &gatehouse.Vouching{Identity: s.Identity, Keep: s.Keep, SID: s.SID, Renew: s.Renew}
}

// Renew implements [gatehouse.Renewer].
func (p *Provider) Renew(ctx context.Context, keep []byte) (*gatehouse.Vouching, error) {
	s, err := p.client.Renew(ctx, keep)
	result := "renewed"
	switch {
	case errors.Is(err, ErrEnded):
		result, err = "ended", fmt.Errorf("%w: %w", gatehouse.ErrVouchingEnded, err)
	case err != nil:
		result = "failed"
	}
	renewals.WithLabelValues(p.ProviderName, result).Inc()
	if err != nil {
		return nil, err
	}
	return vouching(s), nil
}

// EndURL implements [gatehouse.Ender].
func (p *Provider) EndURL(ctx context.Context, keep []byte, returnTo, state string) (string, error) {
	return p.client.EndURL(ctx, keep, returnTo, state)
}

// LogoutNotice implements [gatehouse.Notifiee].
func (p *Provider) LogoutNotice(r *http.Request) (*gatehouse.LogoutNotice, error) {
	n, err := p.client.LogoutNotice(r)
	if err != nil {
		return nil, err
	}
	return &gatehouse.LogoutNotice{Subject: n.Subject, SID: n.SID, ID: n.ID, Expires: n.Expires}, nil
}

func loginError(err error) error {
	reason, apart := verdict.LoginFailed, time.Duration(0)
	times := new(timeError)
	switch {
	case errors.Is(err, context.Canceled):
		reason = verdict.ClientClosed
	case errors.Is(err, ErrDown):
		reason = verdict.ProviderDown
	case errors.Is(err, errGroups):
		reason = verdict.GroupsMissing
	case errors.As(err, &times) && times.apart > 0:
		reason, apart = verdict.ClockDiffers, times.apart
	}
	return &gatehouse.LoginError{Reason: reason, Apart: apart, Err: err}
}

var (
	_ gatehouse.IdentityProvider = (*Provider)(nil)
	_ gatehouse.Starter          = (*Provider)(nil)
	_ gatehouse.Renewer          = (*Provider)(nil)
	_ gatehouse.Ender            = (*Provider)(nil)
	_ gatehouse.Notifiee         = (*Provider)(nil)
	_ caddy.Provisioner          = (*Provider)(nil)
	_ caddy.CleanerUpper         = (*Provider)(nil)
	_ caddyfile.Unmarshaler      = (*Provider)(nil)
)
