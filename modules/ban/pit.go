package ban

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/clientip"
)

const (
	heldFor    = 20 * time.Second
	maxHeld    = 256 // connections and requests, of everybody
	maxHeldNet = 4   // of one client network
)

// pit keeps clients waiting: few of them, so that it costs them more than the gateway. The zero pit is empty; it is safe for
// concurrent use.
type pit struct {
	mu  sync.Mutex
	of  map[netip.Prefix]int // guarded by mu
	all int                  // guarded by mu
	out chan struct{}        // guarded by mu; closed when all may go
}

// hold returns after heldFor, or sooner: when ctx ends, when all are released, and at once when there are too many already.
func (p *pit) hold(ctx context.Context, addr netip.Addr) {
	network := clientip.Network(addr)
	p.mu.Lock()
	if p.all >= maxHeld || p.of[network] >= maxHeldNet {
		p.mu.Unlock()
		return
	}
	if p.of == nil {
		p.of = map[netip.Prefix]int{}
	}
	if p.out == nil {
		p.out = make(chan struct{})
	}
	out := p.out
	p.all++
	p.of[network]++
	p.mu.Unlock()
	held.Inc()
	timer := time.NewTimer(heldFor)
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-out:
	}
	timer.Stop()
	held.Dec()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.of[network]--; p.of[network] == 0 {
		delete(p.of, network)
	}
}

// release lets all go who wait now.
func (p *pit) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil {
		close(p.out)
		p.out = nil
	}
}
