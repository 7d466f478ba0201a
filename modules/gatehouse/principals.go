package gatehouse

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/roster"
	"gatehouse.internal/modules/internal/service"
)

// Services are the house's service accounts, for every room that has credentials of theirs.
func (s *State) Services() (service.Accounts, error) {
	kept, err := s.Keep("service", func() (caddy.Destructor, error) { return service.Open(s.Store, s.Keys) })
	if err != nil {
		return service.Accounts{}, fmt.Errorf("opening the service accounts: %w", err)
	}
	return kept.(service.Accounts), nil
}

// Roster is what identity providers last said of people.
func (s *State) Roster() (roster.Roster, error) {
	kept, err := s.Keep("roster", func() (caddy.Destructor, error) { return roster.Open(s.Store, s.Keys) })
	if err != nil {
		return roster.Roster{}, fmt.Errorf("opening the roster: %w", err)
	}
	return kept.(roster.Roster), nil
}
