package ban

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
)

func init() { caddy.RegisterModule(Admin{}) }

const adminBans = "/gatehouse/bans"

// Admin answers at Caddy's administration endpoint:
//
//	GET    /gatehouse/bans[?history=true|?lists=true|?export=nftables|?check=<address>|?foresee=<whom>]
//	POST   /gatehouse/bans {<whom>, "action", "for", "detail", "by"}
//	DELETE /gatehouse/bans?<whom>&by=<operator>
//
// where whom is said in the words that the record of what administrators do knows: "network" alone; or "kind" (session, user,
// tenant, key), and "user" or "tenant" or, for the others, "id"
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_bans", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (a Admin) Routes() []caddy.AdminRoute {
	return gatehouse.Audited(caddy.AdminRoute{Pattern: adminBans, Handler: caddy.AdminHandlerFunc(a.serve)})
}

// asked says whom, see [Admin].
type asked struct {
	Kind    string `json:"kind,omitempty"`
	Network string `json:"network,omitempty"`
	User    string `json:"user,omitempty"`
	Tenant  string `json:"tenant,omitempty"`
	ID      string `json:"id,omitempty"`
}

// ask says in words whom a text means; what cannot be read is for the gateway to refuse.
func ask(text string) asked {
	w, err := ParseWhom(text)
	if err != nil || w.Scope == ByClient {
		return asked{Network: text}
	}
	a := asked{Kind: string(w.Scope)}
	switch w.Scope {
	case ByUser:
		a.User = w.Name
	case ByTenant:
		a.Tenant = w.Name
	default:
		a.ID = w.Name
	}
	return a
}

func (a asked) whom() (Whom, error) {
	if a.Kind == "" {
		w, err := ParseWhom(a.Network)
		if err == nil && w.Scope != ByClient {
			err = errWhom
		}
		return w, err
	}
	w := Whom{Scope: Scope(a.Kind), Name: a.User + a.Tenant + a.ID}
	if !w.valid() || ask(w.String()) != a {
		return Whom{}, errWhom
	}
	return w, nil
}

// order is what POST takes.
type order struct {
	asked
	Action string `json:"action,omitempty"` // ban, tarpit, step_up; "" is ban
	For    string `json:"for"`
	Detail string `json:"detail,omitempty"`
	By     string `json:"by"`
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
	case r.Method == http.MethodGet && q.Get("export") == "nftables":
		answer = string(desk.Nftables())
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
	whom, err := o.whom()
	length, lengthErr := time.ParseDuration(o.For)
	action, known := readAction(cmp.Or(o.Action, "ban"))
	if !known || action == Score {
		err = errors.Join(err, fmt.Errorf("action %q: the actions are ban, tarpit, step_up", o.Action))
	}
	if err = errors.Join(err, lengthErr); err != nil {
		return Ban{}, gatehouse.AdminError(http.StatusBadRequest, err)
	}
	b, err := desk.Add(r.Context(), Order{Whom: whom, Action: action, For: length, Detail: o.Detail, By: o.By})
	if errors.Is(err, ErrAllowed) || errors.Is(err, ErrTooWide) || errors.Is(err, ErrTooMany) {
		err = gatehouse.AdminError(http.StatusConflict, err)
	}
	return b, err
}

func foresee(text string, desk *Desk) (Foresight, error) {
	p, err := ParseWhom(text)
	if err != nil {
		return Foresight{}, gatehouse.AdminError(http.StatusBadRequest, err)
	}
	return desk.Foresee(p), nil
}

func lift(r *http.Request, desk *Desk) error {
	q := r.URL.Query()
	p, err := asked{q.Get("kind"), q.Get("network"), q.Get("user"), q.Get("tenant"), q.Get("id")}.whom()
	if err != nil {
		return gatehouse.AdminError(http.StatusBadRequest, err)
	}
	found, err := desk.Lift(r.Context(), p, r.URL.Query().Get("by"))
	if err == nil && !found {
		return gatehouse.AdminError(http.StatusNotFound, errors.New("there is no ban of exactly this network or name: `gatehouse ban list` shows them"))
	}
	return err
}

var _ caddy.AdminRouter = Admin{}
