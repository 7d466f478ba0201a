package gatehouse

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/pseudonym"
	"gatehouse.internal/modules/internal/roster"
	"gatehouse.internal/modules/internal/service"
	"gatehouse.internal/modules/internal/support"
)

// Services are the house's service accounts, for every room that has credentials of theirs.
func (s *State) Services() (service.Accounts, error) {
	kept, err := s.Keep("service", func() (caddy.Destructor, error) { return service.Open(s.Store, s.Keys) })
	if err != nil {
		return service.Accounts{}, fmt.Errorf("opening the service accounts: %w", err)
	}
	return kept.(service.Accounts), nil
}

// Support are the roles that people hold for a while.
func (s *State) Support() (*support.Grants, error) {
	kept, err := s.Keep("support", func() (caddy.Destructor, error) {
		return support.Open(s.Store, s.Keys, func(g support.Grant) { s.Bus.Publish(SupportEvent(event.SupportExpired, g)) })
	})
	if err != nil {
		return nil, fmt.Errorf("opening the support grants: %w", err)
	}
	return kept.(*support.Grants), nil
}

// SupportEvent tells of a support grant.
func SupportEvent(kind event.Kind, g support.Grant) event.Event {
	return event.Event{
		Time: time.Now(), Kind: kind, User: g.Person.Provider + ":" + g.Person.Subject, Session: g.ID, Detail: g.Note,
		Attrs: []event.Attr{
			{Key: "support_ticket", Value: g.Ticket}, {Key: "approver", Value: g.Approver.Provider + ":" + g.Approver.Subject},
			{Key: "roles", Value: strings.Join(g.Roles, " ")}, {Key: "sites", Value: strings.Join(g.Sites, " ")}, {Key: "tenant", Value: g.Tenant},
			{Key: "until", Value: g.Expires.UTC().Format(time.RFC3339)}, {Key: "operator", Value: cmp.Or(g.EndedBy, g.By)},
		},
	}
}

// Roster is what identity providers last said of people.
func (s *State) Roster() (roster.Roster, error) {
	kept, err := s.Keep("roster", func() (caddy.Destructor, error) { return roster.Open(s.Store, s.Keys) })
	if err != nil {
		return roster.Roster{}, fmt.Errorf("opening the roster: %w", err)
	}
	return kept.(roster.Roster), nil
}

// Pseudonyms are the tenants' keys for what leaves the house.
func (s *State) Pseudonyms() (*pseudonym.Keys, error) {
	kept, err := s.Keep("pseudonym", func() (caddy.Destructor, error) { return pseudonym.Open(s.Store, s.Keys) })
	if err != nil {
		return nil, fmt.Errorf("opening the keys for pseudonyms: %w", err)
	}
	return kept.(*pseudonym.Keys), nil
}
