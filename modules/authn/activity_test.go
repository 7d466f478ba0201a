package authn

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

func TestClassify(t *testing.T) {
	tests := []struct {
		name   string
		method string
		header []string
		change func(*http.Request)
		tagged bool
		want   useKind
	}{
		{"a click", "GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-User", "?1"}, nil, false, usePerson},
		{"a page that loads itself again", "GET", []string{"Sec-Fetch-Mode", "navigate"}, nil, false, useTimed},
		{"a script's fetch", "GET", []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, nil, false, useTimed},
		{"a program", "GET", nil, nil, false, useTimed},
		{"HEAD", "HEAD", nil, nil, false, useTimed},
		{"a form", "POST", nil, nil, false, usePerson},
		{"DELETE", "DELETE", nil, nil, false, usePerson},
		{"WebDAV", "PROPPATCH", nil, nil, false, usePerson},
		{"a GET with a body", "GET", nil, func(r *http.Request) { r.ContentLength = 3 }, false, usePerson},
		{"a GET with a body of unknown length", "GET", nil, func(r *http.Request) { r.ContentLength = -1 }, false, usePerson},
		{"a websocket", "GET", []string{"Upgrade", "websocket"}, nil, false, useNone},
		{"a websocket over HTTP/2", "GET", []string{"Sec-Fetch-Mode", "websocket"}, nil, false, useNone},
		{"an event stream", "GET", []string{"Accept", "text/event-stream"}, nil, false, useNone},
		{"a page that would take an event stream too", "GET", []string{"Accept", "text/html, text/event-stream"}, nil, false, useTimed},
		{"prefetch", "GET", []string{"Sec-Purpose", "prefetch", "Sec-Fetch-User", "?1"}, nil, false, useNone},
		{"prerender", "GET", []string{"Sec-Purpose", "prefetch;prerender"}, nil, false, useNone},
		{"prefetch as it used to be said", "GET", []string{"Purpose", "prefetch"}, nil, false, useNone},
		{"prefetch as Firefox used to say it", "GET", []string{"X-Moz", "prefetch"}, nil, false, useNone},
		{"a preflight", "OPTIONS", nil, nil, false, useNone},
		{"the operator says so", "POST", nil, nil, true, useNone},
		{"a click on what the operator calls background", "GET", []string{"Sec-Fetch-User", "?1"}, nil, true, useNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "https://app.test/x", nil)
			for i := 0; i < len(tt.header); i += 2 {
				r.Header.Set(tt.header[i], tt.header[i+1])
			}
			if tt.change != nil {
				tt.change(r)
			}
			if got := classify(r, "/x", tt.tagged); got.kind != tt.want {
				t.Errorf("classified as %d, want %d", got.kind, tt.want)
			}
		})
	}
}

// counted plays requests for one path at these times and returns how many counted.
func counted(times []time.Duration) (n int) {
	var r rhythm
	for _, at := range times {
		if !r.periodic(7, int64(time.Hour+at)) {
			n++
		}
	}
	return n
}

// every returns n times of this period, each off by up to the jitter.
func every(period, jitter, phase time.Duration, n int) (times []time.Duration) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		at := phase + time.Duration(i)*period
		if jitter > 0 {
			at += time.Duration(random.Int64N(int64(2*jitter))) - jitter
		}
		times = append(times, at)
	}
	return times
}

func merged(lists ...[]time.Duration) (all []time.Duration) {
	for _, l := range lists {
		all = append(all, l...)
	}
	for i := range all { // insertion: the lists are short
		for j := i; j > 0 && all[j] < all[j-1]; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	return all
}

func TestRhythm(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name  string
		times []time.Duration
		most  int // so many count at the most
		least int
	}{
		{"a poller every 5 s", every(5*s, 0, 0, 100), 3, 3},
		{"a poller every 2 s", every(2*s, 0, 0, 100), 3, 3},
		{"a poller every 5 min", every(300*s, 0, 0, 20), 3, 3},
		{"a poller with 8 % of jitter on each request", every(10*s, 800*time.Millisecond, 0, 200), 30, 3},
		{"two pages that poll", merged(every(10*s, 0, 0, 100), every(10*s, 0, 3*s, 100)), 8, 3},
		{"three pages that poll", merged(every(10*s, 0, 0, 100), every(10*s, 0, 3*s, 100), every(10*s, 0, 7*s, 100)), 12, 3},
		{"a poller that slows down once", append(every(5*s, 0, 0, 50), every(60*s, 0, 300*s, 50)...), 6, 3},
		{"a burst is no rhythm", every(100*time.Millisecond, 0, 0, 50), 50, 50},
		{"once a second, which looks like two pages", every(time.Second, 0, 0, 50), 6, 6},
		{"twice a second is too fast to be told from a person", every(time.Second/2, 0, 0, 50), 50, 50},
		{"growing pauses", []time.Duration{0, 5 * s, 20 * s, 65 * s, 200 * s, 605 * s}, 6, 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if n := counted(tt.times); n > tt.most || n < tt.least {
				t.Errorf("%d of %d requests counted, want %d to %d", n, len(tt.times), tt.least, tt.most)
			}
		})
	}
}

// A person who uses one path at random moments must not be taken for a clock so often that it would log them out.
func TestRhythmSparesPeople(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const requests = 20000
	var r rhythm
	at, taken, run, longest := time.Hour, 0, time.Duration(0), time.Duration(0)
	for range requests {
		pause := time.Duration(random.ExpFloat64() * float64(20*time.Second))
		at += pause
		if r.periodic(1, int64(at)) {
			taken++
			run += pause
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	t.Logf("%.1f %% taken for a clock, for %v at the longest", 100*float64(taken)/requests, longest.Round(time.Second))
	if taken > requests/4 || longest > 5*time.Minute {
		t.Errorf("%d of %d random requests are taken for a clock, for %v at the longest", taken, requests, longest)
	}
}

func TestRhythmIsBounded(t *testing.T) {
	var r rhythm
	for i := range uint32(10000) {
		r.periodic(i, int64(time.Hour)+int64(i)*int64(time.Second))
	}
	if len(r.paths) > rhythmPaths {
		t.Errorf("%d paths are remembered", len(r.paths))
	}
	if r.periodic(9999, int64(20000*time.Second)); r.paths[0].n+r.paths[1].n > 2 {
		t.Error("beats run into one another")
	}
}

// What a page does by itself does not keep a session alive; a person does.
func TestPollerIsLoggedOut(t *testing.T) {
	poll := Use{kind: useTimed, path: 1}
	for name, uses := range map[string][]Use{
		"a poller": {poll}, "a tagged poller": {{}}, "three pollers of one page": {poll, {useTimed, 2}, {useTimed, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
				token := create(t, s, person("ada"))
				began, ended := time.Now(), time.Duration(0)
				for ended == 0 && time.Since(began) < 2*time.Hour {
					time.Sleep(10 * time.Second)
					for _, u := range uses {
						if _, err := s.Lookup(t.Context(), token, host, limits, u); err != nil {
							ended = time.Since(began)
						}
					}
				}
				if ended == 0 || ended > limits.Idle+time.Minute {
					t.Errorf("the session of nobody but a poller ended after %v, want %v and what it takes to notice", ended, limits.Idle)
				}
			})
		})
	}
}

func TestPersonBesidePollerStays(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token := create(t, s, person("ada"))
		for i := range 4 * 60 * 6 { // four hours
			time.Sleep(10 * time.Second)
			use := Use{kind: useTimed, path: 1}
			if i%150 == 149 { // every 25 minutes, a click
				use = ByPerson
			}
			if _, err := s.Lookup(t.Context(), token, host, limits, use); err != nil {
				t.Fatalf("after %v: %v", time.Duration(i)*10*time.Second, err)
			}
		}
	})
}
