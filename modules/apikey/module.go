package apikey

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/service"
	"gatehouse.internal/modules/internal/verdict"
)

func init() {
	caddy.RegisterModule(new(Authenticator))
	gatehouse.OnErase("API keys", erase)
}

// Authenticator lets programs in by the keys that this gateway has issued.
type Authenticator struct {
	// Headers in which keys may stand, besides Authorization.
	Headers []string `json:"headers,omitempty"`
	// The backend gets the key too.
	Forward bool `json:"forward,omitempty"`
	// The site's APIs, of which the most specific that holds a path counts. Where one says how requests name their workspace,
	// a key must be for that one.
	APIs []API `json:"apis,omitempty"`
	// Programs may ask their users for keys; nil: not on this site.
	Device *Device `json:"device,omitempty"`

	house *gatehouse.App
	book  gatehouse.Kept[Book]
}

// API is a part of the site, and where its requests name the workspace they are for: nowhere, if there are none.
type API struct {
	Path reqpath.Pattern `json:"path"`
	By   []scope.Naming  `json:"by,omitempty"`
	// Tokens has keys exchanged for access tokens, which are taken here; nil: they are not.
	Tokens *Tokens `json:"tokens,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Authenticator) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.authenticators.api_key", New: func() caddy.Module { return new(Authenticator) }}
}

// Method implements [gatehouse.Authenticator].
func (*Authenticator) Method() identity.Method { return identity.ByAPIKey }

// Provision finds the house.
func (a *Authenticator) Provision(ctx caddy.Context) (err error) {
	if a.house, err = gatehouse.House(ctx); err != nil {
		return err
	}
	for _, name := range a.Headers {
		if err := headerName(name); err != nil {
			return gatehouse.Refused(err)
		}
	}
	a.house.AddDirectory("api_keys", a)
	a.house.AddPage(gatehouse.KeysPath, servePage(a.serveKeys))
	if a.Device != nil {
		if err := a.Device.provision(a); err != nil {
			return err
		}
	}
	slices.SortFunc(a.APIs, func(x, y API) int { return x.Path.Compare(y.Path) })
	if err := a.provisionTokens(); err != nil {
		return err
	}
	return gatehouse.RegisterMetrics(ctx, presented, accessTokens)
}

// headerName says what is wrong with the name of a header for keys.
func headerName(name string) error {
	if http.CanonicalHeaderKey(name) != name || name == "Authorization" || name == "Cookie" || name == "Host" || strings.ContainsAny(name, "_. ") {
		return fmt.Errorf("api_key_header %q: write a header's name like X-Api-Key", name)
	}
	return nil
}

// Testify implements [gatehouse.Authenticator].
func (a *Authenticator) Testify(r *http.Request, req *gatehouse.Request) (*gatehouse.Testimony, error) {
	text, in, err := find(r.Header, a.Headers)
	if err != nil {
		return nil, a.refused("invalid_request", err)
	}
	if t, err := a.byToken(r, req, text != ""); t != nil || err != nil {
		return t, err
	}
	if text == "" {
		return nil, nil
	}
	if a.wantsToken(req.Path) {
		presented.WithLabelValues("refused").Inc()
		id, _ := keyText.Read(text)
		return nil, &gatehouse.CredentialError{
			Reason: verdict.InvalidToken, Challenge: `Bearer error="invalid_token", error_description="exchange the key at ` + tokenPath + `"`,
			Err: fmt.Errorf("the key %s opens nothing here itself: it is exchanged for an access token at %s", id, tokenPath),
		}
	}
	book, err := a.opened()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	k, t, err := book.Find(r.Context(), text, now)
	switch {
	case err == nil:
		err = a.rightful(k, t, req)
	case !isVerdict(err):
		return nil, err
	}
	if err != nil {
		return nil, a.refused("invalid_token", err)
	}
	if err := a.covers(k, k.Workspaces, r, req); err != nil {
		presented.WithLabelValues("out_of_scope").Inc()
		return nil, err
	}
	if !a.Forward {
		for _, name := range in {
			delete(r.Header, name)
		}
	}
	presented.WithLabelValues("accepted").Inc()
	book.used.note(k, now)
	return t, nil
}

// isVerdict reports whether the error says that the key does not count, rather than that nobody knows.
func isVerdict(err error) bool {
	return slices.ContainsFunc([]error{errNoKey, errExpired, errForged, errTokenOver, errTokenFuture, owner.ErrNotSeen, service.ErrDisabled, service.ErrUnknown}, func(v error) bool { return errors.Is(err, v) })
}

// rightful refuses a key of another tenant, one that is bound to another certificate, and one of a person whose identity provider the house has given up.
func (a *Authenticator) rightful(k *Key, t *testimony, req *gatehouse.Request) error {
	if t.Identity.Tenant != req.Site.Tenant {
		return errTenant
	}
	if k.Certificate != "" && (req.Certificate == nil || hex.EncodeToString(req.Certificate.Sum[:]) != k.Certificate) {
		return errUnbound
	}
	if k.Account == "" && !slices.ContainsFunc(a.house.ProvidersOf(req.Site.Tenant), func(p gatehouse.IdentityProvider) bool { return p.Name() == k.Person.Provider }) {
		return owner.ErrNotSeen
	}
	return nil
}

// covers refuses a good key, or a token of its for these of its workspaces, that is not for this request.
func (a *Authenticator) covers(k *Key, workspaces []string, r *http.Request, req *gatehouse.Request) error {
	err := k.Scope.Covers(scope.Request{Host: r.Host, Path: req.Path, Method: r.Method, Client: req.ClientIP})
	if err != nil {
		return outOfScope(verdict.OutOfScope, fmt.Errorf("the key %s is %w", k.ID, err))
	}
	i := slices.IndexFunc(a.APIs, func(api API) bool { return api.Path.MatchFolded(req.Path) })
	if i >= 0 && len(a.APIs[i].By) > 0 {
		name, err := scope.Workspace(a.APIs[i].By, r.Host, req.Path, r.Header)
		if err == nil && !slices.Contains(workspaces, name) {
			err = fmt.Errorf("the key %s is not for the workspace %.80q", k.ID, name)
		}
		if err != nil {
			return outOfScope(verdict.OtherWorkspace, err)
		}
	}
	return nil
}

func outOfScope(reason verdict.Reason, err error) error {
	return &gatehouse.CredentialError{Reason: reason, Challenge: `Bearer error="insufficient_scope"`, Err: err}
}

func (a *Authenticator) refused(code string, err error) error {
	presented.WithLabelValues("refused").Inc()
	return &gatehouse.CredentialError{Reason: verdict.InvalidToken, Challenge: `Bearer error="` + code + `"`, Err: err}
}

func (a *Authenticator) opened() (*Book, error) { return a.book.Of(a.house, bookOf) }

// bookOf returns the house's keys, which outlive configurations.
func bookOf(house *gatehouse.App) (*Book, error) {
	state, err := house.State()
	if err != nil {
		return nil, err
	}
	accounts, err := state.Services()
	if err != nil {
		return nil, err
	}
	people, err := state.Roster()
	if err != nil {
		return nil, err
	}
	kept, err := state.Keep("apikey.book", func() (caddy.Destructor, error) {
		return NewBook(state.Store, state.Keys, accounts, people)
	})
	if err != nil {
		return nil, fmt.Errorf("opening the API keys: %w", err)
	}
	return kept.(*Book), nil
}

var (
	_ caddy.Provisioner       = (*Authenticator)(nil)
	_ gatehouse.Authenticator = (*Authenticator)(nil)
)
