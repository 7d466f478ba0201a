package gatehouse

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// headerTimeout cuts clients that trickle their request head; Caddy's default is a minute.
const headerTimeout = 10 * time.Second

// gracePeriod bounds how long a reload or a stop waits for requests in flight; Caddy's default is for ever.
const gracePeriod = 30 * time.Second

// Harden makes the server that a gate stands in keep the house's promises towards every client, whichever site it
// asks for (I9), and returns the host names of the site being provisioned. It must be called while the server's
// routes are provisioned, which is before its TLS policies are (CADDY 33); calling it once per gate is expected.
//
// onError is the handler (module JSON) for errors that happen outside any gate; unknown answers requests for hosts
// that no site has. The error's sentence names the fix.
func (app *App) Harden(ctx caddy.Context, onError json.RawMessage, unknown caddyhttp.Handler) (hosts []string, err error) {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil, errors.New("the gate stands outside an HTTP server's routes; put it into a site")
	}
	hosts = provisioningHosts(srv)
	if app.hardened[srv] {
		return hosts, nil
	}
	profile, err := app.profile()
	if err := errors.Join(err, checkTransport(srv), profile.check(srv), checkNeighbours(srv), app.LocalLogs.check(srv), app.withoutHTTP3(srv)); err != nil {
		return nil, err
	}
	yes, no := true, false
	srv.StrictSNIHost, srv.Allow0RTT = &yes, &no
	srv.TrustedProxiesStrict = 1
	srv.RegisterConnState(onState)
	bare := unwrapped(srv)
	srv.ReadHeaderTimeout = cmp.Or(srv.ReadHeaderTimeout, caddy.Duration(headerTimeout))
	// Of a write, which is of 64 KiB at the most, the proxy's of 32: it must be taken within the time. Streams may pause.
	srv.WriteIdleTimeout = cmp.Or(srv.WriteIdleTimeout, caddy.Duration(writeTimeout))
	write := time.Duration(srv.WriteIdleTimeout)
	srv.RegisterConnContext(func(ctx context.Context, c net.Conn) context.Context { return app.onConn(ctx, c, bare, write) })
	profile.apply(srv)
	app.dropBanned(srv)
	app.watchEgress(srv)
	for i, address := range srv.Listen {
		srv.Listen[i] = sharedAddress(address)
	}
	if srv.Errors == nil {
		srv.Errors = new(caddyhttp.HTTPErrorConfig)
	}
	// Ours stands first: what was refused outside the gate must not reach an operator's error routes, which could
	// proxy it on (CADDY 27). Caddy provisions these routes after the ones we are being called from.
	srv.Errors.Routes = slices.Insert(srv.Errors.Routes, 0, caddyhttp.Route{HandlersRaw: []json.RawMessage{onError}})
	// Caddy answers what no route matches with an empty 200, and a route cannot be added any more: Caddy is ranging
	// over the slice, and a longer one would hold copies that are never provisioned. So the last one takes everything,
	// and a guard in front of its handlers asks what its matchers would have said.
	last := &srv.Routes[len(srv.Routes)-1]
	if len(last.MatcherSets) > 0 {
		last.Handlers = []caddyhttp.MiddlewareHandler{&lastGuard{matchers: last.MatcherSets, unknown: unknown}}
		last.MatcherSets = nil
	}
	app.hardened[srv] = true
	return hosts, nil
}

// checkTransport refuses what an operator configured against the transport posture.
func checkTransport(srv *caddyhttp.Server) error {
	auto := srv.AutoHTTPS
	if auto == nil || !(auto.DisableRedir || auto.Disabled) {
		return errors.New("plain HTTP must be refused, not redirected: put `auto_https disable_redirects` into the global options")
	}
	if len(srv.TLSConnPolicies) == 0 {
		return errors.New("the site is served over plain HTTP: give it an https:// address (or none) instead of http://")
	}
	if slices.Contains(srv.Protocols, "h2c") {
		return errors.New("h2c is HTTP/2 without TLS: take it out of the server's protocols")
	}
	for _, listen := range srv.Listen {
		addr, err := caddy.ParseNetworkAddress(listen)
		if err == nil && addr.StartPort <= caddyhttp.DefaultHTTPPort && caddyhttp.DefaultHTTPPort <= addr.EndPort {
			return fmt.Errorf("the server also listens on %s, which Caddy serves without TLS: take port %d out of its addresses",
				listen, caddyhttp.DefaultHTTPPort)
		}
	}
	if srv.StrictSNIHost != nil && !*srv.StrictSNIHost {
		return errors.New("a Host other than the TLS server name must be refused: take `strict_sni_host insecure_off` out of the servers option")
	}
	if srv.Allow0RTT != nil && *srv.Allow0RTT {
		return errors.New("0-RTT requests can be replayed: take `0rtt on` out of the servers option")
	}
	return nil
}

// withoutHTTP3 takes HTTP/3 out of the server's protocols, unless the house allows it: nobody meters its frames, its resets and
// its connections as those of HTTP/2 are metered (decisions/0020). Caddy puts it in where an operator names no protocols, so
// that it cannot be told whether anybody wanted it; a server that would have nothing left is refused.
func (app *App) withoutHTTP3(srv *caddyhttp.Server) error {
	all := slices.Concat([][]string{srv.Protocols}, srv.ListenProtocols)
	if app.InsecureHTTP3 {
		if slices.ContainsFunc(all, func(protocols []string) bool { return slices.Contains(protocols, "h3") }) {
			app.logger.Warn("insecure_http3: over HTTP/3 nothing limits floods of frames and of resets, nor the number of connections")
		}
		return nil
	}
	for i, protocols := range all {
		if protocols == nil { // a listener's that are the server's
			continue
		}
		// A copy: Caddy hands all servers the same default.
		all[i] = slices.DeleteFunc(slices.Clone(protocols), func(protocol string) bool { return protocol == "h3" })
		if len(all[i]) == 0 {
			return errors.New("HTTP/3 is off, because nothing cuts its floods, and the server has no other protocol: write `protocols h1 h2`, or `insecure_http3` into the global gatehouse option")
		}
	}
	srv.Protocols = all[0]
	copy(srv.ListenProtocols, all[1:])
	return nil
}

// provisioningHosts returns the host names of the top-level route whose handlers are being provisioned: Caddy does
// them in order and fills Handlers only when all of a route's are done. Matchers are provisioned before all of them.
func provisioningHosts(srv *caddyhttp.Server) []string {
	for _, route := range srv.Routes {
		_, guarded := guardOf(route)
		if len(route.Handlers) == 0 || guarded && len(route.Handlers) == 1 {
			return routeHosts(route)
		}
	}
	return nil
}

// lastGuard stands in front of a server's last route and answers requests that no route is for.
type lastGuard struct {
	matchers caddyhttp.MatcherSets
	unknown  caddyhttp.Handler
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (g *lastGuard) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	match, err := g.matchers.AnyMatchWithError(r)
	if err != nil {
		return err
	}
	if !match {
		return g.unknown.ServeHTTP(w, r)
	}
	return next.ServeHTTP(w, r)
}

func guardOf(route caddyhttp.Route) (*lastGuard, bool) {
	if len(route.Handlers) == 0 {
		return nil, false
	}
	g, ok := route.Handlers[0].(*lastGuard)
	return g, ok
}

func routeHosts(route caddyhttp.Route) (hosts []string) {
	sets := route.MatcherSets
	if g, ok := guardOf(route); ok {
		sets = g.matchers
	}
	for _, set := range sets {
		for _, m := range set {
			switch m := m.(type) {
			case caddyhttp.MatchHost:
				hosts = append(hosts, m...)
			case *caddyhttp.MatchHost:
				hosts = append(hosts, *m...)
			}
		}
	}
	return hosts
}

// siteOrigins returns https://host[:port] for each host name of each gated site, in a stable order.
func (app *App) siteOrigins(httpApp *caddyhttp.App) []string {
	httpsPort := uint(cmp.Or(httpApp.HTTPSPort, caddyhttp.DefaultHTTPSPort))
	var origins []string
	for srv := range app.hardened {
		port := httpsPort
		if len(srv.Listen) > 0 {
			if addr, err := caddy.ParseNetworkAddress(srv.Listen[0]); err == nil && addr.StartPort != 0 {
				port = addr.StartPort
			}
		}
		for _, route := range srv.Routes {
			for _, host := range routeHosts(route) {
				if strings.Contains(host, "*") {
					continue
				}
				origin := "https://" + host
				if port != caddyhttp.DefaultHTTPSPort {
					origin = fmt.Sprintf("%s:%d", origin, port)
				}
				origins = append(origins, origin)
			}
		}
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}
