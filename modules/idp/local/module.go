package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/backoff"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/standing"
)

func init() { caddy.RegisterModule(Provider{}) }

// What follows the provider's Base.
const (
	setupPath    = "/setup"    // of the first user
	changePath   = "/change"   // of a password that may not be used any longer
	linkPath     = "/password" // of a link to set one
	registerPath = "/register"
)

const (
	// issuer is who vouches for local identities.
	issuer = "urn:gatehouse:local"
	// Failures are counted of so many users and networks, with pauses up to so long.
	maxStreaks = 1 << 16
	maxPause   = 15 * time.Minute
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

	// What new password hashes cost: owasp, owasp_46m, owasp_12m, owasp_9m, owasp_7m, rfc9106. Default: owasp.
	PasswordHash string `json:"password_hash,omitempty"`

	// A file of passwords that became known, which nobody may use: plain words, or SHA-1 hashes sorted.
	BreachedList string `json:"breached_list,omitempty"`

	// Let people ask for an account on a page of the login. An administrator decides.
	Register bool `json:"register,omitempty"`

	cost   params
	house  *gatehouse.App
	stderr io.Writer
}

// kept is what outlives a configuration: one for all local providers of a house, as they share its processors.
type kept struct {
	hasher  *Hasher
	streaks *backoff.Table

	mu     sync.Mutex
	issued map[string]string // guarded by mu; provider -> the set-up token this process issued
}

// Destruct implements [caddy.Destructor].
func (*kept) Destruct() error { return nil }

// engine is the provider's state, found anew for each request: it may be closed at any time.
type engine struct {
	*kept
	users     *Users
	links     SetupLinks
	passwords PasswordLinks
	book      *standing.Book
	bus       *event.Bus
}

// CaddyModule returns the Caddy module information.
func (Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.identity_providers.local", New: func() caddy.Module { return new(Provider) }}
}

// Provision fills in the defaults.
func (p *Provider) Provision(ctx caddy.Context) error {
	p.ProviderName = cmp.Or(p.ProviderName, "local")
	p.Title = cmp.Or(p.Title, "User name and password")
	p.PasswordMin = cmp.Or(p.PasswordMin, minPassword)
	p.PasswordHash = cmp.Or(p.PasswordHash, defaultPreset)
	if len(p.FirstUserRoles) == 0 {
		p.FirstUserRoles = []string{"admin"}
	}
	if p.stderr == nil {
		p.stderr = os.Stderr
	}
	return registerMetrics(ctx)
}

// Validate refuses shorter passwords than control CER-09 allows, and longer ones than people type.
func (p *Provider) Validate() error {
	if p.PasswordMin < minPassword || p.PasswordMin > maxPassword/4 {
		return fmt.Errorf("password_min %d: passwords need at least %d characters; write a number from there to %d, or leave it out", p.PasswordMin, minPassword, maxPassword/4)
	}
	cost, ok := presets[p.PasswordHash]
	if !ok {
		return fmt.Errorf("password_hash %q: the presets are %s", p.PasswordHash, strings.Join(slices.Sorted(maps.Keys(presets)), ", "))
	}
	p.cost = cost
	if p.BreachedList == "" {
		return nil
	}
	_, err := OpenBreached(p.BreachedList, func(error) {})
	return err
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
	house.AddDirectory("accounts of "+p.ProviderName, p)
	house.OnErase("accounts of "+p.ProviderName, p.erase)
	return nil
}

// RegisterPath implements [gatehouse.Registrar].
func (p *Provider) RegisterPath() string {
	if !p.Register {
		return ""
	}
	return registerPath
}

func (p *Provider) engine() (engine, error) {
	state, err := p.house.State()
	if err != nil {
		return engine{}, err
	}
	v, err := state.Keep("idp.local", func() (caddy.Destructor, error) {
		// Half of the processors, so that logins leave the others to requests.
		return &kept{hasher: NewHasher(runtime.GOMAXPROCS(0) / 2), streaks: backoff.New(maxStreaks, maxPause), issued: map[string]string{}}, nil
	})
	if err != nil {
		return engine{}, err
	}
	breached, err := p.breached(state)
	if err != nil {
		return engine{}, err
	}
	k := v.(*kept)
	return engine{
		kept: k,
		users: &Users{
			Store: state.Store, Keys: state.Keys, Hasher: k.hasher, Provider: p.ProviderName,
			MinPassword: p.PasswordMin, Cost: p.cost, Breached: breached,
		},
		links:     SetupLinks{Store: state.Store, Provider: p.ProviderName},
		passwords: PasswordLinks{Store: state.Store, Keys: state.Keys, Provider: p.ProviderName},
		book:      state.Standing,
		bus:       state.Bus,
	}, nil
}

// breached returns the list, which outlives configurations: of words, it is in memory.
func (p *Provider) breached(state *gatehouse.State) (*Breached, error) {
	if p.BreachedList == "" {
		return nil, nil
	}
	v, err := state.Keep("idp.local.breached "+p.BreachedList, func() (caddy.Destructor, error) {
		return OpenBreached(p.BreachedList, func(err error) {
			state.Bus.Publish(event.Event{Time: time.Now(), Kind: event.BreachedUnread, Detail: err.Error()})
		})
	})
	if err != nil {
		return nil, err
	}
	return v.(*Breached), nil
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

var (
	_ gatehouse.IdentityProvider = (*Provider)(nil)
	_ gatehouse.Starter          = (*Provider)(nil)
	_ gatehouse.PasswordKeeper   = (*Provider)(nil)
	_ gatehouse.Registrar        = (*Provider)(nil)
	_ caddy.Provisioner          = (*Provider)(nil)
	_ caddy.Validator            = (*Provider)(nil)
	_ caddyfile.Unmarshaler      = (*Provider)(nil)
)
