package containment

import (
	"math/rand/v2"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	// CutAfter is how long after a switch was thrown what it would refuse is cut: ordinary requests have their answer by then.
	CutAfter = time.Second

	// askAgain bounds what a client is told of when to try again: nobody need learn how long an incident is expected to last.
	askAgain = 15 * time.Minute

	// sameSecond is how much older than a switch a proof may look that came after it: some are dated in whole seconds.
	sameSecond = time.Second
)

// Asked is a request as the switches see it. Place is not written.
type Asked struct {
	Place  *Place
	Path   reqpath.Path
	Portal bool // it is for the gateway's own pages, which no switch closes
	Writes bool // it may change something
	Who    identity.Proof
}

// Hits returns the first switch in force that the request has to do with: one that locks it out, one that refuses what it may
// change, or one that asks whoever is known for a proof; nil when there is none. Whether the proof was given, the room of second
// factors says: see [Switch.ProofWithin].
func (b *Board) Hits(a *Asked, now time.Time) *Switch {
	table := b.switches.AtHand()
	if len(table) == 0 || a.Portal { // Fast path
		return nil
	}
	for _, s := range table {
		if now.Before(s.Until) && s.hits(a) {
			return s
		}
	}
	return nil
}

func (s *Switch) hits(a *Asked) bool {
	if !s.Covers(*a.Place) {
		return false
	}
	switch s.Kind {
	case Lock:
		return s.Route == (reqpath.Pattern{}) || s.Route.MatchFolded(a.Path)
	case ReadOnly:
		return a.Writes
	case StepUp: // programs that act for themselves are nobody who could prove anything
		return a.Who.Known() && a.Who.Kind() != identity.Service
	}
	return false
}

// ProofWithin is how old a second factor may be that was proven since the switch was thrown.
func (s *Switch) ProofWithin(now time.Time) time.Duration {
	return max(now.Sub(s.Since), 0) + sameSecond
}

// ends reports whether the switch ends a request that runs.
func (s *Switch) ends(a *Asked) bool {
	if a.Portal || !s.hits(a) {
		return false
	}
	f := a.Who.Factor()
	return s.Kind != StepUp || !f.Given() || f.At.Before(s.Since.Add(-sameSecond))
}

// Verdict is how a lock, or read-only mode, refuses.
func (s *Switch) Verdict(now time.Time) verdict.Verdict {
	return verdict.Verdict{Reason: s.reason(), Detail: s.Why(), RetryAfter: min(s.Until.Sub(now), askAgain)}
}

func (s *Switch) reason() verdict.Reason {
	switch s.Kind {
	case ReadOnly:
		return verdict.ReadOnly
	case StepUp:
		return verdict.MFARequired
	}
	return verdict.Locked
}

// Why names the switch, for logs.
func (s *Switch) Why() string {
	return "containment " + s.ID + " (" + string(s.Kind) + ", " + s.Where() + ")"
}

// runs holds the requests that run.
type runs [32]shard

type shard struct {
	mu   sync.Mutex
	runs map[*running.Run]Asked // guarded by mu
}

func (rs *runs) init() {
	for i := range rs {
		rs[i].runs = map[*running.Run]Asked{}
	}
}

// Stay is a request that runs. The zero Stay is none.
type Stay struct {
	in  *shard
	run *running.Run
}

// Enter must come before a request is judged, or a switch that is thrown in between would miss it. Whoever enters must leave.
func (b *Board) Enter(run *running.Run, a *Asked) Stay {
	sh := &b.runs[rand.Uint32N(uint32(len(b.runs)))]
	sh.mu.Lock()
	sh.runs[run] = *a
	sh.mu.Unlock()
	return Stay{sh, run}
}

// Leave must be called once.
func (s Stay) Leave() {
	s.in.mu.Lock()
	delete(s.in.runs, s.run)
	s.in.mu.Unlock()
}

// cut ends what runs and would be refused now.
func (b *Board) cut(now time.Time) {
	table := b.Active(now)
	if len(table) == 0 {
		return
	}
	for i := range b.runs {
		sh := &b.runs[i]
		sh.mu.Lock()
		for run, a := range sh.runs {
			for _, s := range table {
				if s.ends(&a) {
					run.Cut(running.Cut{Note: "contain_cut", Why: s.Why(), Reason: s.reason(), Until: now.Add(min(s.Until.Sub(now), askAgain))})
					break
				}
			}
		}
		sh.mu.Unlock()
	}
}

// Running counts the requests that run now where the switch would count, and those of them that it would end; seen is called with
// the proof of each of the first.
func (b *Board) Running(s *Switch, seen func(identity.Proof)) (n, ended int) {
	for i := range b.runs {
		sh := &b.runs[i]
		sh.mu.Lock()
		for _, a := range sh.runs {
			if a.Portal || !s.Covers(*a.Place) || s.Route != (reqpath.Pattern{}) && !s.Route.MatchFolded(a.Path) {
				continue
			}
			n++
			if s.ends(&a) {
				ended++
			}
			seen(a.Who)
		}
		sh.mu.Unlock()
	}
	return n, ended
}
