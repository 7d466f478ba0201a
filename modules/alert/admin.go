package alert

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminStatus = "/gatehouse/alerts"
	adminTest   = "/gatehouse/alerts/test"
)

// Admin answers at Caddy's administration endpoint:
//
//	GET  /gatehouse/alerts              what is wrong, and how the receivers are
//	POST /gatehouse/alerts/test {name}  a test notice to one receiver, or to all: what came of it
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_alert", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (Admin) Routes() []caddy.AdminRoute {
	return gatehouse.Audited(
		gatehouse.AdminRoute(http.MethodGet, adminStatus, func(*http.Request) (any, error) {
			b, err := boardNow()
			if err != nil {
				return nil, err
			}
			return b.Status(), nil
		}),
		gatehouse.AdminRoute(http.MethodPost, adminTest, test),
	)
}

func boardNow() (*board, error) {
	app, _, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	s, ok := app.Room("alert").(*Settings)
	if !ok || s.board == nil {
		return nil, gatehouse.AdminError(http.StatusNotFound, errors.New("no alerts are raised: write `alert { webhook ... }` into the gatehouse option"))
	}
	return s.board, nil
}

type testAsk struct {
	Name string `json:"name,omitempty"`
}

func test(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[testAsk](r)
	if err != nil {
		return nil, err
	}
	b, err := boardNow()
	if err != nil {
		return nil, err
	}
	return b.Try(r.Context(), ask.Name)
}

var _ caddy.AdminRouter = Admin{}
