package gatehouse

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/caddy/v2/modules/logging"

	"gatehouse.internal/modules/internal/egress"
)

func init() { caddy.RegisterModule(new(egressWatch)) }

const watchName = "gatehouse_egress"

// egressWatch is provisioned with a server's TLS policies, which is when all its handlers are, and before any is asked anything. It
// matches no handshake.
type egressWatch struct{}

// CaddyModule returns the Caddy module information.
func (*egressWatch) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.handshake_match." + watchName, New: func() caddy.Module { return new(egressWatch) }}
}

// Provision looks at the server.
func (*egressWatch) Provision(ctx caddy.Context) error {
	app, err := House(ctx)
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if err != nil || !ok {
		return cmp.Or(err, errors.New(watchName+" stands outside a server"))
	}
	return Refused(app.holdServer(ctx, srv, true))
}

// Match implements caddytls.ConnectionMatcher.
func (*egressWatch) Match(*tls.ClientHelloInfo) bool { return false }

// watchEgress has the server looked at once all of it is provisioned.
func (app *App) watchEgress(srv *caddyhttp.Server) {
	if app.egress.Mode() != egress.Connected {
		srv.TLSConnPolicies = slices.Insert(srv.TLSConnPolicies, 0, &caddytls.ConnectionPolicy{
			MatchersRaw: caddy.ModuleMap{watchName: []byte("{}")}, Drop: true, ProtocolMin: "tls1.3",
		})
	}
}

// quiet are handlers that speak to nobody. What is neither here nor one of ours, nor looked at closer, is refused.
var quiet = []caddy.ModuleID{
	"http.handlers.authentication", "http.handlers.copy_response", "http.handlers.copy_response_headers", "http.handlers.encode", "http.handlers.error", "http.handlers.file_server",
	"http.handlers.headers", "http.handlers.invoke", "http.handlers.log_append", "http.handlers.map", "http.handlers.metrics", "http.handlers.push", "http.handlers.request_body",
	"http.handlers.rewrite", "http.handlers.static_response", "http.handlers.templates", "http.handlers.timeouts", "http.handlers.vars",
}

// holdServer refuses what of a server needs more than the mode allows, and declares its applications. With bind, their
// connections ask the policy from now on; nobody may use them yet.
func (app *App) holdServer(ctx caddy.Context, srv *caddyhttp.Server, bind bool) error {
	h := holder{app: app, bind: bind}
	for _, route := range srv.Routes {
		h.site = siteName(route)
		h.routes(caddyhttp.RouteList{route})
	}
	h.site = "the error routes"
	if srv.Errors != nil {
		h.routes(srv.Errors.Routes)
	}
	for name, route := range srv.NamedRoutes {
		h.site = "the named route " + name
		h.routes(caddyhttp.RouteList{*route})
	}
	return errors.Join(append(h.errs, app.holdCertificates(ctx, srv))...)
}

// holder looks at the handlers of one server.
type holder struct {
	app  *App
	bind bool
	site string
	errs []error
}

func (h *holder) refuse(format string, args ...any) {
	h.errs = append(h.errs, fmt.Errorf("%s: mode %s: %s", h.app.placeOf(h.site), h.app.egress.Mode(), fmt.Sprintf(format, args...)))
}

// placeOf says where the directive of the site with these names stands.
func (app *App) placeOf(names string) string {
	for _, s := range app.sites {
		if s.Source != "" && strings.Join(s.Hosts, ", ") == names {
			return s.Source + ": " + names
		}
	}
	return names
}

func (h *holder) routes(routes caddyhttp.RouteList) {
	for _, route := range routes {
		for _, handler := range route.Handlers {
			h.handler(handler)
		}
	}
}

func (h *holder) responses(all []caddyhttp.ResponseHandler) {
	for _, r := range all {
		h.routes(r.Routes)
	}
}

func (h *holder) handler(handler caddyhttp.MiddlewareHandler) {
	switch x := handler.(type) {
	case *lastGuard:
	case *caddyhttp.Subroute:
		h.routes(x.Routes)
		if x.Errors != nil {
			h.routes(x.Errors.Routes)
		}
	case *intercept.Intercept:
		h.responses(x.HandleResponse)
	case *reverseproxy.Handler:
		h.proxy(x)
		h.responses(x.HandleResponse)
	case caddy.Module:
		id := x.CaddyModule().ID
		if !slices.Contains(quiet, id) && !strings.HasPrefix(string(id), "http.handlers.gatehouse_") {
			h.refuse("%s speaks to others, or may, and nothing sees whom: take it out", strings.TrimPrefix(string(id), "http.handlers."))
		}
	default:
		h.refuse("a handler of unknown kind (%T)", handler)
	}
}

// proxy looks at an application's connections.
func (h *holder) proxy(p *reverseproxy.Handler) {
	if p.DynamicUpstreams != nil {
		h.refuse("reverse_proxy: dynamic upstreams are looked up while requests run: write the addresses themselves")
	}
	ports := []uint{0}
	if p.HealthChecks != nil && p.HealthChecks.Active != nil {
		if p.HealthChecks.Active.Upstream != "" {
			h.declare(p.HealthChecks.Active.Upstream, ports)
		}
		ports = append(ports, uint(max(p.HealthChecks.Active.Port, 0)))
	}
	for _, u := range p.Upstreams {
		h.declare(u.Dial, ports)
	}
	switch t := p.Transport.(type) {
	case *fastcgi.Transport: // has the dialer of Go's, and dials upstreams alone
	case *reverseproxy.HTTPTransport:
		if slices.Contains(t.Versions, "3") {
			h.refuse("reverse_proxy: nothing sees whom HTTP/3 is spoken with: take 3 out of its `versions`")
		}
		if t.Resolver != nil {
			h.refuse("reverse_proxy: a name server is asked: take `resolvers` out")
		}
		if h.bind {
			asks(t, h.app.egress)
		}
	default:
		h.refuse("reverse_proxy: nothing is known of its transport (%T): take it out", t)
	}
}

// declare allows an application's address, and with other ports than its own those; 0 is its own.
func (h *holder) declare(address string, ports []uint) {
	if strings.ContainsAny(address, "{}") {
		h.refuse("reverse_proxy to %s: whom that is cannot be known beforehand: write the address itself", address)
		return
	}
	a, err := caddy.ParseNetworkAddress(address)
	if err != nil || a.IsUnixNetwork() {
		return // Caddy refuses it, or it is on this machine
	}
	if h.app.egress.Mode() == egress.Strict && net.ParseIP(a.Host) == nil && !egress.Private(a.Host) {
		h.refuse("reverse_proxy to %s: names are not looked up: write the application's address, such as 10.1.2.3:8080, or a socket", address)
		return
	}
	for _, port := range ports {
		h.app.egress.Declare(net.JoinHostPort(a.Host, strconv.FormatUint(uint64(cmp.Or(port, a.StartPort)), 10)))
	}
}

// asks has a transport's connections ask the policy, under the address that is dialled: the application's, or a proxy's.
func asks(t *reverseproxy.HTTPTransport, p *egress.Policy) {
	dial := t.Transport.DialContext
	held := func(ctx context.Context, network, address string) (net.Conn, error) {
		to, ok := reverseproxy.GetDialInfo(ctx)
		if ok && strings.HasPrefix(to.Network, "unix") {
			return dial(ctx, network, address)
		}
		if ok {
			if err := p.Check(to.Network, to.Address); err != nil {
				return nil, err
			}
		}
		if !ok || t.ProxyProtocol == "" { // else there is more in it than an address
			if err := p.Check(network, address); err != nil {
				return nil, err
			}
		}
		return dial(ctx, network, address)
	}
	t.Transport.DialContext = held
	if secure := t.Transport.DialTLSContext; secure != nil { // it dials by itself
		t.Transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if to, ok := reverseproxy.GetDialInfo(ctx); ok && !strings.HasPrefix(to.Network, "unix") {
				if err := p.Check(to.Network, to.Address); err != nil {
					return nil, err
				}
			}
			return secure(ctx, network, address)
		}
	}
}

// holdCaddy refuses what Caddy's own words would have it speak to: logs over a network, configurations from elsewhere. Caddy does not show what became of some of them, so that it is looked for.
func (app *App) holdCaddy(ctx caddy.Context) error {
	var errs []error
	refuse := func(why string, args ...any) {
		errs = append(errs, fmt.Errorf("mode %s: %s", app.egress.Mode(), fmt.Sprintf(why, args...)))
	}
	cfg := reflect.ValueOf(ctx).FieldByName("cfg")
	if !cfg.IsValid() || cfg.Kind() != reflect.Pointer || cfg.Type().Elem() != reflect.TypeFor[caddy.Config]() {
		return errors.New("another Caddy: what it speaks to is not known")
	}
	if cfg.IsNil() {
		return nil // a house in a test, without a configuration around it
	}
	writers, known := logWriters(cfg.Elem().FieldByName("Logging"))
	if !known {
		return errors.New("another Caddy: where its logs go is not known")
	}
	for name, writer := range writers {
		switch writer.Type() {
		case reflect.TypeFor[*logging.NetWriter]():
			errs = append(errs, app.MayReach(Reach{What: "the log " + name, Address: writer.Elem().FieldByName("Address").String(), Data: true}))
		case reflect.TypeFor[*logging.FileWriter](), reflect.TypeFor[*caddy.StdoutWriter](), reflect.TypeFor[*caddy.StderrWriter](), reflect.TypeFor[*caddy.DiscardWriter](),
			reflect.TypeFor[logging.FileWriter](), reflect.TypeFor[caddy.StdoutWriter](), reflect.TypeFor[caddy.StderrWriter](), reflect.TypeFor[caddy.DiscardWriter]():
		default:
			refuse("nothing is known of the output of the log %s (%v): write it to a file", name, writer.Type())
		}
	}
	if admin := cfg.Elem().FieldByName("Admin"); !admin.IsNil() {
		if c := admin.Elem().FieldByName("Config"); !c.IsNil() && c.Elem().FieldByName("LoadRaw").Len() > 0 {
			refuse("the configuration is fetched from elsewhere: take `load` out of `admin`")
		}
		if !admin.Elem().FieldByName("Identity").IsNil() {
			refuse("the administration endpoint fetches certificates: take `identity` out of `admin`")
		}
	}
	return errors.Join(errs...)
}

// logWriters are the outputs of logs, by the logs' names; not known: Caddy keeps them elsewhere now.
func logWriters(l reflect.Value) (found map[string]reflect.Value, known bool) {
	found, known = map[string]reflect.Value{}, true
	add := func(name string, log reflect.Value) {
		if log.IsNil() {
			return
		}
		base := log.Elem().FieldByName("BaseLog")
		if !base.IsValid() || !base.FieldByName("writerOpener").IsValid() {
			known = false
		} else if w := base.FieldByName("writerOpener"); !w.IsNil() {
			found[name] = w.Elem()
		}
	}
	if l.IsNil() {
		return found, true
	}
	add("sink", l.Elem().FieldByName("Sink"))
	for logs := l.Elem().FieldByName("Logs").MapRange(); logs.Next(); {
		add(logs.Key().String(), logs.Value())
	}
	return found, known
}

// holdRest looks at servers that no gate stands in, and at what belongs to all, when the house starts.
func (app *App) holdRest(httpApp *caddyhttp.App) error {
	if app.egress.Mode() == egress.Connected {
		return nil
	}
	var errs []error
	if httpApp.Metrics != nil && httpApp.Metrics.OTLP {
		errs = append(errs, fmt.Errorf("mode %s: metrics are pushed to a collector: take `otlp` out of `metrics`; they can be scraped", app.egress.Mode()))
	}
	for _, srv := range httpApp.Servers {
		if !app.hardened[srv] {
			errs = append(errs, app.holdServer(app.ctx, srv, false))
		}
	}
	return errors.Join(errs...)
}

var _ caddytls.ConnectionMatcher = (*egressWatch)(nil)
