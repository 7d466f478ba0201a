package ban

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/prefixset"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/secret"
)

func init() {
	caddy.RegisterModule(new(Settings))
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(new(NameHandler))
	caddy.RegisterModule(Handshake{})
	gatehouse.OnErase("bans", erase)
}

// Settings are the house's words about bans.
type Settings struct {
	// Jails besides the built-in ones, and instead of those of their name.
	Jails []Jail `json:"jails,omitempty"`
	// Networks that are never banned.
	Allow []netip.Prefix `json:"allow,omitempty"`
	// Who is never banned by name, such as user:local:ada.
	AllowNames []string `json:"allow_names,omitempty"`
	// Paths that nobody has a reason to ask for.
	Honeypot []reqpath.Pattern `json:"honeypot,omitempty"`
	// Lists of networks that others have found hostile: who is in one is shut out too.
	Blocklists []Blocklist `json:"blocklists,omitempty"`
	// A file that is kept current with the banned networks, for nft -f.
	Nftables string `json:"nftables,omitempty"`
	// Ban clients with loopback, private and link-local addresses too.
	IncludePrivate bool `json:"include_private,omitempty"`

	jails []Jail
	names map[Whom]bool
}

// CaddyModule returns the Caddy module information.
func (*Settings) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.ban", New: func() caddy.Module { return new(Settings) }}
}

// Reaches implements gatehouse.Reacher.
func (s *Settings) Reaches() (all []gatehouse.Reach) {
	for _, b := range s.Blocklists {
		if b.File == "" {
			all = append(all, gatehouse.Reach{What: "the blocklist " + b.Name, Address: cmp.Or(b.URL, b.CrowdSec)})
		}
	}
	return all
}

// Provision checks the words.
func (s *Settings) Provision(ctx caddy.Context) (err error) {
	if s.jails, err = jails(s.Jails); err == nil {
		err = checkLogs(s.jails)
	}
	if err == nil {
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
	if s.Nftables != "" && !filepath.IsAbs(s.Nftables) {
		return fmt.Errorf("ban: nftables %q: write the whole path, which begins with /", s.Nftables)
	}
	for i := range s.Blocklists {
		b := &s.Blocklists[i]
		if b.InsecureTLS12 {
			ctx.Logger().Warn("insecure_tls12: the blocklist " + b.Name + " is fetched with TLS 1.2 if its server wants that")
		}
		if b.CrowdSec == "" {
			continue
		}
		b.reveal = func() (secret.String, error) {
			key, err := caddy.NewReplacer().ReplaceOrErr(b.Key, true, true)
			if key = strings.TrimSpace(key); err != nil || key == "" {
				return secret.String{}, errors.New("key: it is empty: give the environment variable or file that it stands for a value")
			}
			return secret.New(key), nil
		}
		if _, err := b.reveal(); err != nil {
			return fmt.Errorf("ban: blocklist %s: %w", b.Name, err)
		}
	}
	s.names = map[Whom]bool{}
	for _, text := range s.AllowNames {
		w, err := ParseWhom(text)
		if err != nil || w.Scope == ByClient {
			return fmt.Errorf("ban: allow_names %q: want user:<provider>:<subject>, session:<name>, key:<id> or tenant:<name>", text)
		}
		s.names[w] = true
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
	said, err := prefixset.New(s.Allow...)
	if err != nil {
		return nil, fmt.Errorf("ban: allow: %w", err)
	}
	byPath := slices.ContainsFunc(s.jails, func(j Jail) bool { return len(j.Paths) > 0 })
	return &Rules{jails: s.jails, byPath: byPath, allow: allow, wide: wide, said: said, names: s.names}, nil
}

// door is what the room's handlers have in common.
type door struct {
	house *gatehouse.App
	desk  gatehouse.Kept[Desk]
}

// open returns the desk that the house keeps. It has rules, also when requests come before the house has started.
func (h *door) open() (*Desk, error) {
	return h.desk.Of(h.house, func(house *gatehouse.App) (*Desk, error) {
		state, err := house.State()
		if err != nil {
			return nil, err
		}
		d, err := deskOf(state)
		if err == nil && d.rules.Load() == nil {
			err = use(house, d)
		}
		return d, err
	})
}

// settingsOf returns the house's words about bans.
func settingsOf(house *gatehouse.App) (*Settings, error) {
	if s, ok := house.Room("ban").(*Settings); ok {
		return s, nil
	}
	s := new(Settings)
	return s, s.Provision(caddy.Context{})
}

// use has the desk go by the house's words.
func use(house *gatehouse.App, desk *Desk) error {
	s, err := settingsOf(house)
	if err != nil {
		return err
	}
	r, err := s.rules(house.TrustedProxies())
	if err != nil {
		return err
	}
	logger := house.AccessLog().Named("ban")
	r.log = func(line string) { logger.Info(line) }
	if house.LocalLogs.Pseudonyms { // the event says it, and names nobody
		r.log = func(string) {}
	}
	desk.Use(r)
	atHandshake.Store(desk)
	return nil
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

// atHandshake is the desk that the last configuration to start uses: QUIC listeners keep the configuration they were
// opened with (CADDY 38).
var atHandshake atomic.Pointer[Desk]

// Handshake matches the ClientHello of banned peers, as far as their connections were not closed before: over QUIC, behind a
// PROXY protocol, for the tarpit. The house puts it in front of every server's TLS policies, to drop what matches.
type Handshake struct{}

// CaddyModule returns the Caddy module information.
func (Handshake) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: gatehouse.BannedAtHandshake, New: func() caddy.Module { return new(Handshake) }}
}

// shutOut reports whether the peer of a TCP connection is refused without a word. Who is kept waiting first is not: that is
// Match's.
func shutOut(peer netip.Addr) bool {
	desk := atHandshake.Load()
	if desk == nil {
		return false
	}
	b, banned := desk.Banned(peer)
	if !banned || b.Action != Refuse {
		return false
	}
	dropped.Inc()
	return true
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
	b, banned := desk.Banned(peer)
	if !banned || !b.Action.shuts() {
		return false
	}
	if b.Action == Tarpit && hello.Conn.RemoteAddr().Network() == "tcp" { // QUIC's handshakes share their goroutines
		desk.pit.hold(hello.Context(), peer)
	}
	dropped.Inc()
	return true
}

var (
	_ caddy.Provisioner          = (*Settings)(nil)
	_ caddytls.ConnectionMatcher = Handshake{}
)

// erase lifts the ban of a tenant. That of a person outlives whom it is for.
func erase(ctx context.Context, house *gatehouse.App, whose gatehouse.Whose, count bool) (int, error) {
	state, err := house.State()
	if err != nil || whose.Tenant == "" {
		return 0, err
	}
	desk, err := deskOf(state)
	if err != nil {
		return 0, err
	}
	tenant := Whom{Scope: ByTenant, Name: whose.Tenant}
	if _, banned := desk.bans.get(tenant); !banned {
		return 0, nil
	}
	if count {
		return 1, nil
	}
	_, err = desk.Lift(ctx, tenant, "off-boarding")
	return 1, err
}
