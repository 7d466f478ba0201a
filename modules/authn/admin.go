package authn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
)

func init() { caddy.RegisterModule(new(Admin)) }

const (
	adminSessions = "/gatehouse/sessions"
	adminLimit    = 1000 // sessions in a list, unless asked for otherwise
)

// Admin answers below /gatehouse/ of Caddy's administration endpoint, which is as open as Caddy's configuration makes
// it: by default, to whoever is on this machine.
//
//	GET    /gatehouse/sessions[?user=<provider:subject>][&limit=<n>]
//	DELETE /gatehouse/sessions?user=<provider:subject> | ?name=<name> | ?all=true
type Admin struct{ house *gatehouse.App }

// CaddyModule returns the Caddy module information.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse", New: func() caddy.Module { return new(Admin) }}
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
	return gatehouse.Audited(caddy.AdminRoute{Pattern: adminSessions, Handler: caddy.AdminHandlerFunc(a.sessions)})
}

// listing is the answer to GET.
type listing struct {
	Sessions []Info `json:"sessions"`
	More     bool   `json:"more,omitempty"` // there are more than asked for
}

// revoked is the answer to DELETE.
type revoked struct {
	Ended int `json:"ended"`
}

func (a *Admin) sessions(w http.ResponseWriter, r *http.Request) error {
	if a.house == nil {
		return adminError(http.StatusNotFound, errors.New("the running configuration has no gatehouse"))
	}
	sessions, err := sessionsOf(a.house)
	if err != nil {
		return adminError(http.StatusServiceUnavailable, err)
	}
	var answer any
	switch r.Method {
	case http.MethodGet:
		answer, err = list(r, sessions)
	case http.MethodDelete:
		answer, err = a.revoke(r, sessions)
	default:
		return adminError(http.StatusMethodNotAllowed, errors.New("the methods are GET and DELETE"))
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

func list(r *http.Request, sessions *Sessions) (listing, error) {
	q := r.URL.Query()
	limit := adminLimit
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			return listing{}, adminError(http.StatusBadRequest, fmt.Errorf("limit %q is not a positive number", text))
		}
		limit = n
	}
	var l listing
	var err error
	if user := q.Get("user"); user != "" {
		provider, subject, ok := splitUser(user)
		if !ok {
			return listing{}, errUser
		}
		l.Sessions, err = sessions.List(r.Context(), provider, subject, "")
		if len(l.Sessions) > limit {
			l.Sessions, l.More = l.Sessions[:limit], true
		}
	} else {
		l.Sessions, l.More, err = sessions.ListAll(r.Context(), limit)
	}
	if err != nil {
		return listing{}, adminError(http.StatusServiceUnavailable, err)
	}
	if l.Sessions == nil {
		l.Sessions = []Info{}
	}
	return l, nil
}

// revoke ends what exactly one of the parameters names.
func (a *Admin) revoke(r *http.Request, sessions *Sessions) (revoked, error) {
	q := r.URL.Query()
	user, name, all := q.Get("user"), q.Get("name"), q.Get("all")
	provider, subject, isUser := splitUser(user)
	var gone []string
	var err error
	switch {
	case len(q) != 1 || all != "" && all != "true":
		return revoked{}, adminError(http.StatusBadRequest, errors.New("want exactly one of user=<provider:subject>, name=<name>, all=true"))
	case all != "":
		gone, err = sessions.EndAll(r.Context())
	case name != "":
		gone, err = sessions.endName(r.Context(), name)
	case isUser:
		gone, err = sessions.EndUser(r.Context(), provider, subject)
	default:
		return revoked{}, errUser
	}
	if err != nil {
		return revoked{}, adminError(http.StatusServiceUnavailable, err)
	}
	a.tell(gone, user)
	return revoked{Ended: len(gone)}, nil
}

// tell publishes that an administrator ended these sessions.
func (a *Admin) tell(names []string, user string) {
	state, err := a.house.State()
	if err != nil {
		return // it closes: there is nobody to tell
	}
	for _, name := range names {
		state.Bus.Publish(event.Event{
			Time: time.Now(), Kind: event.SessionEnded, User: user, Session: name, Detail: "revoked by an administrator",
		})
	}
}

// endName ends the session of this name, whoever's it is.
func (s *Sessions) endName(ctx context.Context, name string) ([]string, error) {
	return s.endWhere(ctx, "", func(id sessionID) bool { return logName(id) == name })
}

var errUser = adminError(http.StatusBadRequest, errors.New("a user is written provider:subject, such as local:ada"))

func adminError(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

func splitUser(user string) (provider, subject string, ok bool) {
	provider, subject, ok = strings.Cut(user, ":")
	return provider, subject, ok && provider != "" && subject != ""
}

var (
	_ caddy.Provisioner = (*Admin)(nil)
	_ caddy.AdminRouter = (*Admin)(nil)
)
