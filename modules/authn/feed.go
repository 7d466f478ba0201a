package authn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/store"
)

const (
	touchEvery = 30 * time.Second // a session's use is written at most so often
	flushEvery = time.Second      // and so long after it at the latest

	// clockBucket holds one item, the highest reading of any node's clock as of a minute ago, so that a wall clock set
	// back while the gateway is down lengthens a session by no more than that.
	clockBucket store.Bucket = "authn.clock"
	markEvery                = rollbackTolerance
)

// follow takes note of what changed elsewhere, so that the next use reads it again.
func (s *Sessions) follow(feed <-chan store.Event) {
	for ev := range feed {
		if ev.Kind == store.Resync {
			s.mu.Lock()
			for _, e := range s.table {
				e.stale.Store(true)
			}
			s.changes++
			s.mu.Unlock()
			s.streams.recheckAll()
			continue
		}
		id, ok := idOf(ev.Key.ID)
		switch {
		case !ok:
		case ev.Kind == store.Gone:
			s.forget(id)
		default:
			s.mu.Lock()
			s.changes++
			if e := s.table[id]; e != nil {
				e.stale.Store(true)
			}
			s.mu.Unlock()
			s.streams.recheck(id)
		}
	}
}

// tend writes what is due to be written, and watches the clock.
func (s *Sessions) tend(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var marked int64
	var behind bool
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.flush(ctx)
		now, lag := s.clock.read()
		if lag > rollbackTolerance && !behind {
			s.publish(event.Event{
				Time: time.Now(), Kind: event.ClockRolledBack,
				Detail: fmt.Sprintf("the wall clock lies %v behind; sessions go on aging as if it did not", lag.Round(time.Second)),
			})
		}
		behind = lag > rollbackTolerance
		if now-marked >= int64(markEvery) && s.writeMark(ctx, now) == nil {
			marked = now
		}
	}
}

func (s *Sessions) flush(ctx context.Context) {
	s.dirtyMu.Lock()
	due := s.dirty
	s.dirty = make(map[sessionID]*live, len(due))
	s.dirtyMu.Unlock()
	// After an error the next use queues the session again; until then its stored expiry only comes too early.
	_ = s.write(ctx, due)
	for _, e := range due { // not before: a use meanwhile would queue again what has just been written
		e.queued.Store(false)
	}
}

// write moves the stored expiries of these sessions to what their last use makes them.
func (s *Sessions) write(ctx context.Context, sessions map[sessionID]*live) error {
	now, wall := s.clock.now(), time.Now()
	to := make(map[store.Key]time.Time, len(sessions))
	marks := make(map[*live]int64, len(sessions))
	for id, e := range sessions {
		if seen := e.seen.Load(); seen > e.written.Load() {
			to[storeKey(id)] = wall.Add(e.span - time.Duration(now-seen))
			marks[e] = seen
		}
	}
	if len(to) == 0 {
		return nil
	}
	if err := s.store.Touch(ctx, to); err != nil {
		return fmt.Errorf("writing the use of %d sessions: %w", len(to), err)
	}
	for e, seen := range marks {
		e.written.Store(seen)
	}
	return nil
}

// writeAll writes everything that is not written yet.
func (s *Sessions) writeAll() error {
	s.mu.RLock()
	all := maps.Clone(s.table)
	s.mu.RUnlock()
	return s.write(context.Background(), all)
}

var markKey = store.Key{Bucket: clockBucket, ID: "mark"}

// readMark returns the clock's reading that was kept, 0 when there is none.
func readMark(ctx context.Context, st store.Store) (int64, error) {
	item, err := st.Get(ctx, markKey)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(item.Value) != 8 {
		return 0, nil // nobody's: as good as none
	}
	return int64(binary.BigEndian.Uint64(item.Value)), nil
}

// writeMark keeps the clock's reading.
func (s *Sessions) writeMark(ctx context.Context, now int64) error {
	_, err := s.store.Put(ctx, markKey, binary.BigEndian.AppendUint64(nil, uint64(now)), store.PutOptions{})
	return err
}
