package bearer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/idp/oidc"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/recent"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/verdict"
)

func init() { caddy.RegisterModule(new(Authenticator)) }

// Authenticator accepts access tokens on a site's APIs.
type Authenticator struct {
	// The APIs. Of several that hold a path, the most specific counts, alone.
	APIs []API `json:"apis,omitempty"`

	site     *gatehouse.Site
	logger   *zap.Logger
	verified *recent.Map[*verified]
}

// API is a part of the site whose callers bring access tokens.
type API struct {
	// Where the API is. It takes tokens at paths that are spelled exactly so, and nowhere else.
	Path reqpath.Pattern `json:"path"`
	// Who issues the tokens.
	Issuers []Issuer `json:"issuers,omitempty"`
	// Whom tokens are for: one of these must be in their aud.
	Audiences []string `json:"audiences,omitempty"`
	// What every token must be for: all of these scopes.
	Scopes []string `json:"scopes,omitempty"`
	// The signature algorithms that are taken. Default: every asymmetric one.
	Algorithms []string `json:"algorithms,omitempty"`
	// The claim with the workspaces that a token is for.
	WorkspaceClaim string `json:"workspace_claim,omitempty"`
	// Where requests name the workspace they are for. It must be one of the token's.
	Workspaces []scope.Naming `json:"workspaces,omitempty"`
	// The claim that says whose customer the token is for. It must be the site's tenant.
	TenantClaim string `json:"tenant_claim,omitempty"`
	// The backend gets the token too.
	ForwardToken bool `json:"forward_token,omitempty"`

	issuers []*oidc.TokenIssuer
	want    oidc.AccessWanted
}

// House is the issuer that is the gateway itself. Whoever issues its tokens takes them as well, before this guest looks at a request:
// one that comes here is none.
const House = "gatehouse"

// OwnWorkspaceClaim is where the gateway's own tokens name workspaces.
const OwnWorkspaceClaim = "workspaces"

// Own returns how long tokens are good that the gateway itself issues for the API; false: it takes none.
func (api *API) Own() (lasts caddy.Duration, ok bool) {
	for _, i := range api.Issuers {
		if i.own() {
			return i.Lasts, true
		}
	}
	return 0, false
}

func (i Issuer) own() bool { return i.Name == House && i.URL == "" }

// Issuer is an authorization server: an OpenID provider of the house, or another one.
type Issuer struct {
	// The name of an OpenID provider of the house; or [House]; or, with a URL, what identities carry as their provider.
	Name string `json:"name"`
	// How long tokens of the gateway's own are good. Default: as the room says that issues them.
	Lasts caddy.Duration `json:"lasts,omitempty"`
	// The issuer, spelled as its tokens do.
	URL string `json:"url,omitempty"`
	// Where its key set is. Default: as its metadata says.
	JWKS string `json:"jwks,omitempty"`
	// As the OpenID provider's.
	RolesClaim   string              `json:"roles_claim,omitempty"`
	Roles        map[string][]string `json:"roles,omitempty"`
	TrustPEM     string              `json:"trust_pem,omitempty"`
	InsecureHTTP bool                `json:"insecure_http,omitempty"`
}

// verified is a token that was found good.
type verified struct {
	api        *API
	testimony  *gatehouse.Testimony
	thumbprint string
}

// CaddyModule returns the Caddy module information.
func (*Authenticator) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.authenticators.bearer", New: func() caddy.Module { return new(Authenticator) }}
}

// Method implements [gatehouse.Authenticator].
func (*Authenticator) Method() identity.Method { return identity.ByBearer }

// Provision finds the issuers. It touches no network.
func (a *Authenticator) Provision(ctx caddy.Context) error {
	house, err := gatehouse.House(ctx)
	if err != nil {
		return err
	}
	a.logger, a.site = ctx.Logger(), house.Entered()
	a.verified = recent.New[*verified](maxVerified)
	if slices.ContainsFunc(house.Providers(), func(p gatehouse.IdentityProvider) bool { return p.Name() == House }) &&
		slices.ContainsFunc(a.APIs, func(api API) bool { _, own := api.Own(); return own }) {
		return gatehouse.Refused(fmt.Errorf("`issuer %s` is the gateway itself: call the identity provider of that name something else", House))
	}
	opened := map[string]*oidc.TokenIssuer{}
	for i := range a.APIs {
		if err := a.APIs[i].provision(func(i Issuer) (*oidc.TokenIssuer, error) {
			key := fmt.Sprintf("%+v", i)
			ti, err := opened[key], error(nil)
			if ti == nil {
				ti, err = i.open(ctx, a.logger, house)
				opened[key] = ti
			}
			return ti, err
		}); err != nil {
			return gatehouse.Refused(fmt.Errorf("api %s: %w", a.APIs[i].Path, err))
		}
	}
	slices.SortFunc(a.APIs, func(x, y API) int { return x.Path.Compare(y.Path) })
	return gatehouse.RegisterMetrics(ctx, tokens)
}

// provision checks the API and finds its issuers with open.
func (api *API) provision(open func(Issuer) (*oidc.TokenIssuer, error)) error {
	switch {
	case api.Path.String() == "":
		return errors.New("name a path, such as /api/*")
	case len(api.Issuers) == 0:
		return errors.New("say whose tokens are taken: `issuer gatehouse`, `issuer <name of an oidc provider>` or `issuer <name> <https URL>`")
	case len(api.Audiences) == 0:
		return errors.New("say whom tokens are for: `audience <name...>`; without it, tokens for any other application would do")
	case (api.WorkspaceClaim == "") != (len(api.Workspaces) == 0):
		return errors.New("`workspace_claim` says what a token is for, `workspace` what a request asks for: give both or neither")
	}
	for _, n := range api.Workspaces {
		if err := n.Validate(); err != nil {
			return fmt.Errorf("workspace: %w", err)
		}
	}
	if err := oidc.AlgorithmsWanted(api.Algorithms); err != nil {
		return err
	}
	api.want = oidc.AccessWanted{
		Audiences: api.Audiences, Algorithms: api.Algorithms, WorkspaceClaim: api.WorkspaceClaim, TenantClaim: api.TenantClaim,
	}
	for n, i := range api.Issuers {
		if i.own() {
			if err := api.checkOwn(api.Issuers[n+1:]); err != nil {
				return err
			}
			continue
		}
		ti, err := open(i)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(api.issuers, func(o *oidc.TokenIssuer) bool { return o.Issuer() == ti.Issuer() }) {
			return fmt.Errorf("the issuer %q stands twice", ti.Issuer())
		}
		api.issuers = append(api.issuers, ti)
	}
	return nil
}

// checkOwn says what cannot be said of the gateway's own tokens.
func (api *API) checkOwn(others []Issuer) error {
	switch {
	case slices.ContainsFunc(others, Issuer.own):
		return fmt.Errorf("the issuer %q stands twice", House)
	case len(api.Algorithms) > 0 && !slices.Contains(api.Algorithms, "ES256"):
		return errors.New("the gateway's own tokens are signed with ES256: add it to `algorithms`, or take `issuer gatehouse` out")
	case len(api.Workspaces) > 0 && api.WorkspaceClaim != OwnWorkspaceClaim:
		return fmt.Errorf("the gateway's own tokens name workspaces in `workspace_claim %s`", OwnWorkspaceClaim)
	}
	return nil
}

// open returns the issuer: the house's own, or one that is kept fresh from the start of the house on.
func (i Issuer) open(ctx caddy.Context, logger *zap.Logger, house *gatehouse.App) (*oidc.TokenIssuer, error) {
	if i.Name == House {
		return nil, fmt.Errorf("issuer %q is the gateway itself, and has no address", House)
	}
	at := slices.IndexFunc(house.Providers(), func(p gatehouse.IdentityProvider) bool { return p.Name() == i.Name })
	if i.URL == "" {
		if at >= 0 {
			if p, ok := house.Providers()[at].(*oidc.Provider); ok {
				return p.TokenIssuer(), nil
			}
		}
		return nil, fmt.Errorf("issuer %q is no oidc provider of the house: give its URL too, `issuer %s https://…`", i.Name, i.Name)
	}
	if at >= 0 || !gatehouse.ProviderName(i.Name) {
		return nil, fmt.Errorf("issuer %q: its people must not pass for those of a provider of the same name; use another one, of 1 to 32 of a-z, 0-9 and _", i.Name)
	}
	for _, address := range []string{i.URL, i.JWKS} {
		if address == "" {
			continue
		}
		if err := house.MayReach(gatehouse.Reach{What: "the issuer " + i.Name, Address: address}); err != nil {
			return nil, err
		}
	}
	cfg := oidc.IssuerConfig{
		Name: i.Name, Issuer: i.URL, JWKSURL: i.JWKS, RolesClaim: i.RolesClaim, Roles: i.Roles, InsecureHTTP: i.InsecureHTTP,
	}
	if i.TrustPEM != "" {
		pem, err := os.ReadFile(i.TrustPEM)
		if err != nil {
			return nil, fmt.Errorf("issuer %s: trust_pem: %w", i.Name, err)
		}
		if cfg.Roots, err = x509.SystemCertPool(); err != nil {
			cfg.Roots = x509.NewCertPool()
		}
		if !cfg.Roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("issuer %s: no certificate in %s", i.Name, i.TrustPEM)
		}
	}
	ti, err := oidc.NewTokenIssuer(cfg)
	if err != nil {
		return nil, fmt.Errorf("issuer %s: %w", i.Name, err)
	}
	house.AtStart(func() {
		go ti.Run(ctx, func(err error) {
			if err != nil {
				logger.Warn("the keys of an issuer of access tokens cannot be had; what was fetched before still serves", zap.String("issuer", i.Name), zap.Error(err))
			}
		})
	})
	return ti, nil
}

// Testify implements [gatehouse.Authenticator].
func (a *Authenticator) Testify(r *http.Request, req *gatehouse.Request) (*gatehouse.Testimony, error) {
	header := r.Header["Authorization"]
	if len(header) == 0 {
		return nil, nil
	}
	api := a.at(req.Path)
	if api == nil {
		return nil, nil
	}
	token, err := tokenIn(header)
	if err != nil {
		return nil, a.refused(verdict.InvalidToken, "invalid_request", err)
	}
	if token == "" {
		return nil, nil
	}
	now := time.Now()
	known, err := a.verify(r.Context(), api, token, now)
	if err == nil {
		err = bound(known.thumbprint, r.TLS)
	}
	switch {
	case errors.Is(err, oidc.ErrDown):
		tokens.WithLabelValues("down").Inc()
		return nil, &gatehouse.CredentialError{Reason: verdict.ProviderDown, Err: err}
	case err != nil:
		return nil, a.refused(verdict.InvalidToken, "invalid_token", err)
	}
	if err := api.covers(r, req, known.testimony); err != nil {
		tokens.WithLabelValues("out_of_scope").Inc()
		return nil, err
	}
	if !api.ForwardToken {
		delete(r.Header, "Authorization")
	}
	return known.testimony, nil
}

// at returns the API that the path belongs to, or nil: also when some server could take it for one of a more specific API.
func (a *Authenticator) at(path reqpath.Path) *API {
	for i := range a.APIs {
		switch p := a.APIs[i].Path; {
		case p.MatchAll(path):
			return &a.APIs[i]
		case p.MatchFolded(path):
			return nil
		}
	}
	return nil
}

// verify returns what the token says, from memory if it was verified a short while ago.
func (a *Authenticator) verify(ctx context.Context, api *API, token string, now time.Time) (*verified, error) {
	key := recent.KeyOf(token)
	if known, ok := a.verified.Get(key, now); ok && known.api == api { // Fast path
		return known, nil
	}
	if !wellFormed(token) {
		return nil, errMalformed
	}
	issuer, err := issuerOf(api.issuers, token)
	if err != nil {
		return nil, err
	}
	access, err := issuer.Verify(ctx, token, api.want)
	if err != nil {
		return nil, err
	}
	tenant := ""
	if a.site != nil {
		tenant = a.site.Tenant
	}
	if api.TenantClaim != "" && access.Identity.Tenant != tenant {
		return nil, fmt.Errorf("it is for the tenant %.80q", access.Identity.Tenant)
	}
	access.Identity.Tenant = tenant
	tokens.WithLabelValues("verified").Inc()
	known := &verified{api: api, thumbprint: access.Thumbprint, testimony: &gatehouse.Testimony{
		Identity: access.Identity,
		Credential: identity.Credential{
			Method: identity.ByBearer, Name: logName(key), Since: access.Issued, Until: access.Expires,
			Scopes: access.Scopes, Workspaces: access.Workspaces,
		},
	}}
	until := now.Add(verifiedFor)
	if access.Expires.Before(until) {
		until = access.Expires
	}
	a.verified.Put(key, known, now, until)
	return known, nil
}

// covers refuses a good token that is not for this request.
func (api *API) covers(r *http.Request, req *gatehouse.Request, t *gatehouse.Testimony) error {
	for _, s := range api.Scopes {
		if !slices.Contains(t.Credential.Scopes, s) {
			return &gatehouse.CredentialError{
				Reason:    verdict.OutOfScope,
				Challenge: `Bearer error="insufficient_scope", scope="` + strings.Join(api.Scopes, " ") + `"`,
				Err:       fmt.Errorf("it lacks the scope %s", s),
			}
		}
	}
	if len(api.Workspaces) == 0 {
		return nil
	}
	name, err := scope.Workspace(api.Workspaces, r.Host, req.Path, r.Header)
	if err == nil && !slices.Contains(t.Credential.Workspaces, name) {
		err = fmt.Errorf("it is not for the workspace %.80q", name)
	}
	if err != nil {
		return &gatehouse.CredentialError{Reason: verdict.OtherWorkspace, Challenge: `Bearer error="insufficient_scope"`, Err: err}
	}
	return nil
}

// refused says that a token does not count (RFC 6750 3.1).
func (a *Authenticator) refused(reason verdict.Reason, code string, err error) error {
	tokens.WithLabelValues("refused").Inc()
	return &gatehouse.CredentialError{Reason: reason, Challenge: `Bearer error="` + code + `"`, Err: err}
}

var (
	_ caddy.Provisioner       = (*Authenticator)(nil)
	_ gatehouse.Authenticator = (*Authenticator)(nil)
)
