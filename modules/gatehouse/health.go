package gatehouse

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

// The places of each site's portal that balancers ask. They tell a stranger nothing but yes or no.
const (
	// LivePath answers 200 as long as the gateway answers at all.
	LivePath = PortalPrefix + "livez"
	// ReadyPath answers 200 while the gateway takes on work: not when it is about to stop, and not when its own store fails. A
	// store that several share is no reason: who is logged in goes on without it, and a balancer that took all gateways out
	// would end that.
	ReadyPath = PortalPrefix + "readyz"
)

// healthIn is how long a question about health may wait.
const healthIn = time.Second

var errStopping = errors.New("the gateway is about to stop")

// health answers a balancer.
type health struct{ why func(*http.Request) error }

// ServePage implements PortalPage.
func (h health) ServePage(w http.ResponseWriter, r *http.Request, v PageVisit) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return v.Request.Deny(verdict.BadMethod, "")
	}
	if err := h.why(r); err != nil {
		return v.Request.Deny(verdict.Unavailable, err.Error())
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := io.WriteString(w, "ok\n")
	return err
}

// addHealth has the site whose row is being provisioned answer balancers.
func (app *App) addHealth() {
	app.AddPage(LivePath, health{func(*http.Request) error { return nil }})
	app.AddPage(ReadyPath, health{func(r *http.Request) error {
		if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
			if stopping, _ := repl.Get("http.shutting_down"); stopping == true {
				return errStopping
			}
		}
		return app.ready(r.Context())
	}})
}

// ready returns why the gateway takes on no work, or nil.
func (app *App) ready(ctx context.Context) error {
	state, err := app.State()
	if err != nil {
		return err
	}
	if _, shared := store.Nodes(state.Store); shared {
		return nil
	}
	return state.health(ctx)
}

// health is what the store says of itself. That its clock was set back is no failure.
func (s *State) health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthIn)
	defer cancel()
	if err := s.Store.Health(ctx); err != nil && !errors.Is(err, store.ErrClock) {
		return err
	}
	return nil
}
