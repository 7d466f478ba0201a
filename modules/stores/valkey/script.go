package valkey

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	driver "github.com/valkey-io/valkey-go"

	"gatehouse.internal/modules/internal/store"
)

var (
	//go:embed lua/prelude.lua
	prelude string
	//go:embed lua/put.lua
	putText string
	//go:embed lua/take.lua
	takeText string
	//go:embed lua/delete.lua
	deleteText string
	//go:embed lua/deleteindexed.lua
	deleteIndexedText string
	//go:embed lua/touch.lua
	touchText string
	//go:embed lua/incr.lua
	incrText string
	//go:embed lua/lease.lua
	leaseText string
	//go:embed lua/page.lua
	pageText string
	//go:embed lua/sweep.lua
	sweepText string
	//go:embed lua/beat.lua
	beatText string
	//go:embed lua/claim.lua
	claimText string
	//go:embed lua/release.lua
	releaseText string
	//go:embed lua/keys.lua
	keysText string
	//go:embed lua/counters.lua
	countersText string
	//go:embed lua/restore.lua
	restoreText string
)

// The scripts. Each is one atomic step. What changes something that a failover must not lose waits for replicas, where the options say so.
var (
	putScript           = changes(putText)
	softPutScript       = script(putText)
	takeScript          = changes(takeText)
	deleteScript        = changes(deleteText)
	deleteIndexedScript = changes(deleteIndexedText)
	touchScript         = script(touchText)
	incrScript          = changes(incrText)
	leaseScript         = script(leaseText)
	pageScript          = script(pageText)
	sweepScript         = script(sweepText)
	beatScript          = script(beatText)
	claimScript         = script(claimText)
	releaseScript       = script(releaseText)
	keysScript          = script(keysText)
	countersScript      = script(countersText)
	restoreScript       = changes(restoreText)
)

// schema is the form of what lies on the server, as prelude.lua tells it. Programs that know another one are kept apart from it.
const schemaNumber = 1

var schema = strconv.Itoa(schemaNumber)

// lua is a script, its text whole, and the server's name for it.
type lua struct {
	*driver.Lua
	text, sha1 string
	change     bool
}

func script(text string) *lua {
	text = "local SCHEMA = '" + schema + "'\n" + prelude + text
	sum := sha1.Sum([]byte(text))
	return &lua{Lua: driver.NewLuaScript(text), text: text, sha1: hex.EncodeToString(sum[:])}
}

func changes(text string) *lua {
	l := script(text)
	l.change = true
	return l
}

// run runs a script and returns what it answers beyond the time, which the clock hears, and the events, which the watchers
// of this node are fed before run returns.
// A change that too few replicas have is one: the error says so, and what it answers is returned beside it.
func (s *remote) run(ctx context.Context, script *lua, args ...string) ([]driver.ValkeyMessage, error) {
	if script.change && s.opts.Replicas > 0 {
		done, err := s.turn(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	answer, err := s.exec(ctx, script, script.change, args)
	var few error
	switch {
	case errors.Is(err, errFew):
		few = err
	case err != nil:
		return nil, s.failure(ctx, err)
	}
	if len(answer) < 2 {
		return nil, fmt.Errorf("%w: a script answered %d values", store.ErrCorrupt, len(answer))
	}
	now, err := answer[0].AsInt64()
	if err != nil {
		return nil, fmt.Errorf("%w: store time: %w", store.ErrCorrupt, err)
	}
	s.clock.heard(now)
	events, err := answer[1].AsStrSlice()
	if err != nil {
		return nil, fmt.Errorf("%w: events: %w", store.ErrCorrupt, err)
	}
	s.feed(events)
	return answer[2:], few
}

// feed feeds this node's watchers what it did itself: triples of kind, bucket and sealed ID.
func (s *remote) feed(events []string) {
	fed := make([]store.Event, 0, len(events)/3)
	for i := 0; i+2 < len(events); i += 3 {
		if ev, ok := s.event(events[i], events[i+1], events[i+2]); ok {
			fed = append(fed, ev)
		}
	}
	s.Publish(fed)
}

// event reads one event. What cannot be read tells nobody anything: ok is false.
func (s *remote) event(kind, bucket, sealed string) (ev store.Event, ok bool) {
	switch kind {
	case "+":
		ev.Kind = store.Set
	case "-":
		ev.Kind = store.Gone
	default:
		return ev, false
	}
	key, err := s.sealer.id(store.Bucket(bucket), sealed)
	ev.Key = key
	return ev, err == nil
}

var errShape = errors.New("an answer of another shape")

// texts reads a value that is a list of n texts.
func texts(m driver.ValkeyMessage, n int) ([]string, error) {
	list, err := m.AsStrSlice()
	if err == nil && len(list) != n {
		err = errShape
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return list, nil
}

// number reads a value that is a number.
func number(m driver.ValkeyMessage) (int64, error) {
	n, err := m.AsInt64()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return n, nil
}
