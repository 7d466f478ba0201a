package ratelimit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/store"
)

const (
	accountBits = 18          // 8 MiB of address space
	leasePart   = 16          // a gateway tells the others of tokens when it took this part of a burst: a lease
	debtLeases  = 2           // a client may owe so many
	reporters   = 8           // that wait for the store
	waiting     = 1 << 12     // reports that wait for a reporter
	reportIn    = time.Second // or the gateway goes on alone
	sharedIn    = store.Bucket("ratelimit")
)

// Shares tells other gateways what clients took here, and hears from the store what they may still take. A request never
// waits for it: tokens are taken from the node's own table, and reported once they are a lease's worth. What several gateways
// admit in any time t is therefore at most
//
//	burst + rate × t + for each gateway: two leases (an eighth of the burst, at least 2) + what comes within a round trip
//
// A report that the shared bucket cannot cover is a debt: the client waits here until the bucket would have paid it.
// While the store does not answer, each gateway keeps its part of each limit: the limit by the number of gateways that
// used the store last. Memory is fixed: who asks little is not reported, and a set of accounts that is full gives up the one
// that has the least to tell; whoever has to wait is not given up.
//
// It is safe for concurrent use. Make one with [NewShares].
type Shares struct {
	store interface {
		Lease(context.Context, store.Key, store.Limit, int64) (int64, time.Duration, error)
	}
	nodes func() int // how many gateways there are, this one included
	epoch time.Time
	mask  uint64
	mu    [locks]sync.Mutex
	slots []account // guarded by mu[set%locks]
	queue chan report
	apart atomic.Int64 // the number of gateways, while the store does not answer; else 0
	end   context.CancelFunc
	done  sync.WaitGroup

	taken, short, failed, dropped atomic.Uint64
}

// account is what a key's tokens come to that were taken here and not reported. The zero account is free.
type account struct {
	key   uint64
	until int64 // the shared bucket has nothing before that
	spent int32 // less than nothing: tokens were given back after they were reported
	asked bool  // a report is on its way
}

// report is a question to the store.
type report struct {
	key   uint64
	name  string
	limit Limit
	want  int64
}

// NewShares begins to share. nodes says how many gateways use the store.
func NewShares(st store.Store, nodes func() int) *Shares { return newShares(st, nodes, accountBits) }

func newShares(st store.Store, nodes func() int, bits int) *Shares {
	ctx, end := context.WithCancel(context.Background())
	s := &Shares{
		store: st, nodes: nodes, epoch: time.Now(), end: end,
		mask: 1<<(bits-3) - 1, slots: make([]account, 1<<bits), queue: make(chan report, waiting),
	}
	for range reporters {
		s.done.Go(func() { s.reporter(ctx) })
	}
	return s
}

// Close ends the reports that are on their way.
func (s *Shares) Close() {
	s.end()
	s.done.Wait()
}

// lease is how many tokens may be taken before the others are told.
func (l Limit) lease() int32 { return int32(max(l.burst/leasePart, 1)) }

// part is this gateway's part of the limit while the store does not answer, and else all of it.
func (s *Shares) part(l Limit) Limit {
	if n := s.apart.Load(); n > 1 {
		return Limit{every: l.every * n, burst: max(l.burst/n, 1)}
	}
	return l
}

func (s *Shares) now() int64 { return int64(time.Since(s.epoch)) }

func (s *Shares) set(key uint64) ([]account, *sync.Mutex) {
	i := key & s.mask
	mu := &s.mu[i%locks]
	mu.Lock()
	return s.slots[i*ways : i*ways+ways : i*ways+ways], mu
}

// take counts a token that the node's table gave, and returns for how long the shared bucket has none: then the token is not
// counted, and has to be given back. When it is time for a report, due is what to report.
func (s *Shares) take(key uint64, l Limit) (wait time.Duration, due int64) {
	key = max(key, 1)
	set, mu := s.set(key)
	defer mu.Unlock()
	now := s.now()
	at := s.place(set, key, now)
	if at == nil {
		s.dropped.Add(1)
		return 0, 0
	}
	if at.key != key {
		*at = account{key: key}
	}
	if s.apart.Load() == 0 {
		if at.until > now && at.spent >= 0 {
			return time.Duration(at.until - now), 0
		}
		if at.until > 0 && at.spent >= debtLeases*l.lease() { // it was not enough before: hear first
			return time.Duration(l.every), at.due(l)
		}
	}
	at.spent++
	return 0, at.due(l)
}

// due is what to report now, 0 for nothing.
func (a *account) due(l Limit) int64 {
	if a.asked || a.spent < l.lease() {
		return 0
	}
	a.asked = true
	return int64(a.spent)
}

// giveBack takes back what take counted, for a request that is refused after all.
func (s *Shares) giveBack(key uint64) {
	key = max(key, 1)
	set, mu := s.set(key)
	defer mu.Unlock()
	for i := range set {
		if set[i].key == key {
			set[i].spent--
		}
	}
}

// place returns the key's account, or one to give up for it; nil when all of the set are still needed.
func (s *Shares) place(set []account, key uint64, now int64) (at *account) {
	for i := range set {
		switch a := &set[i]; {
		case a.key == key:
			return a
		case a.asked || a.until > now:
		case at == nil || a.spent < at.spent:
			at = a
		}
	}
	return at
}

// report queues what is due. When too many wait, it is due again with the next token.
func (s *Shares) report(r report) {
	select {
	case s.queue <- r:
	default:
		s.dropped.Add(1)
		s.settle(r, 0, 0, store.ErrDown)
	}
}

func (s *Shares) reporter(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.queue:
			limited, cancel := context.WithTimeout(ctx, reportIn)
			got, retry, err := s.store.Lease(limited, store.Key{Bucket: sharedIn, ID: r.name},
				store.Limit{Burst: r.limit.burst, Every: time.Duration(r.limit.every)}, r.want)
			cancel()
			switch {
			case err != nil:
				s.failed.Add(1)
				s.apart.Store(int64(max(s.nodes(), 1)))
			case got < r.want:
				s.short.Add(1)
				s.apart.Store(0)
			default:
				s.taken.Add(1)
				s.apart.Store(0)
			}
			s.settle(r, got, retry, err)
		}
	}
}

// settle enters what the store said. What it did not cover is still to be reported, and is waited for.
func (s *Shares) settle(r report, got int64, retry time.Duration, err error) {
	key := max(r.key, 1)
	set, mu := s.set(key)
	defer mu.Unlock()
	for i := range set {
		a := &set[i]
		if a.key != key {
			continue
		}
		a.asked = false
		if err != nil { // what was taken while this gateway kept its part alone is nobody's debt
			a.spent = min(a.spent, r.limit.lease())
			return
		}
		a.spent = int32(min(int64(a.spent)-got, r.limit.burst))
		if a.until = 0; retry > 0 {
			a.until = s.now() + min(int64(retry)+max(r.want-got-1, 0)*r.limit.every, r.limit.horizon())
		}
	}
}
