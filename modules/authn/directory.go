package authn

import (
	"context"
	"fmt"
	"iter"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/standing"
)

// Principals implements [gatehouse.Directory]: whoever has a living session.
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
	}
}
