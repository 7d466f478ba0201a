package audit

import (
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
)

func init() { caddy.RegisterModule(new(Settings)) }

// Settings are the house's words about the record of what was done.
type Settings struct {
	// How long records are kept. Default: 395d, 13 months.
	Retention caddy.Duration `json:"retention,omitempty"`
	// How long a key signs. Who steals it can rewrite what it signed since then, and nothing before. Default: 1h.
	Epoch caddy.Duration `json:"epoch,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Settings) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.audit", New: func() caddy.Module { return new(Settings) }}
}

// Provision checks the words.
func (s *Settings) Provision(ctx caddy.Context) error {
	if s.Retention != 0 && time.Duration(s.Retention) < 24*time.Hour {
		return errors.New("audit: retention: want a day or more, such as 395d")
	}
	if s.Epoch != 0 && (time.Duration(s.Epoch) < time.Minute || time.Duration(s.Epoch) > 24*time.Hour) {
		return errors.New("audit: epoch: want 1m to 24h")
	}
	return nil
}

// StartRoom implements gatehouse.RoomStarter.
func (s *Settings) StartRoom(_ *gatehouse.App, state *gatehouse.State) error {
	state.Audit.Use(time.Duration(s.Epoch), time.Duration(s.Retention))
	return nil
}

var (
	_ caddy.Provisioner     = (*Settings)(nil)
	_ gatehouse.RoomStarter = (*Settings)(nil)
)

// status is what the running gateway says of its record.
type status struct {
	chain.Status
	Identity  string       `json:"identity"` // the public key that stays
	Directory string       `json:"directory"`
	Holds     []chain.Hold `json:"holds"`
}
