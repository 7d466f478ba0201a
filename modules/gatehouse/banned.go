package gatehouse

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"gatehouse.internal/modules/internal/verdict"
)

// BannedAtHandshake is the module that knows, when a TLS handshake begins, that its peer is banned. The ban room has it.
const BannedAtHandshake = "tls.handshake_match.gatehouse_banned"

// dropBanned takes note of the proxies that the server trusts, and has it break off the handshakes of banned peers before
// any key is exchanged, over TCP and QUIC alike (CADDY 37). Where it cannot be known who the proxies are, nobody is
// dropped: bans then count per request only.
func (app *App) dropBanned(srv *caddyhttp.Server) {
	proxies, known := trustedProxies(srv)
	app.proxies = append(app.proxies, proxies...)
	app.proxiesUnknown = app.proxiesUnknown || !known
	if _, err := caddy.GetModule(BannedAtHandshake); err != nil || !known {
		return
	}
	matcher := strings.TrimPrefix(BannedAtHandshake, "tls.handshake_match.")
	srv.TLSConnPolicies = slices.Insert(srv.TLSConnPolicies, 0, &caddytls.ConnectionPolicy{
		MatchersRaw: caddy.ModuleMap{matcher: json.RawMessage("{}")}, Drop: true, ProtocolMin: "tls1.3",
	})
}

// ShutOut has TCP connections closed before a byte is read or written when banned says so of their peer: wherever the peer
// is the client, which it is not for trusted proxies, nor where a listener wrapper may learn of another. It must be called
// while provisioning; banned is called for each connection, and must not block.
func (app *App) ShutOut(banned func(peer netip.Addr) bool) { app.banned = banned }

// keyBan says how an API key is refused by its own public name, by its owner's (provider:subject) or by their tenant; the zero Verdict: it
// is not.
type keyBan func(key, owner, tenant string, client netip.Addr) verdict.Verdict

// RefuseKeys has banned say how an API key is refused that stands in a form, so that nobody was proven by it. It must be called while
// provisioning.
func (app *App) RefuseKeys(banned keyBan) { app.bannedKeys = banned }

// KeyRefusal is what RefuseKeys has been told to ask. The zero Verdict: the key is not banned.
func (app *App) KeyRefusal(key, owner, tenant string, client netip.Addr) verdict.Verdict {
	if app.bannedKeys == nil {
		return verdict.Verdict{}
	}
	return app.bannedKeys(key, owner, tenant, client)
}

func (app *App) shutsOut(peer netip.Addr) bool {
	return app.banned != nil && !app.trusts(peer) && app.banned(peer)
}

// unwrapped reports whether no listener wrapper stands between the server's sockets and its TLS: Caddy does not show any
// more what was configured. False means "not known", too.
func unwrapped(srv *caddyhttp.Server) bool {
	wrappers := reflect.ValueOf(srv).Elem().FieldByName("listenerWrappers")
	return wrappers.IsValid() && wrappers.Kind() == reflect.Slice && wrappers.Len() == 0
}

// trustedProxies returns the networks that the server trusts, and whether they are all that it ever will. Caddy has taken
// the configuration's text away by then and does not show what became of it, so that it is looked for in the server.
func trustedProxies(srv *caddyhttp.Server) (networks []netip.Prefix, known bool) {
	source := reflect.ValueOf(srv).Elem().FieldByName("trustedProxies")
	switch {
	case !source.IsValid():
		return nil, false // another Caddy: TestTrustedProxiesAreNeverBanned fails
	case source.IsNil():
		return nil, true
	case source.Elem().Type() != reflect.TypeFor[*caddyhttp.StaticIPRange]():
		return nil, false
	}
	ranges := source.Elem().Elem().FieldByName("Ranges")
	for i := range ranges.Len() {
		p, err := caddyhttp.CIDRExpressionToPrefix(ranges.Index(i).String())
		if err != nil {
			return nil, false
		}
		networks = append(networks, unmapped(p))
	}
	return networks, true
}

// unmapped returns the canonical form of the network.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// TrustedProxies returns the networks whose word about the client's address counts, of all servers with a gate. The slice
// must not be changed. It is complete once all sites are provisioned.
func (app *App) TrustedProxies() []netip.Prefix { return app.proxies }
