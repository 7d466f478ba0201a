package ban

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
)

func init() { caddy.RegisterModule(Admin{}) }

const adminBans = "/gatehouse/bans"

// Admin answers at Caddy's administration endpoint:
//
//	GET    /gatehouse/bans[?history=true|?lists=true|?check=<address>|?foresee=<network>]
//	POST   /gatehouse/bans {"network", "for", "detail", "by"}
//	DELETE /gatehouse/bans?network=<network>&by=<operator>
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_bans", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (a Admin) Routes() []caddy.AdminRoute {
	return gatehouse.Audited(caddy.AdminRoute{Pattern: adminBans, Handler: caddy.AdminHandlerFunc(a.serve)})
}

// order is what POST takes.
type order struct {
	Network string `json:"network"`
	For     string `json:"for"`
	Detail  string `json:"detail,omitempty"`
	By      string `json:"by"`
}

func (Admin) serve(w http.ResponseWriter, r *http.Request) error {
	_, state, err := gatehouse.RunningState()
	if err != nil {
		return err
	}
	desk, err := deskOf(state)
	if err != nil {
		return gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	var answer any
	switch q := r.URL.Query(); {
	case r.Method == http.MethodGet && q.Get("history") == "true":
		answer, err = desk.History(r.Context())
	case r.Method == http.MethodGet && q.Get("lists") == "true":
		answer = desk.Lists()
	case r.Method == http.MethodGet && q.Has("check"):
		if answer, err = desk.Check(q.Get("check")); err != nil {
			err = gatehouse.AdminError(http.StatusBadRequest, err)
		}
	case r.Method == http.MethodGet && q.Has("foresee"):
		answer, err = foresee(q.Get("foresee"), desk)
	case r.Method == http.MethodGet:
		answer = desk.List()
	case r.Method == http.MethodPost:
		answer, err = add(r, desk)
	case r.Method == http.MethodDelete:
		err = lift(r, desk)
	default:
		return gatehouse.AdminError(http.StatusMethodNotAllowed, errors.New("the methods are GET, POST and DELETE"))
	}
	var refused caddy.APIError
	if err != nil && !errors.As(err, &refused) {
		err = gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

func add(r *http.Request, desk *Desk) (Ban, error) {
	var o order
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16)).Decode(&o); err != nil {
		return Ban{}, gatehouse.AdminError(http.StatusBadRequest, err)
	}
	p, err := network(o.Network)
	length, lengthErr := time.ParseDuration(o.For)
	if err = errors.Join(err, lengthErr); err != nil {
		return Ban{}, gatehouse.AdminError(http.StatusBadRequest, err)
	}
	b, err := desk.Add(r.Context(), p, length, o.Detail, o.By)
	if errors.Is(err, ErrAllowed) || errors.Is(err, ErrTooWide) || errors.Is(err, ErrTooMany) {
		err = gatehouse.AdminError(http.StatusConflict, err)
	}
	return b, err
}

func foresee(text string, desk *Desk) (Foresight, error) {
	p, err := network(text)
	if err != nil {
		return Foresight{}, gatehouse.AdminError(http.StatusBadRequest, err)
	}
	return desk.Foresee(p), nil
}

func lift(r *http.Request, desk *Desk) error {
	p, err := network(r.URL.Query().Get("network"))
	if err != nil {
		return gatehouse.AdminError(http.StatusBadRequest, err)
	}
	found, err := desk.Lift(r.Context(), p, r.URL.Query().Get("by"))
	if err == nil && !found {
		return gatehouse.AdminError(http.StatusNotFound, errors.New("there is no ban of exactly this network: `gatehouse ban list` shows them"))
	}
	return err
}

var _ caddy.AdminRouter = Admin{}
