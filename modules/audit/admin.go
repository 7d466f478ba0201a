package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminStatus = "/gatehouse/audit"
	adminHolds  = "/gatehouse/audit/holds"
	maxHolds    = 100
)

// Admin answers at Caddy's administration endpoint:
//
//	GET    /gatehouse/audit                      how the record is
//	POST   /gatehouse/audit/holds {name, why}    nothing is pruned while there is a hold
//	DELETE /gatehouse/audit/holds?name=<name>
//	GET    /gatehouse/audit/records?tenant=<name>[&from=<sequence>]   the records of one tenant alone
//	POST   /gatehouse/audit/incidents {manifest_sha256, why}   an export begins, or is put on record
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_audit", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (Admin) Routes() []caddy.AdminRoute {
	hold := gatehouse.AdminRoute(http.MethodPost, adminHolds, addHold)
	release := gatehouse.AdminRoute(http.MethodDelete, adminHolds, removeHold)
	return gatehouse.Audited(
		gatehouse.AdminRoute(http.MethodGet, adminStatus, func(*http.Request) (any, error) { return statusNow() }),
		caddy.AdminRoute{Pattern: adminHolds, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			if r.Method == http.MethodDelete {
				return release.Handler.ServeHTTP(w, r)
			}
			return hold.Handler.ServeHTTP(w, r)
		})},
		gatehouse.AdminRoute(http.MethodPost, adminIncidents, putOnRecord),
		gatehouse.AdminRoute(http.MethodGet, adminRecords, readTenant),
	)
}

func statusNow() (s status, err error) {
	c, err := running()
	if err != nil {
		return s, err
	}
	s = status{Status: c.Status(), Directory: c.Dir()}
	if _, state, err := gatehouse.RunningState(); err == nil {
		s.Identity = state.Audit.Identity(s.Origin)
	}
	s.Logs, s.Copies = sweeping.Load().status(), copying.Load().status()
	s.Holds, err = chain.Holds(c.Dir())
	return s, err
}

func running() (*chain.Chain, error) {
	_, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	c, err := state.Audit.Chain()
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return c, nil
}

// holding is held while the holds are changed.
var holding sync.Mutex

type holdAsk struct {
	Name     string `json:"name"`
	Why      string `json:"why"`
	Operator string `json:"operator,omitempty"`
}

func addHold(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[holdAsk](r)
	if err != nil {
		return nil, err
	}
	if ask.Name = strings.TrimSpace(ask.Name); ask.Name == "" || len(ask.Name) > 100 || strings.TrimSpace(ask.Why) == "" {
		return nil, errors.New("say what the hold is called, and why it is needed")
	}
	return changeHolds(func(holds []chain.Hold) ([]chain.Hold, error) {
		if slices.ContainsFunc(holds, func(h chain.Hold) bool { return h.Name == ask.Name }) {
			return nil, errors.New("there is a hold of this name already")
		}
		if len(holds) >= maxHolds {
			return nil, errors.New("there are too many holds")
		}
		return append(holds, chain.Hold{Name: ask.Name, Why: ask.Why, By: ask.Operator, Since: time.Now().UTC()}), nil
	})
}

func removeHold(r *http.Request) (any, error) {
	name := r.URL.Query().Get("name")
	return changeHolds(func(holds []chain.Hold) ([]chain.Hold, error) {
		left := slices.DeleteFunc(slices.Clone(holds), func(h chain.Hold) bool { return h.Name == name })
		if len(left) == len(holds) {
			return nil, errors.New("there is no hold of this name: `gatehouse audit status` shows them")
		}
		return left, nil
	})
}

func changeHolds(change func([]chain.Hold) ([]chain.Hold, error)) (any, error) {
	c, err := running()
	if err != nil {
		return nil, err
	}
	holding.Lock()
	defer holding.Unlock()
	holds, err := chain.Holds(c.Dir())
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	if holds, err = change(holds); err != nil {
		return nil, err
	}
	if err := chain.SetHolds(c.Dir(), holds); err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return statusNow()
}

var _ caddy.AdminRouter = Admin{}

// incidentAsk asks for an export to be put on record.
type incidentAsk struct {
	Manifest string `json:"manifest_sha256,omitempty"`
	Why      string `json:"why"`
	Operator string `json:"operator,omitempty"`
}

// putOnRecord answers when the export is on record. Without a manifest it says that one begins: that this was asked for is on
// record then, like everything that happened before.
func putOnRecord(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[incidentAsk](r)
	if err != nil {
		return nil, err
	}
	if ask.Manifest == "" && strings.TrimSpace(ask.Why) != "" {
		return struct{}{}, nil
	}
	if sum, err := hex.DecodeString(ask.Manifest); err != nil || len(sum) != sha256.Size || strings.TrimSpace(ask.Why) == "" {
		return nil, errors.New("give the manifest's SHA-256, and say what the export is for")
	}
	_, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	err = state.Bus.Record(event.Event{
		Time: time.Now(), Kind: incidentKind, Detail: ask.Why,
		Attrs: []event.Attr{{Key: "operator", Value: ask.Operator}, {Key: sealed, Value: ask.Manifest}},
	})
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return struct{}{}, nil
}
