package ban

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/prefixset"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/verdict"
)

func init() {
	caddy.RegisterModule(new(Settings))
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(Handshake{})
}

// Settings are the house's words about bans.
type Settings struct {
	// Jails besides the built-in ones, and instead of those of their name.
	Jails []Jail `json:"jails,omitempty"`
	// Networks that are never banned.
	Allow []netip.Prefix `json:"allow,omitempty"`
	// Paths that nobody has a reason to ask for.
	Honeypot []reqpath.Pattern `json:"honeypot,omitempty"`
	// Lists of networks that others have found hostile: who is in one is shut out too.
	Blocklists []Blocklist `json:"blocklists,omitempty"`
	// Ban clients with loopback, private and link-local addresses too.
	IncludePrivate bool `json:"include_private,omitempty"`

	jails []Jail
}

// CaddyModule returns the Caddy module information.
func (*Settings) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.ban", New: func() caddy.Module { return new(Settings) }}
}

// Provision checks the words.
func (s *Settings) Provision(caddy.Context) (err error) {
	if s.jails, err = jails(s.Jails); err == nil {
		err = checkLists(s.Blocklists)
	}
	if err != nil {
		return fmt.Errorf("ban: %w", err)
	}
	for _, p := range s.Allow {
		if !p.IsValid() || p != p.Masked() || p.Bits() == 0 {
			return fmt.Errorf("ban: allow %s: want networks without bits behind their length, and not all addresses there are", p)
		}
	}
	return nil
}

// private are the addresses of health checkers and of people who could lock themselves out.
var private = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fc00::/7"),
}

// rules are what the desk goes by, once all servers are known.
func (s *Settings) rules(trusted []netip.Prefix) (*Rules, error) {
	var wide []netip.Prefix
	wide = append(append(wide, s.Allow...), trusted...)
	if !s.IncludePrivate {
		wide = append(wide, private...)
	}
	allow, err := prefixset.Options{AllowEverything: true}.New(wide...) // a house may trust every peer
	if err != nil {
		return nil, fmt.Errorf("ban: allow: %w", err)
	}
	return &Rules{jails: s.jails, allow: allow, wide: wide}, nil
}

// Handler refuses banned clients, and counts what only the answer shows.
type Handler struct {
	house    *gatehouse.App
	settings *Settings
	desk     atomic.Pointer[Desk]
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_ban", New: func() caddy.Module { return new(Handler) }}
}

// Provision has the desk go by the house's words from the start on.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	if h.house, err = gatehouse.House(ctx); err != nil {
		return err
	}
	var ok bool
	if h.settings, ok = h.house.Room("ban").(*Settings); !ok {
		h.settings = new(Settings)
		if err := h.settings.Provision(ctx); err != nil {
			return err
		}
	}
	h.house.AtStart(func() {
		desk, err := h.open()
		if err == nil {
			err = h.use(desk)
		}
		if err != nil { // nobody is shut out, and the log says so
			ctx.Logger().Error("bans are not in force", zap.Error(err))
			return
		}
		if err := desk.Follow(h.settings.Blocklists, h.house.Dir()); err != nil {
			ctx.Logger().Error("the blocklists are those of the configuration before", zap.Error(err))
		}
	})
	return gatehouse.RegisterMetrics(ctx, pronounced, cuts, dropped, listEntries, listUnread, listConfirmed)
}

func (h *Handler) use(desk *Desk) error {
	r, err := h.settings.rules(h.house.TrustedProxies())
	if err != nil {
		return err
	}
	logger := h.house.AccessLog().Named("ban")
	r.log = func(line string) { logger.Info(line) }
	desk.Use(r)
	atHandshake.Store(desk)
	return nil
}

func (h *Handler) open() (*Desk, error) {
	if d := h.desk.Load(); d != nil { // Fast path
		return d, nil
	}
	state, err := h.house.State()
	if err != nil {
		return nil, err
	}
	d, err := deskOf(state)
	if err == nil && d.rules.Load() == nil { // requests come before the house has started
		err = h.use(d)
	}
	if err != nil {
		return nil, err
	}
	h.desk.Store(d)
	return d, nil
}

// deskOf returns the desk that the house keeps.
func deskOf(state *gatehouse.State) (*Desk, error) {
	kept, err := state.Keep("ban.desk", func() (caddy.Destructor, error) {
		return Open(state.Store, state.Bus)
	})
	if err != nil {
		return nil, err
	}
	return kept.(*Desk), nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	desk, err := h.open()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	desk.present.enter(req.ClientIP, req.Run)
	defer desk.present.leave(req.ClientIP, req.Run)
	if b, banned := desk.Banned(req.ClientIP); banned {
		return req.Refuse(b.verdict())
	}
	defer func() { desk.visitors.record(req.ClientIP, req.Identity.Name(), time.Now()) }()
	err = next.ServeHTTP(&writer{caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, req, desk}, r)
	// A page of another site can make anybody's browser ask; whoever is logged in does not hunt for holes like this.
	if h.baited(req) && !req.Identity.Known() && r.Header.Get("Sec-Fetch-Site") != "cross-site" {
		desk.Offend(onHoneypot, req.ClientIP, req.ID, req.Path.Decoded)
	}
	return err
}

func (h *Handler) baited(req *gatehouse.Request) bool {
	for _, p := range h.settings.Honeypot {
		if p.MatchFolded(req.Path) {
			return true
		}
	}
	return false
}

// atHandshake is the desk that the last configuration to start uses: QUIC listeners keep the configuration they were
// opened with (CADDY 38).
var atHandshake atomic.Pointer[Desk]

// Handshake matches the ClientHello of banned peers. The house puts it in front of every server's TLS policies, to drop
// what matches.
type Handshake struct{}

// CaddyModule returns the Caddy module information.
func (Handshake) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: gatehouse.BannedAtHandshake, New: func() caddy.Module { return new(Handshake) }}
}

// Match implements caddytls.ConnectionMatcher.
func (Handshake) Match(hello *tls.ClientHelloInfo) bool {
	desk := atHandshake.Load()
	if desk == nil || hello.Conn == nil {
		return false
	}
	peer, err := clientip.Parse(hello.Conn.RemoteAddr().String())
	if err != nil {
		return false // no network address; the request will be judged
	}
	_, banned := desk.Banned(peer)
	if banned {
		dropped.Inc()
	}
	return banned
}

// writer sees what the application answers to who is not logged in.
type writer struct {
	caddyhttp.ResponseWriterWrapper
	req  *gatehouse.Request
	desk *Desk
}

// WriteHeader counts the answer before the client has it.
func (w *writer) WriteHeader(status int) {
	if _, refused := w.req.Verdict(); !refused && w.req.Grant.Given() && !w.req.Identity.Known() {
		switch status {
		case http.StatusNotFound:
			w.desk.Offend(onApp404, w.req.ClientIP, w.req.ID, w.req.Path.Decoded)
		case http.StatusBadRequest:
			w.desk.Offend(onApp400, w.req.ClientIP, w.req.ID, w.req.Path.Decoded)
		}
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

var (
	_ caddy.Provisioner           = (*Settings)(nil)
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddytls.ConnectionMatcher  = Handshake{}

	errNetwork = errors.New("want an address or a network, such as 192.0.2.1 or 2001:db8::/64")
)
