package gatehouse

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

// BannedAtHandshake is the module that knows, when a TLS handshake begins, that its peer is banned. The ban room has it.
const BannedAtHandshake = "tls.handshake_match.gatehouse_banned"

// dropBanned takes note of the proxies that the server trusts, and has it break off the handshakes of banned peers before
// any key is exchanged, over TCP and QUIC alike (CADDY 37). Where it cannot be known who the proxies are, nobody is
// dropped: bans then count per request only.
func (app *App) dropBanned(srv *caddyhttp.Server) {
	known := true
	if srv.TrustedProxiesRaw != nil {
		var static struct {
			Source string   `json:"source"`
			Ranges []string `json:"ranges"`
		}
		known = json.Unmarshal(srv.TrustedProxiesRaw, &static) == nil && static.Source == "static"
		for _, text := range static.Ranges {
			p, err := caddyhttp.CIDRExpressionToPrefix(text)
			known = known && err == nil
			if err == nil {
				app.proxies = append(app.proxies, unmapped(p))
			}
		}
	}
	if _, err := caddy.GetModule(BannedAtHandshake); err != nil || !known {
		return
	}
	matcher := strings.TrimPrefix(BannedAtHandshake, "tls.handshake_match.")
	srv.TLSConnPolicies = slices.Insert(srv.TLSConnPolicies, 0, &caddytls.ConnectionPolicy{
		MatchersRaw: caddy.ModuleMap{matcher: json.RawMessage("{}")}, Drop: true, ProtocolMin: "tls1.3",
	})
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
