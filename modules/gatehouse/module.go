package gatehouse

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"gatehouse.internal/modules/internal/egress"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
)

func init() { caddy.RegisterModule(new(App)) }

// Session defaults: control CER-03, and a working day at the most.
const (
	defaultIdle      = 30 * time.Minute
	defaultAdminIdle = 15 * time.Minute
	defaultMax       = 12 * time.Hour
	defaultGrace     = 10 * time.Minute
)

// App is the house. Its zero value knows no identity provider, so that nobody can log in.
type App struct {
	// Where the house keeps its keys and its embedded store; made with mode 0700. One running gateway per directory.
	// Default: the directory "gatehouse" in Caddy's data directory.
	StateDir string `json:"state_dir,omitempty"`

	// The file with the house's master keys. It must exist and be readable by its owner only.
	// Default: the file "keys" in the state directory, made at first start.
	KeysFile string `json:"keys_file,omitempty"`

	// Which revision of the configuration this is, such as a commit: on record whenever it begins. Placeholders are replaced.
	Revision string `json:"revision,omitempty"`

	// The store engine. Default: embedded.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=gatehouse.stores inline_key=engine"`

	// Who vouches for people.
	ProvidersRaw []json.RawMessage `json:"identity_providers,omitempty" caddy:"namespace=gatehouse.identity_providers inline_key=provider"`

	// What the house says to rooms that all sites share, by the room's name.
	RoomsRaw caddy.ModuleMap `json:"rooms,omitempty" caddy:"namespace=gatehouse.rooms"`

	// How many bytes of bodies and answers the WAFs of all sites hold at one time; what does not fit is refused with 503.
	// At least four times the largest body_limit of a site. Default: 256 MiB.
	WAFBudget int64 `json:"waf_budget,omitempty"`

	// Serve HTTP/3 as well, where a server's protocols name it or name none: without the limits on frames, resets and
	// connections that HTTP/2 has. Default: HTTP/1.1 and HTTP/2 alone.
	InsecureHTTP3 bool `json:"insecure_http3,omitempty"`

	// Whom the lines of the gateway's own log name.
	LocalLogs LocalLogs `json:"local_logs,omitzero"`

	// Whom the house speaks to. Default: whomever it is configured to.
	Mode *Mode `json:"mode,omitempty"`

	// What is asked of TLS connections, by the name of one of five security statements: cerebro (TLS 1.3), brainframe (TLS 1.2
	// with three suites and RSA certificates), calbrix or natalia (TLS 1.2 with forward secrecy and authenticated encryption).
	// Default: TLS 1.3.
	TLSProfile string `json:"tls_profile,omitempty"`

	// Names for sets of roles.
	Roles Roles `json:"roles,omitzero"`

	// Whose sites the house serves, by name. When there are any, a site can be of no other.
	Tenants map[string]*Tenant `json:"tenants,omitempty"`

	// How long a login lasts.
	Session SessionPolicy `json:"session,omitzero"`

	// Second factors: a module gatehouse.mfa, which is loaded also when this is not given.
	MFARaw json.RawMessage `json:"mfa,omitempty"`

	ctx         caddy.Context
	logger      *zap.Logger
	access      *zap.Logger
	providers   []IdentityProvider
	opener      StoreOpener
	key         stateKey
	origins     []string
	hardened    map[*caddyhttp.Server]bool // written while provisioning only
	events      *event.Subscription
	entered     *Site               // written while provisioning only
	atStart     []func()            // written while provisioning only
	leak        func(*http.Request) // written while provisioning only
	h2          h2Servers
	review      func()               // written while provisioning only
	judges      []judged             // written while provisioning only
	before      *App                 // the house that ran before this one; written while Caddy changes configurations only
	sessions    SessionEnder         // written while provisioning only
	factors     SecondFactor         // written while provisioning only
	reads       reads                // written while provisioning only
	directories map[string]Directory // written while provisioning only
	rooms       map[string]any       // written while provisioning only
	erasers     map[string]Erase     // written while provisioning only
	proxies     []netip.Prefix       // written while provisioning only

	egress    *egress.Policy // written while provisioning only
	unguarded *egress.Policy // the policy before this one; written while Caddy changes configurations only
	guarding  bool           // written while Caddy changes configurations only
	tlsHeld   bool           // written while provisioning only

	banned         func(netip.Addr) bool     // written while provisioning only; nil: nobody is
	bannedKeys     keyBan                    // written while provisioning only; nil: none is
	proxiesUnknown bool                      // a server trusts proxies that change; written while provisioning only
	connections    struct{ all, client int } // zero: the default; written while provisioning only

	pages map[*Site]map[string]PortalPage // written while provisioning only

	digest string  // of the option as it was written
	sites  []*Site // written while provisioning only

	ended atomic.Pointer[func(event.Ended)]
	veils atomic.Pointer[veils]
	state atomic.Pointer[State]
	mu    sync.Mutex
	gone  bool // guarded by mu; the pool reference was given back
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse", New: func() caddy.Module { return new(App) }}
}

// Provision loads the guests. It opens nothing: `gatehouse validate` must work beside a running gateway.
func (app *App) Provision(ctx caddy.Context) error { return Refused(app.provision(ctx)) }

func (app *App) provision(ctx caddy.Context) error {
	app.ctx, app.logger = ctx, ctx.Logger()
	app.digest = app.digestOfAll()
	app.Revision = strings.TrimSpace(caddy.NewReplacer().ReplaceAll(app.Revision, ""))
	app.access = app.logger.Named("access")
	if err := RegisterMetrics(ctx, auditWritable, floods, resets, happened, connectionsOpen, connectionsMost, connectionsRefused, deniedDials, deniedLookups); err != nil {
		return err
	}
	app.hardened = make(map[*caddyhttp.Server]bool)
	app.Session = app.SessionOrDefault()
	if app.StateDir == "" {
		app.StateDir = filepath.Join(caddy.AppDataDir(), "gatehouse")
	}
	dir, err := filepath.Abs(app.StateDir)
	if err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	app.opener = new(EmbeddedStore)
	if app.StoreRaw != nil {
		guest, err := ctx.LoadModule(app, "StoreRaw")
		if err != nil {
			return fmt.Errorf("loading the store: %w", err)
		}
		app.opener = guest.(StoreOpener)
	}
	app.key = stateKey{dir: dir, keys: app.KeysFile, store: app.opener.StoreKey()}
	if app.RoomsRaw != nil {
		guests, err := ctx.LoadModule(app, "RoomsRaw")
		if err != nil {
			return fmt.Errorf("loading the rooms' settings: %w", err)
		}
		app.rooms = guests.(map[string]any)
	}
	if err := app.loadFactors(ctx); err != nil {
		return err
	}
	if app.ProvidersRaw == nil {
		return nil
	}
	guests, err := ctx.LoadModule(app, "ProvidersRaw")
	if err != nil {
		return fmt.Errorf("loading the identity providers: %w", err)
	}
	for _, guest := range guests.([]any) {
		app.providers = append(app.providers, guest.(IdentityProvider))
	}
	return nil
}

var providerName = regexp.MustCompile(`^[a-z0-9_]{1,32}$`)

// ProviderName reports whether name can be an identity provider's. Those of the gateway's own credentials cannot: nobody
// else may vouch for their subjects.
func ProviderName(name string) bool {
	return providerName.MatchString(name) && name != identity.HouseServices && name != identity.HouseLinks
}

// Validate checks what Provision took in.
func (app *App) Validate() error { return Refused(app.validate()) }

func (app *App) validate() error {
	if app.WAFBudget < 0 {
		return errors.New("waf_budget: want a positive number of bytes")
	}
	if err := app.openMode(); err != nil {
		return err
	}
	if err := errors.Join(app.Session.Validate(), app.Roles.Validate()); err != nil {
		return err
	}
	if err := app.factors.Open(app); err != nil {
		return fmt.Errorf("mfa: %w", err)
	}
	if err := app.LocalLogs.validate(app); err != nil {
		return err
	}
	names := map[string]bool{}
	for _, p := range app.providers {
		name := p.Name()
		if !ProviderName(name) {
			return fmt.Errorf("identity provider name %q: use 1 to 32 of a-z, 0-9 and _, but not %s or %s, which are the gateway's own", name, identity.HouseServices, identity.HouseLinks)
		}
		if names[name] {
			return fmt.Errorf("two identity providers are called %q: give one a `name` of its own", name)
		}
		names[name] = true
		if err := p.Open(app); err != nil {
			return fmt.Errorf("identity provider %s: %w", name, err)
		}
	}
	return app.validateTenants()
}

// Start opens the state, checks that no door stands beside the gates, and starts the providers.
func (app *App) Start() error { return Refused(app.start()) }

func (app *App) start() error {
	if guest, err := app.ctx.AppIfConfigured("http"); err == nil {
		httpApp := guest.(*caddyhttp.App)
		if err := app.checkCoverage(); err != nil {
			return err
		}
		profile, err := app.profile()
		if err := errors.Join(err, profile.checkKeys(app.ctx), app.holdRest(httpApp)); err != nil {
			return err
		}
		profile.tell(app.TLSProfile, app.logger)
		if httpApp.GracePeriod == 0 {
			httpApp.GracePeriod = caddy.Duration(gracePeriod)
		}
		app.origins = app.siteOrigins(httpApp)
	}
	state, err := app.State()
	if err != nil {
		return err
	}
	app.guardWith(state.Bus)
	adopting.Lock()
	err = app.adoptKeys(app.ctx, state)
	adopting.Unlock()
	if err != nil {
		return fmt.Errorf("reading the keys anew: %w", err)
	}
	if app.LocalLogs.Pseudonyms {
		if _, err := app.MakePseudonyms(state); err != nil {
			return fmt.Errorf("local_logs: %w", err)
		}
	}
	app.events = state.Bus.Subscribe("log", 1024, newEventLog(app.logger.Named("events"), app.Veil))
	for _, p := range app.providers {
		if s, ok := p.(Starter); ok {
			if err := s.Start(); err != nil {
				return fmt.Errorf("starting identity provider %s: %w", p.Name(), err)
			}
		}
	}
	state.Audit.Use(0, 0) // unless its settings say otherwise
	for name, room := range app.rooms {
		if s, ok := room.(RoomStarter); ok {
			if err := s.StartRoom(app, state); err != nil {
				return fmt.Errorf("starting %s: %w", name, err)
			}
		}
	}
	if s, ok := app.factors.(Starter); ok {
		if err := s.Start(); err != nil {
			return fmt.Errorf("starting mfa: %w", err)
		}
	}
	if err := app.announce(state); err != nil {
		return err
	}
	if err := state.bearWitness(); err != nil {
		return err
	}
	crowded.most.Store(int64(app.connections.all))
	app.takeOver()
	for _, f := range app.atStart {
		f()
	}
	return nil
}

// Stop has running requests judged by the configuration that took over. It closes nothing: other apps may still be serving
// (CADDY 4). Everything is given back in Cleanup.
func (app *App) Stop() error {
	for _, room := range app.rooms {
		if s, ok := room.(RoomStopper); ok {
			s.StopRoom()
		}
	}
	app.leave()
	return nil
}

// Cleanup gives the state back. Requests in flight keep using it while a newer generation holds it, and otherwise
// find it closed.
func (app *App) Cleanup() error {
	app.giveBack()
	app.unguard()
	app.mu.Lock()
	held := app.state.Load() != nil && !app.gone
	app.gone = true
	app.mu.Unlock()
	if app.events != nil {
		app.events.Close()
	}
	if !held {
		return nil
	}
	if _, err := states.Delete(app.key); err != nil {
		return fmt.Errorf("closing the state: %w", err)
	}
	return nil
}

// State returns the open state, opening it at first use: Caddy may serve the first request before it starts this app.
func (app *App) State() (*State, error) {
	if s := app.state.Load(); s != nil { // Fast path
		return s, nil
	}
	app.mu.Lock()
	defer app.mu.Unlock()
	if s := app.state.Load(); s != nil {
		return s, nil
	}
	if app.gone {
		return nil, ErrClosed
	}
	s, _, err := states.LoadOrNew(app.key, func() (caddy.Destructor, error) { return openState(app.key, app.opener) })
	if err != nil {
		return nil, fmt.Errorf("the house's state in %s: %w", app.key.dir, err)
	}
	app.state.Store(s.(*State))
	return s.(*State), nil
}

// Dir is the absolute path of the state directory.
func (app *App) Dir() string { return app.key.dir }

// Providers returns the identity providers in the order they were configured. The slice must not be changed.
func (app *App) Providers() []IdentityProvider { return app.providers }

// Origins returns https://host[:port] for each name of each gated site; empty before Start.
func (app *App) Origins() []string { return app.origins }

// RoomStarter is implemented by what the house says to a room, when that has something to do from the house's start on.
type RoomStarter interface {
	StartRoom(app *App, state *State) error
}

// RoomStopper is implemented by what the house says to a room, when that has something to finish while the state is still open.
// After a reload the next configuration runs already.
type RoomStopper interface{ StopRoom() }

// Room returns what the house says to the room of this name, or nil.
func (app *App) Room(name string) any { return app.rooms[name] }

// AccessLog is where admit writes one line a request.
func (app *App) AccessLog() *zap.Logger { return app.access }

// House returns the house of the configuration that ctx provisions; an unconfigured one denies everyone.
func House(ctx caddy.Context) (*App, error) {
	guest, err := ctx.App("gatehouse")
	if err != nil {
		return nil, err
	}
	return guest.(*App), nil
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.Validator    = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
