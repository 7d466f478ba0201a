package authn

import (
	"context"
	"fmt"
	"iter"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/standing"
)

// Principals implements [gatehouse.Directory]: whoever has a living session, or had one once.
func (h *Handler) Principals(ctx context.Context, who standing.Person) iter.Seq2[gatehouse.Principal, error] {
	return func(yield func(gatehouse.Principal, error) bool) {
		sessions, err := h.sessions()
		if err != nil {
			yield(gatehouse.Principal{}, err)
			return
		}
		index := ""
		if who != (standing.Person{}) {
			index = userIndex(who.Provider, who.Subject)
		}
		for item, err := range sessions.store.Scan(ctx, sessionBucket, index) {
			if err != nil {
				yield(gatehouse.Principal{}, fmt.Errorf("listing sessions: %w", err))
				return
			}
			id, ok := idOf(item.Key.ID)
			if !ok {
				continue
			}
			_, e, alive := sessions.look(id, item)
			if alive && !yield(gatehouse.Principal{
				Identity: e.proof.Identity(), Source: gatehouse.FromSession, Created: e.proof.Since(), LastUsed: time.Unix(0, e.seen.Load()).UTC(),
			}, nil) {
				return
			}
		}
		h.remembered(ctx, who, yield)
	}
}

// remembered yields whom providers have vouched for before.
func (h *Handler) remembered(ctx context.Context, who standing.Person, yield func(gatehouse.Principal, error) bool) {
	state, err := h.house.State()
	if err != nil {
		yield(gatehouse.Principal{}, err)
		return
	}
	people, err := state.Roster()
	if err != nil {
		yield(gatehouse.Principal{}, err)
		return
	}
	for e, err := range people.All(ctx, "") {
		if err != nil {
			yield(gatehouse.Principal{}, err)
			return
		}
		if who != (standing.Person{}) && (e.Who.Provider != who.Provider || e.Who.Subject != who.Subject) {
			continue
		}
		if !yield(gatehouse.Principal{Identity: e.Who, Source: gatehouse.FromRoster, LastUsed: e.Seen}, nil) {
			return
		}
	}
}
