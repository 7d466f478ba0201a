package gatehouse

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
)

// Gate is implemented by the handler that opens a site's row of rooms: how the house tells that a route is covered.
type Gate interface {
	caddyhttp.MiddlewareHandler
	// Gates reports that nothing passes this handler but what the gate let through.
	Gates()
}

// beforeGate holds the handlers that may stand before the gate: they neither answer nor reach a backend.
var beforeGate = []caddy.ModuleID{
	"http.handlers.vars", "http.handlers.map", "http.handlers.headers", "http.handlers.request_body",
	"http.handlers.timeouts", "http.handlers.log_append", "http.handlers.tracing", "http.handlers.encode",
}

// hstsHeader is the one response header that operators may not touch before the gate.
const hstsHeader = "Strict-Transport-Security"

// checkCoverage refuses a configuration in which a gated listener also serves a site that has no gate, or in which
// something stands before a gate that could answer in its stead.
func (app *App) checkCoverage() error {
	for srv := range app.hardened {
		for _, route := range srv.Routes {
			site := siteName(route)
			if !hasGate(route.Handlers) {
				return errNoGate(site)
			}
			covered, err := coveredBy(route.Handlers)
			if err != nil {
				return fmt.Errorf("%s: %w", site, err)
			}
			if !covered {
				return fmt.Errorf("%s: its gate has a matcher, so that requests can pass beside it: take the matcher away", site)
			}
		}
	}
	return nil
}

func siteName(route caddyhttp.Route) string {
	return cmp.Or(strings.Join(routeHosts(route), ", "), "the site without a host name")
}

func errNoGate(site string) error {
	return fmt.Errorf("%s shares a listener with gated sites but has no gate: put `gatehouse { public /* }` into it to keep it open to all, or give it a port of its own", site)
}

// checkNeighbours looks for sites without a gate while the server is being provisioned, so that `validate` finds them
// too: routes that are not provisioned yet are still text. checkCoverage looks again, closer, at start.
func checkNeighbours(srv *caddyhttp.Server) error {
	for _, route := range srv.Routes {
		gated := len(route.HandlersRaw) == 0 && len(route.Handlers) == 0 // being provisioned: it holds the caller
		for _, raw := range route.HandlersRaw {
			gated = gated || bytes.Contains(raw, []byte(`"gatehouse_admit"`))
		}
		if !gated && !hasGate(route.Handlers) {
			return errNoGate(siteName(route))
		}
	}
	return nil
}

// hasGate reports whether there is a gate anywhere among the handlers.
func hasGate(handlers []caddyhttp.MiddlewareHandler) bool {
	for _, h := range handlers {
		if _, ok := h.(Gate); ok {
			return true
		}
		if sub, ok := h.(*caddyhttp.Subroute); ok {
			for _, route := range sub.Routes {
				if hasGate(route.Handlers) {
					return true
				}
			}
		}
	}
	return false
}

// coveredBy reports whether every request that enters the handlers meets a gate before anything that could answer.
func coveredBy(handlers []caddyhttp.MiddlewareHandler) (bool, error) {
	for _, h := range handlers {
		switch h := h.(type) {
		case Gate:
			return true, nil
		case *lastGuard:
			continue
		case *caddyhttp.Subroute:
			for _, route := range h.Routes {
				gated, err := coveredBy(route.Handlers)
				if err != nil {
					return false, err
				}
				if gated && len(route.MatcherSets) == 0 {
					return true, nil
				}
			}
			continue
		case *headers.Handler:
			if touchesHSTS(h) {
				return false, fmt.Errorf("the header directive changes %s, which the gateway sets itself: take it out", hstsHeader)
			}
		}
		module, ok := h.(caddy.Module)
		if !ok {
			return false, fmt.Errorf("a handler of unknown kind (%T) stands before the gate", h)
		}
		if id := module.CaddyModule().ID; !slices.Contains(beforeGate, id) {
			return false, fmt.Errorf("%s stands before the gate and could answer in its stead: put the `gatehouse` directive at the top level of the site and leave the order to it",
				strings.TrimPrefix(string(id), "http.handlers."))
		}
	}
	return false, nil
}

func touchesHSTS(h *headers.Handler) bool {
	if h.Response == nil || h.Response.HeaderOps == nil {
		return false
	}
	same := func(name string) bool {
		return strings.EqualFold(name, hstsHeader) || strings.Contains(name, "*")
	}
	ops := h.Response.HeaderOps
	for _, set := range []http.Header{ops.Add, ops.Set} {
		for name := range set {
			if strings.EqualFold(name, hstsHeader) {
				return true
			}
		}
	}
	for name := range ops.Replace {
		if same(name) {
			return true
		}
	}
	return slices.ContainsFunc(ops.Delete, same)
}
