package waf

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
)

func init() { caddy.RegisterModule(new(Admin)) }

const adminRequests = "/gatehouse/waf/requests"

// Admin answers about the WAF at Caddy's administration endpoint, which is as open as Caddy's configuration makes it: by
// default, to whoever is on this machine.
//
//	GET /gatehouse/waf/requests?id=<request id>
//
// says what was found in one of the last requests that anything was found in, as the access log does.
type Admin struct{ house *gatehouse.App }

// CaddyModule returns the Caddy module information.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_waf", New: func() caddy.Module { return new(Admin) }}
}

// Provision finds the house, if the configuration has one. What is wrong with it is said where it is loaded.
func (a *Admin) Provision(ctx caddy.Context) error {
	if guest, err := ctx.AppIfConfigured("gatehouse"); err == nil {
		a.house = guest.(*gatehouse.App)
	}
	return nil
}

// Routes implements caddy.AdminRouter.
func (a *Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: adminRequests, Handler: caddy.AdminHandlerFunc(a.requests)}}
}

func (a *Admin) requests(w http.ResponseWriter, r *http.Request) error {
	id := r.URL.Query().Get("id")
	switch {
	case r.Method != http.MethodGet:
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("the method is GET")}
	case id == "":
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: errors.New("which request? id=<request id>")}
	}
	seen, err := recentOf(a.house)
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
	}
	line, ok := seen.Find(id)
	if !ok {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errNotRecent}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(line)
}

var errNotRecent = errors.New("the WAF found nothing in a request of that id, or in too many since: ask the access log, with --log")

// recentOf is what the house remembers of requests, over all configurations.
func recentOf(house *gatehouse.App) (*Recent, error) {
	if house == nil {
		return nil, errors.New("the running configuration has no gatehouse")
	}
	state, err := house.State()
	if err != nil {
		return nil, err
	}
	kept, err := state.Keep("waf.recent", func() (caddy.Destructor, error) { return new(Recent), nil })
	if err != nil {
		return nil, err
	}
	return kept.(*Recent), nil
}

var (
	_ caddy.Provisioner = (*Admin)(nil)
	_ caddy.AdminRouter = (*Admin)(nil)
)
