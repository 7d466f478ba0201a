package ban

import (
	"context"
	"net/netip"
	"sync"
	"time"

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
	runs map[*running.Run]netip.Addr // guarded by mu
}

func newPresent() *present {
	p := &present{kick: make(chan struct{}, 1)}
	for i := range p.shards {
		p.shards[i].runs = map[*running.Run]netip.Addr{}
	}
	return p
}

func (p *present) shard(addr netip.Addr) *presentShard {
	b := addr.As16()
	return &p.shards[(b[15]^b[7])%16]
}

// enter must come before the client is judged, or a ban in between would miss the request.
func (p *present) enter(addr netip.Addr, run *running.Run) {
	sh := p.shard(addr)
	sh.mu.Lock()
	sh.runs[run] = addr
	sh.mu.Unlock()
}

func (p *present) leave(addr netip.Addr, run *running.Run) {
	sh := p.shard(addr)
	sh.mu.Lock()
	delete(sh.runs, run)
	sh.mu.Unlock()
}

// in counts what runs for the network.
func (p *present) in(network netip.Prefix) (n int) {
	for i := range p.shards {
		sh := &p.shards[i]
		sh.mu.Lock()
		for _, addr := range sh.runs {
			if network.Contains(addr) {
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
	for run, addr := range sh.runs {
		if b, banned := d.Banned(addr); banned {
			found[run] = b
		}
	}
	return found
}
