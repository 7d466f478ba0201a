package verify

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/standing"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminPath  = "/gatehouse/verify"
	adminLimit = 1000 // people whose held visits are listed
)

// Admin answers at Caddy's administration endpoint, which is as open as Caddy's configuration makes it: by default, to whoever is
// on this machine and may open its socket.
//
//	GET  /gatehouse/verify                                    the visits that are held
//	GET  /gatehouse/verify?user=<provider:subject>            what a person is known by
//	POST /gatehouse/verify/approve, …/deny                    with an ask: user and id
//	POST /gatehouse/verify/forget                             with an ask: user, and as id a device, a network or all
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_verify", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (Admin) Routes() []caddy.AdminRoute {
	at := func(method, pattern string, serve func(*office, *http.Request) (any, error)) caddy.AdminRoute {
		return gatehouse.AdminRoute(method, pattern, func(r *http.Request) (any, error) {
			house, state, err := gatehouse.RunningState()
			if err != nil {
				return nil, err
			}
			room, ok := house.Room("verify").(*Room)
			if !ok {
				return nil, gatehouse.AdminError(http.StatusNotFound, errors.New("the running configuration has no word verify: nothing is held"))
			}
			b, err := bookOf(house)
			if err != nil {
				return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
			}
			return serve(&office{book: b, state: state, remember: room.remember}, r)
		})
	}
	return gatehouse.Audited(
		at(http.MethodGet, adminPath, (*office).list),
		at(http.MethodPost, adminPath+"/approve", (*office).approve),
		at(http.MethodPost, adminPath+"/deny", (*office).deny),
		at(http.MethodPost, adminPath+"/forget", (*office).dismiss),
	)
}

// office is where one request of an administrator is served.
type office struct {
	*book
	state    *gatehouse.State
	remember time.Duration
}

// ask is what is to be done with what.
type ask struct {
	User string `json:"user"` // provider:subject
	ID   string `json:"id"`
}

// known is what a person is known by.
type known struct {
	User     string    `json:"user"`
	Devices  []device  `json:"devices"`
	Networks []network `json:"networks"`
}

type listing struct {
	Held  []listed `json:"held"`
	Known *known   `json:"known,omitempty"`
}

func personOf(text string) (standing.Person, error) {
	provider, subject, ok := strings.Cut(text, ":")
	if !ok || provider == "" || subject == "" {
		return standing.Person{}, errors.New("a user is written provider:subject, such as local:ada")
	}
	return standing.Person{Provider: provider, Subject: subject}, nil
}

func (o *office) list(r *http.Request) (any, error) {
	held, err := o.waiting(r.Context(), adminLimit)
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	l := listing{Held: held}
	user := r.URL.Query().Get("user")
	if user == "" {
		return l, nil
	}
	who, err := personOf(user)
	if err != nil {
		return nil, err
	}
	rec, err := o.get(r.Context(), who.Provider, "", who.Subject)
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	rec.prune(time.Now(), o.remember)
	l.Known = &known{User: who.String(), Devices: rec.Devices, Networks: rec.Networks}
	l.Held = l.Held[:0:0]
	for _, h := range held {
		if h.User == who.String() {
			l.Held = append(l.Held, h)
		}
	}
	return l, nil
}

// readAsk reads what is asked, and about whom.
func readAsk(r *http.Request) (a ask, who standing.Person, err error) {
	if a, err = gatehouse.ReadAsk[ask](r); err == nil {
		who, err = personOf(a.User)
	}
	return a, who, err
}

func (o *office) approve(r *http.Request) (any, error) { return o.decide(r, true) }
func (o *office) deny(r *http.Request) (any, error)    { return o.decide(r, false) }

func (o *office) decide(r *http.Request, approve bool) (any, error) {
	a, who, err := readAsk(r)
	if err != nil {
		return nil, err
	}
	h, err := o.rule(r.Context(), who, a.ID, o.remember, approve)
	if errors.Is(err, errNothing) {
		return nil, gatehouse.AdminError(http.StatusNotFound, fmt.Errorf("nothing of %s is held as %q, or no longer: gatehouse verify list", who, a.ID))
	}
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	kind := event.VerifyApproved
	if !approve {
		kind = event.VerifyDenied
	}
	o.state.Bus.Publish(event.Event{
		Time: time.Now(), Kind: kind, User: who.String(), Detail: "by an administrator: " + names(h.Signals),
		Attrs: []event.Attr{{Key: "held", Value: h.ID}, {Key: "network", Value: h.Prefix.String()}, {Key: "device", Value: h.Device}},
	})
	return a, nil
}

func (o *office) dismiss(r *http.Request) (any, error) {
	a, who, err := readAsk(r)
	if err != nil {
		return nil, err
	}
	err = o.forget(r.Context(), who, a.ID, o.remember)
	if errors.Is(err, errNothing) {
		return nil, gatehouse.AdminError(http.StatusNotFound, fmt.Errorf("%s is not known by %q: gatehouse verify list %s", who, a.ID, who))
	}
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	o.state.Bus.Publish(event.Event{Time: time.Now(), Kind: event.VerifyForgot, User: who.String(), Attrs: []event.Attr{{Key: "forgot", Value: a.ID}}})
	return a, nil
}

var _ caddy.AdminRouter = Admin{}
