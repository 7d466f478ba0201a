package valkey

import (
	"context"
	"fmt"
	"strconv"
	"time"

	driver "github.com/valkey-io/valkey-go"

	"gatehouse.internal/modules/internal/store"
)

// DefaultReplicasWithin is how long a change waits for replicas.
const DefaultReplicasWithin = time.Second

// errFew: a change was made, and fewer replicas have it than the options want.
var errFew = fmt.Errorf("%w: too few replicas", store.ErrDown)

// exec runs a script. A change is acknowledged when as many replicas have it, too, as the options want: the server is asked on the
// same connection, right behind the change, for it counts by what that connection has written.
func (s *remote) exec(ctx context.Context, script *lua, change bool, args []string) ([]driver.ValkeyMessage, error) {
	args = append([]string{strconv.FormatInt(s.clock.now(), 10), s.node}, args...)
	if !change || s.opts.Replicas == 0 {
		return script.Exec(ctx, s.client, s.prefix, args).ToArray()
	}
	wait := func() driver.Completed {
		return s.client.B().Wait().Numreplicas(int64(s.opts.Replicas)).Timeout(s.opts.ReplicasWithin.Milliseconds()).Build()
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
	if err != nil {
		return nil, err
	}
	s.replicas.Store(have)
	if have < int64(s.opts.Replicas) {
		few := fmt.Errorf("%w: %d of %d replicas had the change within %v, and a failover may lose it", errFew, have, s.opts.Replicas, s.opts.ReplicasWithin)
		s.few.Store(&few)
		return answer, few
	}
	s.few.Store(nil)
	return answer, nil
}

// askReplicas asks, after a change that too few replicas have, whether enough do now.
func (s *remote) askReplicas() {
	if s.few.Load() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.done, answerTimeout)
	defer cancel()
	_, _ = s.exec(ctx, touchScript, true, nil) // what it finds is kept
}
