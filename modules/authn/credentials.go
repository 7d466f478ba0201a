package authn

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/standing"
)

var (
	errCredentialOver = errors.New("its time is over")
	errNoStanding     = errors.New("whose it is may not use the gateway any more")
)

// visits holds the requests that run by a credential other than a session, and cuts each once its credential no longer
// counts. The zero value is not ready: make one with newVisits.
type visits struct {
	streams
	standing *standing.Book
	next     atomic.Uint64

	stop context.CancelFunc
	done sync.WaitGroup
}

func newVisits(book *standing.Book) *visits {
	ctx, cancel := context.WithCancel(context.Background())
	v := &visits{standing: book, stop: cancel}
	v.init()
	v.done.Go(func() { v.guard(ctx) })
	return v
}

// Destruct stops watching.
func (v *visits) Destruct() error {
	v.stop()
	v.done.Wait()
	return nil
}

// enter opens a visit by a credential that check vouches for. Whoever gets a visit must leave it.
func (v *visits) enter(run *running.Run, proof identity.Proof, check func() error) *Visit {
	visit := &Visit{Proof: proof, check: check, run: run}
	n := v.next.Add(1)
	visit.id[0] = byte(n) // spreads over the shards
	binary.BigEndian.PutUint64(visit.id[1:], n)
	v.add(visit, nil, Limits{})
	return visit
}

// guard judges, over and over, the credentials by which something runs.
func (v *visits) guard(ctx context.Context) {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for id, why := range v.over(time.Now()) {
			v.cut(id, why.Error())
		}
	}
}

// over returns the visits whose credential no longer counts, and why.
func (v *visits) over(now time.Time) map[sessionID]error {
	found := map[sessionID]error{}
	for i := range v.shards {
		sh := &v.shards[i]
		sh.mu.Lock()
		for id, g := range sh.groups {
			if err := v.counts(g.first, now); err != nil {
				found[id] = err
			}
		}
		sh.mu.Unlock()
	}
	return found
}

// counts returns why the visit's credential no longer counts, or nil.
func (v *visits) counts(visit *Visit, now time.Time) error {
	proof := visit.Proof
	if until := proof.Until(); !until.IsZero() && !now.Before(until) {
		return errCredentialOver
	}
	if !v.standing.Allows(proof.Provider(), proof.Subject(), proof.Since()) {
		return errNoStanding
	}
	if visit.check == nil {
		return nil
	}
	return visit.check()
}
