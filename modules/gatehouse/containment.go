package gatehouse

import (
	"fmt"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/containment"
	"gatehouse.internal/modules/internal/event"
)

// Containment are the switches that operators throw in an incident, for every room that heeds them.
func (s *State) Containment() (*containment.Board, error) {
	kept, err := s.Keep("containment", func() (caddy.Destructor, error) {
		return containment.Open(s.Store, s.Keys, func(ended containment.Switch) {
			s.Bus.Publish(ContainmentEvent(event.ContainmentEnded, ended))
		})
	})
	if err != nil {
		return nil, fmt.Errorf("opening the containment switches: %w", err)
	}
	return kept.(*containment.Board), nil
}

// ContainmentEvent tells of a switch.
func ContainmentEvent(kind event.Kind, s containment.Switch) event.Event {
	e := event.Event{Time: time.Now(), Kind: kind, Session: s.ID, Detail: s.Reason}
	for _, a := range []event.Attr{
		{Key: "switch", Value: string(s.Kind)}, {Key: "where", Value: s.Where()}, {Key: "tenant", Value: s.Tenant}, {Key: "site", Value: s.Site},
		{Key: "route", Value: s.Route.String()}, {Key: "until", Value: s.Until.UTC().Format(time.RFC3339)}, {Key: "operator", Value: s.By},
		{Key: "ended_by", Value: s.EndedBy}, {Key: "note", Value: s.Note},
	} {
		if a.Value != "" {
			e.Attrs = append(e.Attrs, a)
		}
	}
	if s.Level > 0 {
		e.Attrs = append(e.Attrs, event.Attr{Key: "level", Value: strconv.Itoa(s.Level)})
	}
	return e
}
