package valkey

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	driver "github.com/valkey-io/valkey-go"

	"gatehouse.internal/modules/internal/store"
)

// DefaultReplicasWithin is how long a change waits for replicas.
const DefaultReplicasWithin = time.Second

// blocking is how many connections the driver has for what blocks: the feed, the heart's question for replicas, and changes that wait.
const blocking = 16

// patienceLeft is what remains of a caller's patience for the answer's way back.
const patienceLeft = 200 * time.Millisecond

// errCluster: WAIT may be asked of another server of a cluster than the change.
var errCluster = errors.New("replicas is for one server, or for sentinels: a cluster's servers refuse changes themselves when they lack replicas, by min-replicas-to-write")

// errFew: a change was made, and fewer replicas have it than the options want.
var errFew = fmt.Errorf("%w: too few replicas", store.ErrDown)

// exec runs a script. A change is acknowledged when as many replicas have it, too, as the options want: the server is asked on the
// same connection, right behind the change, for it counts by what that connection has written.
func (s *remote) exec(ctx context.Context, script *lua, change bool, args []string) ([]driver.ValkeyMessage, error) {
	args = append([]string{strconv.FormatInt(s.clock.now(), 10), s.node}, args...)
	if !change || s.opts.Replicas == 0 {
		return script.Exec(ctx, s.client, s.prefix, args).ToArray()
	}
	var within time.Duration
	wait := func() driver.Completed {
		within = s.waits(ctx)
		return s.client.B().Wait().Numreplicas(int64(s.opts.Replicas)).Timeout(within.Milliseconds()).Build()
	}
	both := s.client.DoMulti(ctx, s.client.B().Evalsha().Sha1(script.sha1).Numkeys(int64(len(s.prefix))).Key(s.prefix...).Arg(args...).Build(), wait())
	if err, ok := driver.IsValkeyErr(both[0].Error()); ok && err.IsNoScript() { // the server is new to it
		both = s.client.DoMulti(ctx, s.client.B().Eval().Script(script.text).Numkeys(int64(len(s.prefix))).Key(s.prefix...).Arg(args...).Build(), wait())
	}
	answer, err := both[0].ToArray()
	if err != nil {
		return nil, err
	}
	have, err := both[1].AsInt64()
	if err != nil { // the change was made all the same
		few := fmt.Errorf("%w: asking how many have the change: %w", errFew, err)
		s.few.Store(&few)
		return answer, few
	}
	s.replicas.Store(have)
	if have < int64(s.opts.Replicas) {
		few := fmt.Errorf("%w: %d of %d replicas had the change within %v, and a failover may lose it", errFew, have, s.opts.Replicas, within.Round(time.Millisecond))
		s.few.Store(&few)
		return answer, few
	}
	s.few.Store(nil)
	return answer, nil
}

// waits is how long a change may wait for replicas. It ends before its caller's patience: the driver forgets what the change answered when
// that is over, and with it what the watchers are to be fed.
func (s *remote) waits(ctx context.Context) time.Duration {
	d := s.opts.ReplicasWithin
	if end, ok := ctx.Deadline(); ok {
		d = min(d, time.Until(end)-patienceLeft)
	}
	return max(d, time.Millisecond) // zero would be forever
}

// turn waits until a change may have one of the connections that block, of which the feed and the heart keep theirs. done gives it back.
func (s *remote) turn(ctx context.Context) (done func(), err error) {
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// mayWait reports why the replicas cannot be asked for; nil: they can.
func (s *remote) mayWait(ctx context.Context) error {
	err := s.client.Do(ctx, s.client.B().Wait().Numreplicas(0).Timeout(1).Build()).Error()
	if no, ok := driver.IsValkeyErr(err); ok {
		return fmt.Errorf("replicas: the server does not say how many have a change: give the user +wait in its access list, or take the word out: %w", no)
	}
	return s.failure(ctx, err)
}

// askReplicas has somebody ask, after a change that too few replicas have, whether enough do now. Nobody waits for the answer.
func (s *remote) askReplicas() {
	if s.few.Load() == nil || !s.asking.CompareAndSwap(false, true) {
		return
	}
	s.running.Go(func() {
		defer s.asking.Store(false)
		ctx, cancel := context.WithCancel(s.done)
		defer cancel()
		defer time.AfterFunc(answerTimeout, cancel).Stop() // the driver waits for a deadline, even when done is over before
		_, _ = s.exec(ctx, touchScript, true, nil)         // what it finds is kept
	})
}
