package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/mail"
	"gatehouse.internal/modules/internal/prefixset"
)

func init() {
	caddy.RegisterModule(new(Room))
	caddy.RegisterModule(new(Handler))
	gatehouse.OnErase("devices and networks", erase)
}

const defaultRemember = 90 * 24 * time.Hour

// Room is what the house says of new devices and networks. A house without it asks nobody.
type Room struct {
	// What becomes of each signal. Default: a new network is told of, a new device, a new country, a journey that nobody makes
	// and a listed network need a proof, the first login and unusual hours are let through.
	Policy Policy `json:"policy,omitempty"`
	// The same for some people.
	Parts []Part `json:"parts,omitempty"`
	// When people usually work: days, span and time zone. Default: always.
	Hours []string `json:"hours,omitempty"`
	// A known device does not bring its network along within its autonomous system or its /16 (IPv6: /32).
	NoRoaming bool `json:"no_roaming,omitempty"`
	// Networks of the house, such as its VPN's way out: neither new nor far from anywhere.
	Trusted []string `json:"trusted,omitempty"`
	// GeoIP databases: .mmdb files with cities, countries or autonomous systems.
	GeoIP []string `json:"geoip,omitempty"`
	// Files with networks and AS numbers, one a line, such as those of Tor and of hosting providers.
	Lists []string `json:"lists,omitempty"`
	// For how long a device or a network is remembered after its last use. Default: 90d.
	Remember caddy.Duration `json:"remember,omitempty"`
	// How messages are sent. Default: none are.
	SMTP mail.SMTP `json:"smtp,omitzero"`

	ctx      caddy.Context
	logger   *zap.Logger
	house    *gatehouse.App
	desk     *desk
	postman  *mail.Postman
	lastPost func() // nil: nothing is sent
	places   *places
	open     gatehouse.Kept[book]
	exempt   map[string]bool // providers for emergencies
	hours    Hours
	trusted  *prefixset.Set
	remember time.Duration
}

// CaddyModule returns the Caddy module information.
func (*Room) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.verify", New: func() caddy.Module { return new(Room) }}
}

// Reaches implements gatehouse.Reacher.
func (m *Room) Reaches() []gatehouse.Reach {
	if m.SMTP.Address == "" {
		return nil
	}
	return []gatehouse.Reach{{What: "the mail server of verify", Address: m.SMTP.Address}}
}

// Provision checks the settings.
func (m *Room) Provision(ctx caddy.Context) error {
	m.ctx, m.logger = ctx, ctx.Logger()
	if err := m.Policy.Validate(); err != nil {
		return err
	}
	for _, p := range m.Parts {
		if len(p.Roles)+len(p.Tenants) == 0 {
			return errors.New("verify: a part of the policy is for nobody: write `for role <role...> { ... }` or `for tenant <name...> { ... }`")
		}
		if err := p.Policy.Validate(); err != nil {
			return err
		}
	}
	if len(m.Hours) > 0 {
		if len(m.Hours) != 3 {
			return errors.New("hours: write `hours mon-fri 07:00-19:00 Europe/Berlin`")
		}
		var err error
		if m.hours, err = ParseHours(m.Hours[0], m.Hours[1], m.Hours[2]); err != nil {
			return err
		}
	}
	if m.remember = time.Duration(m.Remember); m.remember == 0 {
		m.remember = defaultRemember
	}
	if m.remember < 24*time.Hour || m.remember > 400*24*time.Hour {
		return fmt.Errorf("remember %s: want 1d to 400d", m.remember)
	}
	var networks []netip.Prefix
	for _, text := range m.Trusted {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("trusted %q is no network: write one like 192.0.2.0/24", text)
		}
		networks = append(networks, p)
	}
	var err error
	if m.trusted, err = prefixset.New(networks...); err != nil {
		return fmt.Errorf("trusted: %w", err)
	}
	if m.SMTP.Address != "" {
		if m.postman, err = gatehouse.NewPostman(m.SMTP); err != nil {
			return err
		}
	}
	return gatehouse.RegisterMetrics(ctx, judged, proofs, messages)
}

// StartRoom implements [gatehouse.RoomStarter].
func (m *Room) StartRoom(house *gatehouse.App, state *gatehouse.State) error {
	if m.SMTP.InsecureTLS12 {
		m.logger.Warn("insecure_smtp_tls12: codes are sent with TLS 1.2 if the mail server wants that")
	}
	if m.SMTP.InsecureClear {
		m.logger.Warn("insecure_smtp_clear: whoever is between the gateway and the mail server reads the codes that people prove themselves with")
	}
	m.places.tell = func(t trouble) {
		e := event.Event{Time: time.Now(), Kind: event.GeoTrouble, Detail: t.Path + ": " + t.Problem}
		if t.Problem == "" {
			e.Kind, e.Detail = event.GeoMended, t.Path
		}
		state.Bus.Publish(e)
	}
	m.places.refresh(time.Now())
	go func(ctx context.Context) {
		tick := time.NewTicker(geoCheck)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				m.places.refresh(time.Now())
			}
		}
	}(m.ctx)
	if m.postman != nil {
		ctx, cancel := context.WithCancel(m.ctx)
		sent := make(chan struct{})
		go func() {
			m.postman.Run(ctx)
			close(sent)
		}()
		m.lastPost = func() {
			cancel()
			if caddy.Exiting() { // a reload goes on without waiting
				<-sent
			}
		}
	}
	return nil
}

// StopRoom implements [gatehouse.RoomStopper]: what waits is sent, or told of, before the process ends.
func (m *Room) StopRoom() {
	if m.lastPost != nil {
		m.lastPost()
	}
}

// settle knows the house, once its providers are there. Only Provision of a site's handler calls it.
func (m *Room) settle(house *gatehouse.App) {
	if m.house != nil {
		return
	}
	m.house, m.exempt = house, map[string]bool{}
	for _, p := range house.Providers() {
		if _, ok := p.(gatehouse.Emergency); ok {
			m.exempt[p.Name()] = true
		}
	}
	m.places = newPlaces(m.GeoIP, m.Lists, func(trouble) {})
	m.desk = &desk{
		places: m.places, policy: m.Policy, parts: m.Parts, hours: m.hours, roam: !m.NoRoaming,
		trusted: m.trusted.Contains, remember: m.remember,
	}
}

// erase deletes what is known of a person, which is not told apart by tenant.
func erase(ctx context.Context, house *gatehouse.App, whose gatehouse.Whose, count bool) (int, error) {
	if whose.Tenant != "" {
		return 0, nil
	}
	b, err := bookOf(house)
	if err != nil {
		return 0, err
	}
	who := whose.Person
	r, err := b.get(ctx, who.Provider, "", who.Subject)
	n := len(r.Devices) + len(r.Networks)
	if err != nil || count {
		return n, err
	}
	return n, b.store.Delete(ctx, keyOf(who.Provider, who.Subject))
}

// bookOf opens the house's records.
func bookOf(house *gatehouse.App) (*book, error) {
	state, err := house.State()
	if err != nil {
		return nil, err
	}
	kept, err := state.Keep("verify.book", func() (caddy.Destructor, error) { return openBook(state.Store, state.Keys) })
	if err != nil {
		return nil, err
	}
	return kept.(*book), nil
}

// Handler judges the requests of a site's people.
type Handler struct{ room *Room }

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_verify", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the house's policy, and has the portal show the pages.
func (h *Handler) Provision(ctx caddy.Context) error {
	house, err := gatehouse.House(ctx)
	if err != nil {
		return err
	}
	room, ok := house.Room("verify").(*Room)
	if !ok {
		return nil
	}
	h.room = room
	room.settle(house)
	for _, path := range []string{gatehouse.VerifyPath, gatehouse.ReportPath, gatehouse.DevicesPath} {
		house.AddPage(path, &pages{room: room, path: path})
	}
	return nil
}

// openToHeld reports whether the portal's page is for people who have not proven themselves yet: those where they do, and the
// way out. A second factor is proven there, and none set up.
func openToHeld(path string) bool {
	const login, logout = gatehouse.PortalPrefix + "login", gatehouse.PortalPrefix + "logout"
	open := []string{gatehouse.VerifyPath, gatehouse.ReportPath, gatehouse.FactorPath + "/verify", login, logout}
	return slices.Contains(open, path) || strings.HasPrefix(path, login+"/")
}

var (
	_ caddy.Provisioner           = (*Room)(nil)
	_ caddyfile.Unmarshaler       = (*Room)(nil)
	_ gatehouse.RoomStarter       = (*Room)(nil)
	_ gatehouse.RoomStopper       = (*Room)(nil)
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
