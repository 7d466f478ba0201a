package authn

import (
	"context"
	"errors"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/store"
)

const guardEvery = 500 * time.Millisecond // how late a session's end by age may reach what runs in it

// Visit is a request in a session, or by another credential, for as long as it runs: a page, a download, a websocket. When
// the session ends, or the credential no longer counts, its run is cut.
type Visit struct {
	Proof identity.Proof

	run        *running.Run
	check      func() error // of a visit without a session: why its credential no longer counts
	in         *shard
	id         sessionID
	prev, next *Visit      // guarded by in.mu
	allowed    func() bool // guarded by in.mu; whether the configuration in force lets it go on; nil: not judged yet
}

// Leave ends the visit. It must be called once.
func (v *Visit) Leave() { v.in.remove(v) }

func (v *Visit) cut(why string) {
	if v.run.Cut(running.Cut{Note: "session_cut", Why: why}) {
		cuts.Inc()
	}
}

// Review has the visit cut when allowed, which is called whenever another configuration has taken over, reports that it
// may not go on. One may have taken over just now, so that allowed is called at once too.
func (v *Visit) Review(allowed func() bool) {
	v.in.mu.Lock()
	v.allowed = allowed
	v.in.mu.Unlock()
	if !allowed() {
		v.cut(policyChanged)
	}
}

const policyChanged = "the policy changed"

// Enter is [Sessions.Lookup] for a request that is to end with its session. Whoever gets a visit must leave it.
func (s *Sessions) Enter(run *running.Run, token, host string, l Limits, u Use) (*Visit, error) {
	id, e, err := s.find(run, token, host, l, u)
	if err != nil {
		return nil, err
	}
	v := &Visit{id: id, run: run}
	s.streams.add(v, e, l)
	// What ended or changed the session just before could not see the visit; what does so from now on will.
	s.mu.RLock()
	now := s.table[id]
	s.mu.RUnlock()
	if now == nil {
		if now, err = s.load(run, id, nil); err != nil {
			v.Leave()
			return nil, err
		}
	}
	v.Proof = now.prove(l, s.clock.now())
	return v, nil
}

// streams holds the visits of each session that has any.
type streams struct {
	shards [16]shard

	mu   sync.Mutex
	due  map[sessionID]struct{} // guarded by mu; sessions whose record changed while something runs in them
	all  bool                   // guarded by mu; every session is due
	kick chan struct{}          // capacity 1
}

type shard struct {
	mu     sync.Mutex
	groups map[sessionID]*group // guarded by mu
}

// group is what runs in one session.
type group struct {
	entry  *live  // as last seen
	limits Limits // of the site of its latest visit; a session is of one site
	first  *Visit
}

func (st *streams) init() {
	st.kick, st.due = make(chan struct{}, 1), map[sessionID]struct{}{}
	for i := range st.shards {
		st.shards[i].groups = map[sessionID]*group{}
	}
}

func (st *streams) shard(id sessionID) *shard { return &st.shards[id[0]%byte(len(st.shards))] }

func (st *streams) add(v *Visit, e *live, l Limits) {
	sh := st.shard(v.id)
	v.in = sh
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.groups[v.id]
	if g == nil {
		g = &group{entry: e}
		sh.groups[v.id] = g
	}
	g.limits = l
	if v.next = g.first; v.next != nil {
		v.next.prev = v
	}
	g.first = v
}

// remove takes the visit out; one that was cut is out already.
func (sh *shard) remove(v *Visit) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.groups[v.id]
	if v.next != nil {
		v.next.prev = v.prev
	}
	switch {
	case v.prev != nil:
		v.prev.next = v.next
	case g != nil && g.first == v:
		if g.first = v.next; g.first == nil {
			delete(sh.groups, v.id)
		}
	}
	v.prev, v.next = nil, nil
}

// cut ends everything that runs in the session.
func (st *streams) cut(id sessionID, why string) {
	sh := st.shard(id)
	sh.mu.Lock()
	var visits []*Visit
	if g := sh.groups[id]; g != nil {
		for v := g.first; v != nil; v = v.next {
			visits = append(visits, v)
		}
		for _, v := range visits {
			v.prev, v.next = nil, nil
		}
		delete(sh.groups, id)
	}
	sh.mu.Unlock()
	for _, v := range visits {
		v.cut(why)
	}
}

// changed hears of what was read of a session, and cuts what runs in it when a role is lost: it was let in with that.
func (st *streams) changed(id sessionID, e *live) {
	sh := st.shard(id)
	sh.mu.Lock()
	g := sh.groups[id]
	cut := g != nil && lost(g.entry.roles, e.roles)
	if g != nil {
		g.entry = e
	}
	sh.mu.Unlock()
	if cut {
		st.cut(id, "role lost")
	}
}

// review cuts what the configuration in force does not let go on.
func (st *streams) review() {
	for i := range st.shards {
		sh := &st.shards[i]
		var visits []*Visit
		sh.mu.Lock()
		for _, g := range sh.groups {
			for v := g.first; v != nil; v = v.next {
				if v.allowed != nil {
					visits = append(visits, v)
				}
			}
		}
		sh.mu.Unlock()
		for _, v := range visits {
			if !v.allowed() {
				v.cut(policyChanged)
			}
		}
	}
}

// recheck has the guard read the session again if anything runs in it.
func (st *streams) recheck(id sessionID) {
	sh := st.shard(id)
	sh.mu.Lock()
	_, busy := sh.groups[id]
	sh.mu.Unlock()
	if !busy {
		return
	}
	st.mu.Lock()
	st.due[id] = struct{}{}
	st.mu.Unlock()
	st.wake()
}

func (st *streams) recheckAll() {
	st.mu.Lock()
	st.all = true
	st.mu.Unlock()
	st.wake()
}

func (st *streams) wake() {
	select {
	case st.kick <- struct{}{}:
	default:
	}
}

// watched is a session that the guard looks at.
type watched struct {
	id     sessionID
	entry  *live
	limits Limits
}

// suspects returns the sessions with visits that may have ended, or changed, or want to be renewed.
func (st *streams) suspects(now int64) (found []watched) {
	st.mu.Lock()
	due, all := st.due, st.all
	st.due, st.all = map[sessionID]struct{}{}, false
	st.mu.Unlock()
	for i := range st.shards {
		sh := &st.shards[i]
		sh.mu.Lock()
		for id, g := range sh.groups {
			_, told := due[id]
			e := g.entry
			if all || told || e.stale.Load() || e.over(g.limits, now) != "" || (e.renew != 0 && now >= e.renewFrom) {
				found = append(found, watched{id, e, g.limits})
			}
		}
		sh.mu.Unlock()
	}
	return found
}

// guard judges, over and over, the sessions in which something runs: no request comes that would.
func (s *Sessions) guard(ctx context.Context) {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.streams.kick:
		}
		now := s.clock.now()
		for _, w := range s.streams.suspects(now) {
			s.watch(ctx, w, now)
		}
	}
}

func (s *Sessions) watch(ctx context.Context, w watched, now int64) {
	_, err := s.judge(ctx, w.id, w.entry.host, w.limits, now, false)
	switch {
	case err == nil || errors.Is(err, errNoSession): // judge has cut what had to be
	case errors.Is(err, errProviderDown):
		s.streams.cut(w.id, "not renewed by the provider")
	case ctx.Err() == nil && store.Alone(s.store):
		s.streams.cut(w.id, "the store has not been heard of for too long")
	case ctx.Err() == nil: // the store cannot be read: what this node knows still counts, and ages
		if why := w.entry.over(w.limits, now); why != "" {
			s.streams.cut(w.id, why)
		}
	}
}
