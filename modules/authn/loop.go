package authn

import (
	"sync"
	"time"
)

const (
	hopsMany  = 3                // so many logins of one browser
	hopsIn    = 10 * time.Second // in so short a time, and still nobody is logged in
	hopsLimit = 8 << 10          // browsers remembered: 1 MiB
)

// hops remembers when a browser's last few logins succeeded, to tell a redirect loop: it logs in, comes back without
// a session, and is sent to log in again. Browsers are known by their binding, which a loop needs: without it no login
// succeeds. What they would have to count themselves, in a further cookie, a browser that takes no new cookies cannot
// count. It is this node's memory: behind several nodes a loop goes round some more times. Tabs that open at once begin
// many logins, but none of them after the first has succeeded. The zero value is ready to use; it is safe for
// concurrent use.
type hops struct {
	mu   sync.Mutex
	last map[string][hopsMany]time.Time // guarded by mu; the latest first
}

// note counts a login that succeeded.
func (h *hops) note(browser string, now time.Time) {
	if browser == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.last) >= hopsLimit {
		for b, times := range h.last {
			if now.Sub(times[0]) > hopsIn {
				delete(h.last, b)
			}
		}
	}
	if h.last == nil || len(h.last) >= hopsLimit { // only people who can log in fill this: forget them all
		h.last = make(map[string][hopsMany]time.Time)
	}
	times := h.last[browser]
	copy(times[1:], times[:])
	times[0] = now
	h.last[browser] = times
}

// looping reports whether a browser without a session has logged in so often just now, and forgets it then: whoever
// tries again after having read why may do so at once.
func (h *hops) looping(browser string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	times, ok := h.last[browser]
	if !ok || times[hopsMany-1].IsZero() || now.Sub(times[hopsMany-1]) > hopsIn {
		return false
	}
	delete(h.last, browser)
	return true
}

// forget is for a browser whose session its owner has ended: it will come without one.
func (h *hops) forget(browser string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.last, browser)
}

// Destruct implements caddy.Destructor.
func (*hops) Destruct() error { return nil }
