package siem

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminStatus    = "/gatehouse/siem"
	adminPseudonym = "/gatehouse/siem/pseudonym"
)

// Admin answers at Caddy's administration endpoint:
//
//	GET  /gatehouse/siem                                           how the sinks are
//	POST /gatehouse/siem/pseudonym {kind, value, tenant, day, why}  whose records to look for: on record, as whatever is asked there
//	POST /gatehouse/siem/forget {name, why}                         removes what waits for a sink that is gone
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_siem", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (Admin) Routes() []caddy.AdminRoute {
	return gatehouse.Audited(
		gatehouse.AdminRoute(http.MethodGet, adminStatus, func(*http.Request) (any, error) { return statusNow() }),
		gatehouse.AdminRoute(http.MethodPost, adminPseudonym, pseudonymOf),
		gatehouse.AdminRoute(http.MethodPost, adminForget, forgetSpool),
	)
}

func settingsNow() (*Settings, *gatehouse.State, error) {
	app, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, nil, err
	}
	s, ok := app.Room("siem").(*Settings)
	if !ok || s.collector == nil {
		return nil, nil, gatehouse.AdminError(http.StatusNotFound, errors.New("no records are sent anywhere: write `siem { send ... }` into the gatehouse option"))
	}
	return s, state, nil
}

func statusNow() ([]outletStatus, error) {
	s, _, err := settingsNow()
	if err != nil {
		return nil, err
	}
	all := s.collector.statuses()
	left, err := s.left(gatehouse.Running())
	for _, l := range left {
		all = append(all, outletStatus{Name: l.Name, Waiting: l.Bytes, Since: l.Newest, Error: "the configuration names it no more"})
	}
	return all, err
}

type pseudonymAsk struct {
	Kind   string `json:"kind"` // user or address
	Value  string `json:"value"`
	Tenant string `json:"tenant,omitempty"`
	Day    string `json:"day,omitempty"` // "2026-11-28"; default: today
	Why    string `json:"why"`
}

type pseudonymAnswer struct {
	Pseudonym string `json:"pseudonym"`
}

func pseudonymOf(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[pseudonymAsk](r)
	if err != nil {
		return nil, err
	}
	app, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	day := time.Now()
	if ask.Day != "" {
		if day, err = time.Parse(time.DateOnly, ask.Day); err != nil {
			return nil, errors.New("the day must be written like 2026-11-28")
		}
	}
	if ask.Why == "" {
		return nil, errors.New("say why you need to know: --why")
	}
	keys, err := state.Pseudonyms()
	if err != nil {
		return nil, err
	}
	n, err := keys.On(r.Context(), ask.Tenant, app.PseudonymEpoch(), day)
	if err != nil {
		return nil, err
	}
	var answer pseudonymAnswer
	switch ask.Kind {
	case "user":
		answer.Pseudonym = n.User(ask.Value, day)
	case "address":
		a, err := netip.ParseAddr(ask.Value)
		if err != nil {
			return nil, errors.New("that is no address")
		}
		answer.Pseudonym = n.Address(a, day)
	default:
		return nil, errors.New("a pseudonym is a user's or an address's")
	}
	// Whom it was about is on record before it is told (NAT-07).
	err = state.Bus.Record(event.Event{Time: time.Now(), Kind: event.PseudonymAsked, Attrs: []event.Attr{
		{Key: "pseudonym", Value: answer.Pseudonym}, {Key: "operator", Value: event.Clip(r.Header.Get(gatehouse.OperatorHeader), 100)},
		{Key: "why", Value: event.Clip(ask.Why, 300)},
	}})
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return answer, nil
}

var _ caddy.AdminRouter = Admin{}
