package authn

import (
	"sync"
	"time"
)

// answeredLimit bounds one generation of [answered]: some 4 MiB in all.
const answeredLimit = 32 << 10

// answered remembers the flows whose answer from elsewhere has come back to this node, so that a double click or a
// reload does not redeem a code twice. It costs strangers nothing to make flows, so this is memory, bounded, and not
// the store: when it overflows, the oldest are forgotten, and what is left is the provider's own single use of codes
// and the durable claim of a flow that succeeded. The zero value is ready to use; it is safe for concurrent use.
type answered struct {
	mu        sync.Mutex
	young     map[string]struct{} // guarded by mu
	old       map[string]struct{} // guarded by mu
	rotatedAt time.Time           // guarded by mu
}

// first reports whether the flow is seen for the first time.
func (a *answered) first(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); a.young == nil || len(a.young) >= answeredLimit || now.Sub(a.rotatedAt) > flowLifetime {
		a.old, a.young, a.rotatedAt = a.young, make(map[string]struct{}), now
	}
	if _, ok := a.young[id]; ok {
		return false
	}
	if _, ok := a.old[id]; ok {
		return false
	}
	a.young[id] = struct{}{}
	return true
}

// Destruct implements caddy.Destructor.
func (*answered) Destruct() error { return nil }
