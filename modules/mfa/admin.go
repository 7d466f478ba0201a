package mfa

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/standing"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminPath  = "/gatehouse/mfa"
	resetEnded = "the second factors were reset by an administrator"
)

// Admin answers below /gatehouse/mfa of Caddy's administration endpoint, which is as open as Caddy's configuration makes it:
// by default, to whoever is on this machine and may open its socket.
//
//	GET    /gatehouse/mfa                            who has which second factors
//	DELETE /gatehouse/mfa?user=<provider:subject>    takes them away, and ends the person's sessions
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_mfa", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (a Admin) Routes() []caddy.AdminRoute {
	return gatehouse.Audited(caddy.AdminRoute{Pattern: adminPath, Handler: caddy.AdminHandlerFunc(a.serve)})
}

// holder is what a list says of a person. It holds no secret.
type holder struct {
	User     string    `json:"user"` // provider:subject
	App      bool      `json:"app"`
	Passkeys int       `json:"passkeys"`
	Codes    int       `json:"backup_codes"` // left
	Used     time.Time `json:"used,omitzero"`
}

type listing struct {
	People []holder `json:"people"`
}

// taken is the answer to DELETE.
type taken struct {
	Factors  int `json:"factors"`
	Sessions int `json:"sessions"`
}

func (a Admin) serve(w http.ResponseWriter, r *http.Request) error {
	house := gatehouse.Running()
	if house == nil {
		return adminError(http.StatusNotFound, errors.New("no gatehouse is running"))
	}
	var answer any
	var err error
	switch r.Method {
	case http.MethodGet:
		answer, err = a.list(r, house)
	case http.MethodDelete:
		answer, err = a.reset(r, house)
	default:
		return adminError(http.StatusMethodNotAllowed, errors.New("the methods are GET and DELETE"))
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

func (Admin) list(r *http.Request, house *gatehouse.App) (listing, error) {
	state, err := house.State()
	if err != nil {
		return listing{}, adminError(http.StatusServiceUnavailable, err)
	}
	s, l := accounts{store: state.Store, keys: state.Keys}, listing{People: []holder{}}
	for item, err := range s.store.Scan(r.Context(), accountBucket, enrolledIndex) {
		if err != nil {
			return listing{}, adminError(http.StatusServiceUnavailable, err)
		}
		a, err := s.open(item)
		if err != nil {
			return listing{}, adminError(http.StatusServiceUnavailable, err)
		}
		h := holder{User: a.Provider + ":" + a.Subject, App: a.TOTP != nil, Passkeys: len(a.Passkeys), Codes: left(a.Codes)}
		if a.TOTP != nil {
			h.Used = a.TOTP.Used
		}
		for _, p := range a.Passkeys {
			if p.Used.After(h.Used) {
				h.Used = p.Used
			}
		}
		l.People = append(l.People, h)
	}
	slices.SortFunc(l.People, func(a, b holder) int { return cmp.Compare(a.User, b.User) })
	return l, nil
}

func (Admin) reset(r *http.Request, house *gatehouse.App) (taken, error) {
	provider, subject, ok := strings.Cut(r.URL.Query().Get("user"), ":")
	if !ok || provider == "" || subject == "" {
		return taken{}, adminError(http.StatusBadRequest, errors.New("a user is written provider:subject, such as local:ada"))
	}
	who := standing.Person{Provider: provider, Subject: subject}
	state, err := house.State()
	if err != nil {
		return taken{}, adminError(http.StatusServiceUnavailable, err)
	}
	var t taken
	if t.Factors, err = house.ResetFactors(r.Context(), who); err != nil {
		return taken{}, adminError(http.StatusServiceUnavailable, err)
	}
	if t.Factors == 0 {
		return taken{}, adminError(http.StatusNotFound, fmt.Errorf("%s has no second factors", who))
	}
	state.Bus.Publish(event.Event{Time: time.Now(), Kind: event.FactorsReset, User: who.String()})
	if t.Sessions, err = house.EndSessions(r.Context(), who, "", resetEnded); err != nil {
		return taken{}, adminError(http.StatusServiceUnavailable, err)
	}
	return t, nil
}

func adminError(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

var _ caddy.AdminRouter = Admin{}
