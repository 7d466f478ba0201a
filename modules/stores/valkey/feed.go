package valkey

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	driver "github.com/valkey-io/valkey-go"

	"gatehouse.internal/modules/internal/store"
)

// The feed is a subscription, which loses messages when it is cut, when the server drops it because it is slow, and when
// another server takes over. Messages are numbered: a number that does not follow the one before, and a beat that finds the
// feed behind, mean that something was missed, and all watchers get a Resync.

const (
	beatEvery = time.Second
	silent    = 10 * time.Second // how long a node may say nothing and still be listed
	fewNodes  = 16               // so many are asked for with each beat, more with every tenth: the list is the longest part of an answer
	sweepStep = 256

	slowAnswer = 50 * time.Millisecond // a server in the same place takes one
	slowBeats  = 3
	skewWarn   = time.Minute

	firstPause   = 50 * time.Millisecond // before the feed is begun anew
	longestPause = 2 * time.Second
)

// ageAlone has what this node knows count no longer than the grace while it hears nothing of the others: once that is over, and
// again after as long, everything is to be read anew, which the server must answer.
func (s *remote) ageAlone(heard <-chan struct{}) {
	wait := s.opts.Grace - time.Since(*s.beaten.Load())
	for first := true; ; first = false {
		select {
		case <-s.done.Done():
			return
		case <-heard:
			return
		case <-time.After(wait):
		}
		wait = s.opts.Grace
		s.alone.Store(true)
		select {
		case <-heard: // at the same moment
			s.alone.Store(false)
			return
		default:
		}
		s.Interrupt()
		if first {
			s.opts.Tell(Alone)
		}
	}
}

// feedLoop subscribes, and again when it was cut. joined gets what the first attempt came to.
func (s *remote) feedLoop(joined chan<- error) {
	first := true
	pause := firstPause
	var heard chan struct{} // closed when the feed is there again; nil while it is
	for s.done.Err() == nil {
		err := s.subscribe(func() {
			pause = firstPause
			if first {
				joined <- nil
				first = false
				return
			}
			close(heard)
			heard = nil
			s.alone.Store(false)
			s.Interrupt()
			s.opts.Tell(Joined)
		})
		if s.feeding.Swap(false) && s.done.Err() == nil {
			again := make(chan struct{})
			heard = again
			s.running.Go(func() { s.ageAlone(again) })
			s.opts.Tell(Cut)
		}
		if first {
			joined <- s.failure(s.done, err)
			return
		}
		select {
		case <-s.done.Done():
		case <-time.After(pause):
			pause = min(2*pause, longestPause)
		}
	}
}

// subscribe returns when the subscription has ended. begun is called once, when it has begun.
func (s *remote) subscribe(begun func()) error {
	c, release := s.client.Dedicate()
	defer release()
	s.heard.Store(0)
	s.base.Store(0)
	over := c.SetPubSubHooks(driver.PubSubHooks{OnMessage: func(m driver.PubSubMessage) { s.receive(m.Message) }})
	channel := s.prefix[0] + "feed"
	if err := c.Do(s.done, c.B().Subscribe().Channel(channel).Build()).Error(); err != nil {
		return err
	}
	if err := s.baseline(); err != nil {
		return err
	}
	cut := make(chan struct{}, 1)
	again := func() {
		select {
		case cut <- struct{}{}:
		default:
		}
	}
	s.cut.Store(&again)
	s.feeding.Store(true)
	begun()
	select {
	case err := <-over:
		return err
	case <-cut:
		c.Close()
		return fmt.Errorf("%w: the feed lies behind", store.ErrDown)
	case <-s.done.Done():
		return nil
	}
}

// baseline takes down how far the feed has come, so that its first loss is noticed too.
func (s *remote) baseline() error {
	p, err := s.beat(s.done, s.key)
	if err != nil {
		return err
	}
	s.base.Store(p.feed)
	s.heard.CompareAndSwap(0, p.feed)
	return nil
}

// receive reads one message: number, node, kind, bucket and sealed ID, with a space between them.
func (s *remote) receive(message string) {
	part := strings.SplitN(message, " ", 5)
	if len(part) != 5 {
		s.Interrupt()
		return
	}
	n, err := strconv.ParseUint(part[0], 10, 64)
	before := s.heard.Swap(n)
	if err != nil || n != before+1 && n > s.base.Load() {
		s.Interrupt()
	}
	if part[1] == s.node {
		return // fed by run
	}
	if ev, ok := s.event(part[2], part[3], part[4]); ok {
		s.Publish([]store.Event{ev})
		return
	}
	s.Interrupt() // what cannot be read may have been anything
}

// pulse is what a beat returns.
type pulse struct {
	feed  uint64 // number of the last message
	key   []byte // the store's key, sealed
	epoch string // another one: the server has lost what it held
}

// beat says that this node is there, and asks how things stand.
func (s *remote) beat(ctx context.Context, key []byte) (p pulse, err error) {
	list := "0"
	if known := s.nodes.Load(); known == nil || len(*known) <= fewNodes || s.beats.Add(1)%10 == 0 {
		list = "1"
	}
	answer, err := s.run(ctx, beatScript, s.opts.Node, micros(silent), string(key), rand.Text(), list)
	if err == nil {
		s.refused.Store(nil)
	} else if refusal(err) {
		s.refused.Store(&err)
	}
	if err != nil {
		return p, err
	}
	feed, err := number(answer[0])
	if err != nil {
		return p, err
	}
	sealed, err := answer[1].AsBytes()
	if err != nil {
		return p, fmt.Errorf("%w: the key", store.ErrCorrupt)
	}
	epoch, err := answer[2].ToString()
	if err != nil {
		return p, fmt.Errorf("%w: the epoch", store.ErrCorrupt)
	}
	said, err := answer[3].AsStrSlice()
	if err != nil {
		return p, fmt.Errorf("%w: the nodes", store.ErrCorrupt)
	}
	now := time.Now()
	s.beaten.Store(&now)
	if list == "0" {
		return pulse{feed: uint64(feed), key: sealed, epoch: epoch}, nil
	}
	nodes := make([]store.Node, 0, len(said)/2)
	for i := 0; i+1 < len(said); i += 2 {
		at, says, _ := strings.Cut(said[i+1], " ")
		since, _ := strconv.ParseInt(at, 10, 64) // a node that cannot be read is old
		nodes = append(nodes, store.Node{ID: said[i], Says: says, Age: max(0, time.Duration(s.clock.now()-since)*time.Microsecond)})
	}
	s.nodes.Store(&nodes)
	return pulse{feed: uint64(feed), key: sealed, epoch: epoch}, nil
}

// refusal reports whether the server answers, and what lies there is not for this program.
func refusal(err error) bool {
	return errors.Is(err, store.ErrSchema) || errors.Is(err, store.ErrMoving)
}

// Alone implements store.Shared.
func (s *remote) Alone() bool { return s.alone.Load() }

// Nodes implements store.Shared: who used the store at the last beat.
func (s *remote) Nodes() []store.Node {
	if p := s.nodes.Load(); p != nil {
		return *p
	}
	return nil
}

// heartLoop beats. It keeps the clock, finds a feed that lies behind, and a server that has lost everything.
func (s *remote) heartLoop() {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	var expected uint64 // what the feed should have come to by this beat
	refused := false    // and somebody was told
	slow, skewed := 0, false
	for {
		select {
		case <-s.done.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(s.done, answerTimeout)
		begun := time.Now()
		p, err := s.beat(ctx, s.key)
		took := time.Since(begun)
		cancel()
		switch {
		case err != nil:
			s.down.Store(&err)
			if refusal(err) && !refused {
				refused = true
				s.opts.Tell(Refused)
			}
			if cut := s.cut.Load(); s.feeding.Load() && cut != nil { // what does not answer feeds nobody either
				(*cut)()
			}
			continue
		case string(p.key) != string(s.key):
			err := fmt.Errorf("%w: the server holds a store with another key; restart this gateway", store.ErrCorrupt)
			s.down.Store(&err)
			continue
		}
		s.down.Store(nil)
		refused = false
		s.askReplicas()
		s.took.Store(int64(took))
		slow, skewed = s.measure(took, slow, skewed)
		switch cut := s.cut.Load(); {
		case p.epoch != s.epoch:
			s.epoch = p.epoch
			s.heard.Store(p.feed)
			s.Interrupt()
			s.opts.Tell(Emptied)
		case p.feed < expected: // a server took over that had not heard all
			s.heard.Store(p.feed)
			s.Interrupt()
		case s.feeding.Load() && s.heard.Load() < expected:
			(*cut)()
		}
		expected = p.feed
	}
}

// measure tells of a server that is slow, and of clocks that are apart. slow counts beats, skewed says that it was told.
func (s *remote) measure(took time.Duration, slow int, skewed bool) (int, bool) {
	switch {
	case took > slowAnswer:
		if slow++; slow == slowBeats {
			s.opts.Tell(Slow)
		}
	case slow >= slowBeats:
		s.opts.Tell(Brisk)
		fallthrough
	default:
		slow = 0
	}
	apart := s.skew().Abs() > skewWarn
	if apart && !skewed {
		s.opts.Tell(Skewed)
	}
	return slow, apart
}

// skew is by how much store time is ahead of this node's wall clock.
func (s *remote) skew() time.Duration { return time.Duration(s.clock.ahead()) * time.Microsecond }

func (s *remote) hurrySweep() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// sweepLoop removes what has expired; of all nodes, one removes each item.
func (s *remote) sweepLoop() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-s.done.Done():
			return
		case <-s.kick:
		case <-tick.C:
		}
		for removed := int64(sweepStep); removed == sweepStep; {
			answer, err := s.run(s.done, sweepScript, strconv.Itoa(sweepStep))
			if err != nil {
				break // the heart tells
			}
			removed, _ = number(answer[0])
		}
	}
}
