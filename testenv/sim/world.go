package main

import (
	"errors"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	touchEvery = 30  // seconds: a gateway writes at most so often that a session was used
	touchStep  = 256 // sessions in one script
	renewal    = 3   // changes that a renewal makes: a lease, the session, the lease's end
)

type config struct {
	sessions, nodes, loginWrites    int
	life, pause, visit, renew, span time.Duration
	seed                            uint64
	table, entry, stored            int
	write, listener, get            float64 // microseconds of the server
	flush, touch, beat, listed      float64
}

type result struct {
	config
	uses, logins, ends, renewals, gets, touches, messages int64
	least, most                                           int     // sessions that a gateway has at hand
	load                                                  float64 // of the server's thread; 1 is all of it
	byWrites, byGets, byTouches, byBeats                  float64
	p50, p99, longest                                     float64 // microseconds from an end until all gateways are told
}

// session is one that is alive. When it has ended another takes its place.
type session struct {
	next    uint32 // in the same slot of the wheel; nobody: none
	ends    uint32 // second
	renewed uint32 // second
	left    uint16 // seconds that the visit still lasts
	node    uint16 // the visit's gateway
}

const nobody = ^uint32(0)

// world is what happens, second by second. As the product has it (modules/authn, modules/stores/valkey):
//
//   - a login and an end are changes, which every gateway is told of by a message of its own;
//   - a gateway that has not a session at hand, or was told that it changed, reads it at its next use;
//   - a gateway writes that a session was used at most every 30 seconds, a second's sessions together, and nobody is told;
//   - a session that is due is renewed at its next use: a lease is taken, the session written, the lease given back;
//   - an end takes it from every gateway's table; a full table loses another for each that comes;
//   - each gateway beats once a second.
type world struct {
	config
	rand     *rand.Rand
	sessions []session
	wheel    []uint32 // first session of each second, modulo its length
	words    int      // of a row
	has      []uint64 // a row of bits for each session: the gateways that have it at hand
	fresh    []uint64 // and those that know it as it is
	at       []int    // sessions at hand, by gateway
	due      []int    // uses that are to be written this second, by gateway
	queue    server
	result   result
}

func simulate(c config) (*result, error) {
	if c.sessions < 1 || c.nodes < 1 || c.nodes > 1<<16 || c.visit < time.Second || c.visit >= 1<<16*time.Second || c.pause <= c.visit || c.life <= c.pause || c.span < time.Second {
		return nil, errors.New("sessions and gateways from 1 on; a visit shorter than what lies between two, and that shorter than a session's life")
	}
	w := &world{config: c, rand: rand.New(rand.NewPCG(c.seed, 0)), words: (c.nodes + 63) / 64}
	w.result.config = c
	w.sessions = make([]session, c.sessions)
	w.has, w.fresh = make([]uint64, c.sessions*w.words), make([]uint64, c.sessions*w.words)
	w.at, w.due = make([]int, c.nodes), make([]int, c.nodes)
	w.wheel = make([]uint32, seconds(c.pause)+touchEvery+1)
	for i := range w.wheel {
		w.wheel[i] = nobody
	}
	for i := range w.sessions { // all are somewhere in their lives, and somewhere between two visits
		s := &w.sessions[i]
		s.ends = 1 + w.upTo(seconds(c.life))
		s.renewed = 0
		if c.renew > 0 {
			s.renewed = ^w.upTo(seconds(c.renew)) + 1 // some time before the beginning, modulo 2³²
		}
		w.visited(uint32(i))
		w.later(uint32(i), 0, 1+w.upTo(seconds(c.pause)))
	}
	first, span := seconds(c.pause), seconds(c.span)
	for now := uint32(1); now <= first+span; now++ {
		if now == first+1 { // everybody has come once; from here on it counts
			w.result, w.queue = result{config: c}, server{after: w.queue.after}
		}
		w.second(now)
	}
	return w.conclude(float64(span)), nil
}

// visited has the session be at hand where it was used before the beginning: at a gateway for each visit, until the table is full.
func (w *world) visited(i uint32) {
	s := &w.sessions[i]
	past := seconds(w.life) - min(s.ends, seconds(w.life))
	known := past // since then it has not changed
	if w.renew > 0 {
		known = min(known, -s.renewed)
	}
	for ago := seconds(w.pause); ago <= past; ago += seconds(w.pause) {
		node := w.upTo(uint32(w.nodes))
		word, bit := int(i)*w.words+int(node)/64, uint64(1)<<(node%64)
		if w.has[word]&bit == 0 {
			if w.at[node] == w.table {
				continue
			}
			w.at[node]++
			w.has[word] |= bit
		}
		if ago <= known {
			w.fresh[word] |= bit
		}
	}
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

func (w *world) upTo(n uint32) uint32 { return w.rand.Uint32N(n) }

// later has something happen to the session in so many seconds, fewer than the wheel is long.
func (w *world) later(i, now, in uint32) {
	slot := &w.wheel[(now+in)%uint32(len(w.wheel))]
	w.sessions[i].next, *slot = *slot, i
}

func (w *world) second(now uint32) {
	slot := &w.wheel[now%uint32(len(w.wheel))]
	i := *slot
	*slot = nobody
	for i != nobody {
		next := w.sessions[i].next
		w.happens(i, now)
		i = next
	}
	for node, n := range w.due {
		for ; n > 0; n -= touchStep {
			part := min(n, touchStep)
			w.queue.ask(w.flush+float64(part)*w.touch, false, &w.result.byTouches)
			w.result.touches += int64(part)
		}
		w.due[node] = 0
		w.queue.ask(w.beat+w.listed*float64(w.nodes), false, &w.result.byBeats)
	}
	w.queue.serve(w.rand)
}

// happens is the next thing of a session: a visit begins or goes on, or the session has ended, and another takes its place.
func (w *world) happens(i, now uint32) {
	s := &w.sessions[i]
	if s.left == 0 {
		s.node, s.left = uint16(w.upTo(uint32(w.nodes))), uint16(seconds(w.visit))
	}
	if s.ends <= now {
		w.change(1, true)
		w.result.ends++
		w.forget(i)
		w.change(w.loginWrites, false)
		w.result.logins++
		s.ends, s.renewed = now+seconds(w.life), now
	}
	w.use(i, now)
	step := min(touchEvery, uint32(s.left))
	s.left -= uint16(step)
	if s.left == 0 {
		step += seconds(w.pause) - seconds(w.visit)
	}
	w.later(i, now, step)
}

// use is a request of the session at its visit's gateway.
func (w *world) use(i, now uint32) {
	s := &w.sessions[i]
	w.result.uses++
	word, bit := int(i)*w.words+int(s.node)/64, uint64(1)<<(s.node%64)
	if w.fresh[word]&bit == 0 {
		w.queue.ask(w.get, false, &w.result.byGets)
		w.result.gets++
		if w.has[word]&bit == 0 {
			w.remember(s.node)
		}
		w.has[word] |= bit
		w.fresh[word] |= bit
	}
	w.due[s.node]++
	if w.renew > 0 && now-s.renewed >= seconds(w.renew) {
		w.queue.ask(w.get, false, &w.result.byGets)
		w.result.gets++
		w.change(renewal, false)
		w.result.renewals++
		s.renewed = now
		clear(w.fresh[int(i)*w.words : (int(i)+1)*w.words]) // all others are told; this one has what it wrote
		w.fresh[word] |= bit
	}
}

// remember makes room for one more session at a gateway.
func (w *world) remember(node uint16) {
	if w.at[node]++; w.at[node] <= w.table {
		return
	}
	for {
		word := int(w.upTo(uint32(len(w.sessions))))*w.words + int(node)/64
		if bit := uint64(1) << (node % 64); w.has[word]&bit != 0 {
			w.has[word] &^= bit
			w.fresh[word] &^= bit
			w.at[node]--
			return
		}
	}
}

// forget takes an ended session from every gateway's table.
func (w *world) forget(i uint32) {
	for k := range w.words {
		word := int(i)*w.words + k
		for b := w.has[word]; b != 0; b &= b - 1 {
			w.at[k*64+bits.TrailingZeros64(b)]--
		}
		w.has[word], w.fresh[word] = 0, 0
	}
}

// change is so many changes, of which every gateway is told.
func (w *world) change(n int, ends bool) {
	for range n {
		w.queue.ask(w.write+w.listener*float64(w.nodes), ends, &w.result.byWrites)
		w.result.messages++
	}
}

func (w *world) conclude(span float64) *result {
	r := &w.result
	r.least, r.most = slices.Min(w.at), slices.Max(w.at)
	for _, part := range []*float64{&r.byWrites, &r.byGets, &r.byTouches, &r.byBeats} {
		*part /= span * 1e6
		r.load += *part
	}
	slices.Sort(w.queue.told)
	if n := len(w.queue.told); n > 0 {
		r.p50, r.p99, r.longest = w.queue.told[n/2], w.queue.told[n*99/100], w.queue.told[n-1]
	}
	return r
}

// server is one thread. What it is asked within a second comes at any moment of it.
type server struct {
	asked []question
	after float64   // microseconds that it is behind when the next second begins
	told  []float64 // how long it took from each end until all gateways were told
}

type question struct {
	at   float64 // microseconds of the second
	cost float64
	ends bool
}

func (s *server) ask(cost float64, ends bool, sum *float64) {
	s.asked = append(s.asked, question{cost: cost, ends: ends})
	*sum += cost
}

// serve answers what the second has asked, in order of arrival.
func (s *server) serve(chance *rand.Rand) {
	for i := range s.asked {
		s.asked[i].at = chance.Float64() * 1e6
	}
	slices.SortFunc(s.asked, func(a, b question) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	free := s.after // when the thread is free, counted from the second's beginning
	for _, q := range s.asked {
		free = max(free, q.at) + q.cost
		if q.ends {
			s.told = append(s.told, free-q.at)
		}
	}
	s.after, s.asked = max(0, free-1e6), s.asked[:0]
}
