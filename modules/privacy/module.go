package privacy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/owner"
)

func init() { caddy.RegisterModule(new(Settings)) }

const (
	payloadsDir      = "payloads" // in the state directory
	defaultRetention = 30 * 24 * time.Hour
	defaultMost      = 10_000
	mostMost         = 1_000_000
)

// Settings are the house's words about people's data. The zero Settings keep nothing, and let nobody do anything.
type Settings struct {
	// To whom what the WAF's rules matched is sealed: age recipients. Default: it is not kept.
	Recipients []string `json:"recipients,omitempty"`
	// How long. Default: 30d.
	Retention caddy.Duration `json:"retention,omitempty"`
	// Of how many requests at the most; the oldest go first. Default: 10,000.
	Most int `json:"most,omitempty"`

	// The roles that may have a sealed record handed out.
	RevealRoles []string `json:"reveal_roles,omitempty"`
	// Who must have agreed before, as provider:subject: one of them, who is somebody else. Default: nobody.
	Approvers []string `json:"approvers,omitempty"`

	// The roles that may erase people, and export what is kept of them. Default: nobody.
	Officers []string `json:"officers,omitempty"`

	recipients []age.Recipient
	safe       gatehouse.Kept[Safe]
	house      *gatehouse.App // from StartRoom on
}

// CaddyModule returns the Caddy module information.
func (*Settings) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.privacy", New: func() caddy.Module { return new(Settings) }}
}

// Provision checks the words.
func (s *Settings) Provision(ctx caddy.Context) error {
	if err := s.check(); err != nil {
		return gatehouse.Refused(fmt.Errorf("privacy: %w", err))
	}
	return gatehouse.RegisterMetrics(ctx, lostRecords)
}

func (s *Settings) check() (err error) {
	if s.recipients, err = ParseRecipients(s.Recipients); err != nil {
		return fmt.Errorf("payloads: %w", err)
	}
	switch {
	case len(s.Recipients) > 0 && len(s.RevealRoles) == 0:
		return errors.New("payloads: nobody could have them: say who may, such as `reveal role analyst`")
	case len(s.Recipients) == 0 && len(s.RevealRoles) > 0:
		return errors.New("reveal: there is nothing to reveal: say to whom it is sealed, such as `payloads age1…`")
	case s.Retention < 0 || s.Retention > 0 && time.Duration(s.Retention) < time.Hour:
		return errors.New("payloads: retention: want an hour or more, such as 30d")
	case s.Most < 0 || s.Most > mostMost:
		return fmt.Errorf("payloads: records: want 1 to %d", mostMost)
	}
	for _, text := range s.Approvers {
		if _, err := owner.ParsePerson(text); err != nil {
			return fmt.Errorf("reveal: approvers: %w", err)
		}
	}
	return nil
}

// StartRoom implements gatehouse.RoomStarter.
func (s *Settings) StartRoom(house *gatehouse.App, _ *gatehouse.State) error {
	s.house = house
	safe, err := s.safe.Of(house, openSafe)
	if err != nil {
		return err
	}
	safe.Use(s.recipients, Limits{cmp.Or(time.Duration(s.Retention), defaultRetention), cmp.Or(s.Most, defaultMost)},
		func(why string) { lostRecords.WithLabelValues(why).Inc() })
	return nil
}

func openSafe(house *gatehouse.App) (*Safe, error) {
	state, err := house.State()
	if err != nil {
		return nil, err
	}
	kept, err := state.Keep("privacy.safe", func() (caddy.Destructor, error) { return OpenSafe(filepath.Join(house.Dir(), payloadsDir)) })
	if err != nil {
		return nil, err
	}
	return kept.(*Safe), nil
}

// KeepPayload implements gatehouse.PayloadKeeper.
func (s *Settings) KeepPayload(p gatehouse.Payload) {
	if len(s.recipients) == 0 || s.house == nil {
		return
	}
	safe, err := s.safe.Of(s.house, openSafe)
	if err != nil {
		return // it closes
	}
	plain, err := json.Marshal(p)
	if err != nil {
		lostRecords.WithLabelValues("error").Inc()
		return
	}
	safe.Put(Head{RequestID: p.RequestID, Time: p.Time, Site: p.Site, Tenant: p.Tenant, Rules: p.Rules}, p.User, plain)
}

var (
	_ caddy.Provisioner       = (*Settings)(nil)
	_ gatehouse.RoomStarter   = (*Settings)(nil)
	_ gatehouse.PayloadKeeper = (*Settings)(nil)
)
