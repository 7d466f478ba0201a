package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/verdict"
)

func init() { caddy.RegisterModule(Provider{}) }

const (
	setupPath = "/setup"
	// issuer is who vouches for local identities.
	issuer = "urn:gatehouse:local"
	// startFor bounds what Start does with the store.
	startFor = 30 * time.Second
)

// Provider lets people log in with a user name and a password that the gateway keeps. The first user is made through a
// link that the gateway prints when it starts without any.
type Provider struct {
	// The provider's name in the house and in identities. Default: local.
	ProviderName string `json:"name,omitempty"`

	// What the login page calls the provider. Default: User name and password.
	Title string `json:"label,omitempty"`

	// The roles of the first user. Default: admin.
	FirstUserRoles []string `json:"first_user_roles,omitempty"`

	// The least number of characters in a password, 12 or more. Default: 12.
	PasswordMin int `json:"password_min,omitempty"`

	house  *gatehouse.App
	stderr io.Writer
}

// kept is what outlives a configuration: one for all local providers of a house, as they share its processors.
type kept struct {
	hasher  *Hasher
	streaks *streaks

	mu     sync.Mutex
	issued map[string]string // guarded by mu; provider -> the set-up token this process issued
}

// Destruct implements [caddy.Destructor].
func (*kept) Destruct() error { return nil }

// engine is the provider's state, found anew for each request: it may be closed at any time.
type engine struct {
	*kept
	users *Users
	links SetupLinks
	bus   *event.Bus
}

// CaddyModule returns the Caddy module information.
func (Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.identity_providers.local", New: func() caddy.Module { return new(Provider) }}
}

// Provision fills in the defaults.
func (p *Provider) Provision(caddy.Context) error {
	p.ProviderName = cmp.Or(p.ProviderName, "local")
	p.Title = cmp.Or(p.Title, "User name and password")
	p.PasswordMin = cmp.Or(p.PasswordMin, minPassword)
	if len(p.FirstUserRoles) == 0 {
		p.FirstUserRoles = []string{"admin"}
	}
	if p.stderr == nil {
		p.stderr = os.Stderr
	}
	return nil
}

// Validate refuses shorter passwords than control CER-09 allows, and longer ones than people type.
func (p *Provider) Validate() error {
	if p.PasswordMin < minPassword || p.PasswordMin > maxPassword/4 {
		return fmt.Errorf("password_min %d: passwords need at least %d characters; write a number from there to %d, or leave it out", p.PasswordMin, minPassword, maxPassword/4)
	}
	return nil
}

// Name implements [gatehouse.IdentityProvider].
func (p *Provider) Name() string { return p.ProviderName }

// Label implements [gatehouse.IdentityProvider].
func (p *Provider) Label() string { return p.Title }

// Form implements [gatehouse.IdentityProvider].
func (p *Provider) Form() bool { return true }

// Open implements [gatehouse.IdentityProvider].
func (p *Provider) Open(house *gatehouse.App) error {
	p.house = house
	return nil
}

func (p *Provider) engine() (engine, error) {
	state, err := p.house.State()
	if err != nil {
		return engine{}, err
	}
	v, err := state.Keep("idp.local", func() (caddy.Destructor, error) {
		return &kept{hasher: NewHasher(runtime.GOMAXPROCS(0)), streaks: newStreaks(maxStreaks), issued: map[string]string{}}, nil
	})
	if err != nil {
		return engine{}, err
	}
	k := v.(*kept)
	return engine{
		kept:  k,
		users: &Users{Store: state.Store, Keys: state.Keys, Hasher: k.hasher, Provider: p.ProviderName, MinPassword: p.PasswordMin},
		links: SetupLinks{Store: state.Store, Provider: p.ProviderName},
		bus:   state.Bus,
	}, nil
}

// Start issues a set-up link when there is no user, unless this process has issued one that still works.
func (p *Provider) Start() error {
	e, err := p.engine()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startFor)
	defer cancel()
	some, err := e.users.Any(ctx)
	if err != nil {
		return err
	}
	if some {
		return errors.Join(e.links.Withdraw(ctx), removeLink(p.linkFile()))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if token := e.issued[p.ProviderName]; token != "" {
		if err := e.links.Check(ctx, token); !errors.Is(err, ErrSetupToken) {
			return err
		}
	}
	token, err := e.links.Issue(ctx)
	if err != nil {
		return err
	}
	link := p.linkTo(token)
	if err := writeLink(p.linkFile(), link+"\n"); err != nil {
		return err
	}
	e.issued[p.ProviderName] = token
	fmt.Fprintf(p.stderr, "\nNobody can log in yet. To create the first administrator, open this link within 24 hours. It works once:\n\n    %s\n\nIt is also in %s, which only the gateway's user can read.\n\n", link, p.linkFile())
	e.bus.Publish(event.Event{Time: time.Now(), Kind: event.SetupLinkIssued, Attrs: []event.Attr{{Key: "provider", Value: p.ProviderName}}})
	return nil
}

// linkTo returns the set-up link on the house's first site.
func (p *Provider) linkTo(token string) string {
	origin := "https://<your site>"
	if origins := p.house.Origins(); len(origins) > 0 {
		origin = origins[0]
	}
	return origin + gatehouse.PortalPrefix + "login/" + p.ProviderName + setupPath + "?token=" + token
}

func (p *Provider) linkFile() string {
	name := "setup-link"
	if p.ProviderName != "local" {
		name += "-" + p.ProviderName
	}
	return filepath.Join(p.house.Dir(), name)
}

func removeLink(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the set-up link: %w", err)
	}
	return nil
}

// ServeLogin implements [gatehouse.IdentityProvider].
func (p *Provider) ServeLogin(w http.ResponseWriter, r *http.Request, l gatehouse.Login) (*gatehouse.Vouching, error) {
	e, err := p.engine()
	if err != nil {
		return nil, unavailable(err)
	}
	post := r.Method == http.MethodPost
	switch {
	case l.Sub != "" && l.Sub != setupPath:
		return nil, &gatehouse.LoginError{Reason: verdict.NotFound}
	case !post && r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, POST")
		return nil, &gatehouse.LoginError{Reason: verdict.BadMethod}
	case post && l.Flow.Fresh, l.Sub == "" && !post: // the form is the portal's, at /.gatehouse/login
		return nil, &gatehouse.LoginError{Reason: verdict.LoginExpired}
	case l.Sub == "":
		return p.login(r, l, e)
	case post:
		return p.createFirst(w, r, l, e)
	}
	return nil, p.showSetup(w, r, l, e)
}

func (p *Provider) vouch(u User) *gatehouse.Vouching {
	who := identity.Identity{
		Provider: p.ProviderName, Issuer: issuer, Subject: u.Name, Name: u.Name, Roles: u.Roles,
		AMR: []string{"pwd"}, AuthTime: time.Now().UTC().Truncate(time.Second), // RFC 8176
	}
	who.Normalize()
	return &gatehouse.Vouching{Identity: who}
}

func unavailable(err error) error {
	reason := verdict.Unavailable
	if errors.Is(err, context.Canceled) {
		reason = verdict.ClientClosed
	}
	return &gatehouse.LoginError{Reason: reason, Err: err}
}

// login judges the portal's login form.
func (p *Provider) login(r *http.Request, l gatehouse.Login, e engine) (*gatehouse.Vouching, error) {
	f, err := parseForm(r, "username", "password")
	if err != nil {
		return nil, formError(err)
	}
	// Only what can be a name is repeated: people type their password into the wrong field.
	name, _ := CanonicalName(f["username"])
	key := keyOf(p.ProviderName, cmp.Or(name, f["username"]), clientip.Network(l.Request.ClientIP))
	if wait := e.streaks.begin(key); wait > 0 {
		return nil, tooMany(name, wait)
	}
	u, err := e.users.Authenticate(r.Context(), f["username"], f["password"])
	switch {
	case err == nil:
		e.streaks.succeeded(key)
		return p.vouch(u), nil
	case errors.Is(err, ErrWrong):
		return nil, &gatehouse.LoginError{Reason: verdict.LoginFailed, Message: string(page.BadCredentials), User: name, Err: err}
	case errors.Is(err, ErrBusy):
		e.streaks.undo(key)
		return nil, tooMany(name, waitFor)
	}
	e.streaks.undo(key)
	return nil, unavailable(err)
}

func tooMany(name string, wait time.Duration) error {
	return &gatehouse.LoginError{Reason: verdict.TooManyAttempts, Message: string(page.Paused), User: name, After: wait}
}

// showSetup shows the form for the first user; there is none once somebody has used it.
func (p *Provider) showSetup(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine) error {
	if err := p.setupOpen(r, e); err != nil {
		return err
	}
	token := r.URL.Query().Get("token")
	var say page.Message
	if token != "" {
		switch err := e.links.Check(r.Context(), token); {
		case errors.Is(err, ErrSetupToken):
			token, say = "", page.TokenInvalid
		case err != nil:
			return unavailable(err)
		}
	}
	p.writeSetup(w, r, l, http.StatusOK, page.Setup{Token: token, Error: say})
	return nil
}

func (p *Provider) setupOpen(r *http.Request, e engine) error {
	switch some, err := e.users.Any(r.Context()); {
	case err != nil:
		return unavailable(err)
	case some:
		return &gatehouse.LoginError{Reason: verdict.NotFound, Err: errors.New("set-up is over: there are users")}
	}
	return nil
}

func (p *Provider) writeSetup(w http.ResponseWriter, r *http.Request, l gatehouse.Login, status int, s page.Setup) {
	if l.Request.Site != nil {
		s.Site = l.Request.Site.Name
	}
	s.RequestID, s.Action, s.Flow, s.MinPassword = l.Request.ID, l.Base+setupPath, l.Flow.Token, p.PasswordMin
	page.Write(w, r, status, s)
}

// createFirst makes the first user. The token is used up last, so that a mistake in the form does not cost it; and by
// one request only, however many come at once.
func (p *Provider) createFirst(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine) (*gatehouse.Vouching, error) {
	f, err := parseForm(r, "token", "username", "password", "password_again")
	if err != nil {
		return nil, formError(err)
	}
	if err := p.setupOpen(r, e); err != nil {
		return nil, err
	}
	u, err := p.prepareFirst(r.Context(), f, e)
	if err == nil {
		if err = e.links.Redeem(r.Context(), f["token"]); err == nil {
			err = e.users.Create(r.Context(), u)
		}
	}
	if say, again := setupMessage(err); again {
		view := page.Setup{Token: f["token"], Error: say}
		if errors.Is(err, ErrSetupToken) {
			view.Token = ""
		}
		view.Username, _ = CanonicalName(f["username"])
		p.writeSetup(w, r, l, http.StatusUnprocessableEntity, view)
		return nil, nil
	}
	switch {
	case errors.Is(err, ErrBusy):
		return nil, &gatehouse.LoginError{Reason: verdict.TooManyAttempts, After: waitFor, Err: err}
	case err != nil:
		return nil, unavailable(err)
	}
	_ = removeLink(p.linkFile()) // it no longer works; the next start removes it
	created := l.Request.Event(event.UserCreated)
	created.User = p.ProviderName + ":" + u.Name
	e.bus.Publish(created)
	return p.vouch(u), nil
}

// prepareFirst checks the form, cheapest first: only who has the token gets a hash computed.
func (p *Provider) prepareFirst(ctx context.Context, f map[string]string, e engine) (User, error) {
	if err := e.links.Check(ctx, f["token"]); err != nil {
		return User{}, err
	}
	if f["password"] != f["password_again"] {
		return User{}, errPasswordsDiffer
	}
	return e.users.New(ctx, f["username"], f["password"], p.FirstUserRoles)
}

var errPasswordsDiffer = errors.New("the two passwords differ")

// setupMessage returns what the form says about an error that the person can mend.
func setupMessage(err error) (say page.Message, again bool) {
	for _, m := range []struct {
		err error
		say page.Message
	}{
		{ErrSetupToken, page.TokenInvalid}, {ErrName, page.UsernameInvalid}, {errPasswordsDiffer, page.PasswordsDiffer},
		{ErrPasswordShort, page.PasswordTooShort}, {ErrPasswordWeak, page.PasswordTooWeak},
		{ErrPasswordLong, "password_too_long"},
	} {
		if errors.Is(err, m.err) {
			return m.say, true
		}
	}
	return "", false
}

func formError(err error) error {
	reason := verdict.BadRequest
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		reason = verdict.BodyTooLarge
	}
	return &gatehouse.LoginError{Reason: reason, Err: err}
}

var (
	_ gatehouse.IdentityProvider = (*Provider)(nil)
	_ gatehouse.Starter          = (*Provider)(nil)
	_ caddy.Provisioner          = (*Provider)(nil)
	_ caddy.Validator            = (*Provider)(nil)
	_ caddyfile.Unmarshaler      = (*Provider)(nil)
)
