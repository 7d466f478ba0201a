package ban

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/running"
)

// sweepAfter is how long after a ban began what its network has running is cut: whoever caused the ban has the answer by then.
const sweepAfter = 250 * time.Millisecond

// present holds the requests that run, so that a ban reaches those that were let in before it.
type present struct {
	shards [16]presentShard
	kick   chan struct{} // capacity 1: somebody was shut out
}

type presentShard struct {
	mu   sync.Mutex
	runs map[*running.Run]guest // guarded by mu
}

// guest is who asks: from where, and who it is once that is known.
type guest struct {
	addr   netip.Addr
	who    identity.Proof
	portal bool // where people prove who they are
}

// mustGo reports whether a ban that hits the guest ends what runs.
func (g guest) mustGo(b *Ban) bool { return b.Action.shuts() || !g.portal && !b.met(g.who) }

func newPresent() *present {
	p := &present{kick: make(chan struct{}, 1)}
	for i := range p.shards {
		p.shards[i].runs = map[*running.Run]guest{}
	}
	return p
}

func (p *present) shard(addr netip.Addr) *presentShard {
	b := addr.As16()
	return &p.shards[(b[15]^b[7])%16]
}

// enter must come before the client is judged, or a ban in between would miss the request.
func (p *present) enter(addr netip.Addr, run *running.Run, portal bool) {
	sh := p.shard(addr)
	sh.mu.Lock()
	sh.runs[run] = guest{addr: addr, portal: portal}
	sh.mu.Unlock()
}

// know adds who it is that asks, before they are judged by name.
func (p *present) know(addr netip.Addr, run *running.Run, who identity.Proof) {
	sh := p.shard(addr)
	sh.mu.Lock()
	sh.runs[run] = guest{addr, who, sh.runs[run].portal}
	sh.mu.Unlock()
}

func (p *present) leave(addr netip.Addr, run *running.Run) {
	sh := p.shard(addr)
	sh.mu.Lock()
	delete(sh.runs, run)
	sh.mu.Unlock()
}

// in counts what a ban would cut.
func (p *present) in(w Whom) (n int) {
	for i := range p.shards {
		sh := &p.shards[i]
		sh.mu.Lock()
		for _, g := range sh.runs {
			if w.Scope == ByClient && w.Network.Contains(g.addr) || w.isOf(g.who) {
				n++
			}
		}
		sh.mu.Unlock()
	}
	return n
}

// shutOut has the requests looked at soon. It does not block.
func (p *present) shutOut() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// sweep cuts what runs for banned clients, four times a second at the most.
func (d *Desk) sweep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.present.kick:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepAfter):
		}
		for i := range d.present.shards {
			for run, b := range d.present.shards[i].banned(d) {
				if run.Cut(b.cut()) {
					cuts.Inc()
				}
			}
		}
	}
}

func (sh *presentShard) banned(d *Desk) map[*running.Run]*Ban {
	found := map[*running.Run]*Ban{}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for run, g := range sh.runs {
		if b, banned := d.Banned(g.addr); banned && g.mustGo(b) {
			found[run] = b
		} else if b, banned := d.BannedByName(g.who, g.addr); banned && g.mustGo(b) {
			found[run] = b
		}
	}
	return found
}
