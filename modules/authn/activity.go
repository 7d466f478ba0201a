package authn

import (
	"hash/maphash"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Use says what a request tells of the person behind it. The zero Use tells nothing.
type Use struct {
	kind useKind
	path uint32 // which path, of those with a rhythm
}

type useKind uint8

const (
	useNone   useKind = iota // extends nothing
	useTimed                 // counts, unless it comes with a fixed period
	usePerson                // counts
)

// ByPerson is the use of whoever certainly is at the keyboard.
var ByPerson = Use{kind: usePerson}

var pathSeed = maphash.MakeSeed()

// classify says what an authenticated request to this path tells of the person (control CER-03: what a page does by
// itself does not keep a session alive). tagged: the operator calls it background traffic.
//
// Browsers say much of it in headers that scripts cannot forge; of a program's own requests nothing is known, and they
// count like a person's. Whoever has the cookie can of course keep the session alive: this is no defence against thieves,
// the absolute limit is.
func classify(r *http.Request, path string, tagged bool) Use {
	switch {
	case tagged, prefetch(r.Header), opensChannel(r), r.Method == http.MethodOptions:
		return Use{}
	case r.Method != http.MethodGet && r.Method != http.MethodHead, r.ContentLength != 0:
		return ByPerson
	case r.Header.Get("Sec-Fetch-User") == "?1": // a click, a key, a bookmark
		return ByPerson
	}
	// Page loads without Sec-Fetch-User are redirects, programs, older browsers, and pages that load themselves again.
	return Use{kind: useTimed, path: uint32(maphash.String(pathSeed, path))}
}

// prefetch reports whether the browser loads ahead what nobody has asked for yet.
func prefetch(h http.Header) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Moz"} {
		if v := h[name]; len(v) > 0 && (strings.Contains(v[0], "prefetch") || strings.Contains(v[0], "prerender")) {
			return true
		}
	}
	return false
}

// opensChannel reports whether the request opens a websocket or an event stream, which pages open again by themselves.
func opensChannel(r *http.Request) bool {
	if len(r.Header["Upgrade"]) > 0 || r.Header.Get("Sec-Fetch-Mode") == "websocket" {
		return true
	}
	accept := r.Header["Accept"]
	return len(accept) == 1 && accept[0] == "text/event-stream" // as EventSource sends it, exactly
}

const (
	rhythmPaths  = 32 // remembered of one session; beyond it, the one longest unused is forgotten
	rhythmGaps   = 9  // three periods of three pages that were opened one after the other
	rhythmUnit   = 100 * time.Millisecond
	rhythmPeriod = 2 * time.Second / rhythmUnit // the shortest
	rhythmTabs   = 3
)

// rhythm remembers when a session last asked for each of a few paths, to tell what a clock does from what a person does.
type rhythm struct {
	mu    sync.Mutex
	paths []beat // guarded by mu
}

// beat is one path's memory; a path is known by a hash, since a collision only mixes two rhythms up.
type beat struct {
	path uint32
	last uint32             // in rhythmUnits of the node's clock; wraps after 13 years
	n    uint8              // gaps known
	gaps [rhythmGaps]uint16 // in rhythmUnits, saturated; the latest first
}

// periodic notes a request for the path and reports whether it came on a beat: with the third equal interval in a row,
// equal within 20 %, of two seconds at least. Several pages that each poll at the same period interleave, so that the
// sums of two and of three intervals are looked at too.
func (r *rhythm) periodic(path uint32, now int64) bool {
	at := uint32(now / int64(rhythmUnit))
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.find(path, at)
	if b.n == 0 && b.last == 0 { // new
		b.last = at
		return false
	}
	copy(b.gaps[1:], b.gaps[:])
	b.gaps[0] = uint16(min(at-b.last, 1<<16-1))
	b.last, b.n = at, min(b.n+1, rhythmGaps)
	for tabs := 1; tabs <= rhythmTabs && 3*tabs <= int(b.n); tabs++ {
		if b.steady(tabs) {
			return true
		}
	}
	return false
}

// steady reports whether the last three sums of so many gaps are equal.
func (b *beat) steady(tabs int) bool {
	var low, high, sum int
	for i := range 3 {
		gap := 0
		for _, g := range b.gaps[i*tabs : (i+1)*tabs] {
			gap += int(g)
		}
		if i == 0 || gap < low {
			low = gap
		}
		high = max(high, gap)
		sum += gap
	}
	mean := sum / 3
	return low >= int(rhythmPeriod) && 5*low >= 4*mean && 5*high <= 6*mean
}

// find returns the path's memory, in place of the one longest unused when there are too many. r.mu must be held.
func (r *rhythm) find(path, at uint32) *beat {
	oldest := 0
	for i := range r.paths {
		b := &r.paths[i]
		if b.path == path {
			return b
		}
		if at-b.last > at-r.paths[oldest].last {
			oldest = i
		}
	}
	if len(r.paths) < rhythmPaths {
		r.paths = append(r.paths, beat{path: path})
		return &r.paths[len(r.paths)-1]
	}
	r.paths[oldest] = beat{path: path}
	return &r.paths[oldest]
}

// used notes a use by a person, to be written in a while, never on the request's time.
func (s *Sessions) used(id sessionID, e *live, u Use, now int64) {
	switch u.kind {
	case useNone:
		return
	case useTimed:
		r := e.rhythm.Load()
		if r == nil {
			e.rhythm.CompareAndSwap(nil, new(rhythm))
			r = e.rhythm.Load()
		}
		if r.periodic(u.path, now) {
			return
		}
	}
	e.seen.Store(now)
	if now-e.written.Load() < int64(touchEvery) || !e.queued.CompareAndSwap(false, true) {
		return
	}
	s.dirtyMu.Lock()
	s.dirty[id] = e
	s.dirtyMu.Unlock()
}
